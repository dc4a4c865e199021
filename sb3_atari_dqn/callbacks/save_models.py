"""Models kept by what happens in training: after every n-th game, or when the training games get better."""

import json
import pickle
import warnings
from collections import deque
from math import fsum
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_dqn.callbacks.run import Game, RunCallback
from sb3_atari_dqn.checkpoints.model_files import replacing
from sb3_atari_dqn.validation import as_int


class SaveEveryEpisode(RunCallback):
    """
    Save the model after every n-th game, as ``models/episode_000012.zip``; see :func:`save_model`.

    :param every_n_episodes: n, over all environments together
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    outputs = ("models/episode_*.zip",)

    def __init__(self, every_n_episodes: int = 1, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self.every_n_episodes = as_int("every_n_episodes", every_n_episodes, 1)

    def _on_game(self, game: Game) -> None:
        if game.number % self.every_n_episodes == 0:
            path = self.folder / "models" / f"episode_{game.number:06d}.zip"
            with self._writing(path):
                save_model(self.model, path, self.env_name)
                self._say(f"Saved {path}")


class SaveOnBestTrainingMean(RunCallback):
    """
    Save the model as ``best_training_model.zip`` whenever the mean return of the last games is the best so far.

    The games are those of training, played with exploration. ``best_training_model.json`` says which mean it was; a
    training that goes on takes it for the one to beat. See :func:`save_model`.

    :param window: games in the mean; nothing is saved before there are as many
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

    def _on_game(self, game: Game) -> None:
        self._scores.append(game.score)
        path = self.folder / "best_training_model.zip"
        if self.best_mean > -float("inf") and not path.exists():
            warnings.warn(f"{path} was removed during training: the next mean counts as the best again", stacklevel=2)
            self.best_mean = -float("inf")
        mean = fsum(self._scores) / len(self._scores)
        if len(self._scores) < self.window or not mean > self.best_mean:  # nor is a NaN
            return
        found = {"mean_return": mean, "window": self.window, "game": game.number, "env_steps": game.env_steps}
        with self._writing(path):
            save_model(self.model, path, self.env_name)
            with replacing(path.with_suffix(".json")) as file:
                file.write(json.dumps(found, indent=2).encode())
            self.best_mean = mean  # of the model that is kept: one that could not be is no rival
            self._say(f"Saved {path}: mean of {self.window} training games {mean:.2f}")

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
    Save a model, and where its environment is in ``VecNormalize`` the statistics of that moment beside it.

    ``models/episode_000012.zip`` gets ``models/episode_000012_vecnormalize.pkl``, which ``play`` takes for it. The
    zoo's ``-i MODEL`` looks for ``ENVIRONMENT/vecnormalize.pkl`` in the folder of the model, which is written as well
    and belongs to the model that was saved last.

    :param model: any of SB3's algorithms
    :param path: zip; an interruption leaves an older one whole
    :param env_name: the zoo's name of the environment; None outside of it
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
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as file:
            pickle.dump(normalize, file)  # as VecNormalize.save does


def _mean_to_beat(path: Path, window: int) -> float:
    """:raises ValueError: if the file holds none, or of another window"""
    try:
        found = json.loads(path.read_text())
        mean, windows = float(found["mean_return"]), found["window"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, or give another folder=") from error
    if windows != window:
        raise ValueError(f"{path} has a mean of {windows} games: give window={windows}, or another folder=")
    return mean
