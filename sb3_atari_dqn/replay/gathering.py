"""The observations of a batch, put together from the frames of a memory.

B: batch, K: frames in a stack.
"""

from functools import partial
from typing import Any

import numpy as np
import torch

from sb3_atari_dqn.replay.device_store import DeviceFrameStore
from sb3_atari_dqn.replay.stack_memory import StackMemory
from sb3_atari_dqn.replay.stack_rows import StackRows
from sb3_atari_dqn.transfers import sent


def stacks_of(
    part: StackMemory, steps: np.ndarray, last: np.ndarray, envs: np.ndarray, device: torch.device, as_rows: bool
) -> tuple[Any, Any]:
    """
    :param part: of the observations
    :param steps: of the transitions, int64 [B]
    :param last: steps of the last transitions of their n-step windows, int64 [B]; the same array for n = 1
    :param envs: numbers of the environments, int64 [B]
    :param device: where the stacks go
    :param as_rows: where frames lie on a device, name their rows (`StackRows`) instead
    :return: observations at `steps` and those reached after `last`, each [B, *obs_shape]
    """
    n_stack = part.shape.n_stack
    if last is steps:
        rows, first_of_next = part.rows(steps, envs), 1  # [B, K + 1]: all frames but one belong to both
    else:
        both = part.rows(np.concatenate([steps, last]), np.concatenate([envs, envs]))
        rows = np.concatenate([both[: len(steps), :-1], both[len(steps) :, 1:]], axis=1)  # [B, 2 K]
        first_of_next = n_stack
    if as_rows and isinstance(part.store, DeviceFrameStore):
        named = partial(StackRows, part.store, part.shape)
        return named(rows[:, :n_stack]), named(rows[:, first_of_next:])
    frames = sent(part.store.gather(rows), device)
    return part.shape.join(frames[:, :n_stack]), part.shape.join(frames[:, first_of_next:])
