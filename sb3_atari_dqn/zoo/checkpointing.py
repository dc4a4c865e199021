"""Checkpoints of the zoo's runs of our algorithms: on by default, by the key ``checkpoint_freq``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stable_baselines3.common.callbacks import ProgressBarCallback

from sb3_atari_dqn.callbacks import SaveCheckpoints
from sb3_atari_dqn.checkpoints.frequency import Frequency

#: Value of the key if the configuration has none. A checkpoint of a million transitions takes less than 5 s: below 2 %.
DEFAULT = "5min"


def check(value: Any) -> None:
    """
    :param value: of the key; 0, false and null turn checkpoints off
    :raises ValueError: on anything that is no frequency
    """
    if value not in (0, None, False):
        Frequency.parse(value)


def add_callback(manager: Any) -> None:
    """Put :class:`SaveCheckpoints` before the other callbacks, also one that the configuration names."""
    own = [each for each in manager.callbacks if isinstance(each, SaveCheckpoints)]
    if not own and manager.checkpoint_freq:
        own = [SaveCheckpoints(manager.checkpoint_freq, required=manager.checkpoint_freq != DEFAULT)]
    manager.callbacks = [*own, *(each for each in manager.callbacks if each not in own)]


@contextmanager
def closing_progress_bars(manager: Any) -> Iterator[None]:
    """After a Ctrl-C, the zoo tells the first callback alone that training has ended."""
    try:
        yield
    finally:
        for callback in manager.callbacks[1:]:
            if isinstance(callback, ProgressBarCallback) and getattr(callback, "pbar", None) is not None:
                callback.pbar.close()
