"""What the rows of a source came to: counted, said where it is odd, and refused where it is no corpus."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.config import SourceConfig
from synalign_spark.core.text import near_names, shown_name
from synalign_spark.errors import DataError

MAX_LABELS = 1_000
MAX_NUMBERS, FEWEST_OF_A_NUMBER = 20, 10  # whole numbers beyond so many, with fewer rows each, are no classes
FEWEST_OF_A_TEXT = 2  # beyond as many labels, texts with fewer rows each are ids
MISSING = ("none", "nan", "null", "nil", "n/a", "na", "<na>", "#n/a", "undefined", "missing")  # how programs write that nothing is there
MOST_LINES_LOST = 0.01  # of all lines, in rows that a stray quote swallowed
NOTED_CONFLICTS = 0.01


class Counts(NamedTuple):
    """reasons: rejected rows by reason, labels: accepted rows by label; lines: in rows beyond their first; renamed: labels that rows had
    before they were renamed; details: of one row of each reason."""

    reasons: dict[str, int]
    labels: dict[str, int]
    n_accepted: int
    lines: int
    bytes_read: int
    bytes_lost: int
    renamed: set[str]
    details: dict[str, str]

    @property
    def n_read(self) -> int:
        return self.n_accepted + sum(self.reasons.values())


def counted(validated: DataFrame) -> Counts:
    """Counts the rows, once. At most MAX_LABELS + 50 groups reach the driver, each with no more than the keys of source.rename_labels."""
    label = F.when(F.col("reason").isNull(), F.col("label")).alias("label")
    sums = (
        F.count("*").alias("count"),
        F.sum(F.col("lines") - 1).alias("lost"),
        F.sum("bytes").alias("bytes"),
        F.collect_set("renamed").alias("renamed"),
        F.min("detail").alias("detail"),
    )
    groups = validated.groupBy("reason", label).agg(*sums).limit(MAX_LABELS + 50).collect()
    reasons = {row["reason"]: row["count"] for row in groups if row["reason"] is not None}
    accepted = {row["label"]: row["count"] for row in groups if row["reason"] is None}
    labels = {name: accepted[name] for name in sorted(name for name in accepted if name is not None)}
    by_count = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    n_lost = sum(row["bytes"] for row in groups if row["reason"] not in (None, "duplicate"))
    lines, n_bytes = (sum(row[name] for row in groups) for name in ("lost", "bytes"))
    renamed = {name for row in groups for name in row["renamed"]}
    details = {row["reason"]: row["detail"] for row in groups if row["reason"] is not None and row["detail"]}
    return Counts(by_count, labels, sum(accepted.values()), lines, n_bytes, n_lost, renamed, details)


def lines_lost(counts: Counts, within: int, source: SourceConfig, field: str, delimited: bool) -> list[str]:
    """Rows against lines: what a quote that nothing closes, or one that closes by chance, took in. within: lines in texts that look like rows;
    delimited: the files have quotes to set, else rows of several lines are of a JSON array that is broken. Raises DataError for more than a few lines."""
    n_lines, found, letters = counts.n_read + counts.lines + within, [], f"Set {field}.quote to '' where quotes are letters"
    for n, words, where, fix, most in (
        (counts.lines, "went into other rows, which could not be parsed", "they are in rejects as malformed", letters, MOST_LINES_LOST),
        (
            within,
            "stand within texts and have a label of their own",
            "look at rows with line breaks",
            f"{letters}, or to '\"' where they enclose texts whose lines begin so",
            MOST_LINES_LOST if source.quote == "auto" else 1.0,  # who sets it says that they do
        ),
    ):
        said = f"{n} of {n_lines} lines of {source.place!r} {words}"
        if n > most * n_lines and not delimited:
            raise DataError(f"{field}.path: {said}: is a JSON array cut or broken? {where}; write the file again, or take it out")
        if n > most * n_lines:
            raise DataError(f"{field}.quote: {said}: does a quote open that none closes, or do lines end in more than one way? {fix}")
        found += [f"{said}; {where}"] if n else []
    return found


def half_read(counts: Counts, lost: tuple[int, int], source: SourceConfig, field: str, arrays: bool = False) -> list[str]:
    """JSON lines of which a part was read, or files that are one array each. lost: as of ``lost_in_lines``. Raises DataError for more than a few, and
    for any file that goes on after its array: how many rows that are nobody counts."""
    found = []
    parts = (
        ("files", "more than their array, which alone is read", "write one array a file, or an object a line", 0.0)
        if arrays
        else ("lines", "no object, or more than their first one, which alone is read", "write one object a line", MOST_LINES_LOST),
        ("objects", "a key twice, of which the last value is read", "write each key once", MOST_LINES_LOST),
    )
    for n, (what, words, fix, most) in zip(lost, parts, strict=True):
        said = f"{n} of the {what} of {source.place!r} ({counts.n_read} rows) hold {words}; {fix}"
        if n > most * counts.n_read:
            raise DataError(f"{field}.path: {said}")
        found += [said] if n else []
    return found


def never_renamed(counts: Counts, source: SourceConfig, field: str) -> list[str]:
    """Keys of rename_labels that no row has. Raises DataError where that is all of them: nothing was renamed."""
    never = sorted(set(source.rename_labels) - counts.renamed)
    if not never:
        return []
    as_read = {*counts.labels, *counts.renamed} - {source.rename_labels[name] for name in counts.renamed}
    there = ", ".join(map(repr, sorted(as_read)[:10]))
    said = f"{field}.rename_labels renames {', '.join(map(repr, never[:10]))}, which no row is labelled; the labels are {there}"
    if not counts.renamed:
        raise DataError(f"{said}; correct or remove it")
    return [said]


def odd_labels(counts: Counts, field: str) -> list[str]:
    """What is odd about accepted rows: labels that differ by capitals or punctuation alone, many texts under several labels."""
    alike = [" and ".join(map(shown_name, same)) for same in near_names(counts.labels)]
    found = [f"labels {same} are nearly one name; {field}.rename_labels joins them" for same in alike[:5]]
    found += [
        f"label {label!r} ({n} rows) looks like a missing value; where it is none, leave its rows out: {field}.where"
        for label, n in counts.labels.items()
        if label.lower() in MISSING
    ]
    conflicts = counts.reasons.get("label_conflict", 0)
    if conflicts > NOTED_CONFLICTS * (counts.n_accepted + conflicts):
        found.append(f"{conflicts} rows have a text that other rows have under another label; ingest.conflicts says which are kept")
    return found


def check(counts: Counts, source: SourceConfig, label_names: Sequence[str] | None, origin: str, field: str) -> None:
    """Raises DataError for rows that are no corpus. label_names: of the classes, where the files name them; origin, field: as of ``ingest``."""
    place, reasons, n_accepted = source.place, counts.reasons, counts.n_accepted
    if not n_accepted and not reasons:
        hint = f" that {field}.where lets through" if source.where else ""
        raise DataError(f"{field}: {place!r} has no rows{hint}; name a source with rows")
    if not n_accepted:
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        most = next(iter(reasons))
        raise DataError(
            f"{field}: all {sum(reasons.values())} rows of {place!r} were rejected ({why}), such as one for {most}: {counts.details.get(most, most)}"
        )
    if source.label_column is None or origin != "real":
        return
    _check_labels(counts, source, label_names, field)


def _check_labels(counts: Counts, source: SourceConfig, label_names: Sequence[str] | None, field: str) -> None:
    """Raises DataError for labels that are no classes."""
    reasons, labels, n_accepted = counts.reasons, counts.labels, counts.n_accepted
    if label_names and (unnamed := [label for label in labels if label not in label_names]):
        raise DataError(
            f"{field}.label_column: {source.label_column!r} has {', '.join(unnamed[:5])}, and the files name {len(label_names)} classes "
            f"({', '.join(label_names[:10])}), counted from 0; mend the names in the files (ClassLabel in dataset_info.json), or name the classes in "
            f"{field}.rename_labels, which takes their place"
        )
    if len(labels) == 1:
        beside = f" (rejected: {', '.join(f'{reason} {count}' for reason, count in reasons.items())})" if reasons else ""
        raise DataError(
            f"{field}.label_column: {source.label_column!r} has the one value {next(iter(labels))!r} in all {n_accepted} accepted rows{beside}; set it to null for a corpus without labels"
        )
    if len(labels) > MAX_LABELS:
        raise DataError(f"{field}.label_column: {source.label_column!r} has more than {MAX_LABELS} values; name a column of classes")
    if source.labels is None and source.label_bins is None and (why := _no_classes(labels)):
        raise DataError(
            f"{field}.label_column: {source.label_column!r} has {why}, or name the values that are classes in {field}.labels".replace(
                "FIELD", field
            )
        )


def _no_classes(labels: Mapping[str, int]) -> str:
    """Why labels are quantities or ids rather than classes, and what to do; empty where they are classes.

    >>> _no_classes({"0": 3, "a": 2}), _no_classes({"0.5": 3, "1": 2})[:33], _no_classes({str(i): 1 for i in range(30)})[:20]
    ('', 'numbers with fractions (0.5, ...)', '30 different numbers')
    >>> _no_classes({f"u{i}": 1 for i in range(30)})[:45]
    '30 different texts in 30 rows, as an id has, '
    """
    try:
        numbers = {label: float(label) for label in labels}
    except ValueError:
        ids = len(labels) > MAX_NUMBERS and sum(labels.values()) < FEWEST_OF_A_TEXT * len(labels)
        said = f"{len(labels)} different texts in {sum(labels.values())} rows, as an id has, and no classes"
        return f"{said}; name the column with the classes, set it to null for a corpus without labels" if ids else ""
    fix = "which are no classes; part them with FIELD.label_bins: [EDGE, EDGE]"
    if fractions := sorted(label for label, number in numbers.items() if not number.is_integer()):
        return f"numbers with fractions ({fractions[0]}, ...), {fix}"
    many = len(labels) > MAX_NUMBERS and sum(labels.values()) < FEWEST_OF_A_NUMBER * len(labels)
    return f"{len(labels)} different numbers, {fix}" if many else ""
