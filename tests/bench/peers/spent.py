"""What a peer's work takes, its imports aside: the last line that its script prints."""

import contextlib
import json
import resource
import time
from collections.abc import Iterator


def _cpu_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@contextlib.contextmanager
def report() -> Iterator[None]:
    """Prints the block's seconds and CPU seconds as JSON."""
    started, cpu_s = time.monotonic(), _cpu_s()
    yield
    print(json.dumps({"seconds": time.monotonic() - started, "cpu_s": _cpu_s() - cpu_s}), flush=True)
