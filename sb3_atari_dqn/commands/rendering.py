"""Renders a step of an episode as an image, with the panels that the model and its environment support."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.episodes import Step, action_names
from sb3_atari_dqn.networks.readout import Readout, has_action_values, read
from sb3_atari_dqn.networks.saliency import GRADIENT, PERTURBATION, SMOOTH
from sb3_atari_dqn.pictures.arrays import single_frame_shape, split_stack
from sb3_atari_dqn.pictures.bars import ActionBars
from sb3_atari_dqn.pictures.drawing import BLUE, ORANGE, Colour
from sb3_atari_dqn.pictures.histograms import ActionHistograms
from sb3_atari_dqn.pictures.saliency import RunningScale
from sb3_atari_dqn.pictures.screen import View, draw_screen

_LEGENDS = {
    GRADIENT: "gradient of",
    SMOOTH: "smoothed gradient of",
    PERTURBATION: "where blurring changes",
}


class FrameRenderer:
    """
    Renders the steps of one video.

    :param env_id: environment
    :param algo: zoo name of the algorithm
    :param model_name: which of the run's models
    :param model: loaded
    :param env: in which it plays
    :param saliency: how to compute saliency maps, see :mod:`~sb3_atari_dqn.networks.saliency`; None: none
    """

    def __init__(
        self, env_id: str, algo: str, model_name: str, model: Any, env: VecEnv, saliency: str | None = PERTURBATION
    ) -> None:
        self.env: gym.Env = env.unwrapped.envs[0]  # type: ignore[attr-defined]
        self._title = f"{env_id}   {algo}   {model_name}"
        self._policy = model.policy
        self._bars = ActionBars(action_names(self.env, env.action_space))
        self._histograms = ActionHistograms()
        self._frame_shape = _frame_shape(self.env, env)
        self._no_values = _why_no_values(model, algo, env.observation_space)
        self._saliency = saliency if self._frame_shape is not None else None
        if self._saliency and not is_image_space(model.observation_space):
            self._saliency = GRADIENT  # bytes have no neighbours
        self._scales = RunningScale(), RunningScale()

    def draw(self, step: Step) -> np.ndarray:
        """
        :param step: of the episode
        :return: uint8 [H, W, 3]
        """
        readout = None if self._no_values else read(self._policy, step.observation, self._saliency)
        episode = step.episode
        frames = "" if episode.raw_frames is None else f"   frame {episode.raw_frames:,}"
        return draw_screen(
            View(
                title=self._title,
                status=f"episode {step.number}   score {episode.score:g}   step {episode.env_steps:,}{frames}",
                game=step.picture,
                frames=[] if self._frame_shape is None else split_stack(step.observation, self._frame_shape),
                maps=[] if readout is None else self._maps(readout),
                columns=self._columns(readout, step),
                chosen=step.place,
                note=self._note(readout, step),
            ),
            self._bars,
        )

    def _maps(self, readout: Readout) -> list[tuple[np.ndarray, Colour, str]]:
        dueling = readout.value is not None
        what = _LEGENDS[self._saliency or GRADIENT]
        meanings = (
            (readout.value_saliency, ORANGE, f"{what} V, the state value"),
            (readout.action_saliency, BLUE, f"{what} {'A' if dueling else 'Q'} of the best action"),
        )
        return [
            (scale(saliency), colour, meaning)
            for scale, (saliency, colour, meaning) in zip(self._scales, meanings, strict=True)
            if saliency is not None
        ]

    def _columns(self, readout: Readout | None, step: Step) -> list[Any]:
        if readout is not None:
            values = readout.q, readout.value, readout.advantages
            if readout.returns is None or readout.probabilities is None:
                return self._bars.columns(*values)
            return [self._histograms.column(*values, readout.returns, readout.probabilities)]
        if not self._bars.names:
            return []
        return self._bars.frequencies(np.array([step.episode.actions[name] for name in self._bars.names]))

    def _note(self, readout: Readout | None, step: Step) -> str:
        if readout is None:
            return self._no_values
        return "exploratory action" if readout.q[step.place] < readout.q.max() else ""


def _why_no_values(model: Any, algo: str, space: spaces.Space) -> str:
    """:return: why there are no action values to show; empty if there are"""
    if not has_action_values(model.policy):
        return f"{algo} has no action values to show"
    if not isinstance(space, spaces.Box):
        return f"action values are not shown for observations of type {type(space).__name__}"
    return ""


def _frame_shape(single: gym.Env, env: VecEnv) -> tuple[int, ...] | None:
    """:return: shape of one frame of the observation; None if that is not an image"""
    space = env.observation_space
    if not isinstance(space, spaces.Box) or (len(space.shape) == 1 and space.dtype != np.uint8):
        return None
    shapes = [space.shape]
    while isinstance(single, gym.Wrapper):
        shapes.append(single.observation_space.shape or ())
        single = single.env
    return single_frame_shape([single.observation_space.shape or (), *shapes[::-1]])
