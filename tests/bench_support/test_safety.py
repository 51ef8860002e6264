"""The safety suite: its cases are what they say, a product that trusts too much is found out, and one that stays with the real rows is not."""

import numpy as np
import pytest

from synalign_spark.errors import DataError
from tests.bench import safety
from tests.bench.support import safety_cases
from tests.bench.support.classifiers import CLASSIFIERS
from tests.bench.support.product import Aligned, align
from tests.bench.support.safety_cases import CASES, Case

SEEDS = 2
LOST: set[str] = set()


@pytest.fixture(scope="module")
def base():
    return safety.open_base(safety.SIMULATED)


@pytest.fixture(autouse=True)
def _two_students(monkeypatch):
    monkeypatch.setattr(safety_cases, "STUDENTS", CLASSIFIERS)


def product(synthetic_weight):
    """One that gives every synthetic row this weight, and every real row one."""

    def weigh(real, synthetic, seed, labelled):
        even = np.full(len(synthetic), 1.0 / len(synthetic))
        return Aligned(even, np.log(even), np.full(len(synthetic), synthetic_weight), np.ones(len(real)), [{"mixing_weight": None}])

    return weigh


def test_real_rows_alone_are_never_lost(base):
    found = list(safety.results([safety.SIMULATED], ["unrelated", "rare_label"], SEEDS, product(0.0)))
    assert [(case["difference"], case["synthetic_share"]) for case in found] == [(0.0, [0.0] * SEEDS)] * 2
    assert safety.losses(found) == []


def test_trust_in_rows_that_are_wrong_is_a_loss(base):
    (loss,) = safety.losses(list(safety.results([safety.SIMULATED], ["unrelated"], SEEDS, product(10.0))))
    assert loss["difference"] < -3 * loss["stderr"]


def test_rows_that_the_product_refuses_are_said(base):
    def refuse(real, synthetic, seed, labelled):
        raise DataError("no")

    assert safety.run_seeds(base, "as_it_is", 1, refuse) == {"seeds": 0, "refused": ["no"]}


@pytest.mark.slow  # half a minute
def test_the_product_loses_no_other_case_than_those_that_are_known():
    options = safety.options_of(safety.QUICK["settings"])
    found = list(safety.results([safety.SIMULATED], list(CASES), 1, lambda *rows: align(*rows[:3], options, rows[3])))
    assert {case["case"] for case in found if case["difference"] < -2 * case["stderr"]} <= LOST
    assert not [case for case in found if "refused" in case]


def labels_of(rows):
    return dict(zip(*np.unique(rows.labels, return_counts=True), strict=True))


def test_the_cases_are_what_they_say(base):
    cases = {name: make(base, 0) for name, make in CASES.items()}
    plain: Case = cases["as_it_is"]
    assert len(plain.real) == 300
    assert labels_of(cases["thirty_rows"].real).keys() == {"arts", "money", "sport"}
    assert len(cases["thirty_rows"].real) == 30
    assert labels_of(cases["rare_label"].real)["sport"] == 5
    assert set(cases["label_without_synthetic"].synthetic.labels) == {"arts", "money"}
    for side, name in (("synthetic", "synthetic_labels_shuffled"), ("real", "real_labels_shuffled")):
        before, after = getattr(plain, side), getattr(cases[name], side)
        assert labels_of(before) == labels_of(after)
        assert 0.2 < (before.labels != after.labels).mean() < 0.4  # two thirds of the shuffled ones get another label
    words = {word for text in plain.real.texts for word in text.split()}
    for name in ("unrelated", "another_language"):
        assert not words & {word for text in cases[name].synthetic.texts for word in text.split()}
    for name, distinct in (("duplicated_real", 75), ("nearly_duplicated_real", 300)):
        assert (len(cases[name].real), len(set(cases[name].real.texts))) == (300, distinct)
    assert [case for case in cases if not cases[case].labelled] == ["unlabelled"]
