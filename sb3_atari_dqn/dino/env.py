"""``ChromeDino-v0``, a gymnasium environment."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_atari_dqn.dino.faults import BrowserFault
from sb3_atari_dqn.dino.game import Game, Report
from sb3_atari_dqn.dino.options import ACTIONS, CANVAS, DinoOptions

FRAMES_PER_SECOND = 60
PAGE_GRAY = 247


class ChromeDinoEnv(gym.Env[np.ndarray, Any]):
    """
    The T-Rex of chrome://dino runs and must jump over obstacles.

    Observations are grayscale, uint8 [H, W, K], the newest of K frames last. Actions: 0 nothing, 1 jump, 2 duck. An
    episode is terminated by a crash, and truncated if the browser fails: ``info["fault"]`` then describes the failure,
    the observation repeats the last valid frame, and the next reset starts a new browser.

    ``info`` holds score, distance (pixels), speed (pixels per frame), frames, crashed, seed (of the obstacles), game.

    :param render_mode: "rgb_array" (the whole canvas), "human" (a browser window in real time), None
    :param options: see :class:`DinoOptions`
    :raises ValueError: on an unknown option or a value out of range
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": FRAMES_PER_SECOND / 4}

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be rgb_array, human or None, got {render_mode!r}.")
        self.render_mode = render_mode
        self.options = DinoOptions.of(options)
        self.metadata = {**self.metadata, "render_fps": FRAMES_PER_SECOND / self.options.frame_skip}
        self.observation_space = spaces.Box(0, 255, (*self.options.size, self.options.stack), np.uint8)
        self.action_space = spaces.Discrete(self.options.actions)
        self.game: Game | None = None
        self._stack = np.zeros((*self.options.size, self.options.stack), np.uint8)
        self._picture = np.full((*CANVAS, 3), PAGE_GRAY, np.uint8)
        self._info: dict[str, Any] = {}
        self._playing = False
        self._fault: BrowserFault | None = None  # raised between two steps, reported by the next one

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """
        :param seed: of this and all following episodes, until the next seed
        :param options: must be empty
        :raises ValueError: on any options, rather than ignoring them silently
        :raises BrowserFault: if ``max_restarts`` browsers fail in a row; the message describes the last failure
        :raises NoBrowser: if no browser is found
        """
        if options:
            raise ValueError(f"reset() takes no options, got options={options!r}: pass them to gymnasium.make().")
        super().reset(seed=seed)
        self._playing, self._fault = False, None
        game_seed = int(self.np_random.integers(2**31))
        report, game = self._begin(game_seed)
        self._playing = True
        self._stack[:] = report.image[:, :, None]
        self._info = {"seed": game_seed, "game": game}
        return self._stack.copy(), self._update_info(report)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """
        :param action: 0 nothing, 1 jump, 2 duck
        :raises ValueError: on an invalid action
        :raises RuntimeError: if the episode is over, or the environment is closed
        """
        if not self.action_space.contains(action):
            raise ValueError(f"action must be an integer from 0 to {self.options.actions - 1}, got {action!r}.")
        if not self._playing:
            raise RuntimeError("step() called before reset(), or after the end of the episode: call reset() first.")
        if self._fault is not None:
            return self._truncate(self._fault)
        assert self.game is not None
        try:
            report = self.game.step(int(action))
        except BrowserFault as fault:
            return self._truncate(fault)
        self._playing = not report.crashed
        reward = self._reward(report)
        self._push(report.image)
        return self._stack.copy(), reward, report.crashed, False, self._update_info(report)

    def render(self) -> np.ndarray | None:
        """:return: the canvas, uint8 [150, 600, 3], for "rgb_array"; the last one rendered if the browser is gone"""
        if self.render_mode != "rgb_array":
            return None
        if self.game is not None:
            try:
                self._picture = self.game.picture()
            except BrowserFault as fault:
                self._end_game()
                self._fault = fault
        return self._picture

    def get_action_meanings(self) -> list[str]:
        """:return: action meanings, as in Atari games"""
        return [name.upper() for name in ACTIONS[: self.options.actions]]

    def close(self) -> None:
        """End the episode, close the browser and remove its files. The next reset starts a new browser."""
        self._playing = False
        self._end_game()

    def _end_game(self) -> None:
        game, self.game = self.game, None
        if game is not None:
            game.close()

    def _begin(self, game_seed: int) -> tuple[Report, str]:
        """
        Start an episode, in a new browser if none is running or the current one fails.

        :return: report of the first frame, and the name of the game
        """
        for attempt in range(1, self.options.max_restarts + 1):
            try:
                if self.game is None:
                    self.game = Game(self.options, visible=self.render_mode == "human")
                return self.game.reset(game_seed), self.game.name
            except BrowserFault as fault:
                self._end_game()
                if attempt == self.options.max_restarts:
                    raise type(fault)(f"max_restarts={attempt} browsers failed, the last one with: {fault}") from fault
        raise AssertionError("max_restarts is at least 1")

    def _truncate(self, fault: BrowserFault) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """:return: a truncated step: reward 0, the last valid frame again"""
        self.close()
        self._push(self._stack[:, :, -1])
        self._info["fault"] = f"{type(fault).__name__}: {fault}"
        return self._stack.copy(), 0.0, False, True, dict(self._info)

    def _reward(self, report: Report) -> float:
        """Must be called before :meth:`_update_info`, which overwrites the previous score."""
        if self.options.reward == "score":
            return float(report.score - self._info["score"])
        return float(self.options.crash_reward if report.crashed else self.options.alive_reward)

    def _push(self, image: np.ndarray) -> None:
        self._stack[:, :, :-1] = self._stack[:, :, 1:]
        self._stack[:, :, -1] = image

    def _update_info(self, report: Report) -> dict[str, Any]:
        """:return: info dictionary of this step"""
        for name in ("score", "distance", "speed", "frames", "crashed"):
            self._info[name] = getattr(report, name)
        return dict(self._info)
