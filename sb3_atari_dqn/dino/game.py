"""The game in a page: starts it, resets it, plays steps. Knows no reinforcement learning."""

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

#: In this order: each knows only what stands before it.
SCRIPTS = ("clock.js", "capture.js", "chrome_game.js", "harness.js")
ADDRESS = "chrome://dino/"


@dataclass(frozen=True)
class Report:
    """
    What the page says after a step.

    :param image: gray, uint8 [H, W]
    :param crashed: the game is over
    :param frames: passed since the reset
    :param score: as the game shows it
    :param distance: pixels run
    :param speed: pixels per frame
    """

    image: np.ndarray
    crashed: bool
    frames: int
    score: int
    distance: float
    speed: float


class Game:
    """
    A browser with the game in it. Everything may raise a :class:`BrowserFault`; the game is then of no further use.

    :param options: of the environment
    :param visible: show a window, in which a frame takes 1/60 s
    :raises NoBrowser: if there is no browser, or it has no chrome://dino and nothing else is allowed
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
            self.page.timeout_s = options.timeout_s  # from here on, a start takes its time
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the browser, in whatever state it is."""
        self.page.close()

    def reset(self, seed: int) -> Report:
        """:param seed: 32 bits, of all obstacles and clouds"""
        return self._report(self.page.js(f"dino.reset({seed})"))

    def step(self, action: int) -> Report:
        """:param action: 0 nothing, 1 jump, 2 duck"""
        return self._report(self.page.js(f"dino.step({action},{self._options.frame_skip})", self._wait))

    def picture(self) -> np.ndarray:
        """:return: the whole canvas, uint8 [150, 600, 3]"""
        pixels = base64.b64decode(self.page.js("dino.rgb()"))
        return np.frombuffer(pixels, np.uint8).reshape(*self.canvas_shape, 3).copy()

    def obstacles(self) -> list[list[Any]]:
        """:return: [kind, x, y, width, height] in pixels of the canvas, the nearest first"""
        return self.page.js("dino.obstacles()")

    def _load(self) -> str:
        """:return: name of the game that is now in the page"""
        if self._options.game != "embedded":
            self.page.load(ADDRESS)
            self.page.wait_until("dino.loaded()")
            if self.page.js("dino.hasGame()"):
                return "chrome"
            if self._options.game == "chrome":
                raise NoBrowser(
                    f"This browser has no {ADDRESS}, or one of another make: use Chromium 120 or later as a whole "
                    "(its headless shell has no game), or game='embedded'."
                )
        self.page.load("data:text/html," + quote(text_of("runner.html")))
        self.page.wait_until("dino.loaded() && dino.hasGame()")
        return "embedded"

    def _report(self, answer: dict[str, Any]) -> Report:
        image = np.frombuffer(base64.b64decode(answer.pop("image")), np.uint8)
        return Report(image.reshape(self._options.size), **answer)


def _script(options: DinoOptions, visible: bool) -> str:
    """:return: all our scripts as one, closed off from the page's but for ``window.dino``"""
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
