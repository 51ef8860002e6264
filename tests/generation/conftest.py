"""Ray once for all tests of this folder, and small demonstrations."""

import hashlib
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from synalign_spark.config import GenerateConfig, LlmConfig
from synalign_spark.generation import negotiation
from synalign_spark.generation.backends import batch_callers
from synalign_spark.generation.engine import generate
from synalign_spark.progress import Progress

sys.path.insert(0, str(Path(__file__).parent))  # for the tests' own loopback server


@pytest.fixture(scope="session")
def ray_runtime():
    """One small local Ray; the engine uses the Ray that runs in its process."""
    from synalign_spark.generation.backends.ray_session import ray_session

    with ray_session(LlmConfig()):
        yield


@pytest.fixture
def quiet() -> Progress:
    return Progress(Console(quiet=True), live=False)


@pytest.fixture
def demonstrations() -> pa.Table:
    """Two labels with four demonstration sets of two rows."""
    rng, rows = random.Random(5), []
    for label in ("bad", "good"):
        for demonstration_set in range(4):
            for rank in range(2):
                text = f"The {label} film number {demonstration_set} has " + " ".join(
                    rng.choice(["alpha", "beta", "gamma", "delta"]) for _ in range(8)
                )
                doc_id = hashlib.sha256(text.encode()).hexdigest()
                where = {
                    "round": 0,
                    "label": label,
                    "set_rank": demonstration_set,
                    "cluster_id": 10 + demonstration_set,
                    "rank_in_set": rank,
                }
                rows.append(where | {"doc_id": doc_id, "text": text, "posterior_sd": 1.0})
    return pa.Table.from_pylist(rows)


@pytest.fixture
def make_config() -> Callable[..., GenerateConfig]:
    """GenerateConfig for a loopback server, with callers in this process."""

    def make(base_url: str, llm: dict | None = None, **changes) -> GenerateConfig:
        server = {"provider": "openai", "base_url": base_url, "model": "loopback", "backend": "in_process"}
        endpoint = server | {"max_output_tokens": 400, "timeout_s": 10} | (llm or {})
        few_sets = {"rows_per_request": 4, "max_rows_per_set": 400}
        return GenerateConfig.model_validate({"target_rows": 24, "llm": endpoint} | few_sets | changes)

    return make


@pytest.fixture
def run(demonstrations, make_config, quiet, tmp_path):
    """Runs the engine against a loopback server; runs with the same ledger share their answers."""

    def run(server, llm=None, ledger="ledger", **changes):
        cfg = make_config(server.base_url, {"concurrency": 4} | (llm or {}), **{"strategy": "simprompt"} | changes)
        return generate(demonstrations, {"good": 75, "bad": 25}, cfg, 0, str(tmp_path / ledger), quiet)

    return run


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(negotiation, "backoff", lambda key, attempt: 0.0)


@pytest.fixture
def no_pauses(monkeypatch, fast):
    """Between looks at a batch."""
    monkeypatch.setattr(batch_callers, "FIRST_LOOK_S", 0.0)
