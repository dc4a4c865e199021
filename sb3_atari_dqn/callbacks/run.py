"""What the callbacks share: the folder of the run, and whole games instead of steps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.callbacks import claims, games_log
from sb3_atari_dqn.callbacks.monitors import check_monitored

_NUMBERED = re.compile(r".*episode_(\d+)\.\w+")


@dataclass(frozen=True)
class Run:
    """
    What the zoo knows of a run and gives no callback.

    :param folder: of the run, where the monitor files lie
    :param make_evaluation_env: builds one ordinary environment that renders, as the run's evaluation would see it
    :param env_name: of the folder inside it where the zoo looks for configuration and normalization
    """

    folder: Path
    make_evaluation_env: Callable[[], VecEnv]
    env_name: str | None = None


@dataclass(frozen=True)
class Game:
    """
    A game that has just ended in training.

    :param number: 1 for the first that ended, over all environments
    :param env: number of its environment
    :param score: raw return, as the monitor file has it
    :param length: as the monitor file has it: frames of Atari games under a preset, else environment steps
    :param env_steps: of the training, over all environments
    """

    number: int
    env: int
    score: float
    length: int
    env_steps: int


class RunCallback(BaseCallback):
    """
    Calls :meth:`_on_game` for each game that ends; a lost life ends none.

    A folder belongs to one training: another one that runs at the same time is refused, and so is a new one that finds
    files of the same names there. A callback that is used again, or a model that goes on
    (``learn(reset_num_timesteps=False)``), continues them: games are counted on, and nothing is replaced but what
    always is.

    :param folder: where files go; None: the run folder, which the zoo's commands tell
    :param verbose: 1 prints a line per file
    :raises ValueError: before training starts, where no environment would tell the end of a game, or the folder belongs
        to another training
    """

    #: Patterns of the files that it writes into the folder.
    outputs: tuple[str, ...] = ()

    def __init__(self, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.run: Run | None = None
        self.n_games = 0
        self._given_folder = None if folder is None else Path(folder)
        self._own_folder: Path | None = None  # where earlier files are its own

    def bind(self, run: Run) -> None:
        """:param run: the one that this callback belongs to"""
        self.run = run

    @property
    def folder(self) -> Path:
        """:raises ValueError: where nobody has named one"""
        if self._given_folder is not None:
            return self._given_folder
        if self.run is None:
            name = type(self).__name__
            raise ValueError(
                f"{name} knows no run folder outside of the zoo's train: give one, {name}(folder='my_run')"
            )
        return self.run.folder

    @property
    def env_name(self) -> str | None:
        """The zoo's name of the environment, None outside of it"""
        return None if self.run is None else self.run.env_name

    def _init_callback(self) -> None:
        if type(self)._on_game is not RunCallback._on_game:
            check_monitored(self.training_env, type(self).__name__)
        self.folder.mkdir(parents=True, exist_ok=True)
        claims.claim(self.folder, self)
        if self._own_folder != self.folder.resolve():
            try:
                self._take_over()
            except ValueError:
                claims.release(self.folder, self)
                raise
            self._own_folder = self.folder.resolve()

    def state_dict(self) -> dict[str, Any]:
        """:return: what counts on from here"""
        return {"n_games": self.n_games, "n_calls": self.n_calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        The files in the folder are then its own, and are not looked at: what was written after the state was taken is
        for the caller to remove.

        :param state: as `state_dict` gave it
        :raises ValueError: where nobody has named the folder
        """
        self._own_folder = self.folder.resolve()
        self.n_games, self.n_calls = state["n_games"], state["n_calls"]

    def on_training_end(self) -> None:
        super().on_training_end()
        claims.release(self.folder, self)

    def _take_over(self) -> None:
        """Look at what is in the folder already."""
        found = sorted(path for pattern in self.outputs for path in self.folder.glob(pattern) if path.is_file())
        if found and self.model.num_timesteps == 0:
            name = type(self).__name__
            raise ValueError(
                f"{found[0]} is there already, of another training: give {name}(folder=...) another folder, or move "
                f"the file; to go on with that training use the same {name} again, or load its model and call "
                "learn(reset_num_timesteps=False)"
            )
        if found:
            self.n_games = max(self.n_games, games_so_far(self.folder))

    def _on_step(self) -> bool:
        for env, info in enumerate(self.locals["infos"]):
            if "episode" in info:
                self._end_game(env, info["episode"])
        return True

    def _end_game(self, env: int, episode: dict[str, Any]) -> None:
        self.n_games += 1
        self._on_game(Game(self.n_games, env, float(episode["r"]), int(episode["l"]), self.num_timesteps))

    def _on_game(self, game: Game) -> None:
        """:param game: the one that has ended"""

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        """
        A file that cannot be written (a full disk, say) is a warning and ends no training.

        :param path: of the file; what follows in the block, its line on the screen say, is left out with it
        """
        try:
            yield
        except OSError as error:
            self._warn(path, error)

    def _warn(self, path: Path, error: OSError) -> None:
        warnings.warn(
            f"{type(self).__name__} could not write {path}: {error}. Training goes on without it: free some space or "
            "mend the path, or name another place with folder=",
            stacklevel=2,
        )

    def _say(self, line: str) -> None:
        if self.verbose > 0:
            print(line)


def games_so_far(folder: Path) -> int:
    """:return: the highest number of a game that a callback of ours has written down in this folder"""
    names = [path.name for pattern in ("models/*", "videos/*") for path in folder.glob(pattern)]
    numbers = [int(match[1]) for match in map(_NUMBERED.fullmatch, names) if match]
    return max([games_log.last_game(folder / "games.csv"), *numbers])
