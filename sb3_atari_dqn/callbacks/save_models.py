"""Models saved during training: after every n-th episode, or when the mean training return improves."""

import json
import warnings
from collections import deque
from math import fsum
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_dqn.callbacks.run import Episode, RunCallback
from sb3_atari_dqn.checkpoints.model_files import replacing
from sb3_atari_dqn.checkpoints.statistics_files import write_statistics
from sb3_atari_dqn.validation import as_int


class SaveEveryEpisode(RunCallback):
    """
    Save the model after every n-th episode, as ``models/episode_000012.zip``; see :func:`save_model`.

    :param every_n_episodes: n, over all environments
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    outputs = ("models/episode_*.zip",)

    def __init__(self, every_n_episodes: int = 1, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self.every_n_episodes = as_int("every_n_episodes", every_n_episodes, 1)

    def _on_episode(self, episode: Episode) -> None:
        if episode.number % self.every_n_episodes == 0:
            path = self.folder / "models" / f"episode_{episode.number:06d}.zip"
            with self._writing(path):
                save_model(self.model, path, self.env_name)
                self._say(f"Saved {path}")


class SaveOnBestTrainingMean(RunCallback):
    """
    Save the model as ``best_training_model.zip`` whenever the mean return of the last episodes is the best so far.

    These are training episodes, with exploration. ``best_training_model.json`` holds the mean; a continued training
    must exceed it. See :func:`save_model`.

    :param window: episodes in the mean; nothing is saved before that many have ended
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    outputs = ("best_training_model.zip", "best_training_model.json")

    def __init__(self, window: int = 100, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self.window = as_int("window", window, 1)
        self.best_mean = -float("inf")
        self._scores: deque[float] = deque(maxlen=self.window)

    def _take_over(self) -> None:
        super()._take_over()
        path = self.folder / "best_training_model.json"
        if path.is_file():
            self.best_mean = max(self.best_mean, _mean_to_beat(path, self.window))

    def _forget(self) -> None:
        self._scores.clear()

    def _on_episode(self, episode: Episode) -> None:
        self._scores.append(episode.score)
        path = self.folder / "best_training_model.zip"
        if self.best_mean > -float("inf") and not path.exists():
            warnings.warn(f"{path} was removed during training: the next mean will count as the best", stacklevel=2)
            self.best_mean = -float("inf")
        mean = fsum(self._scores) / len(self._scores)
        if len(self._scores) < self.window or not mean > self.best_mean:  # false for NaN too
            return
        found = {"mean_return": mean, "window": self.window, "episode": episode.number, "env_steps": episode.env_steps}
        with self._writing(path):
            save_model(self.model, path, self.env_name)
            with replacing(path.with_suffix(".json")) as file:
                file.write(json.dumps(found, indent=2).encode())
            self.best_mean = mean  # only now: a model that could not be saved must not count
            self._say(f"Saved {path}: mean return of {self.window} training episodes {mean:.2f}")

    def state_dict(self) -> dict[str, Any]:
        """:return: the mean to beat (None: none yet), and the returns that the next one is taken from"""
        best = None if self.best_mean == -float("inf") else self.best_mean
        return {**super().state_dict(), "best_mean": best, "scores": list(self._scores)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best_mean = -float("inf") if state["best_mean"] is None else state["best_mean"]
        self._scores = deque(state["scores"], maxlen=self.window)


def save_model(model: BaseAlgorithm, path: Path, env_name: str | None = None) -> None:
    """
    Save a model and, if its environment uses ``VecNormalize``, the current normalization statistics.

    ``models/episode_000012.zip`` comes with ``models/episode_000012_vecnormalize.pkl`` and ``.safetensors``,
    of which ``play`` reads the latter. The zoo's
    ``-i MODEL`` expects ``ENVIRONMENT/vecnormalize.pkl`` in the folder of the model; that file is written too and
    belongs to the model saved last.

    :param model: any algorithm of SB3
    :param path: of the zip; an interruption leaves an existing one intact
    :param env_name: the zoo's name of the environment; None outside the zoo
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        model.save(file)
    normalize = model.get_vec_normalize_env()
    if normalize is None:
        return
    places = [path.with_name(f"{path.stem}_vecnormalize.pkl")]
    if env_name is not None:
        places.append(path.parent / env_name / "vecnormalize.pkl")
    for place in places:
        write_statistics(normalize, place)


def _mean_to_beat(path: Path, window: int) -> float:
    """:raises ValueError: if the file holds no mean, or one over another window"""
    try:
        found = json.loads(path.read_text())
        mean, windows = float(found["mean_return"]), found["window"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, or give another folder=") from error
    if windows != window:
        raise ValueError(f"{path} holds a mean of {windows} episodes: give window={windows}, or another folder=")
    return mean
