"""The page of two runs side by side, under the same frame and policy as that of one."""

from synalign_spark.report.comparison import Comparison
from synalign_spark.report.frame import render_page
from synalign_spark.report.verdict import COLOURS


def render(found: Comparison) -> str:
    """The comparison as an HTML document. The same comparison gives the same bytes."""
    return render_page("comparison.html.j2", c=found, colours=[COLOURS.get(word, "") for word, _, _ in found.verdicts])
