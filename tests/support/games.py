"""A game with lives and a screen that one can read: every picture shows its own number."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv


class Countdown(gym.Env):
    """
    A game of ``length`` steps that pays 1 per step; the picture of step t is gray level ``first + 10 * t``.

    The observation is noise, of the game's own generator: it shows what the agent saw apart from the picture.
    """

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, length: int = 4, first: int = 5, render_mode: str | None = "rgb_array") -> None:
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self.length, self.first = length, first

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        return self._see(), 1.0, self.t == self.length, False, {}

    def render(self) -> np.ndarray:
        return np.full((6, 4, 3), self.first + 10 * self.t, np.uint8)

    def _see(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


class LosesLives(gym.Wrapper):
    """Ends an episode at every second step although the game goes on, as SB3's EpisodicLifeEnv does."""

    def reset(self, **kwargs: Any) -> Any:
        if getattr(self, "_alive", False):
            return self._last, {}
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        self._last, reward, over, truncated, info = self.env.step(action)
        self._alive = not over and self.unwrapped.t % 2 == 0  # type: ignore[attr-defined]
        return self._last, reward, over or self._alive, truncated, info


def countdowns(*lengths: int, lives: bool = False, **kwargs: Any) -> DummyVecEnv:
    """:return: one game of each length; the pictures of game i begin at gray level 5 + i"""

    def make(number: int, length: int) -> gym.Env:
        env: gym.Env = Monitor(Countdown(length, 5 + number, **kwargs))
        return LosesLives(env) if lives else env

    return DummyVecEnv([lambda n=n, length=length: make(n, length) for n, length in enumerate(lengths)])  # type: ignore
