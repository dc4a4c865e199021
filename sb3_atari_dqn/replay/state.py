"""What goes in and out of a replay memory beside its state.

F: numbers in a frame.
"""

from typing import NamedTuple

import numpy as np

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
