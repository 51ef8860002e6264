"""Which columns of a frame hold what, and what its rows must not be. Imports no Spark: calls in process use it too."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synalign_spark.core.holdout import lost_in_words, lost_labels
from synalign_spark.core.sampling.lengths import COLUMNS
from synalign_spark.core.sampling.strata import DemonstrationSet, PickedSet
from synalign_spark.errors import ConfigError, DataError

TRACE_COLUMNS = (
    "round", "label", "set_rank", "cluster_id", "posterior_sd", "cluster_share", "acquisition", "mean_sd_after", "coverage_after",
)  # fmt: skip
# The demonstrations table's columns, and with each row what is known of its set.
SHOWN_COLUMNS = (
    "round", "label", "set_rank", "cluster_id", "rank_in_set", "doc_id", "text",
    "posterior_sd", *COLUMNS, "cluster_share", "acquisition", "mean_sd_after", "coverage_after",
)  # fmt: skip
EARLIER_COLUMNS = ("round", "label", "set_rank", "cluster_id", "doc_id")


@dataclass(frozen=True)
class RealColumns:
    """Names of the columns of a frame of real rows; None where there is no such column."""

    text: str = "text"
    label: str | None = None
    embedding: str | None = None
    id: str | None = None
    weight: str | None = None

    def check(self, present: Sequence[str]) -> None:
        """Raises DataError where a named column is not among those present."""
        for role in ("text", "label", "embedding", "id", "weight"):
            name = getattr(self, role)
            if name is not None and name not in present:
                raise DataError(f"{role}={name!r}: the frame has no such column; it has {', '.join(map(str, present))}")


@dataclass(frozen=True)
class Unusable:
    """How many rows of a frame cannot be used, by reason; rows: of all, of positive weight."""

    rows: int
    empty_text: int = 0
    null_id: int = 0
    repeated_id: int = 0
    bad_weight: int = 0
    bad_label: int = 0

    def refuse(self, columns: RealColumns) -> None:
        """Raises DataError for the first reason that any row has."""
        for count, what in (
            (self.empty_text, f"text={columns.text!r}: {self.empty_text} rows hold no text; filter them out"),
            (
                self.null_id,
                f"id={columns.id!r}: {self.null_id} rows have no id; fill it, or leave id out: then rows are known by their text",
            ),
            (self.repeated_id, f"id={columns.id!r}: {self.repeated_id} rows repeat the id of another; keep one of each"),
            (self.bad_weight, f"weight={columns.weight!r}: {self.bad_weight} rows have a negative or infinite weight; clip it at 0"),
            (self.bad_label, f"label={columns.label!r}: {self.bad_label} rows hold a number that is not whole, which is no class; bin it"),
        ):
            if count:
                raise DataError(what)
        if not self.rows:
            raise DataError("the frame has no rows of positive weight; give it some")


def check_zeros(zeros: int, rows: int, embedding: str | None) -> None:
    """Raises DataError where vectors are zeros alone, as embedders write them for texts of which they know no word. embedding: their column."""
    if zeros:
        raise DataError(
            f"embedding={embedding!r}: {zeros} of {rows} rows have a vector of zeros, which has no direction; compute them again, or filter them out"
        )


def check_earlier(missing: int, total: int) -> None:
    """Raises DataError where demonstrations of earlier rounds are not in the clusters that they were picked from."""
    if missing:
        raise DataError(
            f"earlier: {missing} of {total} demonstrations are not in the cluster that they were picked from; "
            "give the same rows, seed and clustering options as in the rounds before, or start again without earlier"
        )


def check_shown(rows: Mapping[str | None, tuple[int, int]], label: str | None) -> None:
    """Raises DataError where no row has a label or every row is held out; warns of rows without a label, which are not shown, and of labels of
    which every row is held out. rows: by label, (rows, of them held out); label: the column of labels, None where there is none."""
    without = rows[None][0] if label is not None and None in rows else 0
    if without and len(rows) == 1:
        raise DataError(f"label={label!r}: no row has a label; fill the column, or leave label out to show rows whatever they are")
    if without:
        warnings.warn(f"select: {without} rows have no label={label!r} and are not shown; fill it, or filter them out", stacklevel=2)
    total, held = (sum(counts) for counts in zip(*rows.values(), strict=True))
    if total == held:
        raise DataError(f"holdout: all {total} rows are held out; give more rows, another seed, or holdout=0 to show every row")
    if lost := lost_labels(rows):
        warnings.warn(f"select: {lost_in_words(lost)} (holdout)", stacklevel=2)


def sets_of(n: int, rows_per_set: int) -> int:
    """Demonstration sets that ``n`` demonstrations make. Raises ConfigError for less than one."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise ConfigError(f"n: must be a whole number of demonstrations, got {n!r}")
    if n < rows_per_set:
        raise ConfigError(f"n: is {n}, less than the rows_per_set={rows_per_set} rows of one set; raise n or lower rows_per_set")
    return n // rows_per_set


def check_n(n_sets: int, rows_per_set: int, labels: Sequence[str | None]) -> None:
    """Raises ConfigError where ``n`` gives fewer sets than there are labels."""
    if n_sets < len(labels):
        raise ConfigError(
            f"n: gives {n_sets} sets of rows_per_set={rows_per_set} rows, but the rows have {len(labels)} labels; "
            f"set n to at least {len(labels) * rows_per_set}"
        )


def warn_fewer(shown: int, n: int, rows_per_set: int) -> None:
    """Warns where fewer demonstrations come back than were asked for."""
    if shown < n:
        whole = n // rows_per_set * rows_per_set
        why = (
            f"sets are of rows_per_set={rows_per_set} rows, and {n} is no multiple of it"
            if shown == whole
            else "clusters have too few rows for whole sets, or none left"
        )
        warnings.warn(f"select: {shown} demonstrations, of n={n} asked for: {why}", stacklevel=3)


def check_sets(sets: Sequence[DemonstrationSet], earlier: Sequence[PickedSet]) -> None:
    """Raises DataError where a round has nothing to show."""
    if not sets:
        rounds = 1 + max(one.round for one in earlier)
        raise DataError(f"select: every set of rows of every cluster was shown in rounds before {rounds}; lower select.rows_per_set")
