"""Counts and checks of both sides before anything is computed: one pass over each, a row a group and part reaches the driver."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from synalign_spark.alignment.sides import HALVES, SPLITS, Batches, Side
from synalign_spark.core.defaults import FEWEST_HALF_ROWS, FEWEST_REAL_ROWS, FEWEST_SHAPING_ROWS
from synalign_spark.core.groups import group_of, label_of
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.udfs.arrow import vector_widths

SUM_STEPS = 2.0**32  # for sums of features, and of the weights and squared weights behind their means: exact, so no order of rows shows
NO_WIDTH = 2**31 - 1

COUNTS = ("rows", "bad", "bad_prior", "weighted", "total", "squares")  # what is summed; see ``_count_part``
SURVEY = pa.schema(
    [("grp", pa.string()), ("split", pa.string()), *((name, pa.int64()) for name in COUNTS), ("narrow", pa.int64()), ("wide", pa.int64())]
)


@dataclass(frozen=True)
class Survey:
    """Rows by group on both sides; weighted: synthetic rows with a positive base weight; teaching: real rows with one; real_weight: of the real rows, in steps of
    2^-32; effective: real rows by group and split, (sum p)^2 / sum p^2 with weights p; n_shaping: real rows that are not held out; width: of the vectors; wanted: shares by group that the user set."""

    real: Mapping[str, int]
    synthetic: Mapping[str, int]
    weighted: Mapping[str, int]
    teaching: Mapping[str, int]
    real_weight: Mapping[str, int]
    effective: Mapping[str, Mapping[str, float]]
    n_shaping: int
    width: int
    wanted: Mapping[str, float] | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Share of each group among the weights: as set, else as among the real rows and their weights; they sum to 1."""
        raw = {group: float(self.real_weight[group] if self.wanted is None else self.wanted.get(group, 0.0)) for group in self.groups}
        return {group: share / sum(raw.values()) for group, share in raw.items()}

    @property
    def groups(self) -> list[str]:
        """Groups with rows on both sides, sorted."""
        return sorted(set(self.real) & set(self.synthetic))

    @property
    def unmatched(self) -> list[str]:
        """Labels of real rows for which there is no synthetic row."""
        return sorted(str(label_of(group)) for group in set(self.real) - set(self.synthetic))

    @property
    def n_real(self) -> int:
        """Real rows of all groups."""
        return sum(self.real.values())

    @property
    def n_teaching(self) -> int:
        """Real rows of all groups that a model is taught by: those of weight 0 are not."""
        return sum(self.teaching.values())

    @property
    def n_synthetic(self) -> int:
        """Synthetic rows of all groups."""
        return sum(self.synthetic.values())

    def is_split(self, group: str) -> bool:
        """Whether a group has real rows enough to keep the held-out ones out of the weights, however many the hashes make them."""
        halves = sum(self.effective[group][split] for split in HALVES)
        return self.real_rows(group) >= FEWEST_REAL_ROWS and halves >= FEWEST_SHAPING_ROWS

    def has_halves(self, group: str) -> bool:
        """Whether each half of a group's real rows can validate what the other shaped."""
        return self.is_split(group) and min(self.effective[group][split] for split in HALVES) >= FEWEST_HALF_ROWS

    def real_rows(self, group: str) -> float:
        """Effective real rows of a group, those held out too."""
        return sum(self.effective[group].values())

    def shaping_rows(self, group: str) -> float:
        """Effective real rows that shape the weights: all of a group that holds none out."""
        return sum(self.effective[group][split] for split in (HALVES if self.is_split(group) else SPLITS))


def survey(real: Side, synthetic: Side, label_shares: Mapping[str, float] | None = None) -> Survey:
    """Counts and checks both sides. Raises DataError where they cannot be aligned, ConfigError where label_shares names labels that
    are not there."""
    rows = [{**row, "side": "real"} for row in _counted(real, ["grp", "split", "prior", "embedding"])]
    rows += [{**row, "side": "synthetic"} for row in _counted(synthetic, ["grp", "prior", "embedding"])]
    _check_vectors(rows)
    counts = {side: _summed([row for row in rows if row["side"] == side]) for side in ("real", "synthetic")}
    _check_groups(counts)
    wanted = None if label_shares is None else {group_of(label): share for label, share in label_shares.items()}
    found = Survey(
        {group: sums["rows"] for group, sums in counts["real"].items()}, {group: sums["rows"] for group, sums in counts["synthetic"].items()},
        {group: sums["weighted"] for group, sums in counts["synthetic"].items()},
        {group: sums["weighted"] for group, sums in counts["real"].items()},
        {group: sums["total"] for group, sums in counts["real"].items()}, _effective(rows),
        sum(row["rows"] for row in rows if row["side"] == "real" and row["split"] in HALVES), max(row["wide"] for row in rows), wanted,
    )  # fmt: skip
    if wanted is not None:
        _check_shares(wanted, found)
    return found


