"""Two runs side by side: numbers by hand, what differs, and the page in a browser. No Spark."""

import dataclasses

import pytest

from synalign_spark.report.comparison import compared
from synalign_spark.report.comparison_page import render
from synalign_spark.report.comparison_side import side
from synalign_spark.report.metrics import metric_rows
from synalign_spark.report.verdict import DO_NOT, USE
from synalign_spark.storage import tables
from tests.report.attacks import ATTACK
from tests.report.browser import Opened, cut_off, faults


class View:
    """A finished run: its certificate, the metrics of its findings, and a manifest of two stages."""

    def __init__(self, run_id, findings, settings=(), source="corpus", seconds=60.0, **certified):
        self.run_id = run_id
        errors = {"gain": 0.03, "gain_error": 0.004, "mmd2_after_error": 0.0005, "mmd2_before_low": 0.04, "mmd2_before_high": 0.06}
        rows = [{**row, **(errors | certified if row["label"] is None else {})} for row in findings.certificate]
        self.findings = dataclasses.replace(findings, certificate=rows)
        entry = {"settings": {"run.seed": 0, **dict(settings)}, "limits": {"max_tokens": 1_000}, "seconds": seconds / 2}
        self.entries = {"ingest": {**entry, "source": source}, "generate": entry}

    def manifest(self):
        return self.entries

    def read(self, table):
        return {tables.CERTIFICATE: self.findings.certificate, tables.METRICS: metric_rows(self.findings)}[table]


def both(findings, **second):
    """The comparison of a run with one that differs."""
    return compared(side(View("one", findings)), side(View("two", findings, **second)))


def line(lines, name):
    return next(one for one in lines if name in one.name)


def test_numbers_stand_side_by_side_and_a_difference_has_the_interval_of_both_errors(findings):
    found = both(findings, gain=0.01, gain_error=0.003, mmd2_after=0.018, closed_share=0.7, ess=100.0)
    helps = line(found.numbers, "Does it help")
    assert (helps.first, helps.second) == ("+3.0 points (+2.2 to +3.8)", "+1.0 points (+0.4 to +1.6)")
    assert helps.differ == "-2.0 points (-3.0 to -1.0)"  # 1.96 * sqrt(0.4^2 + 0.3^2) = 0.98
    assert line(found.numbers, "weighted").differ == "-0.002000 (-0.003386 to -0.000614)"  # 1.96 * sqrt(2) * 0.0005 = 0.001386
    assert line(found.numbers, "How close").differ == "+10.0 points"
    effective = line(found.numbers, "Effective rows")
    assert (effective.first, effective.second, effective.differ) == ("40", "100", "+60")
    assert line(found.numbers, "Real rows").differ == "0", "no sign before nothing"
    assert found.summary == "The rows of two help less; the rows of two are closer to held-out real rows."


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({}, "No difference beyond chance in how much the rows help; no difference beyond chance in how close the rows are."),
        ({"gain": 0.038}, "No difference beyond chance in how much the rows help"),
        ({"gain": 0.05}, "The rows of two help more"),
        ({"gain": None}, "How much the rows help is not known of both"),
        ({"mmd2_after": 0.03}, "the rows of two are farther from held-out real rows"),
        ({"source": "another"}, "Gains and distances do not compare: the runs have different real rows."),
        (
            {"settings": {"embed.model": "m", "align.bandwidth": 1.0}},
            "the runs measure in different ways (align.bandwidth, embed.model differ).",
        ),
        ({"settings": {"run.seed": 1}}, "Gains and distances do not compare: the runs hold out different real rows (run.seed differs)."),
    ],
)
def test_one_sentence_says_what_is_beyond_chance(findings, second, words):
    found = both(findings, **second)
    assert words in found.summary
    subtracted = [one.differ for one in [*found.numbers[:5], *found.labels]]
    assert (set(subtracted) == {"does not compare"}) == ("do not compare" in found.summary)
    assert line(found.numbers, "Synthetic rows").differ == "0"


def test_cost_refusals_labels_and_settings_are_compared(findings):
    generated = findings.generation
    dearer = dataclasses.replace(generated, cost_usd=0.75, prompt_tokens=8_000, refused={"copied": 5, "pii": 2}, accepted=240)
    settings = {"generate.target_rows": 240, "align.ess_floor": None, "generate.gates": ["form", "pii"]}
    found = compared(side(View("one", findings)), side(View("two", dataclasses.replace(findings, generation=dearer), settings, seconds=90)))
    dollars = line(found.cost, "Cost, USD")
    assert (dollars.first, dollars.second, dollars.differ) == ("0.2500", "0.7500", "+0.5000")
    assert line(found.cost, "1,000 accepted").second == "3.1250"
    assert line(found.cost, "Prompt tokens").differ == "+2,000"
    assert line(found.cost, "Time").differ == "+30 s"
    copied = line(found.refused, "copied from a real row")
    assert (copied.first, copied.second, copied.differ) == ("20", "5", "-15")
    assert line(found.refused, "personal data").first == "0"
    assert line(found.refused, "Acceptance").differ == "+17.2 points"  # 240 of 247 less 120 of 150
    assert [(one.name, one.first) for one in found.labels] == [("negative", "60% (40% to 80%)"), ("positive", "60% (40% to 80%)")]
    assert found.settings == [("generate.gates", "null", "form, pii"), ("generate.target_rows", "null", "240")], "null is no difference"


def test_the_page_has_both_verdicts_and_the_same_bytes_each_time(findings):
    found = both(findings, mixing_weight=0.0, verdict="do not use these rows: they cost 2 points")
    assert [word for word, _, _ in found.verdicts] == [USE, DO_NOT]
    page = render(found)
    assert page == render(both(findings, mixing_weight=0.0, verdict="do not use these rows: they cost 2 points"))
    assert page.index('class="verdict use"') < page.index('class="verdict do-not"')
    assert "the same settings" in page
    assert 'id="map-data"' not in page


@pytest.fixture
def hostile(findings, tmp_path):
    """The page of two runs all of whose texts are attacks."""
    labels = [{**row, "label": ATTACK if row["label"] else None} for row in findings.certificate[1:]]
    generation = dataclasses.replace(findings.generation, refused={ATTACK: 3})
    changed = dataclasses.replace(findings, certificate=labels, generation=generation)
    found = compared(*(side(View(ATTACK, changed, {ATTACK: ATTACK * i}, verdict=f"use these rows {ATTACK}")) for i in (1, 2)))
    path = tmp_path / "page.html"
    path.write_text(render(found), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), pytest.param(390, "dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious_and_nothing_is_cut(browser, findings, tmp_path, width, scheme):
    path = tmp_path / "page.html"
    path.write_text(render(both(findings, settings={"generate.task": "a review of a film " * 10})), encoding="utf-8")
    opened = Opened(browser, path, width=width, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert cut_off(opened.page) == []
    assert faults(opened.page) == []
    boxes = [one.bounding_box() for one in opened.page.locator("section.verdict").all()]
    if width == 1280:
        assert boxes[0]["y"] == boxes[1]["y"], "side by side"
    else:
        assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
    opened.close()


def test_hostile_texts_do_not_run(browser, hostile):
    opened = Opened(browser, hostile)
    assert opened.page.evaluate("window.ran") is None
    assert (opened.requests, opened.said) == ([opened.address], [])
    own = "script, style, iframe, img, [onload], [onerror], [onfocus], [autofocus], a:not([href^='#'])"
    assert opened.page.evaluate(f"[...document.querySelectorAll({own!r})].map(one => one.tagName)") == ["STYLE", "SCRIPT"]
    opened.close()
