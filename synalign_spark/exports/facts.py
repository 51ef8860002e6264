"""What the card of an export says, out of the manifest and the tables of the run: nothing is reckoned anew."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from synalign_spark.config.language_model import GEMMA, SMOLLM
from synalign_spark.config.languages import codes_of
from synalign_spark.errors import LakeError
from synalign_spark.exports.rows import Survey
from synalign_spark.scrubbing import scrub
from synalign_spark.storage import tables
from synalign_spark.storage.contracts import Table
from synalign_spark.storage.lake_view import LakeView, Row
from synalign_spark.storage.paths import scheme

# The models that come with the project, and under what. Of all others the licence is not known here.
LICENCES = {
    GEMMA: "Gemma Terms of Use, https://ai.google.dev/gemma/terms",
    SMOLLM: "Apache 2.0",
    "embedded:all-MiniLM-L6-v2": "Apache 2.0",
}
UNKNOWN_LICENCE = "not known here: ask its publisher"
SPOKEN_BY_MOST = 0.5  # of the rows that were looked at
LABELS_SHOWN = 50


@dataclass(frozen=True)
class Model:
    """A language model by what it answered. where: its address without secrets, or 'embedded'."""

    name: str
    where: str
    calls: int
    licence: str


@dataclass(frozen=True)
class Facts:
    """run: steps of the manifest; shares: (label, real rows, synthetic rows), most first; certificate: all rows first, then labels."""

    run_id: str
    steps: Mapping[str, Row]
    rows: Survey
    source: str
    imported: str | None
    models: Sequence[Model]
    embedder_licence: str
    languages: Sequence[str]
    refused: Sequence[tuple[str, int]]
    rejected: Sequence[tuple[str, int]]
    certificate: Sequence[Row]
    evaluation: Mapping[str, Mapping[str, Row]]

    def setting(self, step: str, key: str, default: Any = None) -> Any:
        """A setting as the step had it. key: dotted, with its section."""
        return self.steps.get(step, {}).get("settings", {}).get(key, default)

    def summary(self, step: str, key: str, default: Any = None) -> Any:
        return self.steps.get(step, {}).get("summary", {}).get(key, default)

    @property
    def overall(self) -> Row:
        """The certificate of all rows together."""
        return self.certificate[0]

    @property
    def shares(self) -> list[tuple[str | None, int, int]]:
        """(label, real rows, synthetic rows) of the labels with most rows, by name."""
        found = [(label, self.rows.rows["real", label], self.rows.rows["synthetic", label]) for label in self.rows.labels]
        most = sorted(found, key=lambda row: -row[1] - row[2])[:LABELS_SHOWN]
        return [row for row in found if row in most]


def gather(view: LakeView, rows: Survey, left: Sequence[str]) -> Facts:
    """left: steps that are to be run anew, whose tables are of other rows. Raises LakeError where the certificate is gone."""
    steps = view.manifest()
    imported = steps["generate"]["settings"].get("generate.strategy") == "imported"
    certificate = sorted(view.read(tables.CERTIFICATE), key=lambda row: (row["label"] is not None, row["label"] or ""))
    if not certificate:
        raise LakeError(
            f"table 'certificate' of run.id {view.run_id!r} has no rows in {view.path!r}; make it anew with `synalign run --redo`"
        )
    evaluation: dict[str, dict[str, Row]] = {}
    for row in view.read(tables.EVALUATION) if "evaluate" in steps and "evaluate" not in left else []:
        evaluation.setdefault(row["figure"], {})[row["kind"]] = row
    return Facts(
        run_id=view.run_id,
        steps=steps,
        rows=rows,
        source=source_of(steps["ingest"]["settings"], "source"),
        imported=source_of(steps["generate"]["settings"], "generate.imported") if imported else None,
        models=[] if imported else _models(view, steps["generate"]["settings"].get("generate.llm.provider")),
        embedder_licence=LICENCES.get(str(steps["embed"]["summary"].get("model")), UNKNOWN_LICENCE),
        languages=languages_of(steps, imported),
        refused=_counted(view, tables.REFUSALS, "reason"),
        rejected=_counted(view, tables.REJECTS, "origin", "reason"),
        certificate=certificate,
        evaluation=evaluation,
    )


def source_of(settings: Mapping[str, Any], section: str) -> str:
    """Where rows came from: the name of a package or table, of a local file its last part alone, of an address what is no secret.

    >>> source_of({"source.path": "/home/me/reviews.csv"}, "source"), source_of({"source.path": "s3a://me:pw@b/x.csv"}, "source")
    ('reviews.csv', 's3a://[hidden]@b/x.csv')
    """
    for kind in ("package", "table"):
        if name := settings.get(f"{section}.{kind}"):
            return f"{name} ({'Python package' if kind == 'package' else kind})"
    path = str(settings.get(f"{section}.path") or "a DataFrame")
    return str(scrub(path)) if scheme(path) != "file" else PurePosixPath(path).name


def languages_of(steps: Mapping[str, Row], imported: bool) -> list[str]:
    """ISO 639 codes: of what most real rows are in, where the profile could tell, and of what the language model was asked for."""
    told = (steps["ingest"]["summary"].get("profile") or {}).get("languages") or {}
    found = [code for code, part in told.items() if part >= SPOKEN_BY_MOST]
    asked = None if imported else steps["generate"]["settings"].get("generate.language")
    return list(dict.fromkeys(found + ([code] if asked and (code := next(codes_of(asked), None)) else [])))


def _models(view: LakeView, provider: str | None) -> list[Model]:
    """The models behind the calls, those of most calls first. provider: 'embedded' for the ones that come with the project."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for batch in view.batches(tables.CALLS, ["model", "endpoint"]):
        counts.update(zip(batch["model"].to_pylist(), batch["endpoint"].to_pylist(), strict=True))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or ""))
    return [
        Model(name, where or "unknown", n, LICENCES.get(name, UNKNOWN_LICENCE) if "embedded" in (where, provider) else UNKNOWN_LICENCE)
        for (name, where), n in ordered
    ]


def _counted(view: LakeView, table: Table, *names: str) -> list[tuple[str, int]]:
    """Rows of a table by the values of columns with few values, most first."""
    counts: Counter[str] = Counter()
    for batch in view.batches(table, list(names)):
        counts.update(" · ".join(values) for values in zip(*(batch[name].to_pylist() for name in names), strict=True))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
