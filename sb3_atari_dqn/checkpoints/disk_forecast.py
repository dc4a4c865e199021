"""Will the disk be full before a training ends? Asked by what writes checkpoints."""

import shutil
from dataclasses import dataclass
from pathlib import Path

# Part of the free space that a forecast leaves to others: logs, videos, other programs.
_RESERVE = 0.05


@dataclass(frozen=True)
class DiskForecast:
    """
    :param free_bytes: now
    :param needed_bytes: still to be written until the training ends
    :param steps_left: environment steps until the training ends
    :param full_in_steps: environment steps after which the disk is full, None if it suffices
    """

    free_bytes: int
    needed_bytes: int
    steps_left: int
    full_in_steps: int | None

    @property
    def suffices(self) -> bool:
        """Whether the training ends before the disk is full."""
        return self.full_in_steps is None

    def message(self, folder: Path, step: int) -> str:
        """
        :param folder: that is written to
        :param step: environment steps so far
        :return: one sentence with a way out; only if the disk does not suffice
        """
        assert self.full_in_steps is not None
        return (
            f"{folder} will be full at about step {step + self.full_in_steps:,}, before the training ends at step "
            f"{step + self.steps_left:,}: {_size(self.needed_bytes)} are still to be written, {_size(self.free_bytes)} "
            "are free. Free some space, save less often or keep fewer checkpoints."
        )


def forecast(free_bytes: int, written_bytes: int, steps: int, steps_left: int) -> DiskForecast:
    """
    Assumes that the folder grows as it did so far, per environment step. Files that replace others do not make it
    grow: count what the folder holds now, less what it held at the start.

    :param free_bytes: on the disk now
    :param written_bytes: by which the folder has grown so far; 0 or less if it has not
    :param steps: environment steps in which it has grown so
    :param steps_left: until the training ends
    :raises ValueError: on a negative number of steps or of free bytes
    """
    for name, number in (("free_bytes", free_bytes), ("steps", steps), ("steps_left", steps_left)):
        if number < 0:
            raise ValueError(f"{name} must be at least 0, got {number}.")
    if written_bytes <= 0 or steps == 0:  # nothing to extrapolate from
        return DiskForecast(free_bytes, 0, steps_left, None)
    needed = -(-written_bytes * steps_left // steps)
    usable = int(free_bytes * (1 - _RESERVE))
    full_in = usable * steps // written_bytes
    return DiskForecast(free_bytes, needed, steps_left, full_in if needed > usable else None)


def forecast_in(folder: Path, written_bytes: int, steps: int, steps_left: int) -> DiskForecast:
    """
    :param folder: that is written to; the free space is that of its disk
    Other parameters: see :func:`forecast`
    """
    return forecast(shutil.disk_usage(folder).free, written_bytes, steps, steps_left)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
