"""Facts about the machine, and what makes it unsuitable; `python -m gpu.machine` prints the facts as JSON."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

#: Frames of the largest replay buffer of a part, plus networks, batches and captured graphs.
NEEDED_BYTES = 6_000_000_000

NO_GPU, NO_CUDA, OLD_DRIVER, LITTLE_MEMORY, NO_PACKAGES = 10, 11, 12, 13, 14


@dataclass(frozen=True)
class Facts:
    """
    :param cards: name of each GPU
    :param driver: version of the NVIDIA driver, None without a driver
    :param torch: version, None if it cannot be imported
    :param cuda: version for which torch was built, None for CPU builds
    :param usable: whether torch can use a GPU
    :param free_bytes: free memory of the first GPU
    :param cores: CPU cores available to this process
    """

    cards: tuple[str, ...]
    driver: str | None
    torch: str | None
    cuda: str | None
    usable: bool
    free_bytes: int
    cores: int


class Trouble(NamedTuple):
    """Why this machine is unsuitable: exit code and error message."""

    code: int
    sentence: str


def trouble(facts: Facts) -> Trouble | None:
    """:return: the first problem, None on a suitable machine"""
    if not (facts.cards or facts.driver or facts.usable):
        return Trouble(NO_GPU, "There is no NVIDIA GPU here (nvidia-smi shows none), and only --dry-run needs none.")
    if facts.torch is None:
        return Trouble(NO_CUDA, "There is no torch in this Python: install PyPI's, or name another one in PYTHON.")
    if facts.cuda is None:
        return Trouble(NO_CUDA, f"torch {facts.torch} was built without CUDA: install PyPI's torch for Linux instead.")
    if not facts.usable:
        return Trouble(
            OLD_DRIVER,
            f"The driver {facts.driver} does not run torch {facts.torch}, which needs one for CUDA {facts.cuda}: "
            "update it, or install a torch for an older CUDA.",
        )
    if facts.free_bytes < NEEDED_BYTES:
        return Trouble(
            LITTLE_MEMORY,
            f"{facts.cards[0] if facts.cards else 'The GPU'} has {facts.free_bytes / 1e9:.1f} GB free, and frames and "
            f"networks need {NEEDED_BYTES / 1e9:.1f}: end what else runs there, or take a larger card.",
        )
    return None


def look() -> Facts:
    """:return: facts about this machine"""
    cards, driver = _ask_driver()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        import torch
    except ImportError:
        return Facts(cards, driver, None, None, False, 0, cores)
    usable = torch.cuda.is_available()
    free = torch.cuda.mem_get_info(0)[0] if usable else 0
    return Facts(cards, driver, torch.__version__, torch.version.cuda, usable, free, cores)


def _ask_driver() -> tuple[tuple[str, ...], str | None]:
    """:return: names of the GPUs, and version of the driver"""
    if shutil.which("nvidia-smi") is None:
        version = Path("/sys/module/nvidia/version")
        return (), version.read_text().strip() if version.exists() else None
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        printed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return (), None
    lines = [line.rsplit(", ", 1) for line in printed.splitlines() if ", " in line]
    return tuple(name for name, _ in lines), lines[0][1] if lines else None


if __name__ == "__main__":
    print(json.dumps(asdict(look())))
