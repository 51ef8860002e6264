"""What a comparison runs on: a real, a synthetic and a test table, free of rows that stand in two of them."""

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synalign_spark.core.sampling.quota import largest_remainder
from tests.bench.support.corpora import Corpus, data_folder, load
from tests.bench.support.planted import class_mix, flipped, kept, relabelled

SST2 = ("sst2/train_sentences", "sst2/dev")
FEWGEN = tuple(f"sst2_synthetic/fewgen_ctrl_seed{seed}" for seed in (13, 21, 42))
GPT35 = "sst2_synthetic/gpt35_sst5_paraphrase"
FUSEGEN = tuple(f"imdb_synthetic/fusegen_{model}" for model in ("gpt-3.5-turbo-instruct", "vicuna-7b-1.5v", "flan-t5-xl_acc"))


@dataclass(frozen=True)
class Task:
    """Files of a task; synthetic: none where they are to be planted; most: rows kept of the real file, of each synthetic file and of the
    test file (None: all)."""

    name: str
    real: Path
    synthetic: tuple[Path, ...]
    test: Path
    most: tuple[int | None, int | None, int | None] = (None, None, None)


KNOWN = {
    "agnews": ("agnews/train_subset", ("agnews_synthetic/fewshot_generated_llama",), "agnews/test", (8_000, None, None)),
    "sst2-fewgen13": (SST2[0], FEWGEN[:1], SST2[1], (None, None, None)),
    "sst2-fewgen21": (SST2[0], FEWGEN[1:2], SST2[1], (None, None, None)),
    "sst2-fewgen42": (SST2[0], FEWGEN[2:], SST2[1], (None, None, None)),
    "sst2-gpt35": (SST2[0], (GPT35,), SST2[1], (None, None, None)),
    "sst2-mixed": (SST2[0], (*FEWGEN, GPT35), SST2[1], (None, None, None)),
    "imdb": ("imdb/train", FUSEGEN, "imdb/test", (6_000, 5_000, 5_000)),
    "amazon_24cat": ("amazon_24cat/train", (), "amazon_24cat/test", (None, None, None)),  # no synthetic rows: see planted_synthetic
}
FLIPPED, RAREST = 0.15, 0.2  # of planted synthetic rows: share of wrong labels, and rows of the last label to those of the first


def known_task(name: str, most: tuple[int | None, int | None, int | None] | None = None) -> Task:
    """A task on the corpora under SYNALIGN_DATA. Raises SystemExit for a name that is none of KNOWN."""
    if name not in KNOWN:
        raise SystemExit(f"--tasks: {name!r} is not known; choose from {', '.join(KNOWN)}, or give --real, --synthetic and --test")
    real, synthetic, test, limit = KNOWN[name]
    folder = data_folder()
    real_file, *synthetic_files, test_file = (folder / f"{path}.jsonl.gz" for path in (real, *synthetic, test))
    return Task(name, real_file, tuple(synthetic_files), test_file, most or limit)


