"""The image pipeline of a preset: RGB frame in, observation out. Depends on OpenCV, not on gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import itemgetter

import cv2
import numpy as np

from sb3_atari_dqn.atari.presets import AtariPreset

Stage = Callable[[np.ndarray], np.ndarray]

INTERPOLATIONS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST}


class FramePipeline:
    """
    The image operations of a preset: crop, stride, grayscale, resize, each only if the preset sets it.

    :param preset: the preprocessing
    :param frame_shape: (height, width, 3) of the raw frames; a few games are not 210 x 160
    :raises ValueError: if the crop exceeds the frame, or ``size`` does not divide it for ``resize="stride"``
    """

    def __init__(self, preset: AtariPreset, frame_shape: tuple[int, ...]) -> None:
        #: (name, function) in the order of application, to display each intermediate image
        self.stages = _stages(preset, *frame_shape[:2])
        height, width = self._run(np.zeros(frame_shape, np.uint8)).shape[:2]
        self.shape = (height, width, 3 if preset.grayscale is None else 1)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """
        :param frame: uint8 [H, W, 3]
        :return: uint8 [h, w, 1 or 3], contiguous
        """
        return np.ascontiguousarray(self._run(frame).reshape(self.shape))

    def _run(self, frame: np.ndarray) -> np.ndarray:
        for _, stage in self.stages:
            frame = stage(frame)
        return frame


def _stages(preset: AtariPreset, height: int, width: int) -> list[tuple[str, Stage]]:
    stages: list[tuple[str, Stage]] = []
    if preset.crop is not None:
        stages.append(("crop", _crop_stage(preset.crop, height, width)))
        top, bottom, left, right = preset.crop
        height, width = bottom - top, right - left
    if preset.size is not None and preset.resize == "stride":
        # Stride before grayscale: same result, fewer pixels to convert.
        stages.append(("stride", _stride_stage(preset.size, height, width)))
    if preset.grayscale is not None:
        stages.append(("gray", _gray_stage(preset.grayscale)))
    if preset.size is not None and preset.resize != "stride":
        dsize = preset.size[::-1]  # OpenCV expects (width, height)
        stages.append(("resize", partial(cv2.resize, dsize=dsize, interpolation=INTERPOLATIONS[preset.resize])))
    return stages


def _crop_stage(crop: tuple[int, int, int, int], height: int, width: int) -> Stage:
    top, bottom, left, right = crop
    if bottom > height or right > width:
        raise ValueError(f"crop={crop} exceeds the {height} x {width} frame: use bottom <= {height}, right <= {width}")
    return itemgetter(np.s_[top:bottom, left:right])


def _stride_stage(size: tuple[int, int], height: int, width: int) -> Stage:
    if height % size[0] or width % size[1]:
        raise ValueError(
            f"size={size} does not divide the {height} x {width} frame: choose a size that does, crop first, or "
            "interpolate (resize='area')"
        )
    return itemgetter(np.s_[:: height // size[0], :: width // size[1]])


def _gray_stage(grayscale: str | tuple[float, float, float]) -> Stage:
    if grayscale == "luma":
        return partial(cv2.cvtColor, code=cv2.COLOR_RGB2GRAY)
    if grayscale == "mean":
        # cv2.transform rounds to nearest; an offset of -1/3 turns that into rounding down for thirds.
        return partial(cv2.transform, m=np.array([[1 / 3, 1 / 3, 1 / 3, -1 / 3]]))
    return partial(cv2.transform, m=np.array([grayscale]))
