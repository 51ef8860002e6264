"""Does a retriever learn more from synthetic queries that are weighed to follow real ones? Recall, nDCG and MRR, and a replay of users.

    SYNALIGN_DATA=DIR python tests/bench/retrieval.py [--quick] [--real 20,50,100] [--rules title,keywords] [--seeds 5] [--tune encoder] [--pairs FILE]

The corpus is Cranfield's in BEIR layout, DIR/retrieval_cranfield: 1,400 abstracts, 225 questions. Half the questions judge (113) and shape nothing;
of the others --real are known. Without --pairs, queries are made from documents by rule (support/retrieval_queries.py), one a document and rule, in
styles of their own: what is measured is the weighing and the training, not a language model. Pairs by one are JSON lines with doc_id and query.
Arms: none (the encoder as it comes), uniform, weighted; means over the seeds, which draw batches and weights' features. Differences have 95%
intervals by a paired bootstrap over queries. The sequential test's rule is in examples/retriever/sequential.py. The last line is one JSON object.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

import numpy as np
from sentence_transformers import SentenceTransformer

from examples.retriever.beir import Retrieval, part_queries, read, thinned
from examples.retriever.comparison import Settings, Vectors, compare, told
from examples.retriever.interleaving import CLICK_MODELS
from examples.retriever.queries import read_pairs
from synalign_spark.config import EmbedConfig
from synalign_spark.udfs.encoder import encoder_info
from tests.bench.support.arguments import names, whole_numbers
from tests.bench.support.corpora import data_folder, embedded
from tests.bench.support.retrieval_queries import RULES, ruled_pairs, weight_parts

FOLDER = "retrieval_cranfield"
QUICK_DOCUMENTS, QUICK_WORDS = 120, 30  # and the words of each that are looked at


class Encoded:
    """Unit vectors of the embedded encoder for texts that are known, kept on disk by set of texts."""

    def __init__(self, *sets: Iterable[str]) -> None:
        self._known: dict[str, Vectors] = {}
        for texts in (sorted(set(one)) for one in sets):
            self._known |= zip(texts, embedded([hashlib.sha256(text.encode()).hexdigest() for text in texts], texts), strict=True)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """(n, d)."""
        return np.stack([self._known[text] for text in texts])


def load() -> SentenceTransformer:
    """A fresh copy of it, to be trained; on a CUDA device where there is one."""
    return SentenceTransformer(encoder_info(EmbedConfig()).location, local_files_only=True)


def corpus(quick: bool) -> Retrieval:
    """The corpus: half the queries judge, the others are real. quick: a part of it. Raises SystemExit, OSError or ValueError where it is not there."""
    folder = data_folder() / FOLDER
    judged = {line.partition("\t")[0] for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]}
    data = read(folder, len(judged) // 2)
    if not quick:
        return data
    small = thinned(data, QUICK_DOCUMENTS)
    return dataclasses.replace(small, documents={name: " ".join(text.split()[:QUICK_WORDS]) for name, text in small.documents.items()})


def knowing(data: Retrieval, n: int | None) -> Retrieval:
    """With n of the real queries, chosen by hash; None for all."""
    if n is None or n >= len(data.real):
        return data
    _, chosen = part_queries({name: data.real_judgements.get(name, {}) for name in data.real}, n)
    return dataclasses.replace(data, real={name: data.real[name] for name in sorted(chosen)}, real_judgements=chosen)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="a part of the corpus, 50 real queries, one seed, the first rules")
    add("--real", type=whole_numbers, help="real queries that are known, default 20,50,all")
    add("--rules", type=names(list(RULES)), help="rules that make queries, default all")
    add("--pairs", type=Path, help="JSON lines with doc_id and query, instead of rules")
    add("--tune", choices=["adapter", "encoder"], default="adapter", help="encoder: all of it, minutes a training without a GPU")
    add(
        "--parts",
        action="store_true",
        help="with rules: also train with the weights' parts, by rule and within one, and with shuffled ones",
    )
    add("--real-pairs", action="store_true", help="judged real queries train too")
    add("--seeds", type=int, help="trainings of each arm, default 5")
    add("--clicks", choices=list(CLICK_MODELS), default="navigational", help="users of the replay")
    given = parser.parse_args()
    if given.parts and given.pairs:
        parser.error("--parts is of queries by rule, and --pairs gives others; leave one of them out")
    given.real = given.real or ([50] if given.quick else [20, 50, None])
    given.rules = given.rules or (["title", "keywords"] if given.quick else list(RULES))
    given.seeds = given.seeds or (1 if given.quick else 5)
    return given


def main() -> None:
    given = arguments()
    result: dict[str, Any] = {"benchmark": "retrieval", "quick": given.quick, "queries_by": str(given.pairs or ",".join(given.rules))}
    try:
        data = corpus(given.quick)
    except (SystemExit, OSError, ValueError) as err:
        print(json.dumps(result | {"skipped": str(err)}))
        return
    pairs = read_pairs(given.pairs, data) if given.pairs else ruled_pairs(data.documents, given.rules)
    settings = Settings(tune=given.tune, seeds=given.seeds, real_pairs=given.real_pairs, click_model=given.clicks)
    encode = Encoded(data.documents.values(), pairs["query"], (*data.queries.values(), *data.real.values()))
    more = partial(weight_parts, pairs) if given.parts else None
    found = {}
    for n in given.real:
        known = knowing(data, n)
        found[str(len(known.real))] = compare(known, pairs, encode, load, settings, more)
        print(told(found[str(len(known.real))]), flush=True)
    print(json.dumps(result | {"by_real_queries": found}))


if __name__ == "__main__":
    main()
