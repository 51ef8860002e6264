"""CPU seconds of this process and of those that it started: Spark's Java process and its Python workers."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def all_cpu() -> Iterator[list[float]]:
    """``with all_cpu() as spent``: CPU seconds of the body, all threads of all processes, in ``spent[0]`` at its end."""
    spent = [0.0]
    before = _by_process()
    yield spent
    spent[0] = sum(now - before.get(pid, 0.0) for pid, now in _by_process().items())


def _by_process() -> dict[int, float]:
    found = {}
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        with suppress(psutil.Error):  # one that has ended meanwhile
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found
