"""A run of the zoo as numbers: its games, its evaluations, its epsilon."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_dqn.plotting.epsilon import Epsilon, read_epsilon
from sb3_atari_dqn.plotting.files import MOST, columns, finished_lines, read_as
from sb3_atari_dqn.plotting.settings import Settings, read_settings

RETURN = "return"


class NothingToDraw(ValueError):
    """A folder that is no run, or a run without games: among others it can be passed over."""


@dataclass(frozen=True)
class Games:
    """
    The games of all environments in the order in which they ended, n of them.

    :param env_steps: of the run, at the end of each game [n]
    :param seconds: since the start [n]
    :param returns: raw, or what else was asked for [n]
    """

    env_steps: np.ndarray
    seconds: np.ndarray
    returns: np.ndarray


@dataclass(frozen=True)
class Evaluations:
    """
    :param env_steps: of the training before each evaluation [m]
    :param seconds: since the start, taken from the training games around it [m]
    :param means: mean return of each evaluation [m]
    """

    env_steps: np.ndarray
    seconds: np.ndarray
    means: np.ndarray


@dataclass(frozen=True)
class RunLog:
    """
    One run; ``evaluations`` and ``epsilon`` are None where it wrote none.

    :param value: what games are judged by
    :param remark: what the user should know about the way it was read, empty if nothing
    """

    path: Path
    settings: Settings
    games: Games
    evaluations: Evaluations | None
    epsilon: Epsilon | None
    value: str = RETURN
    remark: str = ""


def read_run(path: Path, value: str = RETURN) -> RunLog:
    """
    :param path: folder of a run, of any algorithm
    :param value: what a game is judged by: its return, or another column of the monitor files, such as "score"
    :raises NothingToDraw: if it is none, or no game has ended in it
    :raises ValueError: if there is no such folder, or a file is damaged; the message says what is there
    """
    monitors = [_Monitor(file, value) for file in _monitor_files(path)]
    start = min(monitor.start for monitor in monitors)
    settings = read_settings(path, monitors[0].env_id)
    own = _own_games(path / "games.csv") if value == RETURN else None
    games, remark = _monitored_games(monitors, start, settings.frames_per_step or 1), ""
    if own is not None and len(own.returns) < len(games.returns):
        remark = (
            f"{path / 'games.csv'} is incomplete, it holds {len(own.returns)} of {len(games.returns)} games: drawn "
            "from the monitor files"
        )
    elif own is not None:
        games = own
    if len(games.returns) == 0:
        raise NothingToDraw(f"{path} holds no finished game yet: let the training run until one has ended")
    evaluations = _evaluations(path / "evaluations.npz", games) if value == RETURN else None  # they hold returns
    epsilon = read_epsilon(path, settings, start, games.env_steps, games.seconds)
    return RunLog(path, settings, games, evaluations, epsilon, value, remark)


def _monitor_files(path: Path) -> list[Path]:
    if not path.is_dir():
        raise ValueError(f"There is no run folder {path}: name one such as logs/dqn_dueling/PongNoFrameskip-v4_1")
    files = sorted(path.glob("*monitor.csv"))
    if not files:
        runs = sorted({str(file.parent) for file in path.glob("**/*monitor.csv")})
        hint = f"it holds the runs {', '.join(runs[:4])}{', ...' if len(runs) > 4 else ''}" if runs else _NO_RUN
        raise NothingToDraw(f"{path} is no run folder, there are no monitor files in it: {hint}")
    return files


_NO_RUN = "give the folder that the zoo's train printed as its log path"


class _Monitor:
    """One monitor file."""

    def __init__(self, path: Path, value: str) -> None:
        with read_as("a monitor file of Stable-Baselines3", path):
            lines = finished_lines(path)
            head = json.loads(lines.readline().lstrip("#"))
            self.start, self.env_id = float(head["t_start"]), str(head.get("env_id"))
            if not abs(self.start) <= MOST:
                raise ValueError(f"line 1: t_start is {self.start}")
        if value != RETURN:
            _check_column(path, value)
        with read_as("a monitor file of Stable-Baselines3", path):
            #: return or value, length as the monitor counts it, seconds since its own start [n, 3]
            self.rows = columns(lines, ("r" if value == RETURN else value, "l", "t"), above=1)


def _check_column(path: Path, value: str) -> None:
    """:raises ValueError: if the environment does not tell it to its monitor"""
    known = path.read_text(encoding="utf-8").splitlines()[1:2]
    if known and value not in known[0].split(","):
        raise ValueError(
            f"{path} has no column {value!r}, it has {', '.join(known[0].split(','))}: train with "
            f"monitor_kwargs: {{info_keywords: [{value}]}} if the environment tells it"
        )


def _monitored_games(monitors: list[_Monitor], start: float, frames_per_step: int) -> Games:
    """
    Environments step together: when one of N has made s steps, the run has made N * s.

    :param start: seconds since the epoch, of the first environment
    """
    tables = []
    for monitor in monitors:
        returns, lengths, seconds = monitor.rows.T
        env_steps = lengths.cumsum() / frames_per_step * len(monitors)
        tables.append(np.stack([env_steps, seconds + monitor.start - start, returns]))
    table = np.concatenate(tables, axis=1)
    return Games(*table[:, np.lexsort(table[:2])])


def _own_games(path: Path) -> Games | None:
    """:return: what ``LogEpisodes`` wrote, which knows the environment steps; None if it was not there"""
    if not path.is_file():
        return None
    with read_as("a file of LogEpisodes", path):
        table = columns(finished_lines(path), ("env_steps", "seconds", "return"))
    return Games(*table.T) if len(table) else None


def _evaluations(path: Path, games: Games) -> Evaluations | None:
    if not path.is_file():
        return None
    with read_as("a file of evaluations that Stable-Baselines3 wrote", path):
        with np.load(path, allow_pickle=False) as data:
            env_steps, results = data["timesteps"].astype(float), data["results"].astype(float)
        if env_steps.ndim != 1 or results.shape[:1] != env_steps.shape:
            raise ValueError(f"timesteps of shape {env_steps.shape}, results of shape {results.shape}")
        if len(env_steps) == 0:
            return None
        if results.size == 0 or not all((abs(each) <= MOST).all() for each in (env_steps, results)):
            raise ValueError(f"evaluations without games, or numbers that are not finite, or beyond {MOST:g}")
        means = results.reshape(len(results), -1).mean(axis=1)
    seconds: Any = np.interp(env_steps, games.env_steps, games.seconds)
    return Evaluations(env_steps, seconds, means)
