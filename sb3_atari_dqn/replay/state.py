"""What a state of a replay memory holds, and whether it fits.

N: environments, F: numbers in a frame.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sb3_atari_dqn.replay.observation_memory import ObservationMemory

# Names of the columns that each part of the observations has, before the name of the part.
DEPTHS, FLAGS = "depths/", "flags/"


class FrameChunk(NamedTuple):
    """
    Some frames of one environment, one after the other.

    :param part: of the observations, by name
    :param env: number of the environment
    :param first_step: vector step of the first frame
    :param frames: [any, F]
    """

    part: str
    env: int
    first_step: int
    frames: np.ndarray


def check_same_sizes(columns: Mapping[str, np.ndarray], memory: ObservationMemory, state: dict[str, Any]) -> None:
    """
    :param columns: of the buffer that takes the state over
    :param memory: its observations
    :param state: of a buffer
    :raises ValueError: naming the first thing in which they differ
    """
    parts = state["memory"]
    if parts.keys() != memory.parts.keys():
        raise ValueError(f"The state has observations {sorted(parts)}, this replay memory {sorted(memory.parts)}.")
    theirs = {"rewards": state["rewards"], "actions": state["actions"]}
    ours = dict(columns)
    for name, part in memory.parts.items():
        theirs |= {f"{DEPTHS}{name}": parts[name]["depths"], f"{FLAGS}{name}": parts[name]["flags"]}
        theirs[f"frames/{name}"] = parts[name]["store"]["overflow"][:0]
        ours[f"frames/{name}"] = np.empty((0, part.layout.frame_size), part.dtype)
        theirs[f"prefixes/{name}"] = parts[name]["prefixes"]["rows"][:0]
        ours[f"prefixes/{name}"] = part.prefixes.rows[:0]
    for name, own in ours.items():
        other = np.asarray(theirs[name])
        if (other.shape, other.dtype) != (own.shape, own.dtype):
            raise ValueError(
                f"The state has {name.rstrip('/')} of shape {other.shape} and type {other.dtype}, this replay memory "
                f"{own.shape} and {own.dtype}: build it with the same arguments."
            )
