"""Where a network looks, laid over what it sees."""

import cv2
import numpy as np

from sb3_atari_dqn.pictures.arrays import RAM_COLUMNS
from sb3_atari_dqn.pictures.drawing import Colour, fit

#: Of the picture below the colours.
DIMMED = 0.6


class RunningScale:
    """
    Brings the maps of a video to one scale, so that a weak one looks weak and nothing flickers.

    :param memory: what a step leaves of the scale, when the maps become weaker
    :param percentile: of a map that is as bright as can be; single inputs above it are cut
    """

    def __init__(self, memory: float = 0.98, percentile: float = 99.5) -> None:
        self._memory, self._percentile = memory, percentile
        self._scale = 0.0

    def __call__(self, saliency: np.ndarray) -> np.ndarray:
        """
        :param saliency: numbers >= 0
        :return: the same from 0 to 1
        """
        self._scale = max(float(np.percentile(saliency, self._percentile)), self._memory * self._scale)
        return np.clip(saliency / self._scale, 0, 1) if self._scale > 0 else np.zeros_like(saliency)


def overlay(picture: np.ndarray, maps: list[tuple[np.ndarray, Colour]], box: tuple[int, int]) -> np.ndarray:
    """
    :param picture: uint8 [H, W, 3]
    :param maps: from 0 to 1, [H, W] (or a vector, in rows as its picture has), each with its colour, which covers the
        picture, dark or light, as far as the map says; where maps meet their colours add up
    :param box: (height, width) to fill
    :return: uint8, at most as large as the box
    """
    large = fit(picture, box).astype(np.float32)
    if not maps:
        return large.astype(np.uint8)
    colours, covered = np.zeros_like(large), np.zeros((*large.shape[:2], 1), np.float32)
    for saliency, colour in maps:
        # Between pixels it is smooth; the numbers of a vector have no neighbours.
        between = cv2.INTER_NEAREST if saliency.ndim == 1 else cv2.INTER_LINEAR
        shares = cv2.resize(_as_grid(saliency), large.shape[1::-1], interpolation=between)[..., None]
        colours += shares * np.array(colour, np.float32)
        covered += shares
    large *= DIMMED * (1 - np.minimum(covered, 1))
    return np.clip(large + colours, 0, 255).astype(np.uint8)


def _as_grid(saliency: np.ndarray) -> np.ndarray:
    if saliency.ndim == 1:
        saliency = np.pad(saliency, (0, -len(saliency) % RAM_COLUMNS)).reshape(-1, RAM_COLUMNS)
    return saliency.astype(np.float32)
