"""Records the observations that every wrapper of an environment returns, without changing them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium.wrappers import TransformObservation
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv

from sb3_atari_dqn.atari.frames import FramePipeline
from sb3_atari_dqn.atari.skipping import SkipAndPoolEnv


@dataclass(frozen=True)
class Stage:
    """
    One intermediate image between the game and the agent.

    :param name: of the last operation
    :param picture: its output
    :param derived: whether it was computed from the previous stage; raw frames are not
    """

    name: str
    picture: np.ndarray
    derived: bool = True


class ObservationRecorder:
    """
    Records the observations of every layer of an environment; its results stay the same.

    :param env: an environment with its wrappers
    """

    def __init__(self, env: gym.Env) -> None:
        #: from the innermost environment to the outermost wrapper
        self.layers = list(_layers(env))[::-1]
        self._seen: list[list[np.ndarray]] = [[] for _ in self.layers]
        for layer, seen in zip(self.layers, self._seen, strict=True):
            _record(layer, seen)
        _clear_before_reset(self.layers[-1], self)

    def clear(self) -> None:
        """Discard the recorded observations."""
        for seen in self._seen:
            seen.clear()

    def stages(self) -> list[Stage]:
        """
        :return: since :meth:`clear`, the raw frames that enter the observation, then the result of every operation up
            to the last observation of the outermost wrapper
        :raises RuntimeError: if replaying the pipeline does not reproduce the recorded observation (a bug of ours)
        """
        frames = self._seen[0]
        n_shown = min(2 if any(_pool(layer) > 1 for layer in self.layers) else 1, len(frames))
        first = len(frames) - n_shown
        kind = _kind(self.layers[0], frames[0])
        stages = [
            Stage(_raw_name(kind, i + 1, len(frames)), frames[i], derived=False) for i in range(first, len(frames))
        ]
        for layer, seen in zip(self.layers[1:], self._seen[1:], strict=True):
            stages += _changes(layer, frames, stages[-1].picture, seen[-1])
        return stages


def _layers(env: gym.Env) -> Iterator[gym.Env]:
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def _record(layer: gym.Env, seen: list[np.ndarray]) -> None:
    step, reset = layer.step, layer.reset

    def recorded_step(*args: Any, **kwargs: Any) -> Any:
        result = step(*args, **kwargs)
        seen.append(np.array(result[0]))
        return result

    def recorded_reset(*args: Any, **kwargs: Any) -> Any:
        result = reset(*args, **kwargs)
        seen.append(np.array(result[0]))
        return result

    layer.step = recorded_step  # type: ignore[method-assign]
    layer.reset = recorded_reset  # type: ignore[method-assign]


def _clear_before_reset(outermost: gym.Env, recorder: ObservationRecorder) -> None:
    """A vectorized environment resets within the step that ends an episode; keep only what follows the reset."""
    reset = outermost.reset

    def clearing_reset(*args: Any, **kwargs: Any) -> Any:
        recorder.clear()
        return reset(*args, **kwargs)

    outermost.reset = clearing_reset  # type: ignore[method-assign]


def _changes(layer: gym.Env, frames: list[np.ndarray], before: np.ndarray, after: np.ndarray) -> list[Stage]:
    """:return: the stages of one layer, none if it leaves the observation unchanged"""
    if isinstance(layer, TransformObservation) and isinstance(layer.func, FramePipeline):
        return _pipeline_stages(layer.func, before, after)
    if _pool(layer) > 1:
        return [Stage(_pool_name(frames[-_pool(layer) :], _pool(layer), after), after)]
    if np.array_equal(before, after):
        return []
    return [Stage(type(layer).__name__, after)]


def _pipeline_stages(pipeline: FramePipeline, before: np.ndarray, after: np.ndarray) -> list[Stage]:
    stages, picture = [], before
    for name, function in pipeline.stages:
        picture = function(picture)
        stages.append(Stage(name, picture))
    if not np.array_equal(picture.reshape(after.shape), after):
        raise RuntimeError(f"The stages {[stage.name for stage in stages]} do not reproduce the recorded observation")
    return [*stages[:-1], Stage(stages[-1].name, after)] if stages else []


def _pool(layer: gym.Env) -> int:
    """:return: number of frames that a layer max-pools"""
    if isinstance(layer, MaxAndSkipEnv):
        return 2
    return layer._pool if isinstance(layer, SkipAndPoolEnv) else 1


def _pool_name(frames: list[np.ndarray], pool: int, after: np.ndarray) -> str:
    """After a reset there is only one frame, and no pooling."""
    is_maximum = len(frames) == pool and np.array_equal(np.max(frames, axis=0), after)
    return f"maximum of {pool} frames" if is_maximum else "no maximum after a reset"


def _kind(game: gym.Env, frame: np.ndarray) -> str:
    """:return: what to call the observations of a game; only those of Atari games are known to be raw"""
    if isinstance(game, AtariEnv):
        return "raw frame" if frame.ndim > 1 else "memory"
    return "picture" if frame.ndim > 1 else "numbers"


def _raw_name(kind: str, number: int, count: int) -> str:
    return kind if count == 1 else f"{kind} {number} of {count}"
