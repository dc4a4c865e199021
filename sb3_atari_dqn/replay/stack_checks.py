"""Whether the observations that a memory is given are the stacks it takes them for. Pure: numpy only.

K: frames in a stack, N: environments.
"""

from typing import NamedTuple

import numpy as np

from sb3_atari_dqn.replay.stacks import StackShape


class CheckedStep(NamedTuple):
    """
    One vector step, found to be stacks. Its first four fields: see :meth:`StackMemory.push`.

    :param restarted: where the observation does not go on from the one before, bool [N]; None: nowhere
    :param ends: whether an episode ended
    """

    obs: np.ndarray
    next_obs: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    restarted: np.ndarray | None
    ends: bool


def check_successors(
    shape: StackShape,
    obs: np.ndarray,
    next_obs: np.ndarray,
    due: np.ndarray,
    truncated: np.ndarray,
    step: int,
    name: str,
) -> None:
    """
    :param shape: geometry of the stacks
    :param obs: [N, *obs_shape]
    :param next_obs: [N, *obs_shape]
    :param due: environments to compare, bool [N]
    :param truncated: bool [N]
    :param step: for the message
    :param name: of the part of a dictionary observation, for the message
    :raises ValueError: if a next observation is not its observation moved by a frame
    """
    frames, following = shape.split(obs), shape.split(next_obs)  # [N, K, *frame_shape]
    for env in np.flatnonzero(due):
        if not np.array_equal(following[env, :-1], frames[env, 1:]):
            hint = " (or its info lacks the terminal_observation)" if truncated[env] else ""
            part = f" {name!r}" if name else ""
            raise ValueError(
                f"The next observation{part} of environment {env} at step {step} is not its observation moved by one "
                f"frame{hint}: it is not a stack of n_stack={shape.n_stack} frames of shape {shape.frame_shape}; give "
                "the right n_stack, or n_stack=1 to store every observation whole."
            )
