"""A communicator over a network: ``torch.distributed`` with gloo, for ranks that are processes.

The ranks find each other through a small store that rank 0 opens; after that every rank talks to the
others directly. A rank that dies, hangs or gives up is seen by the others within the time limit. There is no
encryption and no password: as safe as the network is, like Spark itself without spark.authenticate.
"""

import contextlib
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist

from synalign_spark.core.communicator import Float64Array
from synalign_spark.errors import PeerLostError

# A torch.distributed store, which torch's stubs do not name.
Store = Any

_INTERFACE = "GLOO_SOCKET_IFNAME"


class GlooCommunicator:
    """One rank of a group of processes; made by :func:`gloo_group`.

    Every rank must make the same calls in the same order with arrays of the same shape. Arguments are left as
    they are, results are new arrays. ``timeout_s`` bounds one call: the slowest rank must come to it within that time.
    Raises PeerLostError where another rank died or did not come; the group is of no use after that."""

    def __init__(self, rank: int, size: int, timeout_s: float) -> None:
        self._rank, self._size, self._timeout_s = rank, size, timeout_s

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def size(self) -> int:
        return self._size

    def all_reduce(self, values: Float64Array) -> Float64Array:
        """Element-wise float64 sum over all ranks. Each element is added up once, in ring order, and then
        copied to all: the same bits on every rank, and in every run of as many ranks."""
        return self._collective("all_reduce", values, lambda tensor: dist.all_reduce(tensor, dist.ReduceOp.SUM))

    def all_reduce_max(self, values: Float64Array) -> Float64Array:
        """Element-wise maximum over all ranks, of numbers: with NaN the result is undefined."""
        return self._collective("all_reduce_max", values, lambda tensor: dist.all_reduce(tensor, dist.ReduceOp.MAX))

    def broadcast(self, values: Float64Array, root: int = 0) -> Float64Array:
        """The array of rank ``root``, on every rank; the others give an array of the same shape."""
        return self._collective("broadcast", values, lambda tensor: dist.broadcast(tensor, src=root))

    def _collective(self, name: str, values: Float64Array, call: Callable[[torch.Tensor], Any]) -> Float64Array:
        result = np.array(values, dtype=np.float64, order="C")  # a copy: gloo works in place
        if not result.size:
            return result
        try:
            call(torch.from_numpy(result.reshape(-1)))
        except RuntimeError as err:
            # The frames of torch hold the group, and whoever keeps this error would keep its connections open after
            # this rank has left: the other ranks would wait for it until the limit.
            err.__traceback__ = None
            raise _lost(self._rank, self._size, f"{name} of {result.size:,} numbers", self._timeout_s, err) from err
        return result


@contextlib.contextmanager
def gloo_store(host: str, timeout_s: float) -> Iterator[tuple[Store, int]]:
    """Rank 0 only: opens the store that the ranks meet at, on a free port of ``host`` and nowhere else.

    Yields the store and its port, which the other ranks need. Raises OSError where ``host`` is no address of this machine."""
    listener = socket.create_server((host, 0))
    port = int(listener.getsockname()[1])
    # The store takes the open socket and closes it: no moment at which another process could take the port.
    yield _store(host, port, timeout_s, is_master=True, master_listen_fd=listener.detach()), port


@contextlib.contextmanager
def gloo_group(rank: int, size: int, host: str, store: Store | tuple[str, int], timeout_s: float) -> Iterator[GlooCommunicator]:
    """Joins the group, yields the communicator and leaves the group, on success and on error.

    rank: 0 .. size - 1; host: address of this rank by which the others reach it; store: what rank 0 opened with
    :func:`gloo_store`, or (host, port) of it; timeout_s: seconds for joining and for every later call.
    Leaving closes the connections, so that ranks that still wait for this one fail at once.
    Raises PeerLostError where not all ranks come within the limit."""
    if not 0 <= rank < size:
        raise ValueError(f"rank must be between 0 and size - 1 = {size - 1}, got {rank}")
    if not timeout_s > 0:
        raise ValueError(f"timeout_s must be above 0 seconds, got {timeout_s}")

    try:
        with _bound_to(host):
            _within(timeout_s, lambda: _join(rank, size, store, timeout_s))
    except (RuntimeError, TimeoutError) as err:  # torch and gloo raise the first
        raise _lost(rank, size, "all ranks to join", timeout_s, err) from err
    try:
        yield GlooCommunicator(rank, size, timeout_s)
    finally:
        dist.destroy_process_group()


def _join(rank: int, size: int, store: Store | tuple[str, int], timeout_s: float) -> None:
    meeting = _store(store[0], store[1], timeout_s) if isinstance(store, tuple) else store
    dist.init_process_group("gloo", store=meeting, rank=rank, world_size=size, timeout=timedelta(seconds=timeout_s))


def _within(seconds: float, job: Callable[[], None]) -> None:
    """Runs ``job``; raises TimeoutError after ``seconds`` though it still hangs.

    The store's own limits do not hold when the process of rank 0 is stopped just then. The thread is left behind:
    it ends with the process or when rank 0 goes away."""
    fault: list[BaseException] = []

    def run() -> None:
        try:
            job()
        except BaseException as err:
            fault.append(err)

    thread = threading.Thread(target=run, name="gloo-join", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"rank 0 does not answer within {seconds:g} s")
    if fault:
        raise fault[0]


def _store(host: str, port: int, timeout_s: float, **options: Any) -> Store:
    return dist.TCPStore(  # type: ignore[attr-defined]
        host, port, timeout=timedelta(seconds=timeout_s), wait_for_workers=False, **options
    )


@contextlib.contextmanager
def _bound_to(host: str) -> Iterator[None]:
    """Makes gloo listen on the interface that has the address ``host``. Left alone where none is found: gloo then
    goes by the name of the machine. The variable is read when the group is made."""
    before, interface = os.environ.get(_INTERFACE), interface_of(host)
    if interface is not None:
        os.environ[_INTERFACE] = interface
    try:
        yield
    finally:
        if interface is not None:
            if before is None:
                del os.environ[_INTERFACE]
            else:
                os.environ[_INTERFACE] = before


def interface_of(host: str) -> str | None:
    """Name of the network interface of this machine that has the IPv4 address ``host``; None where none has.

    host: a name or an address, as another rank would use it.

    >>> interface_of("127.0.0.1") in ("lo", "lo0")
    True
    >>> interface_of("198.51.100.1") is None  # an address for examples (RFC 5737), no machine has it
    True
    """
    try:
        address = ipaddress.ip_address(socket.gethostbyname(host))
    except OSError:
        return None
    for name, addresses in psutil.net_if_addrs().items():
        numbers = [ipaddress.ip_address(entry.address) for entry in addresses if entry.family == socket.AF_INET]
        # 127.0.1.1, which a machine's own name often stands for, is no interface's number, but is loopback.
        if address in numbers or (address.is_loopback and any(number.is_loopback for number in numbers)):
            return name
    return None


def _lost(rank: int, size: int, waited_for: str, timeout_s: float, err: BaseException) -> PeerLostError:
    reason = str(err).splitlines()[0] if str(err) else type(err).__name__
    return PeerLostError(
        f"rank {rank} of {size} waited for {waited_for} and another rank was lost, or did not come within {timeout_s:g} s ({reason[:300]}); "
        "see the log of the task that ended first, or allow more seconds"
    )
