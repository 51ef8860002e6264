"""The HTML page: one file, no script, no address outside itself; every text from data is escaped."""

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from synalign_spark import __version__
from synalign_spark.formatting import cut, duration, number, points, share, share_interval
from synalign_spark.report import figures
from synalign_spark.report.findings import Findings
from synalign_spark.report.svg import to_svg
from synalign_spark.report.terms import TERMS
from synalign_spark.report.verdict import CARE, DO_NOT, USE, headline, sentences, signal, three_figures

SIGNALS = {USE: "use", CARE: "care", DO_NOT: "do-not"}  # names of their colours
PANELS = {
    "real": ("Real rows", "Where the real rows lie"),
    "synthetic": ("Synthetic rows", "Where the synthetic rows lie, each with the same area"),
    "weighted": ("Synthetic rows, weighted", "The same synthetic rows; the area of a point is its weight"),
}


def render(findings: Findings) -> str:
    """The report as an HTML document. The same findings give the same bytes."""
    word = signal(findings)
    return _environment().get_template("page.html.j2").render(
        f=findings, signal=word, colour=SIGNALS.get(word, ""), headline=headline(findings), three_figures=three_figures(findings),
        behind=sentences(findings), figures=drawn(findings), panels=PANELS, terms=TERMS, version=__version__,
    )  # fmt: skip


def drawn(findings: Findings) -> dict[str, Markup]:
    """The figures that the findings allow, by name, as SVG elements."""
    drawings: dict[str, Markup] = {}

    def add(name: str, figure: object, title: str, description: str) -> None:
        drawings[name] = Markup(to_svg(figure, name, title, description))  # type: ignore[arg-type]

    if findings.points is not None:
        for name, figure in figures.map_panels(findings.points).items():
            add(f"map-{name}", figure, PANELS[name][0], f"{PANELS[name][1]}, on the two leading principal components of the real rows.")
    if findings.coverage:
        description = (
            "Share of the real rows within reach of a demonstration, and mean posterior standard deviation, after each demonstration set."
        )
        add("coverage", figures.coverage(findings.coverage), "Coverage by demonstration sets", description)
    if findings.weights is not None:
        description = f"Histogram of the weights; effective sample size {findings.weights.ess:.0f} of {findings.weights.rows} rows."
        add("weights", figures.weight_histogram(findings.weights), "Weights", description)
    if any(row.label is not None for row in findings.labels):
        add("labels", figures.label_bars(findings.labels), "Labels", "Share of each label; the table beside it has the numbers.")
    if any(0 < row["lambda"] < float("inf") for row in findings.solver):
        description = "Squared MMD to the validation rows over lambda; the chosen point is marked."
        add("path", figures.lambda_path(findings.solver), "How strongly to align", description)
    return drawings


@functools.lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("synalign_spark", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["share_interval"] = share_interval
    environment.filters |= {"number": number, "share": share, "duration": duration, "cut": cut, "points": points}
    return environment
