"""Models kept by what happens in training: after every n-th game, or when the training games get better."""

import json
from collections import deque
from math import fsum
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_dqn.arguments import whole_number
from sb3_atari_dqn.callbacks.run import Game, RunCallback
from sb3_atari_dqn.model_files import replacing


class SaveEveryEpisode(RunCallback):
    """
    Save the model after every n-th game, as ``models/episode_000012.zip``.

    :param every_n_episodes: n, over all environments together
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    def __init__(self, every_n_episodes: int = 1, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self.every_n_episodes = whole_number("every_n_episodes", every_n_episodes, 1)

    def _on_game(self, game: Game) -> None:
        if game.number % self.every_n_episodes == 0:
            path = self.folder / "models" / f"episode_{game.number:06d}.zip"
            with self._writing(path):
                save_model(self.model, path)
                self._say(f"Saved {path}")


class SaveOnBestTrainingMean(RunCallback):
    """
    Save the model as ``best_training_model.zip`` whenever the mean return of the last games is the best so far.

    The games are those of training, played with exploration. ``best_training_model.json`` says which mean it was.

    :param window: games in the mean; nothing is saved before there are as many
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    def __init__(self, window: int = 100, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self.window = whole_number("window", window, 1)
        self.best_mean = -float("inf")
        self._scores: deque[float] = deque(maxlen=self.window)

    def _on_game(self, game: Game) -> None:
        self._scores.append(game.score)
        mean = fsum(self._scores) / len(self._scores)
        if len(self._scores) < self.window or not mean > self.best_mean:  # nor is a NaN
            return
        path = self.folder / "best_training_model.zip"
        found = {"mean_return": mean, "window": self.window, "game": game.number, "env_steps": game.env_steps}
        with self._writing(path):
            save_model(self.model, path)
            with replacing(path.with_suffix(".json")) as file:
                file.write(json.dumps(found, indent=2).encode())
            self.best_mean = mean  # of the model that is kept: one that could not be is no rival
            self._say(f"Saved {path}: mean of {self.window} training games {mean:.2f}")


def save_model(model: BaseAlgorithm, path: Path) -> None:
    """
    :param model: any of SB3's algorithms
    :param path: zip; an interruption leaves an older one whole
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        model.save(file)
