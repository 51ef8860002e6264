"""What a person sees of a run: one line a stage, and at the end what the run achieved and what to try next."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.markup import escape
from rich.table import Table as Grid

from synalign_spark.config import Config
from synalign_spark.console import Console
from synalign_spark.formatting import MOST_IN_A_LINE, number
from synalign_spark.pipeline.loop import OVER, why_in_words
from synalign_spark.pipeline.steps import Step, StepState
from synalign_spark.progress import Progress


class Terminal:
    """Prints to standard output; progress bars go to standard error."""

    def __init__(self, console: Console | None = None, progress: Progress | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.progress = progress or Progress()

    def plan(self, cfg: Config, states: Sequence[StepState], todo: Sequence[Step]) -> None:
        """Which run this is, what is done already, and why the rest is not."""
        self.console.print(f"[bold]SynAlign[/] run [cyan]{escape(cfg.run.id)}[/] in [cyan]{escape(cfg.lake.path)}[/] ({cfg.lake.format})")
        done = [state.step.name for state in states if state.done]
        if done:
            self.console.print(f"  done before: {', '.join(done)}")
        first = next((state for state in states if todo and state.step.name == todo[0].name), None)
        if first and done:
            self.console.print(f"  to run from {first.step.name} ({escape(first.why)})")
        if not todo:
            self.console.print("  [green]everything is done[/] for this configuration and these inputs")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A spinner on a terminal, a line elsewhere."""
        if self.progress.console.is_terminal:
            with self.progress.console.status(what):
                yield
        else:
            self.console.print(f"  {what} ...")
            yield

    def started(self, step: Step) -> None:
        if not self.progress.console.is_terminal:
            self.console.print(f"  {step.name} ...")

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None:
        self.console.print(f"[green]ok[/] {step.name:<16} {seconds:7.1f} s   {escape(in_words(summary))}", soft_wrap=True)

    def failed(self, step: Step) -> None:
        self.console.print(f"[red]failed[/] {step.name}")

    def closing(self, cfg: Config, manifest: Mapping[str, Any], left: Sequence[str]) -> None:
        """The result in a few lines, or the stages that are left when one was run alone."""
        if left:
            if "align" in manifest and "align" not in left:
                self.console.print(f"  verdict: {escape(str(manifest['align']['summary']['verdict']))}", soft_wrap=True)
            self.console.print(f"  left to run: {', '.join(left)}")
            return
        grid = Grid(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, text in closing_lines(manifest):
            grid.add_row(f"[bold]{name}[/]", escape(text))
        self.console.print()
        self.console.print(grid)
        where = f"--set lake.path={cfg.lake.path} --set run.id={cfg.run.id} --set lake.format={cfg.lake.format}"
        self.console.print("\n[bold]Next[/]", *(f"  {line}" for line in next_commands(manifest, where)), sep="\n", soft_wrap=True)


def in_words(summary: Mapping[str, Any]) -> str:
    """A summary's short values as ``name value``, nested counts in brackets; long texts are left to the report."""
    parts: list[str] = []
    for key, value in summary.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            inner = ", ".join(f"{k} {number(v)}" for k, v in value.items() if isinstance(v, int | float) and v)
            parts += [f"{name} ({inner})"] if inner else []
        elif isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MOST_IN_A_LINE):
            parts.append(f"{name} {number(value)}")
    return " · ".join(parts)


def closing_lines(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(heading, text) of the result, from the stages' summaries."""
    ingest, generate, align, report = (manifest[name]["summary"] for name in ("ingest", "generate", "align", "report"))
    tokens = generate.get("prompt_tokens", 0) + generate.get("completion_tokens", 0)
    calls = generate.get("calls", {})
    cost = f" · {generate['cost_usd']:.2f} USD" if generate.get("cost_usd") else ""
    lines = [
        ("Time", f"{sum(entry['seconds'] for entry in manifest.values()):.0f} s in {len(manifest)} stages"),
        ("Real rows", f"{number(ingest['rows_accepted'])} accepted · {counted(ingest['rejected_by_reason'], 'rejected')}"),
        (
            "Synthetic rows",
            f"{number(generate['accepted'])} accepted · {counted(generate.get('refused') or generate.get('rejected') or {}, 'refused')}",
        ),
        ("Calls", f"{counted(calls, 'calls')} · {number(tokens)} tokens{cost}" if calls else "none"),
        ("MMD\u00b2 held out", _distance(align)),
        ("Effective size", f"{number(round(align['ess']))} of {number(align['n_synthetic'])} rows"),
    ]
    if drawn := manifest.get("resample", {}).get("summary"):
        lines.append(("Drawn rows", _drawn(drawn)))
    if "classifier_accuracy_real_and_synthetic" in report:
        uniform, weighted, real, both = (
            report[f"classifier_accuracy_{arm}"] for arm in ("uniform", "weighted", "real", "real_and_synthetic")
        )
        accuracies = (
            f"{uniform:.1%} without, {weighted:.1%} with weights ({_gain(report, 'gain')}); {real:.1%} trained on real rows, {both:.1%} on both "
            f"({_gain(report, 'gain_beside_real')}), on {number(report['classifier_held_out_rows'])} held-out real rows"
        )
        lines.append(("Classifier accuracy", accuracies))
    if rounds := manifest.get("rounds", {}).get("summary", {}).get(OVER):
        lines.append(("Rounds", f"{why_in_words(rounds)}; MMD\u00b2 held out by round: {', '.join(number(row['mmd2']) for row in rounds)}"))
    return [*lines, ("Verdict", str(align["verdict"]))]


def _distance(align: Mapping[str, Any]) -> str:
    """How far the synthetic rows are from real ones that nobody was shown."""
    if align["mmd2_before"] is None:
        return "not known: too few real rows, by their weights, to hold any out"
    return f"{number(align['mmd2_before'])} before, {number(align['mmd2_after'])} after weighting, on {number(align['n_real_holdout'])} real rows"


def _drawn(resample: Mapping[str, Any]) -> str:
    """What was drawn, and what it counts as beside the real rows."""
    words = f"{number(resample['rows_synthetic'])} ({number(resample['distinct_synthetic'])} different), counting as {number(round(resample['mixing_weight']))} real ones"
    represented = resample.get("weights_represented")
    if represented is None or round(represented, 2) == 1:
        return words
    return f"{words}; each counted as one they represent {represented:.0%} of the weights, with sample_weight all"


def _gain(report: Mapping[str, Any], name: str) -> str:
    """A gain in points with its standard error."""
    gain, error = (100 * report[f"classifier_{name}{part}"] for part in ("", "_standard_error"))
    return f"{gain:+.1f} points +- {error:.1f}"


def counted(counts: Mapping[str, int], what: str) -> str:
    """{'empty': 3, 'copied': 1} as ``4 refused (empty 3, copied 1)``."""
    inner = ", ".join(f"{name} {number(n)}" for name, n in counts.items() if n)
    return f"{number(sum(counts.values()))} {what}" + (f" ({inner})" if inner else "")


def next_commands(manifest: Mapping[str, Any], where: str) -> list[str]:
    """What a user may want to type now."""
    return [
        f"open the report:      {manifest['report']['summary']['report']}",
        f"look at rows:         synalign show {where}",
        "your own corpus:      synalign init my.yaml --source YOUR.parquet",
        "what it would cost:   synalign plan --config my.yaml",
    ]
