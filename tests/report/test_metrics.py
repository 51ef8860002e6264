"""The figures in long form, and numbers as the page shows them."""

import dataclasses
import math

import pytest

from synalign_spark.formatting import cut, duration, number
from synalign_spark.report.metrics import metric_rows


def test_metrics_have_one_row_per_name_and_label(findings):
    rows = metric_rows(findings)
    keys = [(row["name"], row["label"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert all(set(row) == {"name", "label", "value", "unit"} for row in rows)


def test_what_could_not_be_measured_is_null(findings):
    certificate = [{**findings.certificate[0], "lambda": float("nan")}]
    rows = metric_rows(dataclasses.replace(findings, certificate=certificate))
    assert [row["value"] for row in rows if row["name"] == "align.lambda"] == [None]


def test_metrics_hold_the_figures(findings):
    value = {(row["name"], row["label"]): row["value"] for row in metric_rows(findings)}
    assert value["align.mmd2_after", None] == 0.02
    assert math.isinf(value["align.lambda", "negative"])
    assert value["align.mmd2_floor", "positive"] is None
    assert value["rows.synthetic", "positive"] == 80
    assert value["weight.ess", None] == 80.0
    assert value["generate.acceptance", None] == pytest.approx(120 / 150)
    assert value["generate.calls.rows.ok", None] == 50
    assert value["classifier.accuracy.weighted", None] == 0.8
    assert value["classifier.accuracy.real_and_synthetic", None] == 0.92
    assert (value["classifier.gain", None], value["classifier.gain_beside_real.standard_error", None]) == (0.1, 0.015)
    assert value["select.coverage", "positive"] == 0.9
    assert value["select.demonstration_sets", "negative"] == 3
    assert value["seconds.ingest", None] == 75.2


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("nan"), "–"), (float("inf"), "∞"), (0.0, "0"), (1234567, "1,234,567"), (0.123456, "0.1235"), (12.3456, "12.35"),
     (9.87e-7, "9.87e-07"), (123456.7, "1.23e+05"), (-0.5, "-0.5000"), ("ok", "ok"), (True, "True")],
)  # fmt: skip
def test_numbers(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "–"), (0.34, "0.3 s"), (41, "41 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_texts_are_cut_and_lose_control_characters():
    assert cut(None) == "–"
    assert cut("a\x1b[31m b\n\tc") == "a [31m b c"
    assert cut("x" * 50, 10) == "x" * 9 + "…"
