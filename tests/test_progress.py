"""The line of progress of work without a terminal."""

import pytest
from rich.console import Console

from synalign_spark.progress import Progress


@pytest.mark.parametrize(
    ("done", "total", "says"),
    [
        (0, 300, False),
        (29, 300, False),
        (30, 300, True),
        (300, 300, True),
        (999, 1_000_000, False),
        (1_000, 1_000_000, True),
        (50, None, False),
    ],
)
def test_the_time_left_is_told_once_a_tenth_or_a_thousand_units_are_done(done, total, says):
    """6 of 300 rows in half a minute foretold 40 minutes for what took two."""
    with Progress(Console(quiet=True), live=False).task("generate", total=total) as task:
        task.update(done)
        assert (" s left" in task.line()) == says


def test_a_task_never_goes_back_for_whoever_hears_of_it():
    seen = []
    before = Progress(Console(quiet=True), live=False, told=lambda task, note: seen.append(("first", task.done)))
    with before.telling(lambda task, note: seen.append(("second", task.done))).task("embed", total=10) as task:
        for done in (4, 2, 7):
            task.update(done)
    assert seen == [(who, done) for done in (4, 4, 7) for who in ("first", "second")]


def test_figures_are_collected_while_a_body_runs_and_stay_as_they_were_at_its_end():
    taken, n = {}, [1]
    progress = Progress(Console(quiet=True), live=False).telling(lambda task, note: None, taken)
    with progress.telling(lambda task, note: None).measured("generate", lambda: [n[0]]):
        assert taken["generate"]() == [1]
        n[0] = 2
    n[0] = 3
    assert taken["generate"]() == [2]
    with Progress(Console(quiet=True), live=False).measured("generate", lambda: 1 / 0):
        pass  # nobody wants them
