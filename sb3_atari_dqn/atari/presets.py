"""Frozen descriptions of Atari preprocessing: pure data, independent of gymnasium and OpenCV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

GRAYSCALES = ("luma", "mean")
MOST_FRAMES = 3600  # of a step or no-op start: a minute of the game
MOST_PIXELS = 2048  # per side: ten times the console's
RESIZES = ("area", "bilinear", "nearest", "stride")


@dataclass(frozen=True)
class AtariPreset:
    """
    The preprocessing between an Atari game and the frame stack. The defaults change nothing.

    Option names follow SB3's ``AtariWrapper``. Lists (from YAML) become tuples.

    :param noop_max: no-op start: after a reset, 1 to ``noop_max`` no-op steps, drawn uniformly; 0 for none
    :param fire_on_reset: press FIRE after a reset, in games that have this action
    :param frame_skip: raw frames per action; 1 keeps the environment's own frame skip
    :param max_pool_frames: number of last skipped frames to max-pool, in RGB; 1 keeps the last frame
    :param action_repeat_probability: sticky actions: probability per raw frame of repeating the previous action
        (Machado et al. 2018, section 5.2); ``None`` keeps the environment's own
    :param terminal_on_life_loss: report a lost life as ``terminated``; the next reset continues the game
    :param clip_reward: return the sign of the reward summed over the skipped frames, {-1, 0, 1}
    :param reward_scale: factor for that sum, for unclipped rewards
    :param grayscale: ``"luma"`` (OpenCV's RGB2GRAY, as SB3), ``"mean"`` (mean of the three channels, rounded down as
        numpy's ``astype(uint8)`` does), three weights for R, G, B (rounded to nearest), or ``None`` for colour
    :param crop: (top, bottom, left, right) as in ``frame[top:bottom, left:right]``, in raw pixels
    :param size: (height, width) of the result; ``None`` keeps the size
    :param resize: ``"area"``, ``"bilinear"`` or ``"nearest"`` interpolation after the conversion to grayscale, or
        ``"stride"``, every n-th row and column
    :raises ValueError: on a value out of range; the message names valid ones
    """

    noop_max: int = 0
    fire_on_reset: bool = False
    frame_skip: int = 1
    max_pool_frames: int = 1
    action_repeat_probability: float | None = None
    terminal_on_life_loss: bool = False
    clip_reward: bool = False
    reward_scale: float = 1.0
    grayscale: str | tuple[float, float, float] | None = None
    crop: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None
    resize: str = "area"

    def __post_init__(self) -> None:
        for name in ("grayscale", "crop", "size"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_switches()
        self._check_frames()
        self._check_reward()
        self._check_picture()

    def with_overrides(self, overrides: Mapping[str, Any]) -> AtariPreset:
        """
        :param overrides: options by name, as in a YAML mapping
        :return: a copy with those options replaced, validated again
        :raises ValueError: on an unknown option or a value out of range
        """
        known = [field.name for field in fields(self)]
        unknown = sorted(map(str, set(overrides) - set(known)))
        if unknown:
            raise ValueError(f"Unknown preset option {', '.join(unknown)}; known: {', '.join(known)}")
        return replace(self, **overrides)

    def _check_switches(self) -> None:
        for name in ("fire_on_reset", "terminal_on_life_loss", "clip_reward"):
            self._require(isinstance(getattr(self, name), bool), name, "use true or false")

    def _check_frames(self) -> None:
        self._require(
            _is_whole(self.noop_max, 0) and self.noop_max <= MOST_FRAMES,
            "noop_max",
            f"use an integer number of steps, 0 for none, at most {MOST_FRAMES}",
        )
        self._require(
            _is_whole(self.frame_skip, 1) and self.frame_skip <= MOST_FRAMES,
            "frame_skip",
            f"use an integer number of frames, 1 for no skip, at most {MOST_FRAMES}",
        )
        self._require(
            _is_whole(self.max_pool_frames, 1) and self.max_pool_frames <= self.frame_skip,
            "max_pool_frames",
            f"pooling covers only the skipped frames, use 1 to frame_skip={self.frame_skip}",
        )
        probability = self.action_repeat_probability
        self._require(
            probability is None or (_is_number(probability) and 0 <= probability < 1),
            "action_repeat_probability",
            "use a probability in [0, 1), or None to keep the environment's own",
        )

    def _check_reward(self) -> None:
        scale = self.reward_scale
        self._require(_is_number(scale) and scale > 0, "reward_scale", "use a number above 0, 1.0 for no scaling")
        self._require(
            scale == 1.0 or not self.clip_reward,
            "reward_scale",
            "clipped rewards cannot be scaled, set clip_reward to false or reward_scale to 1.0",
        )

    def _check_picture(self) -> None:
        self._require(
            self.grayscale is None or self.grayscale in GRAYSCALES or _are_weights(self.grayscale),
            "grayscale",
            f"use one of {', '.join(GRAYSCALES)}, three weights >= 0 that sum to at most 1, or None for colour",
        )
        self._require(
            self.crop is None or _is_box(self.crop),
            "crop",
            "use (top, bottom, left, right) in pixels with 0 <= top < bottom and 0 <= left < right",
        )
        self._require(
            self.size is None or (_are_whole(self.size, 2, 1) and max(self.size) <= MOST_PIXELS),
            "size",
            f"use (height, width) in pixels, both from 1 to {MOST_PIXELS}, or None to keep the size",
        )
        self._require(self.resize in RESIZES, "resize", f"use one of {', '.join(RESIZES)}")

    def _require(self, ok: bool, name: str, way_out: str) -> None:
        if not ok:
            raise ValueError(f"{name}={getattr(self, name)!r}: {way_out}")


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_whole(values: object, count: int, least: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(_is_whole(value, least) for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_weights(values: object) -> bool:
    if not (isinstance(values, tuple) and len(values) == 3 and all(_is_number(value) for value in values)):
        return False
    # The tolerance allows for rounding in sums such as 0.299 + 0.587 + 0.114.
    return min(values) >= 0 and 0 < sum(values) <= 1 + 1e-6


def _is_box(box: Any) -> bool:
    return _are_whole(box, 4, 0) and box[0] < box[1] and box[2] < box[3]
