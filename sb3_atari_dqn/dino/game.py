"""Starts, resets and steps the game in a browser page. Independent of gymnasium."""

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sb3_atari_dqn.dino.faults import NoBrowser
from sb3_atari_dqn.dino.options import DinoOptions
from sb3_atari_dqn.dino.page import Page

#: In load order: each script uses only the ones before it.
SCRIPTS = ("clock.js", "capture.js", "chrome_game.js", "harness.js")
ADDRESS = "chrome://dino/"


@dataclass(frozen=True)
class Report:
    """
    The result of a step.

    :param image: grayscale, uint8 [H, W]
    :param crashed: whether the game is over
    :param frames: since the reset
    :param score: as displayed by the game
    :param distance: in pixels
    :param speed: in pixels per frame
    """

    image: np.ndarray
    crashed: bool
    frames: int
    score: int
    distance: float
    speed: float


class Game:
    """
    A browser running the game. Every method may raise a :class:`BrowserFault`, after which the game must be closed.

    :param options: of the environment
    :param visible: show a window, and play in real time at 60 frames per second
    :raises NoBrowser: if no browser is found, or it lacks chrome://dino and ``game="chrome"`` requires it
    """

    def __init__(self, options: DinoOptions, visible: bool = False) -> None:
        self._options = options
        self._wait = visible or options.mode == "realtime"
        self.page = Page(options.browser, visible)
        try:
            self.page.before_load(_script(options, visible))
            self.name = self._load()
            self.page.wait_until("dino.ready()")
            self.canvas_shape: tuple[int, int] = tuple(self.page.js("dino.start()"))
            self.page.timeout_s = options.timeout_s  # only now, because starting a browser takes longer
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the browser, regardless of its state."""
        self.page.close()

    def reset(self, seed: int) -> Report:
        """:param seed: 32 bits, for obstacles and clouds"""
        return self._report(self.page.js(f"dino.reset({seed})"))

    def step(self, action: int) -> Report:
        """:param action: 0 nothing, 1 jump, 2 duck"""
        return self._report(self.page.js(f"dino.step({action},{self._options.frame_skip})", self._wait))

    def picture(self) -> np.ndarray:
        """:return: the whole canvas, uint8 [150, 600, 3]"""
        pixels = base64.b64decode(self.page.js("dino.rgb()"))
        return np.frombuffer(pixels, np.uint8).reshape(*self.canvas_shape, 3).copy()

    def obstacles(self) -> list[list[Any]]:
        """:return: [kind, x, y, width, height] in canvas pixels, nearest first"""
        return self.page.js("dino.obstacles()")

    def _load(self) -> str:
        """:return: name of the loaded game"""
        if self._options.game != "embedded":
            self.page.load(ADDRESS)
            self.page.wait_until("dino.loaded()")
            if self.page.js("dino.hasGame()"):
                return "chrome"
            if self._options.game == "chrome":
                raise NoBrowser(
                    f"game='chrome', but this browser lacks {ADDRESS} or has an incompatible version: use a full "
                    "Chromium 120 or later (its headless shell lacks the game), or game='embedded'."
                )
        self.page.load("data:text/html," + quote(text_of("runner.html")))
        self.page.wait_until("dino.loaded() && dino.hasGame()")
        return "embedded"

    def _report(self, answer: dict[str, Any]) -> Report:
        image = np.frombuffer(base64.b64decode(answer.pop("image")), np.uint8)
        return Report(image.reshape(self._options.size), **answer)


def _script(options: DinoOptions, visible: bool) -> str:
    """:return: all our scripts in one closure, which exposes only ``window.dino`` to the page"""
    settings = {
        "realtime": options.mode == "realtime",
        "visible": visible,
        **{name: getattr(options, name) for name in ("press", "crop", "size", "speed", "acceleration")},
    }
    parts = [f"const settings = {json.dumps(settings)};", *(text_of(name) for name in SCRIPTS)]
    return "(() => {\n" + "\n".join(parts) + "\n})();"


@cache
def text_of(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
