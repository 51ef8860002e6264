"""CPU seconds of this process and of those that it started: Spark's Java process and its Python workers."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def cpu_seconds(of: str = "") -> Iterator[list[float]]:
    """``with cpu_seconds() as spent``: CPU seconds of the body, all threads of all processes, in ``spent[0]`` at its end.

    of: only of processes whose command has this in it."""
    spent = [0.0]
    before = _by_process(of)
    yield spent
    spent[0] = sum(now - before.get(pid, 0.0) for pid, now in _by_process(of).items())


def _by_process(of: str) -> dict[int, float]:
    found = {}
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        with suppress(psutil.Error):  # one that has ended meanwhile
            if of in " ".join(process.cmdline()):
                times = process.cpu_times()
                found[process.pid] = times.user + times.system
    return found