def _counted(side: Side, columns: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = side.scan(partial(_count_rows, split="split" in columns), SURVEY, columns).to_pylist()
    return found


def _count_rows(batches: Batches, split: bool) -> Iterator[pa.RecordBatch]:
    """One row of SURVEY a group and split of the part."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for batch in batches:
        widths = vector_widths(batch.column("embedding")).to_numpy()
        prior = batch.column("prior").to_numpy(zero_copy_only=False)
        groups = np.asarray(batch.column("grp").to_pylist(), dtype=object)
        splits = np.asarray(batch.column("split").to_pylist(), dtype=object) if split else np.full(len(groups), "", dtype=object)
        for key in sorted(set(zip(groups, splits, strict=True))):
            rows = (groups == key[0]) & (splits == key[1])
            counted, before = _count_part(widths[rows], prior[rows]), sums.get(key)
            sums[key] = counted if before is None else _joined(before, counted)
    if sums:
        listed = [{"grp": group, "split": name, **sums[group, name]} for group, name in sorted(sums)]
        yield from pa.Table.from_pylist(listed, schema=SURVEY).to_batches()


def _count_part(widths: Any, prior: Any) -> dict[str, int]:
    """bad: rows without a usable vector; bad_prior: with a weight that is none; weighted: with a positive one; total,
    squares: sums of the weights and of their squares, in steps of 2^-32; narrow, wide: of the vectors."""
    usable = np.isfinite(prior) & (prior >= 0)
    p, widths = prior[usable], widths[widths >= 0]
    return {
        "rows": len(prior), "bad": len(prior) - len(widths), "bad_prior": int((~usable).sum()), "weighted": int((p > 0).sum()),
        "total": int(np.rint(p * SUM_STEPS).astype(np.int64).sum()),
        "squares": int(np.rint(p**2 * SUM_STEPS).astype(np.int64).sum()), "narrow": int(widths.min(initial=NO_WIDTH)), "wide": int(widths.max(initial=-1)),
    }  # fmt: skip


def _joined(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    narrow, wide = min(first["narrow"], second["narrow"]), max(first["wide"], second["wide"])
    return {name: first[name] + second[name] for name in COUNTS} | {"narrow": narrow, "wide": wide}


def _summed(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Sums by group."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found[row["grp"]] = (
            _joined(found[row["grp"]], row) if row["grp"] in found else {name: row[name] for name in (*COUNTS, "narrow", "wide")}
        )
    return found


def _effective(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Effective real rows by group and split."""
    sums: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        if row["side"] == "real":
            held = sums.setdefault(row["grp"], {split: [0, 0, 0] for split in SPLITS})[row["split"]]
            held[:] = (held[0] + row["weighted"], held[1] + row["total"], held[2] + row["squares"])
    return {group: {split: effective_rows(*held) for split, held in splits.items()} for group, splits in sums.items()}


def effective_rows(rows: int, total: int, squares: int) -> float:
    """(sum p)^2 / sum p^2. rows: with a weight, at most so many count; total, squares: sums in steps of 2^-32.

    >>> effective_rows(4, 4 * 2**32, 4 * 2**32), effective_rows(4, 4 * 4_000, 0)  # four rows of 1e-6 beside one of 1: squares below a step
    (4.0, 4.0)"""
    if not total:
        return 0.0
    return min(float(rows), (total / SUM_STEPS) ** 2 / (squares / SUM_STEPS)) if squares else float(rows)


def _check_vectors(found: list[dict[str, Any]]) -> None:
    for side in ("real", "synthetic"):
        rows_of_side = [row for row in found if row["side"] == side]
        if not rows_of_side:
            fix = (
                "run ingest and embed on a corpus with rows"
                if side == "real"
                else "run generate first, or import a synthetic set with rows"
            )
            raise DataError(f"align: there are no {side} rows; {fix}")
        bad, rows = (sum(row[name] for row in rows_of_side) for name in ("bad", "rows"))
        if bad:
            raise DataError(
                f"align: {bad} of {rows} {side} rows have no usable embedding (missing, null, NaN or infinite); run embed for them again"
            )
        bad_prior = sum(row["bad_prior"] for row in rows_of_side)
        if bad_prior:
            raise DataError(f"align: prior_weight of {bad_prior} of {rows} {side} rows is negative, NaN or infinite; give numbers >= 0")
    narrow, wide = min(row["narrow"] for row in found), max(row["wide"] for row in found)
    if narrow != wide or wide < 1:
        raise DataError(f"align: embeddings have widths from {narrow} to {wide}; embed real and synthetic rows with one model")


def _check_groups(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
    real, synthetic = set(counts["real"]), set(counts["synthetic"])
    for side, groups in (("real", real), ("synthetic", synthetic)):
        if "" in groups and len(groups) > 1:
            raise DataError(
                f"align: {counts[side]['']['rows']} {side} rows have no label while others do; label all rows or set align.per_label to false"
            )
    alone = sorted(str(label_of(group)) if group else "(none)" for group in synthetic - real)
    if alone:
        raise DataError(
            f"align: synthetic rows have labels without any real row: {', '.join(alone[:10])}; "
            "rename them, leave them out (in a run: generate.imported.rename_labels, generate.imported.labels), or set align.per_label to false"
        )
    dead = sorted(str(label_of(group)) for group in synthetic if not counts["synthetic"][group]["weighted"])
    if dead:
        raise DataError(
            f"align: all base weights (prior_weight) are 0 for label {', '.join(dead[:10])}; give at least one row a positive weight"
        )


def _check_shares(wanted: Mapping[str, float], found: Survey) -> None:
    known = set(found.real) | set(found.synthetic)
    lacking = sorted(group for group in set(wanted) - set(found.groups) if wanted[group] > 0 or group not in known)
    if lacking:
        asked = ", ".join(f"{label_of(group)} ({wanted[group]:g}: no {_lacks(group, found)} rows)" for group in lacking[:10])
        usable = ", ".join(str(label_of(group) or "(none)") for group in found.groups)
        raise ConfigError(
            f"align.label_shares cannot be met for label {asked}; leave it out, or give it rows; labels with rows on both sides: {usable}"
        )
    if sum(wanted.values()) <= 0:
        raise ConfigError(f"align.label_shares must have a sum above 0, got {dict(wanted)}; give a share to one label at least")


def _lacks(group: str, found: Survey) -> str:
    return "synthetic" if group in found.real else "real" if group in found.synthetic else "real and no synthetic"
