"""A retriever for your corpus that learns from synthetic queries, weighed so that they follow real ones.

    python -m examples.retriever --data FOLDER --llm http://localhost:8000/v1 --model my-model --queries 2000
    python -m examples.retriever --data FOLDER --pairs pairs.jsonl      # doc_id and query, generated before
    python -m examples.retriever                                       # the embedded model, a corpus out of installed packages

FOLDER is in BEIR layout: corpus.jsonl and queries.jsonl (or .gz), qrels/test.tsv and qrels/train.tsv, or one qrels.tsv. Queries that judge shape
nothing: weights and demonstrations are made with the others. The last line is one JSON object. --out keeps the retriever.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sentence_transformers import SentenceTransformer

from synalign_spark.config import EmbedConfig
from synalign_spark.errors import SynalignError
from synalign_spark.udfs.encoder import encoder_info

from .beir import Retrieval, read, thinned
from .comparison import Settings, Vectors, compare, told, weigh
from .interleaving import CLICK_MODELS
from .package_corpus import package_corpus
from .queries import generate, read_pairs
from .training import tune_adapter, tune_encoder, with_adapter

PACKAGE_DOCUMENTS = 400


class Encoder:
    """The encoder as it comes. Each text is encoded once."""

    def __init__(self, place: str | None, max_tokens: int) -> None:
        self._place, self._max_tokens = place or encoder_info(EmbedConfig()).location, max_tokens
        self._known: dict[str, Vectors] = {}
        self.model = self.load()

    def load(self) -> SentenceTransformer:
        """A fresh copy, to be trained."""
        model = SentenceTransformer(self._place)
        model.max_seq_length = self._max_tokens
        return model

    def __call__(self, texts: list[str]) -> Vectors:
        """(n, d) unit vectors."""
        new = sorted(set(texts) - set(self._known), key=lambda text: (len(text), text))
        if new:
            self._known |= zip(new, self.model.encode(new, normalize_embeddings=True, show_progress_bar=False), strict=True)
        return np.stack([self._known[text] for text in texts])


def save(data: Retrieval, pairs: pd.DataFrame, encoder: Encoder, settings: Settings, out: Path) -> None:
    """Trains on the weighted pairs and writes the encoder of queries; with tune 'encoder' it is that of documents too."""
    queries, ids = pairs["query"].tolist(), pairs["doc_id"].tolist()
    weight, _ = weigh(list(data.real.values()), queries, encoder, settings.seed)
    texts = [data.documents[name] for name in ids]
    if settings.tune == "encoder":
        tune_encoder(encoder.load(), queries, texts, weight, settings.training, settings.seed).save(str(out))
    else:
        matrix = tune_adapter(encoder(queries), encoder(texts), ids, weight, settings.training, settings.seed)
        with_adapter(encoder.load(), matrix).save(str(out))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.retriever", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        help=f"folder in BEIR layout; without it {PACKAGE_DOCUMENTS} pages of numpy's, scipy's and pandas' documentation",
    )
    add("--documents", type=int, help="keep about so many documents of it, for a trial")
    add("--real-queries", type=int, default=50, help="of a single qrels.tsv: queries that are known, all others judge")
    add("--pairs", type=Path, help="JSON lines with doc_id and query, generated before; without it they are generated")
    add("--llm", default="embedded", help="address of an OpenAI-compatible endpoint, or 'embedded'")
    add("--model", help="the model's name there")
    add("--queries", type=int, default=40, help="synthetic queries to write")
    add("--ledger", type=Path, default=Path("build/retriever"), help="folder of the model's answers: none is asked for twice")
    add("--tune", choices=["adapter", "encoder"], default="adapter", help="train a layer on queries' vectors, or all of the encoder")
    add("--encoder", help="a model of sentence-transformers, or its folder; all-MiniLM-L6-v2 out of its package by default")
    add("--real-pairs", action="store_true", help="judged real queries train too")
    add("--seeds", type=int, default=3, help="trainings of each retriever")
    add("--clicks", choices=list(CLICK_MODELS), default="navigational", help="users of the replay")
    add("--out", type=Path, help="where the trained encoder of queries goes")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    settings = Settings(tune=given.tune, seeds=given.seeds, real_pairs=given.real_pairs, click_model=given.clicks)
    try:
        if given.data:
            data = read(given.data, given.real_queries)
            data = thinned(data, given.documents) if given.documents else data
        else:
            data = package_corpus(given.real_queries, given.documents or PACKAGE_DOCUMENTS)
        pairs = read_pairs(given.pairs, data) if given.pairs else generate(data, given.llm, given.model, given.queries, given.ledger)
        for row in pairs.head(3).itertuples():
            print(f"a synthetic query for {row.doc_id}: {row.query}", file=sys.stderr)
        encoder = Encoder(given.encoder, settings.training.max_tokens)
        found = compare(data, pairs, encoder, encoder.load, settings)
    except (SynalignError, ValueError) as err:
        raise SystemExit(f"retriever: {err}") from err
    if given.out:
        save(data, pairs, encoder, settings, given.out)
    print(told(found))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
