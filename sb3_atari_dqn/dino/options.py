"""What can be chosen about the game; pure data that knows neither gymnasium nor a browser."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sb3_atari_dqn.arguments import check_between, check_keys, check_known, whole_number

GAMES = ("auto", "chrome", "embedded")
MODES = ("lockstep", "realtime")
PRESSES = ("hold", "tap")
REWARDS = ("alive", "score")
ACTIONS = ("nothing", "jump", "duck")


@dataclass(frozen=True)
class DinoOptions:
    """
    Lists (as YAML gives them) become tuples. A frame is 1/60 s of the game.

    :param game: ``"chrome"`` is the browser's own chrome://dino, ``"embedded"`` a small runner of ours, ``"auto"`` the
        first where the browser has it
    :param mode: ``"lockstep"``: the game stands still between two steps; ``"realtime"``: it goes on, as for a person
    :param actions: 2 (nothing, jump) or 3 (and duck)
    :param press: ``"hold"``: a key is down for as long as its action is repeated, so that short jumps can be learned;
        ``"tap"``: it is released at once, every jump is a full one
    :param frame_skip: frames per step
    :param speed: pixels per frame at the start
    :param acceleration: growth of the speed per frame up to the game's limit of 13; 0 for constant speed
    :param crop: (top, bottom, left, right) as in ``canvas[top:bottom, left:right]``, in pixels of the canvas of
        150x600; None for all of it
    :param size: (height, width) of an observation, in pixels
    :param stack: frames per observation, the newest last; after a reset the first one, repeated
    :param reward: ``"alive"``: ``alive_reward`` for every step, ``crash_reward`` for the one that crashes; ``"score"``:
        points gained in the step
    :param alive_reward: see ``reward``
    :param crash_reward: see ``reward``
    :param browser: path or name of the browser; None takes SB3_ATARI_DQN_BROWSER or searches
    :param timeout_s: seconds within which the browser must answer a step
    :param max_restarts: browsers that are started one after the other for one reset before it gives up
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
        for name, minimum in (("frame_skip", 1), ("stack", 1), ("max_restarts", 1), ("actions", 2)):
            self._set(name, whole_number(name, getattr(self, name), minimum))
        if self.actions > len(ACTIONS):
            raise ValueError(f"actions must be 2 (nothing, jump) or 3 (and duck), got {self.actions!r}.")
        check_between("speed", self.speed, 0, 100, above_low=True)
        check_between("acceleration", self.acceleration, 0, 1)
        check_between("timeout_s", self.timeout_s, 0, float("inf"), above_low=True)
        for name in ("alive_reward", "crash_reward"):
            check_between(name, getattr(self, name), -1e6, 1e6)
        self._check_picture()

    @classmethod
    def of(cls, options: dict[str, Any]) -> DinoOptions:
        """
        :param options: by name
        :raises ValueError: on an unknown one, with the one that may be meant, or a value out of range
        """
        check_keys("the options of ChromeDino-v0", options, [field.name for field in fields(cls)])
        return cls(**options)

    def _check_picture(self) -> None:
        size, crop = _whole_numbers(self.size, 1), _whole_numbers(self.crop, 0)
        if size is None or len(size) != 2:
            raise ValueError(f"size must be (height, width) in pixels, both above 0, got {self.size!r}.")
        if self.crop is not None and not (crop and len(crop) == 4 and crop[0] < crop[1] and crop[2] < crop[3]):
            raise ValueError(
                "crop must be (top, bottom, left, right) in pixels with 0 <= top < bottom and 0 <= left < right, or "
                f"None, got {self.crop!r}."
            )
        self._set("size", size)
        self._set("crop", crop)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _whole_numbers(values: Any, minimum: int) -> tuple[int, ...] | None:
    """:return: the values as a tuple, or None if they are no sequence of whole numbers from ``minimum`` on"""
    if not isinstance(values, tuple | list):
        return None
    good = all(isinstance(value, int) and not isinstance(value, bool) and value >= minimum for value in values)
    return tuple(values) if good else None
