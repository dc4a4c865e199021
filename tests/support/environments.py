"""Small environments with known answers: a pixel game and probes that isolate one ability each."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Catch(gym.Env):
    """
    A ball falls from the top row, a paddle on the bottom row catches it: +1 or -1 at the end of the episode.

    Images are (36, 36, 1) uint8 with the channel last, as cameras give them: 9x9 cells of 4x4 pixels.
    Random play scores about -0.7, perfect play 1.
    """

    cells, pixels_per_cell = 9, 4
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(3)  # left, stay, right

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.row = 0
        self.ball, self.paddle = self.np_random.integers(self.cells, size=2)
        return self._image(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.row += 1
        self.paddle = np.clip(self.paddle + action - 1, 0, self.cells - 1)
        landed = self.row == self.cells - 1
        reward = float(landed) * (1.0 if self.ball == self.paddle else -1.0)
        return self._image(), reward, landed, False, {}

    def _image(self) -> np.ndarray:
        board = np.zeros((self.cells, self.cells, 1), np.uint8)
        board[-1, self.paddle] = 128
        board[self.row, self.ball] = 255
        return board.repeat(self.pixels_per_cell, axis=0).repeat(self.pixels_per_cell, axis=1)


class SmallCatch(Catch):
    """5x5 cells, so images of 20x20 pixels, the smallest that the torso `dqn2013` takes: learned in 1,500 steps.

    Random play scores about -0.6, perfect play 1.
    """

    cells = 5
    observation_space = spaces.Box(0, 255, (20, 20, 1), np.uint8)


class Noise(gym.Env):
    """Random images, random rewards, episodes of three steps that time out every other time: data, not a task."""

    def __init__(self, shape: tuple[int, ...] = (36, 36, 1), n_actions: int = 4) -> None:
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(n_actions)
        self.episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps, self.episodes = 0, self.episodes + 1
        return self._image(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        over, timed_out = self.steps == 3, self.episodes % 2 == 0
        return self._image(), float(self.np_random.normal()), over and not timed_out, over and timed_out, {}

    def _image(self) -> np.ndarray:
        return self.np_random.integers(256, size=self.observation_space.shape, dtype=np.uint8)


class Probe(gym.Env):
    """
    Base of the probes: vectors of length 1, two actions.

    Source of the idea: rejax's `tests/support/environments.py`.
    """

    observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(2)

    def _see(self, number: float) -> np.ndarray:
        return np.array([number], np.float32)


class ValueProbe(Probe):
    """One step, one observation, reward 1 whatever is done: Q(0, a) = 1."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return self._see(0), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return self._see(0), 1.0, True, False, {}


class DiscountProbe(Probe):
    """Two steps, 0 and then 1, reward 1 at the end only: Q(1, a) = 1, Q(0, a) = gamma."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.last = False
        return self._see(0), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        over, self.last = self.last, True
        return self._see(1), float(over), over, False, {}


class PolicyProbe(Probe):
    """One step, observation -1 or 1, reward 1 for the action that fits (0 or 1) and -1 for the other."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.fitting = int(self.np_random.integers(2))
        return self._see(2 * self.fitting - 1), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return self._see(2 * self.fitting - 1), 1.0 if action == self.fitting else -1.0, True, False, {}


class ImageAndVector(gym.Env):
    """Dictionary observations: an image and two numbers; episodes of three steps."""

    observation_space = spaces.Dict(
        {"image": spaces.Box(0, 255, (36, 36, 1), np.uint8), "numbers": spaces.Box(-1, 1, (2,), np.float32)}
    )

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.steps = 0
        return self._see(), {}

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        self.steps += 1
        return self._see(), 1.0, self.steps == 3, False, {}

    def _see(self) -> dict[str, np.ndarray]:
        image = self.np_random.integers(256, size=(36, 36, 1), dtype=np.uint8)
        return {"image": image, "numbers": self.np_random.uniform(-1, 1, 2).astype(np.float32)}