@dataclass(frozen=True)
class Dataset:
    """The three tables of a task after cleaning; removed: rows left out, by reason; flipped: (n,) synthetic rows whose label is known to be
    wrong, None where nobody knows."""

    name: str
    real: Corpus
    synthetic: Corpus
    test: Corpus
    removed: dict[str, int]
    flipped: npt.NDArray[np.bool_] | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of what the three tables hold: results of other tables are never taken for these."""
        parts = [value for table in (self.real, self.synthetic, self.test) for value in ("|", *table.ids, *table.labels)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def open_task(task: Task, text_column: str = "text", label_column: str = "label") -> Dataset:
    """Loads a task and removes what stands in two tables. Each file is loaded alone, so that its vectors are kept for all tasks.

    Raises ValueError where a file or a column is missing, synthetic or test labels are not those of the real rows, or a table has no rows."""

    def table(path: Path, most: int | None, option: str) -> Corpus:
        try:
            return load([path], most, text_column, label_column)
        except FileNotFoundError as err:
            raise ValueError(f"--{option} {path}: there is no such file") from err
        except KeyError as err:
            raise ValueError(f"--{option} {path}: rows have no column {err}; name theirs with --text-column and --label-column") from err

    real = table(task.real, task.most[0], "real")
    test = table(task.test, task.most[2], "test")
    if task.synthetic:
        data = clean(task.name, real, merged([table(path, task.most[1], "synthetic") for path in task.synthetic]), test)
    else:
        data = planted_synthetic(task.name, real, test)
    shown = ", ".join(f"{count} {reason}" for reason, count in data.removed.items())
    print(
        f"{task.name}: {len(data.real):,} real, {len(data.synthetic):,} synthetic, {len(data.test):,} test rows; removed: {shown}",
        file=sys.stderr,
        flush=True,
    )
    return data


def merged(parts: Sequence[Corpus]) -> Corpus:
    """Several tables as one, in the order of the ids; a text that stands in two keeps the label of the first."""
    ids = np.concatenate([part.ids for part in parts])
    kept = np.unique(ids, return_index=True)[1]  # the first place of each id, ids sorted
    texts = [text for part in parts for text in part.texts]
    labels, x = np.concatenate([part.labels for part in parts]), np.concatenate([part.x for part in parts])
    return Corpus(ids[kept], [texts[i] for i in kept], labels[kept], x[kept])


def clean(name: str, real: Corpus, synthetic: Corpus, test: Corpus) -> Dataset:
    """Removes synthetic rows equal to a test or a real text, and real rows equal to a test text: equal in letters and digits."""
    in_test, in_real = set(_bare(test)), set(_bare(real))
    leaked = np.array([text in in_test for text in _bare(synthetic)], dtype=bool)
    copied = np.array([text in in_real for text in _bare(synthetic)], dtype=bool) & ~leaked
    shared = np.array([text in in_test for text in _bare(real)], dtype=bool)
    removed = {
        "synthetic equal to test": int(leaked.sum()),
        "synthetic equal to real": int(copied.sum()),
        "real equal to test": int(shared.sum()),
    }
    data = Dataset(name, real.take(np.flatnonzero(~shared)), synthetic.take(np.flatnonzero(~leaked & ~copied)), test, removed)
    _check(data)
    return data


def planted_synthetic(name: str, real: Corpus, test: Corpus) -> Dataset:
    """A task whose synthetic rows are the half of the real ones with an odd hash, in another class mix and some with a wrong label."""
    odd = np.array([int(key[-1], 16) % 2 == 1 for key in real.ids.tolist()], dtype=bool)
    data = clean(name, real.take(np.flatnonzero(~odd)), real.take(np.flatnonzero(odd)), test)
    rows = data.synthetic.take(kept(class_mix(data.synthetic.labels, RAREST), seed=0))
    labels, wrong = flipped(rows.labels, FLIPPED, seed=0)
    return dataclasses.replace(data, synthetic=relabelled(rows, labels), flipped=wrong)


def _bare(table: Corpus) -> list[str]:
    """The texts without case, spaces and punctuation, which corpora tokenise in different ways ("it 's" and "it's")."""
    return ["".join(filter(str.isalnum, text.casefold())) or text for text in table.texts]


def _check(data: Dataset) -> None:
    for side in ("real", "synthetic", "test"):
        table: Corpus = getattr(data, side)
        strange = sorted(set(table.labels.tolist()) - set(data.real.labels.tolist()))
        if strange:
            raise ValueError(
                f"{data.name}: {side} rows have labels that no real row has: {', '.join(strange[:10])}; rename them in the file"
            )
        if not len(table):
            raise ValueError(f"{data.name}: no {side} rows are left after cleaning; give another --{side} file")


def real_rows(data: Dataset, wanted: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Places of the real rows of a run: all of them (None), or ``wanted`` drawn by the seed, every label in its share and at least once."""
    if wanted is None or wanted >= len(data.real):
        return np.arange(len(data.real))
    labels, counts = np.unique(data.real.labels, return_counts=True)
    if wanted < len(labels):
        raise ValueError(f"--real-rows must be at least the number of labels of {data.name}, {len(labels)}, got {wanted}")
    rng = np.random.default_rng([seed, 0x3EA1])
    quota = largest_remainder(counts, wanted, counts)
    drawn = [rng.permutation(np.flatnonzero(data.real.labels == label))[:most] for label, most in zip(labels, quota, strict=True)]
    return np.sort(np.concatenate(drawn))
