"""How much memory there is, for this machine and this container, asked before days of training depend on it."""

from pathlib import Path

import psutil
import torch

# Left for networks, batches and the environments.
RESERVE_BYTES = 300_000_000

_NO_LIMIT = 1 << 60  # what version 1 of the control groups reports for none is near 2**63


def available_bytes(root: Path = Path("/sys/fs/cgroup"), own_groups: Path = Path("/proc/self/cgroup")) -> int:
    """
    :param root: where the control groups are mounted
    :param own_groups: file that lists those of this process
    :return: what the machine can still give, or what the container's limit leaves, if that is less
    """
    free = [_left_in(folder) for folder in _group_folders(root, own_groups)]
    return min([psutil.virtual_memory().available, *(bytes_left for bytes_left in free if bytes_left is not None)])


def _group_folders(root: Path, own_groups: Path) -> list[Path]:
    """:return: the folders whose limits count for this process, those of the groups above it included"""
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:  # not a Linux
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mounted = root / "memory" if controllers else root
        group = mounted / path.lstrip("/")
        # Inside a container the path may be that of the host: its mount point is then the container's own group.
        folders += [folder for folder in (group, *group.parents) if folder == mounted or mounted in folder.parents]
    return folders


def _left_in(folder: Path) -> int | None:
    """:return: limit minus use, the file cache that can be given up not counted as use; None without a limit"""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit_bytes = int((folder / limit).read_text())
            used_bytes = int((folder / used).read_text())
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
        if limit_bytes < _NO_LIMIT:
            return max(limit_bytes - used_bytes + _cache_bytes(folder, cache), 0)
    return None


def _cache_bytes(folder: Path, name: str) -> int:
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def available_on(device: torch.device) -> int | None:
    """:return: free memory of a CUDA device; None if it is unknown"""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def check_memory(buffer_size: int, needed_bytes: int, available: int | None = None, where: str = "") -> None:
    """
    :param buffer_size: transitions asked for
    :param needed_bytes: what they take when the buffer is full
    :param available: memory to take them from; None: that of the machine, or of the container
    :param where: that is, for the message ("on cuda:0")
    :raises MemoryError: if that is more than there is, saying how many would fit
    """
    available = max((available_bytes() if available is None else available) - RESERVE_BYTES, 0)
    if needed_bytes <= available:
        return
    fitting = int(buffer_size * available / needed_bytes)
    place = f" {where}" if where else ""
    way_out = f"set buffer_size to {fitting} or less" if fitting else "free some memory"
    raise MemoryError(
        f"A replay buffer of buffer_size={buffer_size} transitions takes {needed_bytes / 1e9:.2f} GB{place} when it is "
        f"full, and {available / 1e9:.2f} GB are left for it: {fitting} transitions would fit; {way_out}."
    )
