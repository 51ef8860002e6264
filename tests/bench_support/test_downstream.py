"""What the downstream benchmark scores on."""

from types import SimpleNamespace

import numpy as np
import pytest

from synalign_spark.errors import DataError
from tests.bench import downstream
from tests.bench.downstream import compare, fewest_validation_rows, macro_f1, shown_name, validation_rows
from tests.bench.support import summary
from tests.bench.support.runs import Runs
from tests.bench.support.simulated import simulated

DATA = SimpleNamespace(name="t", real=range(6), synthetic=range(4), test=range(3))


def test_students_are_scored_on_the_test_rows_or_on_real_rows_that_the_run_does_not_take():
    np.testing.assert_array_equal(validation_rows(DATA), [10, 11, 12])  # real, synthetic, test
    np.testing.assert_array_equal(validation_rows(DATA, np.array([0, 4])), [1, 2, 3, 5])
    with pytest.raises(ValueError, match="--real-rows below 6"):
        validation_rows(DATA, np.arange(6))


@pytest.mark.parametrize(("develop", "name", "fewest"), [(False, "t", 3), (True, "t (development)", 4)])
def test_results_of_development_are_told_apart(develop, name, fewest):
    given = SimpleNamespace(develop=develop, real_rows=[1, 2])
    assert shown_name(DATA, given) == name
    assert fewest_validation_rows(DATA, given) == fewest


def test_macro_f1_is_the_mean_over_the_labels_of_the_test_rows():
    """Label a: one of two found and nothing else taken for it, F1 2/3; b: found, one a taken for it, F1 2/3; c, said once, is no label there."""
    assert macro_f1(np.array(["a", "a", "b"]), np.array(["a", "b", "b"])) == pytest.approx(2 / 3)
    assert macro_f1(np.array(["a", "a", "b"]), np.array(["a", "c", "b"])) == pytest.approx((2 / 3 + 1) / 2)


def options(**changed):
    usual = {
        "real_rows": [60], "seeds": 2, "first_seed": 0, "develop": False, "methods": ["uniform", "ours"], "settings": ["n_features=64", "permutations=99"], "draws": 100,
        "students": ["embeddings"], "ways": ["with_real", "each_one"], "finetune": False,
    }  # fmt: skip
    return SimpleNamespace(**(usual | changed))


@pytest.fixture(scope="module")
def data():
    return simulated(120, 150, 100)


def test_every_method_is_run_with_every_seed_and_not_again(data, tmp_path):
    runs = Runs(tmp_path / "runs.jsonl", resume=False)
    found = list(compare(data, options(), runs))
    assert [(run["method"], run["seed"]) for run in found] == [(m, s) for s in (0, 1) for m in ("real alone", "uniform", "ours")]
    assert found[2]["scores"]["embeddings"].keys() == found[2]["macro_f1"]["embeddings"].keys() == {"with_real", "each_one"}
    kept = Runs(tmp_path / "runs.jsonl", resume=True)
    assert list(compare(data, options(), kept)) == found
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 6


def test_files_of_two_processes_are_one_report(data, tmp_path):
    """Whatever the runs are shared by, the joined files hold the runs of one process, and none is done again."""
    shared = {
        "first": {"methods": ["uniform"]},
        "second": {"methods": ["dsir"], "seeds": 1},
        "third": {"methods": ["dsir"], "seeds": 1, "first_seed": 1},
    }
    for name, share in shared.items():
        list(compare(data, options(**share), Runs(tmp_path / name, resume=False)))
    joined = tmp_path / "joined.jsonl"
    joined.write_text("".join((tmp_path / name).read_text() for name in shared))
    lines = joined.read_text()
    both = options(methods=["uniform", "dsir"])
    found, whole = list(compare(data, both, Runs(joined, resume=True))), list(compare(data, both, Runs(None, resume=False)))
    assert [run["scores"] for run in found] == [run["scores"] for run in whole]
    assert joined.read_text() == lines


def test_all_real_rows_are_trained_on_once_and_count_for_every_seed(data):
    runs = Runs(None, resume=False)
    found = list(compare(data, options(real_rows=[None], methods=["uniform"]), runs))
    assert len(runs.done) == 3
    assert [run["seed"] for run in found if run["method"] == "real alone"] == [0, 1]


def test_rows_that_the_product_refuses_do_not_end_the_comparison(data, monkeypatch):
    def refuse(*given):
        raise DataError("no such rows")

    monkeypatch.setattr(downstream, "weigh_by_product", refuse)
    found = list(compare(data, options(seeds=1), Runs(None, resume=False)))
    assert found[-1]["extra"] == {"refused": "no such rows"}
    assert summary.report(found)["losses"] == []
