"""Calls by Bespoke Curator, in its own environment: python by_curator.py ADDRESS CALLS"""

import os
import sys
import tempfile
from importlib.util import find_spec

os.environ |= {"TELEMETRY_ENABLED": "false", "CURATOR_VIEWER": "0", "OPENAI_API_KEY": "none", "CURATOR_DISABLE_RICH_DISPLAY": "1"}
os.environ |= {"CURATOR_CACHE_DIR": tempfile.mkdtemp(), "HF_HUB_OFFLINE": "1"}
for litellm in find_spec(
    "litellm"
).submodule_search_locations:  # it brings tiktoken's vocabulary, which is fetched from the network otherwise
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", f"{litellm}/litellm_core_utils/tokenizers")

from bespokelabs import curator  # noqa: E402, it reads its environment now
from spent import report  # noqa: E402

CONCURRENCY = 256
WORDS = "a word " * 150


class Rows(curator.LLM):
    def prompt(self, row: dict[str, int]) -> str:
        return f"{row['number']} {WORDS}"

    def parse(self, row: dict[str, int], response: str) -> dict[str, str]:
        return {"text": response}


def main() -> None:
    address, calls = sys.argv[1], int(sys.argv[2])
    limits = {"max_requests_per_minute": 10_000_000, "max_tokens_per_minute": 10_000_000_000, "max_concurrent_requests": CONCURRENCY}
    llm = Rows(model_name="bench", backend="openai", backend_params={"base_url": address, **limits}, generation_params={"max_tokens": 512})
    with report():
        llm([{"number": number} for number in range(calls)])


if __name__ == "__main__":
    main()
