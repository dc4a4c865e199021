"""What each wrapper hands on, recorded while the environment runs as it always does."""

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
    One picture on its way from the game to the agent.

    :param name: what has just been done to it
    :param picture: as the next stage gets it
    :param derived: made from the stage before; a raw frame is not
    """

    name: str
    picture: np.ndarray
    derived: bool = True


class ObservationRecorder:
    """
    Records the observations of every layer of an environment; whoever plays it notices nothing.

    :param env: a game and the wrappers around it
    """

    def __init__(self, env: gym.Env) -> None:
        #: from the game to the outermost wrapper
        self.layers = list(_layers(env))[::-1]
        self._seen: list[list[np.ndarray]] = [[] for _ in self.layers]
        for layer, seen in zip(self.layers, self._seen, strict=True):
            _record(layer, seen)
        _clear_before_reset(self.layers[-1], self)

    def clear(self) -> None:
        """Forget the observations of the steps so far."""
        for seen in self._seen:
            seen.clear()

    def stages(self) -> list[Stage]:
        """
        :return: since :meth:`clear`, the raw frames that count, then every change up to the outermost wrapper's last
            observation
        :raises RuntimeError: if a stage is not what the environment handed on, which would be our mistake
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
    """A vectorized environment resets inside the step that ends an episode; what counts is what came after it."""
    reset = outermost.reset

    def clearing_reset(*args: Any, **kwargs: Any) -> Any:
        recorder.clear()
        return reset(*args, **kwargs)

    outermost.reset = clearing_reset  # type: ignore[method-assign]


def _changes(layer: gym.Env, frames: list[np.ndarray], before: np.ndarray, after: np.ndarray) -> list[Stage]:
    """:return: the stages of one layer, none if it hands the picture on as it is"""
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
        raise RuntimeError(f"The stages {[stage.name for stage in stages]} do not lead to what the agent got")
    return [*stages[:-1], Stage(stages[-1].name, after)] if stages else []


def _pool(layer: gym.Env) -> int:
    """:return: over how many frames a layer takes the maximum"""
    if isinstance(layer, MaxAndSkipEnv):
        return 2
    return layer._pool if isinstance(layer, SkipAndPoolEnv) else 1


def _pool_name(frames: list[np.ndarray], pool: int, after: np.ndarray) -> str:
    """After a reset, the only frame there is passes the pool as it is."""
    is_maximum = len(frames) == pool and np.array_equal(np.max(frames, axis=0), after)
    return f"maximum of {pool} frames" if is_maximum else "no maximum after a reset"


def _kind(game: gym.Env, frame: np.ndarray) -> str:
    """:return: what to call the observations of a game; of other games nobody knows how raw they are"""
    if isinstance(game, AtariEnv):
        return "raw frame" if frame.ndim > 1 else "memory"
    return "picture" if frame.ndim > 1 else "numbers"


def _raw_name(kind: str, number: int, count: int) -> str:
    return kind if count == 1 else f"{kind} {number} of {count}"
