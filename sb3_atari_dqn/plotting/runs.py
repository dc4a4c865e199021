"""The data of a run: training episodes, evaluations, epsilon."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_dqn.plotting.epsilon import Epsilon, read_epsilon
from sb3_atari_dqn.plotting.files import MOST, columns, episode_log, finished_lines, read_as
from sb3_atari_dqn.plotting.settings import Settings, read_settings

RETURN = "return"
#: Of the callback StopAtReturn: SB3's file of evaluations, with the time of each.
GOAL_EVALUATIONS = "goal_evaluations.npz"


class NothingToDraw(ValueError):
    """A folder without a run, or a run without a finished episode; among other runs it can be skipped."""


@dataclass(frozen=True)
class Episodes:
    """
    The n episodes of all environments, in the order in which they ended.

    :param env_steps: of the run, at the end of each episode [n]
    :param seconds: since the start [n]
    :param returns: raw returns, or another requested column [n]
    """

    env_steps: np.ndarray
    seconds: np.ndarray
    returns: np.ndarray


@dataclass(frozen=True)
class Evaluations:
    """
    :param env_steps: of the training before each evaluation [m]
    :param seconds: since the start, interpolated between training episodes [m]
    :param means: mean return of each evaluation [m]
    :param games: of each evaluation
    :param epsilon: share of random actions; None: not in the file
    """

    env_steps: np.ndarray
    seconds: np.ndarray
    means: np.ndarray
    games: int = 0
    epsilon: float | None = None


@dataclass(frozen=True)
class RunLog:
    """
    One run; ``evaluations`` and ``epsilon`` are None if it logged none.

    :param value: the column that is plotted
    :param remark: note for the user about how it was read; empty if there is none
    :param goal_evaluations: of ``StopAtReturn``, with the seconds at which they ended; None without any
    """

    path: Path
    settings: Settings
    episodes: Episodes
    evaluations: Evaluations | None
    epsilon: Epsilon | None
    value: str = RETURN
    remark: str = ""
    goal_evaluations: Evaluations | None = None


def read_run(path: Path, value: str = RETURN) -> RunLog:
    """
    :param path: folder of a run, of any algorithm
    :param value: the return, or another column of the monitor files, such as "score"
    :raises NothingToDraw: if the folder is not a run, or no episode has ended yet
    :raises ValueError: if there is no such folder, or a file is damaged; the message says what is there
    """
    monitors = [_Monitor(file, value) for file in _monitor_files(path)]
    start = min(monitor.start for monitor in monitors)
    settings = read_settings(path, monitors[0].env_id)
    log = episode_log(path)
    own = _logged_episodes(log) if value == RETURN else None
    episodes, remark = _monitored_episodes(monitors, start, settings.frames_per_step or 1), ""
    if own is not None and len(own.returns) < len(episodes.returns):
        remark = (
            f"{log} is incomplete (it holds {len(own.returns)} of {len(episodes.returns)} episodes): plotted the "
            "monitor files"
        )
    elif own is not None:
        episodes = own
    if len(episodes.returns) == 0:
        raise NothingToDraw(f"{path} holds no finished episode yet: wait until one has ended")
    evaluations = _evaluations(path / "evaluations.npz", episodes) if value == RETURN else None  # they hold returns
    epsilon = read_epsilon(path, settings, start, episodes.env_steps, episodes.seconds)
    confirmed = _evaluations(path / GOAL_EVALUATIONS, episodes, start) if value == RETURN else None
    return RunLog(path, settings, episodes, evaluations, epsilon, value, remark, confirmed)


def _monitor_files(path: Path) -> list[Path]:
    if not path.is_dir():
        raise ValueError(f"There is no run folder {path}: name one such as logs/dqn_dueling/PongNoFrameskip-v4_1")
    files = sorted(path.glob("*monitor.csv"))
    if not files:
        runs = sorted({str(file.parent) for file in path.glob("**/*monitor.csv")})
        hint = (
            f"choose from the runs in it, {', '.join(runs[:4])}{', ...' if len(runs) > 4 else ''}" if runs else _NO_RUN
        )
        raise NothingToDraw(f"{path} is not a run folder, it holds no monitor files: {hint}")
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
    """:raises ValueError: if the monitor file does not have this column"""
    known = path.read_text(encoding="utf-8").splitlines()[1:2]
    if known and value not in known[0].split(","):
        raise ValueError(
            f"{path} has no column {value!r}, it has {', '.join(known[0].split(','))}: train with "
            f"monitor_kwargs: {{info_keywords: [{value}]}} if the environment reports it in info"
        )


def _monitored_episodes(monitors: list[_Monitor], start: float, frames_per_step: int) -> Episodes:
    """
    The N environments step together: when one of them has made s steps, the run has made N * s.

    :param start: seconds since the epoch, of the first environment
    """
    tables = []
    for monitor in monitors:
        returns, lengths, seconds = monitor.rows.T
        env_steps = lengths.cumsum() / frames_per_step * len(monitors)
        tables.append(np.stack([env_steps, seconds + monitor.start - start, returns]))
    table = np.concatenate(tables, axis=1)
    return Episodes(*table[:, np.lexsort(table[:2])])


def _logged_episodes(path: Path) -> Episodes | None:
    """:return: the log of ``LogEpisodes``, which has the exact environment steps; None without one"""
    if not path.is_file():
        return None
    with read_as("a log of LogEpisodes", path):
        table = columns(finished_lines(path), ("env_steps", "seconds", "return"))
    return Episodes(*table.T) if len(table) else None


def _evaluations(path: Path, episodes: Episodes, start: float = 0.0) -> Evaluations | None:
    """:param start: of the run, seconds since the epoch; only for files that say when evaluations ended"""
    if not path.is_file():
        return None
    with read_as("an evaluation file of Stable-Baselines3", path):
        with np.load(path, allow_pickle=False) as data:
            env_steps, results = data["timesteps"].astype(float), data["results"].astype(float)
            ended = data["ended"].astype(float) if "ended" in data else None
            epsilon = float(data["epsilon"]) if "epsilon" in data else None
        if env_steps.ndim != 1 or results.shape[:1] != env_steps.shape:
            raise ValueError(f"timesteps of shape {env_steps.shape}, results of shape {results.shape}")
        if ended is not None and ended.shape != env_steps.shape:
            raise ValueError(f"timesteps of shape {env_steps.shape}, ended of shape {ended.shape}")
        if len(env_steps) == 0:
            return None
        numbers = [env_steps, results, *([] if ended is None else [ended])]
        if results.size == 0 or not all((abs(each) <= MOST).all() for each in numbers):
            raise ValueError(f"evaluations without episodes, or values that are not finite or larger than {MOST:g}")
        table = results.reshape(len(results), -1)
    seconds: Any = np.interp(env_steps, episodes.env_steps, episodes.seconds) if ended is None else ended - start
    return Evaluations(env_steps, seconds, table.mean(axis=1), table.shape[1], epsilon)
