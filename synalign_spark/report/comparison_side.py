"""What a finished run has stored, as one side of a comparison. No Spark."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from synalign_spark.report.findings import Findings, Generation, Row
from synalign_spark.storage import tables
from synalign_spark.storage.tables import Table

Metrics = Mapping[tuple[str, str | None], float | None]


class View(Protocol):
    """What of a lake is needed."""

    run_id: str

    def manifest(self) -> dict[str, Row]: ...

    def read(self, table: Table) -> list[Row]: ...


@dataclass(frozen=True)
class Side:
    """One of the runs. metrics: by name and label; settings: by key, of all its stages; source: fingerprint of its real rows."""

    run_id: str
    findings: Findings
    metrics: Metrics
    settings: dict[str, Any]
    source: Any
    seconds: float

    def get(self, name: str, label: str | None = None) -> float | None:
        return self.metrics.get((name, label))


def side(view: View) -> Side:
    """What a finished run has stored. Raises LakeError where its tables cannot be read."""
    manifest = view.manifest()
    metrics = {(row["name"], row["label"]): row["value"] for row in view.read(tables.METRICS)}
    settings: dict[str, Any] = {}
    for entry in manifest.values():
        settings |= entry["settings"]
        settings |= {f"generate.limits.{name}": value for name, value in entry.get("limits", {}).items()}
    findings = Findings(
        run_id=view.run_id, certificate=view.read(tables.CERTIFICATE), labels=[], weights=None, points=None, coverage=[], solver=[],
        mixing_weights=[], generation=_generation(metrics), rejects=[], downstream=None, downstream_skipped="", highest=[], lowest=[], steps={}, config="",
    )  # fmt: skip
    seconds = sum(entry["seconds"] for entry in manifest.values())
    return Side(view.run_id, findings, metrics, settings, manifest.get("ingest", {}).get("source"), seconds)


def _generation(metrics: Metrics) -> Generation:
    """Of the calls the sums alone: the three figures need no more."""

    def whole(name: str) -> int:
        return int(metrics.get((name, None)) or 0)

    prefix = "generate.refused."
    return Generation(
        calls={("", ""): whole("generate.calls")},
        attempts=whole("generate.attempts"),
        prompt_tokens=whole("generate.tokens.prompt"),
        completion_tokens=whole("generate.tokens.completion"),
        cost_usd=metrics.get(("generate.cost", None)),
        refused={name.removeprefix(prefix): int(value or 0) for (name, _), value in metrics.items() if name.startswith(prefix)},
        accepted=whole("generate.accepted"),
    )
