"""Environment steps per second of the browser game: our environment and the tutorial's setup, in one run.

    python benchmarks/dino.py                 # needs `pip install -e '.[bench]'` and Debian's chromium-driver

The contestants take random actions (nothing, jump); their windows alternate:

- lockstep: ``ChromeDino-v0`` with its defaults, 4 frames per step, one browser
- lockstep_2: two browsers in separate processes (total steps of both)
- selenium: the tutorial's setup, in real time: Selenium and chromedriver press a key, then query the score, the image
  (the whole canvas as PNG, decoded and resized with OpenCV) and the end of the game, one round trip each
"""

import argparse
import base64
import os
import time
from collections.abc import Callable
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from report import circumstances, spread, write

from sb3_atari_dqn.dino.browser import find_browser
from sb3_atari_dqn.dino.env import ChromeDinoEnv
from sb3_atari_dqn.dino.game import ADDRESS

Stepper = Callable[[], int]
"""Makes one step; returns the number of environment steps."""

SCORE = "return Number(Runner.getInstance().distanceMeter.digits.join(''))"
PICTURE = "return document.querySelector('.runner-canvas').toDataURL().substring(22)"
CRASHED = "return Runner.getInstance().crashed"


class OneBrowser:
    """``ChromeDino-v0``."""

    def __init__(self) -> None:
        self.env = ChromeDinoEnv(game="chrome", acceleration=0.0)
        self.env.reset(seed=1)
        self.actions = np.random.default_rng(0)

    def step(self) -> int:
        *_, terminated, truncated, info = self.env.step(int(self.actions.integers(2)))
        assert "fault" not in info
        if terminated or truncated:
            self.env.reset()
        return 1

    def close(self) -> None:
        self.env.close()


class TwoBrowsers:
    """``ChromeDino-v0`` twice, in parallel."""

    def __init__(self) -> None:
        self.envs = gym.make_vec(
            "ChromeDino-v0", num_envs=2, vectorization_mode="async", game="chrome", acceleration=0.0
        )
        self.envs.reset(seed=1)
        self.actions = np.random.default_rng(0)

    def step(self) -> int:
        self.envs.step(self.actions.integers(2, size=2))
        return 2

    def close(self) -> None:
        self.envs.close()


class Tutorial:
    """The tutorial's setup, with the game's current object names and a headless browser."""

    def __init__(self) -> None:
        from selenium import webdriver
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        options = webdriver.ChromeOptions()
        options.binary_location = find_browser()
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        for argument in ("--headless=new", "--mute-audio", "--disable-gpu", "--force-device-scale-factor=1", *as_root):
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        self._load()
        self.driver.execute_script("Runner.getInstance().updateConfigSetting('acceleration', 0)")
        self._jump = lambda: self.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_UP)
        self._jump()
        self.actions = np.random.default_rng(0)

    def step(self) -> int:
        if self.actions.integers(2):
            self._jump()
        self.driver.execute_script(SCORE)
        picture = np.frombuffer(base64.b64decode(self.driver.execute_script(PICTURE)), np.uint8)
        image = cv2.imdecode(picture, cv2.IMREAD_COLOR)
        assert image is not None
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:300, :500]
        assert cv2.resize(gray, (80, 80)).shape == (80, 80)
        if self.driver.execute_script(CRASHED):
            self.driver.execute_script("Runner.getInstance().restart()")
        return 1

    def close(self) -> None:
        self.driver.quit()

    def _load(self) -> None:
        from selenium.common.exceptions import WebDriverException

        try:
            self.driver.get(ADDRESS)
        except WebDriverException as error:  # this error page is the game
            if "ERR_INTERNET_DISCONNECTED" not in str(error):
                raise


CONTESTANTS: dict[str, Callable[[], Any]] = {"lockstep": OneBrowser, "lockstep_2": TwoBrowsers, "selenium": Tutorial}


def steps_per_second(step: Stepper, seconds: float) -> float:
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        steps += step()
    return steps / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()

    load_before = os.getloadavg()[0]
    measured: dict[str, list[float]] = {name: [] for name in args.only}
    for _ in range(args.windows):
        for name in args.only:
            contestant = CONTESTANTS[name]()
            steps_per_second(contestant.step, 1.0)  # warm-up: the browser compiles its scripts
            measured[name].append(steps_per_second(contestant.step, args.seconds))
            contestant.close()
    figures = {f"{name}_steps_per_second": spread(values) for name, values in measured.items()}
    write(
        {**circumstances("gymnasium"), "load_before": load_before, "load_after": os.getloadavg()[0], **figures},
        args.out,
    )


if __name__ == "__main__":
    main()
