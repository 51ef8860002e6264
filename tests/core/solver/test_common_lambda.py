"""One lambda for all labels, on paths with effective sample sizes given by hand."""

from types import SimpleNamespace

import pytest

from synalign_spark.core.solver.common_lambda import step_back, step_together
from synalign_spark.core.solver.path import Path

LAMBDAS = [float("inf"), 1.0, 0.5, 0.25, 0.125]


def end(lam, ess, rows=100):
    """A solved label: lambda, effective sample size, rows."""
    return SimpleNamespace(lam=lam, solution=SimpleNamespace(point=SimpleNamespace(moments=SimpleNamespace(ess=ess, rows=rows))))


def path(*ess, rows=100, chosen=None):
    """A path with these effective sample sizes, which a label alone would walk to its end."""
    points = [
        SimpleNamespace(point=SimpleNamespace(lam=lam, moments=SimpleNamespace(ess=e, rows=rows)))
        for lam, e in zip(LAMBDAS, ess, strict=False)
    ]
    return Path(points, len(points) - 1 if chosen is None else chosen)


def chosen(paths):
    return [paths[name].chosen for name in sorted(paths)]


def test_labels_go_on_as_long_as_their_rows_together_keep_the_floor():
    paths = {"a": path(100, 80, 50, 30, 10), "b": path(100, 95, 90, 80, 60)}
    step_together(paths, {"a": 1.0, "b": 1.0}, 0.55)  # 110 of 200 rows: 50 + 90, 30 + 80, not 10 + 60
    assert chosen(paths) == [3, 3]
    paths = {"a": path(100, 80, 50, 30, 10), "b": path(100, 95, 90, 80, 60)}
    step_together(paths, {"a": 0.1, "b": 1.0}, 0.55)  # a stands for 1,000 rows, b for 100
    assert chosen(paths) == [1, 1]  # 800 + 95 of 1,100, not 500 + 90


def test_no_label_goes_beyond_where_it_would_go_alone_and_one_without_lambda_stays_out_of_it():
    paths = {"a": path(100, 90, 80, chosen=1), "b": path(100, 99, 98, 97, 96), "c": path(40, 39, chosen=0)}
    step_together(paths, dict.fromkeys("abc", 1.0), 0.5)
    assert chosen(paths) == [1, 1, 0]
    step_together({}, {}, 0.4)


def test_a_label_whose_path_is_short_waits_at_its_end_and_holds_back_no_other():
    paths = {"few": path(100, 95), "many": path(100, 90, 80, 70, 10)}
    step_together(paths, {"few": 1.0, "many": 1.0}, 0.8)
    assert chosen(paths) == [1, 3]  # 95 + 70 of 200 rows, not 95 + 10
    assert step_back(paths, {"few": end(1.0, 95), "many": end(0.25, 70)}, 0.8) == []
    assert step_back(paths, {"few": end(1.0, 80), "many": end(0.25, 70)}, 0.8) == ["many"]  # together below the floor on all rows
    assert chosen(paths) == [1, 2]
    assert step_back(paths, {"few": end(1.0, 50), "many": end(0.5, 50)}, 0.8) == ["many"]
    assert chosen(paths) == [1, 1]


@pytest.mark.parametrize(
    ("ends", "behind", "then"),
    [
        ({"a": end(0.25, 60), "b": end(0.25, 60)}, [], [3, 3]),  # all is well
        ({"a": end(1.0, 60), "b": end(0.25, 10)}, ["b"], [1, 1]),  # b follows a, the floor is asked for when they agree
        ({"a": end(0.25, 10), "b": end(0.25, 50)}, ["a", "b"], [2, 2]),  # together below the floor
        ({"a": end(1.0, 10), "b": end(1.0, 10)}, ["a", "b"], [0, 0]),  # no lambda is left: base weights
        ({"a": end(4.0, 60), "b": end(0.25, 60)}, [], [3, 3]),  # a left the path
        ({"a": end(float("inf"), 10), "b": end(float("inf"), 10)}, [], [3, 3]),  # nothing to go back to
    ],
)
def test_labels_go_back_together_where_all_rows_ask_for_it(ends, behind, then):
    paths = {"a": path(100, 80, 50, 30), "b": path(100, 95, 90, 80)}
    assert step_back(paths, ends, 0.5) == behind
    assert chosen(paths) == then
