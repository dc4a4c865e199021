"""Options of the environment: pure data, independent of gymnasium and the browser."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sb3_atari_dqn.validation import as_int, check_between, check_keys, check_known

GAMES = ("auto", "chrome", "embedded")
MODES = ("lockstep", "realtime")
PRESSES = ("hold", "tap")
REWARDS = ("alive", "score")
ACTIONS = ("nothing", "jump", "duck")
#: Height and width in pixels, for both games.
CANVAS = (150, 600)

#: Maximum side of an observation in pixels, and maximum size of all its frames in bytes.
MAX_SIDE = 4096
MAX_BYTES = 1 << 26
#: One minute of game time.
MAX_FRAME_SKIP = 3600
MAX_TIMEOUT_S = 3600
MAX_RESTARTS = 100


@dataclass(frozen=True)
class DinoOptions:
    """
    Lists (from YAML) and arrays become tuples, numbers of any type int and float. A frame is 1/60 s of game time.

    :param game: ``"chrome"`` is the browser's own chrome://dino, ``"embedded"`` our own small runner game, ``"auto"``
        uses chrome://dino if the browser has it
    :param mode: ``"lockstep"`` pauses the game between two steps; ``"realtime"`` lets it run on, as for a human player
    :param actions: 2 (nothing, jump) or 3 (and duck)
    :param press: ``"hold"`` keeps a key down while its action is repeated, so that short jumps can be learned;
        ``"tap"`` releases it at once, so that every jump is a full one
    :param frame_skip: frames per step
    :param speed: initial speed in pixels per frame
    :param acceleration: increase of the speed per frame, up to the game's limit of 13; 0 for constant speed
    :param crop: (top, bottom, left, right) as in ``canvas[top:bottom, left:right]``, in pixels of the 150x600 canvas;
        edges beyond the canvas are cut off, as in numpy. None for the whole canvas
    :param size: (height, width) of an observation, in pixels, up to 4096 each
    :param stack: frames per observation, the newest last; a reset fills the stack with the first frame. At most 64 MiB
        per observation
    :param reward: ``"alive"``: ``alive_reward`` per step, ``crash_reward`` for a crash; ``"score"``: points scored in
        the step
    :param alive_reward: see ``reward``
    :param crash_reward: see ``reward``
    :param browser: path or name of a Chromium or Chrome; None uses SB3_ATARI_DQN_BROWSER or searches PATH. The first
        reset looks for it, so the spaces are available without a browser
    :param timeout_s: seconds to wait for the response to a step or a reset, up to an hour; browser start-up has its own
        timeout of 60 s
    :param max_restarts: number of browsers that a reset tries to start before it raises
    :raises ValueError: on an unknown name or a value out of range
    """

    game: str = "auto"
    mode: str = "lockstep"
    actions: int = 2
    press: str = "hold"
    frame_skip: int = 4
    speed: float = 6.0
    acceleration: float = 0.001
    crop: tuple[int, int, int, int] | None = (0, 150, 0, 500)
    size: tuple[int, int] = (80, 80)
    stack: int = 4
    reward: str = "alive"
    alive_reward: float = 0.1
    crash_reward: float = -1.0
    browser: str | None = None
    timeout_s: float = 10.0
    max_restarts: int = 3

    def __post_init__(self) -> None:
        check_known("game", self.game, GAMES)
        check_known("mode", self.mode, MODES)
        check_known("press", self.press, PRESSES)
        check_known("reward", self.reward, REWARDS)
        self._set_whole("frame_skip", 1, MAX_FRAME_SKIP)
        self._set_whole("max_restarts", 1, MAX_RESTARTS)
        self._set_whole("stack", 1, MAX_BYTES)
        self._set_whole("actions", 2, None)
        if self.actions > len(ACTIONS):
            raise ValueError(f"actions must be 2 (nothing, jump) or 3 (and duck), got {self.actions!r}.")
        self._set_real("speed", 0, 100, above_low=True)
        self._set_real("acceleration", 0, 1)
        self._set_real("timeout_s", 0, MAX_TIMEOUT_S, above_low=True)
        self._set_real("alive_reward", -1e6, 1e6)
        self._set_real("crash_reward", -1e6, 1e6)
        self._set("size", _checked_size(self.size, self.stack))
        self._set("crop", _checked_crop(self.crop))
        self._set("browser", _checked_browser(self.browser))

    @classmethod
    def of(cls, options: dict[str, Any]) -> DinoOptions:
        """
        :param options: by name
        :raises ValueError: on an unknown option (the message suggests a similar one) or a value out of range
        """
        check_keys("the options of ChromeDino-v0", options, [field.name for field in fields(cls)])
        return cls(**options)

    def _set_whole(self, name: str, minimum: int, maximum: int | None) -> None:
        value = getattr(self, name)
        if _is_list(value):
            raise ValueError(f"{name} must be an integer, got {_short(value)}.")
        number = as_int(name, value, minimum)
        if maximum is not None and number > maximum:
            raise ValueError(f"{name} must be at most {maximum}, got {value!r}.")
        self._set(name, number)

    def _set_real(self, name: str, low: float, high: float, above_low: bool = False) -> None:
        value = getattr(self, name)
        if _is_list(value):
            raise ValueError(f"{name} must be a number, got {_short(value)}.")
        check_between(name, value, low, high, above_low)
        self._set(name, float(value))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _checked_size(size: Any, stack: int) -> tuple[int, ...]:
    sides = _whole_numbers(size, 1)
    if sides is None or len(sides) != 2 or max(sides) > MAX_SIDE:
        raise ValueError(f"size must be (height, width) in pixels, both from 1 to {MAX_SIDE}, got {_short(size)}.")
    if sides[0] * sides[1] * stack > MAX_BYTES:
        raise ValueError(
            f"size={sides} and stack={stack} make observations of {sides[0] * sides[1] * stack} bytes: reduce one of "
            f"them, the limit is {MAX_BYTES}."
        )
    return sides


def _checked_crop(crop: Any) -> tuple[int, ...] | None:
    if crop is None:
        return None
    edges = _whole_numbers(crop, 0)
    if edges is None or len(edges) != 4 or not (edges[0] < edges[1] and edges[2] < edges[3]):
        raise ValueError(
            "crop must be (top, bottom, left, right) in pixels with 0 <= top < bottom and 0 <= left < right, or None, "
            f"got {_short(crop)}."
        )
    if edges[0] >= CANVAS[0] or edges[2] >= CANVAS[1]:
        raise ValueError(
            f"crop={edges} is outside the canvas: use top < {CANVAS[0]} and left < {CANVAS[1]} (in pixels)."
        )
    return edges


def _checked_browser(browser: Any) -> str | None:
    if browser is None:
        return None
    if not isinstance(browser, str | Path) or not str(browser):
        raise ValueError(f"browser must be the path or name of a Chromium or Chrome, or None, got {_short(browser)}.")
    return str(browser)


def _is_list(value: Any) -> bool:
    """:return: whether it is a list, an array or similar, even with a single element"""
    return hasattr(value, "__len__") and not isinstance(value, str)


def _whole_numbers(values: Any, minimum: int) -> tuple[int, ...] | None:
    """:return: the values as a tuple of int, or None if they are not a list of integers of at least ``minimum``"""
    listed = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(listed, tuple | list):
        return None
    try:
        return tuple(as_int("each", value, minimum) for value in listed)
    except ValueError:
        return None


def _short(value: Any) -> str:
    """:return: the value as text for a one-line message"""
    return textwrap.shorten(repr(value), 100)
