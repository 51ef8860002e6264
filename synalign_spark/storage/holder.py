"""A process that holds a run: how the lock file names it, and whether it is still there."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

STALE_AFTER_S = 60.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. ``started``: the process's start time in clock ticks since boot, since pids are used again; ``space``: the boot and the
    namespace in which the pid means that process, empty in locks of earlier releases."""

    host: str
    pid: int
    started: int
    since: float
    heartbeat: float
    token: str
    space: str = ""

    @property
    def alive(self) -> bool:
        """Where its pid can be looked up from here: the process exists. Elsewhere, in another container too: its heartbeat is younger than a
        minute."""
        if self.host == socket.gethostname() and self.space in ("", pid_space()):
            return process_started(self.pid) == self.started
        return time.time() - self.heartbeat < STALE_AFTER_S


def pid_space() -> str:
    """Tells boots and namespaces of processes apart: containers may share a host's name; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def process_started(pid: int) -> int | None:
    """Start time of a live process in clock ticks since boot (0 where the system does not tell); None if there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            state, *fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if state in "ZX" else int(fields[18])  # man 5 proc: field 3 is the state, 22 the start time
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def this_process(token: str) -> Holder:
    """This process as a holder; ``token`` tells its locks apart."""
    now = time.time()
    return Holder(socket.gethostname(), os.getpid(), process_started(os.getpid()) or 0, now, now, token, pid_space())
