"""Rows that must not gain weight: which they are, and what that makes of the solver's weights. See ``core.outliers`` and ``core.weight_caps``."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.runtimes.rows import Rows, Solved
from synalign_spark.alignment.samples import RealSample
from synalign_spark.alignment.sides import Batches, Side
from synalign_spark.alignment.tables import Outcome
from synalign_spark.core.defaults import MOST_OUTLIERS
from synalign_spark.core.groups import label_of
from synalign_spark.core.outliers import FAR, OutlierRules, fit_outlier_rules
from synalign_spark.core.solver.moments import Moments
from synalign_spark.core.strength.base_measure import BaseMeasure
from synalign_spark.core.strength.classifiers import hashed_ngrams
from synalign_spark.core.weight_caps import NO_CAP, find_cap
from synalign_spark.udfs.arrow import to_matrix

COUNTS = pa.schema([("grp", pa.string()), ("outlier", pa.string()), ("n", pa.int64())])
Report = Callable[[str], None]


@dataclass(frozen=True)
class Capped:
    """What turns rows into their final weights, and what is known of each group, by group; moments are those of the final weights."""

    solved: dict[str, Solved]
    outcomes: dict[str, Outcome]


def outlier_rules(sample: RealSample, base: BaseMeasure, texts: bool) -> OutlierRules:
    """The rules by a bounded sample of the real rows that are not held out. texts: whether both sides have them."""
    rows = sample.reference()
    group = np.asarray(rows.column("grp").to_pylist(), dtype=object)
    words = rows.column("text").to_pylist() if texts else None
    return fit_outlier_rules(to_matrix(rows.column("embedding")), group, words, _largest_ratios(base, group, words))


def _largest_ratios(base: BaseMeasure, group: npt.NDArray[np.object_], words: list[str] | None) -> dict[str, float]:
    """The largest log density ratio of a real row by either classifier, which have seen it: a higher one is beyond all real rows."""
    if base.words is None or not words:
        return {}
    ngrams = hashed_ngrams(words)
    sides = [base.words.log_ratio(ngrams, group, np.full(len(group), half)) for half in (False, True)]
    ratio = np.maximum(*sides)
    return {name: float(ratio[group == name].max()) for name in sorted(set(group) & set(base.words.groups))}


def with_outliers(rows: Side, rules: OutlierRules | None) -> Side:
    """The synthetic rows with ``outlier``, why each must not gain weight; unchanged without rules."""
    return rows if rules is None else rows.rebased(partial(_mark, rules=rules), with_texts=rules.words is not None)


def _mark(batches: Batches, rules: OutlierRules) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        group = np.asarray(batch.column("grp").to_pylist(), dtype=object)
        texts = batch.column("text").to_pylist() if "text" in batch.schema.names else None
        ratio = batch.column("log_density_ratio").to_numpy(zero_copy_only=False).astype(np.float64)
        disputed = batch.column("repaired_label").is_valid().to_numpy(zero_copy_only=False)
        found = rules.reasons(to_matrix(batch.column("embedding")), group, texts, ratio, disputed)
        names = [name for name in batch.schema.names if name != "text"]
        columns = [pa.array(found.tolist(), pa.string()) if name == "outlier" else batch.column(name) for name in names]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def without_common(rules: OutlierRules, marked: Side, report: Report) -> OutlierRules:
    """The rules less those that most rows of a group would fall under: what most rows are is no exception.

    But for the distance to the real rows, whose measure is that of the real rows to each other: of rows that are foreign to them as a whole
    the foreign ones must not gain either. marked: the rows with ``outlier``; one pass over them, a row a part, group and reason reaches the driver."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for row in marked.scan(_count_reasons, COUNTS, ["grp", "outlier"]).to_pylist():
        counts[row["grp"], row["outlier"]] += row["n"]
    total = Counter({name: 0 for name, _ in counts})
    for (name, _), n in counts.items():
        total[name] += n
    common = sorted((name, reason) for (name, reason), n in counts.items() if reason is not None and n > MOST_OUTLIERS * total[name])
    for name, reason in common:
        what = "these gain no weight" if reason == FAR else "none is capped for it"
        report(f"outliers: {counts[name, reason] / total[name]:.0%} of the rows of label {label_of(name) or '(all)'} are {reason}: {what}")
    return replace(rules, lifted=frozenset((name, reason) for name, reason in common if reason != FAR))


def _count_reasons(batches: Batches) -> Iterator[pa.RecordBatch]:
    counts: Counter[tuple[str, str | None]] = Counter()
    for batch in batches:
        counts.update(zip(batch.column("grp").to_pylist(), batch.column("outlier").to_pylist(), strict=True))
    listed = [{"grp": name, "outlier": reason, "n": n} for (name, reason), n in counts.items()]
    yield from pa.Table.from_pylist(listed, schema=COUNTS).to_batches()


def capped(
    rows: Rows, solved: Mapping[str, Solved], outcomes: Mapping[str, Outcome], outliers: bool, max_weight: float | None, report: Report
) -> Capped:
    """Caps the weights of outliers, and where the base measure alone is beyond it, holds ``align.max_weight``. outliers: whether there may be some.

    Where no row of a run is lowered, everything stays as the solver left it."""
    most = np.inf if max_weight is None else max_weight
    sums = rows.cap_sums(solved) if outliers or np.isfinite(most) else {}
    final = {name: replace(one, cap=find_cap(sums[name], most)) if sums else one for name, one in solved.items()}
    if all(one.cap == NO_CAP for one in final.values()):
        return Capped(dict(solved), dict(outcomes))
    lowered = sum(part.cut for part in sums.values())
    report(f"outliers: {lowered:,} rows keep the weight that they came with (weights.capped_by says why)")
    moments = rows.moments(final)
    known = {name: _with_moments(one, moments[name]) if final[name].cap != NO_CAP else one for name, one in outcomes.items()}
    return Capped(final, known)


def _with_moments(outcome: Outcome, moments: Moments) -> Outcome:
    """The outcome with the moments of the final weights; dual value and gap stay those of the solve."""
    end = outcome.answer.finished
    point = replace(end.solution.point, moments=moments)
    return replace(outcome, answer=replace(outcome.answer, finished=replace(end, solution=replace(end.solution, point=point))))
