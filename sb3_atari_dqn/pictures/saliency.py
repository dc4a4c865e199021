"""Saliency maps, drawn over the observation."""

import cv2
import numpy as np

from sb3_atari_dqn.pictures.arrays import RAM_COLUMNS
from sb3_atari_dqn.pictures.drawing import Colour, fit

#: Brightness of the image under the maps.
DIMMED = 0.6


class RunningScale:
    """
    Normalizes the maps of a video to a common scale, so that weak maps look weak and nothing flickers.

    :param memory: factor per step by which the scale decays when the maps become weaker
    :param percentile: of a map that gets full brightness; larger values are clipped
    """

    def __init__(self, memory: float = 0.98, percentile: float = 99.5) -> None:
        self._memory, self._percentile = memory, percentile
        self._scale = 0.0

    def __call__(self, saliency: np.ndarray) -> np.ndarray:
        """
        :param saliency: non-negative
        :return: the same, scaled to [0, 1]
        """
        self._scale = max(float(np.percentile(saliency, self._percentile)), self._memory * self._scale)
        return np.clip(saliency / self._scale, 0, 1) if self._scale > 0 else np.zeros_like(saliency)


def overlay(picture: np.ndarray, maps: list[tuple[np.ndarray, Colour]], box: tuple[int, int]) -> np.ndarray:
    """
    :param picture: uint8 [H, W, 3]
    :param maps: in [0, 1], [H, W] (or a vector, in rows like its image), each with a colour, which covers the image in
        proportion to the map; colours of overlapping maps add up
    :param box: (height, width) to fill
    :return: uint8, not larger than the box
    """
    large = fit(picture, box).astype(np.float32)
    if not maps:
        return large.astype(np.uint8)
    colours, covered = np.zeros_like(large), np.zeros((*large.shape[:2], 1), np.float32)
    for saliency, colour in maps:
        # Interpolate between pixels, but not between the values of a vector, which have no neighbours.
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
