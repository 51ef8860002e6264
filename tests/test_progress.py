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
