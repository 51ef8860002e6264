"""What users bring that a job must survive: real and synthetic rows with a fault, and what training on both then costs."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.errors import SynalignError
from tests.bench.support.classifiers import STUDENTS, Stack
from tests.bench.support.corpora import Corpus
from tests.bench.support.hits import paired_error
from tests.bench.support.planted import in_other_letters, relabelled, shuffled
from tests.bench.support.product import Aligned
from tests.bench.support.tasks import Dataset, real_rows
from tests.bench.support.training import TrainingSet

Float64Array = npt.NDArray[np.float64]
Product = Callable[[Corpus, Corpus, int, bool], Aligned]  # real, synthetic, seed, whether it sees the labels

REAL_ROWS, FEW_ROWS, RARE_ROWS, FOREIGN_ROWS, COPIES, LABELS = 300, 30, 5, 500, 4, 3


@dataclass(frozen=True)
class Base:
    """A task whose rows the cases are made of. unrelated: rows of another one; embed: texts to vectors, for texts that are made here."""

    data: Dataset
    unrelated: Corpus
    embed: Callable[[list[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """What a user brings. labelled: whether the product sees the labels."""

    real: Corpus
    synthetic: Corpus
    test: Corpus
    labelled: bool = True


def as_it_is(base: Base, seed: int, rows: int = REAL_ROWS) -> Case:
    """No fault: what the others are compared with."""
    data = base.data
    return Case(data.real.take(real_rows(data, rows, seed)), data.synthetic, data.test)


def thirty_rows(base: Base, seed: int) -> Case:
    """30 real rows over three labels, or over as many as there are."""
    names = np.unique(base.data.real.labels)[:LABELS]
    sides = {
        side: _only(getattr(base.data, side), np.isin(getattr(base.data, side).labels, names)) for side in ("real", "synthetic", "test")
    }
    return as_it_is(dataclasses.replace(base, data=dataclasses.replace(base.data, **sides)), seed, FEW_ROWS)


def rare_label(base: Base, seed: int) -> Case:
    """One label of five real rows."""
    case = as_it_is(base, seed)
    rare = np.flatnonzero(case.real.labels == np.unique(case.real.labels)[-1])
    return dataclasses.replace(case, real=case.real.take(np.delete(np.arange(len(case.real)), rare[RARE_ROWS:])))


def label_without_synthetic(base: Base, seed: int) -> Case:
    """One label of which there is no synthetic row."""
    case = as_it_is(base, seed)
    return dataclasses.replace(case, synthetic=_only(case.synthetic, case.synthetic.labels != np.unique(case.real.labels)[-1]))


def synthetic_labels_shuffled(base: Base, seed: int) -> Case:
    """40 % of the synthetic labels permuted."""
    case = as_it_is(base, seed)
    return dataclasses.replace(case, synthetic=relabelled(case.synthetic, shuffled(case.synthetic.labels, 0.4, seed)))


def real_labels_shuffled(base: Base, seed: int) -> Case:
    """50 % of the real labels permuted."""
    case = as_it_is(base, seed)
    return dataclasses.replace(case, real=relabelled(case.real, shuffled(case.real.labels, 0.5, seed)))


def unrelated(base: Base, seed: int) -> Case:
    """Synthetic rows about something else, with labels by chance."""
    case = as_it_is(base, seed)
    labels = np.random.default_rng([seed, 0x0E1]).choice(case.real.labels, len(base.unrelated))
    return dataclasses.replace(case, synthetic=relabelled(base.unrelated, labels))


def another_language(base: Base, seed: int) -> Case:
    """Synthetic rows in words that no real row has: fewer, since an encoder reads such words letter by letter."""
    case = as_it_is(base, seed)
    rows = case.synthetic.take(slice(FOREIGN_ROWS))
    texts = [in_other_letters(text) for text in rows.texts]
    return dataclasses.replace(case, synthetic=dataclasses.replace(rows, texts=texts, x=base.embed(texts)))


def duplicated_real(base: Base, seed: int) -> Case:
    """Every real row four times."""
    case = as_it_is(base, seed, REAL_ROWS // COPIES)
    return dataclasses.replace(case, real=case.real.take(np.repeat(np.arange(len(case.real)), COPIES)))


def nearly_duplicated_real(base: Base, seed: int) -> Case:
    """Every real row four times, with another ending each time, so that no two are equal."""
    case = duplicated_real(base, seed)
    texts = [text + " ." * (i % COPIES) for i, text in enumerate(case.real.texts)]
    return dataclasses.replace(case, real=dataclasses.replace(case.real, texts=texts))


def written_from_real(base: Base, seed: int) -> Case:
    """Synthetic rows that are the real ones with a third of their words left out, four times each: they tell nothing new, and know what real
    rows that judge them ask."""
    case, rng = as_it_is(base, seed), np.random.default_rng(seed)
    made = case.real.take(np.repeat(np.arange(len(case.real)), COPIES))
    texts = [" ".join(word for word in text.split() if rng.random() > 1 / 3) or text for text in made.texts]
    ids = [f"{one}-{i}" for i, one in enumerate(made.ids)]
    return dataclasses.replace(case, synthetic=dataclasses.replace(made, ids=ids, texts=texts, x=base.embed(texts)))


def unlabelled(base: Base, seed: int) -> Case:
    """The product does not see the labels; the students do."""
    return dataclasses.replace(as_it_is(base, seed), labelled=False)


CASES: Mapping[str, Callable[[Base, int], Case]] = {
    case.__name__: case
    for case in (
        as_it_is, thirty_rows, rare_label, label_without_synthetic, synthetic_labels_shuffled, real_labels_shuffled, unrelated, another_language,
        duplicated_real, nearly_duplicated_real, written_from_real, unlabelled,
    )
}  # fmt: skip


def _only(rows: Corpus, wanted: npt.NDArray[np.bool_]) -> Corpus:
    return rows.take(np.flatnonzero(wanted))


@dataclass(frozen=True)
class Trial:
    """A case with one seed. alone, together: student to (test,) hits, trained on the real rows and on both sides by the product's sample weights;
    synthetic: share of all sample weight that the synthetic rows have; mixing_weight, gain: as the product says."""

    alone: Mapping[str, npt.NDArray[np.bool_]]
    together: Mapping[str, npt.NDArray[np.bool_]]
    synthetic: float
    mixing_weight: Any
    gain: Any


def run_case(case: Case, product: Product, seed: int) -> Trial | str:
    """Trains every student both ways; the product's message where it refuses the rows."""
    try:
        found = product(case.real, case.synthetic, seed, case.labelled)
    except SynalignError as err:
        return str(err)
    tables = (case.real, case.synthetic, case.test)
    n, m = len(case.real), len(case.synthetic)
    stacked = Stack(
        np.concatenate([table.x for table in tables]),
        [text for table in tables for text in table.texts],
        np.concatenate([table.labels for table in tables]),
    )
    weight = np.concatenate([found.real_sample_weight, found.sample_weight])
    used, test = np.flatnonzero(weight > 0), n + m + np.arange(len(case.test))
    sets = TrainingSet(np.arange(n), np.ones(n)), TrainingSet(used, weight[used])
    alone, together = ({name: student(stacked, rows, test) == case.test.labels for name, student in STUDENTS.items()} for rows in sets)
    return Trial(
        alone, together, float(weight[n:].sum() / weight.sum()), *(found.certificate[0].get(name) for name in ("mixing_weight", "gain"))
    )


def summary(trials: list[Trial]) -> dict[str, Any]:
    """Accuracies and their difference, as the mean over students and seeds, with the standard error over seeds and test rows."""
    means = [
        [np.mean(list(side.values()), axis=0) for side in sides] for sides in zip(*((t.alone, t.together) for t in trials), strict=True)
    ]
    alone, together = (float(np.mean(side)) for side in means)
    by_student = {
        name: round(float(np.mean([t.together[name].mean() - t.alone[name].mean() for t in trials])), 4) for name in trials[0].alone
    }
    return {
        "alone": round(alone, 4), "together": round(together, 4), "difference": round(together - alone, 5),
        "stderr": round(paired_error(means[1], means[0]), 5), "by_student": by_student,
        "synthetic_share": [round(t.synthetic, 3) for t in trials], "mixing_weight": [t.mixing_weight for t in trials], "gain_said": [t.gain for t in trials],
    }  # fmt: skip
