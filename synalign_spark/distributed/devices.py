"""Which GPU the passes of the alignment may use.

torch is asked only where something on the machine says that there is a GPU: to import it takes seconds."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide every device


@dataclass(frozen=True)
class Gpu:
    """name: as torch calls it; model: as its maker does; free_bytes: of its memory, for this process."""

    name: str
    model: str
    free_bytes: float


def may_have_gpu(folder: Path = Path("/dev")) -> bool:
    """Whether it is worth to ask torch for a GPU: NVIDIA's driver is there, and the environment hides no device."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in _HIDDEN:
        return False
    return any(folder.glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None


def gpu_count() -> int:
    """CUDA devices that torch sees; none where torch is not installed."""
    if not may_have_gpu() or find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu(index: int = 0, sharing: int = 1) -> Gpu:
    """A device that is there. sharing: processes that take a like part of its memory."""
    import torch

    torch.cuda.empty_cache()  # what an earlier run in this process left
    free, _ = torch.cuda.mem_get_info(index)
    return Gpu(f"cuda:{index}", torch.cuda.get_device_name(index), free / sharing)


def gpu_index(given: Sequence[str], place: int, count: int) -> int:
    """Number of a task's device among the ``count`` that torch sees.

    given: addresses that the scheduler gave the task, none where it knows of no GPU; place: of the task among those that share the
    devices. A scheduler counts all devices of the machine, torch those of CUDA_VISIBLE_DEVICES."""
    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    for address in given:
        if address in visible[:count]:
            return visible.index(address)
        if not visible and address.isdigit() and int(address) < count:
            return int(address)
    return place % count
