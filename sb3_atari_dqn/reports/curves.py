"""Learning curves as reports use them: one per run, from a run folder or from the rows of a study's CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_dqn.plotting.files import MOST, finished_lines, read_as
from sb3_atari_dqn.plotting.runs import NothingToDraw, RunLog, read_run
from sb3_atari_dqn.plotting.statistics import running_mean
from sb3_atari_dqn.reports.human import game_of
from sb3_atari_dqn.reports.labels import label_runs
from sb3_atari_dqn.reports.protocol import COLUMNS, EVALUATION, TRAINING, Protocol, from_cells, protocol_of

WINDOW = 100
#: A run has so much more than its last score says: the episodes that were not over when it ended have none.
TOLERANCE = 0.05
#: Columns that a study's CSV must have, beside those of the protocol.
REQUIRED = ("algorithm", "setting", "game", "seed", "step", "frames", "score", *COLUMNS)
GOAL = "goal"


@dataclass(frozen=True)
class Curve:
    """
    Scores of one run, in the order of its steps.

    :param system: label of algorithm and setting
    :param game: as gymnasium spells it
    :param seed: of the run
    :param frames: of the emulator [k]
    :param scores: raw; of training, means of the last episodes [k]
    :param seconds: since the start, never decreasing [k]; None: unknown
    :param protocol: under which they were made
    :param at_goal: whether it was stopped because it had reached its goal: it counts with its last score from then on
    :param episodes: largest number of episodes in a score
    :param share: of the run's episodes that its last score averages
    :param source: file or folder, for messages
    """

    system: str
    game: str
    seed: str
    frames: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray | None
    protocol: Protocol
    at_goal: bool
    episodes: int
    share: float
    source: str

    @property
    def reach(self) -> float:
        """Frames of the last score; infinite if it was stopped at its goal"""
        return float("inf") if self.at_goal else float(self.frames[-1])

    def at(self, frames: np.ndarray) -> np.ndarray:
        """:return: last score at or before each number of frames; NaN before the first one, or far beyond the last"""
        return _last_before(self.frames, self.scores, frames, self.reach * (1 + TOLERANCE))

    def after(self, seconds: np.ndarray) -> np.ndarray:
        """:return: last score at or before each time; likewise"""
        if self.seconds is None:
            return np.full(len(seconds), np.nan)
        reach = float("inf") if self.at_goal else float(self.seconds[-1])
        return _last_before(self.seconds, self.scores, seconds, reach)


def _last_before(along: np.ndarray, scores: np.ndarray, places: np.ndarray, reach: float) -> np.ndarray:
    found = np.searchsorted(along, places, side="right") - 1
    return np.where((found >= 0) & (places <= reach), scores[np.maximum(found, 0)], np.nan)


def read_curves(paths: Sequence[Path], measured: str, window: int) -> tuple[list[Curve], list[str]]:
    """
    :param paths: run folders and CSV files of studies
    :param measured: "training" or "evaluation": what to read of run folders, and of CSVs that have both
    :param window: number of last training episodes that a score averages
    :return: curves, and a line for each path without any
    :raises ValueError: if there is none at all, on damaged files, and if two curves are the same run
    """
    curves: list[Curve] = []
    nothing: list[NothingToDraw] = []
    folders: list[RunLog] = []
    for path in once(paths):
        try:
            if path.suffix == ".csv" and not path.is_dir():
                found, missing = read_study(path, measured)
                curves, nothing = curves + found, nothing + missing
            else:
                folders.append(read_run(path))
        except NothingToDraw as reason:
            nothing.append(reason)
    for run, label in zip(folders, label_runs(folders), strict=True):
        try:
            curves.append(_of_run(run, label, measured, window))
        except NothingToDraw as reason:
            nothing.append(reason)
    if not curves:
        raise nothing[0] if nothing else ValueError("No runs: name run folders, or CSV files of studies")
    _check_distinct(curves)
    return curves, [f"Skipped: {reason}" for reason in nothing]


def once(paths: Sequence[Path]) -> list[Path]:
    """:return: each file or folder once, under its first name"""
    named: dict[str, Path] = {}
    for path in paths:
        named.setdefault(os.path.realpath(path), path)
    return list(named.values())


def _of_run(run: RunLog, label: str, measured: str, window: int) -> Curve:
    settings = run.settings
    if settings.frames_held is None:
        raise ValueError(
            f"{run.path} does not say how many frames a step has (no config.yml, or an unknown wrapper in it): its "
            "protocol is unknown, leave it out"
        )
    held = sum(settings.frames_held) / 2
    episodes = run.episodes
    n, in_mean = len(episodes.returns), min(window, len(episodes.returns))
    common: dict[str, Any] = dict(
        system=label,
        game=game_of(settings.env_id),
        seed=str(settings.args.get("seed", run.path.name)),  # without args.yml every folder is a run of its own
        protocol=protocol_of(settings, measured),
        source=str(run.path),
    )
    if measured == EVALUATION:
        found = run.evaluations or run.goal_evaluations
        if found is None:
            raise NothingToDraw(
                f"{run.path} has no evaluations.npz: train with --eval-freq or StopAtReturn(evaluation_games=), or "
                "leave --measure out"
            )
        if found.epsilon is not None:
            common["protocol"] = replace(common["protocol"], epsilon=found.epsilon)
        return Curve(
            frames=found.env_steps * held, scores=found.means, seconds=np.maximum.accumulate(found.seconds),
            at_goal=found is run.goal_evaluations and _at_goal(run), episodes=found.games, share=0.0, **common,
        )  # fmt: skip
    scores = running_mean(episodes.returns, window)
    return Curve(
        frames=np.maximum.accumulate(episodes.env_steps) * held, scores=scores,
        seconds=np.maximum.accumulate(episodes.seconds),
        at_goal=_at_goal(run), episodes=in_mean, share=in_mean / n, **common,
    )  # fmt: skip


def _at_goal(run: RunLog) -> bool:
    """:return: whether StopAtReturn has ended the run"""
    given = run.settings.config.get("callback")
    for each in given if isinstance(given, list) else [given]:
        for name, kwargs in each.items() if isinstance(each, dict) else ():
            if name.endswith(".StopAtReturn") and isinstance(kwargs, dict):
                goal, episodes = float(kwargs["mean_return"]), int(kwargs.get("episodes", 10))
                if kwargs.get("evaluation_games"):
                    return run.goal_evaluations is not None and bool(run.goal_evaluations.means[-1] >= goal)
                last = run.episodes.returns[-episodes:]
                return len(last) == episodes and last.mean() >= goal
    return False


def read_study(path: Path, measured: str = TRAINING) -> tuple[list[Curve], list[NothingToDraw]]:
    """
    :param path: CSV of a study; every group of algorithm, setting, game and seed is a curve
    :param measured: which rows to read, if it has both training returns and evaluations
    :return: curves, and the runs without any of these rows
    :raises NothingToDraw: without rows
    :raises ValueError: on missing columns, and, with the line number, on cells that are none of their column
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}: name a study's CSV, or a run folder")
    with read_as("a study's CSV", path):
        reader = csv.DictReader(finished_lines(path))
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
        if missing and reader.fieldnames:
            raise ValueError(f"it has no column {', '.join(missing)}")
        found = [_Row.read(cells, reader.line_num) for cells in reader]
    if not found:
        raise NothingToDraw(f"{path} has no rows: run the study until its first episodes have ended")
    is_mixed = len({row.protocol.measured for row in found}) > 1
    groups: dict[tuple[str, ...], list[_Row]] = {row.key: [] for row in found}
    for row in found:
        if not is_mixed or row.protocol.measured == measured:
            groups[row.key].append(row)
    curves = [_of_rows(rows, str(path)) for rows in groups.values() if rows]
    names = [f"{system}, {game}, seed {seed}" for (system, game, seed), rows in groups.items() if not rows]
    return curves, [NothingToDraw(f"{name} in {path} has no scores of {measured}") for name in names]


@dataclass(frozen=True)
class _Row:
    key: tuple[str, ...]
    frames: float
    score: float
    seconds: float | None
    episodes: int
    protocol: Protocol
    state: str

    @classmethod
    def read(cls, cells: Mapping[str, Any], line: int) -> _Row:
        if None in cells or None in cells.values():
            raise ValueError(f"line {line} does not have as many cells as the header")
        numbers = {name: _finite(cells, name, line) for name in ("step", "frames", "score")}
        seconds = _finite(cells, "seconds", line) if cells.get("seconds") else None
        episodes = int(_finite(cells, "episodes", line)) if cells.get("episodes") else 0
        try:
            protocol = from_cells(cells)
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from error
        system = " ".join(filter(None, (cells["algorithm"], cells["setting"])))
        key = (system, game_of(cells["game"]), cells["seed"])
        return cls(key, numbers["frames"], numbers["score"], seconds, episodes, protocol, cells.get("state", ""))


def _finite(cells: Mapping[str, str], name: str, line: int) -> float:
    least = -MOST if name == "score" else 0.0
    try:
        value = float(cells[name])
    except ValueError:
        value = float("nan")
    if not least <= value <= MOST:
        wanted = "a finite number" if name == "score" else "a finite number of at least 0"
        raise ValueError(f"line {line}: {name} is {cells[name][:20]!r}, expected {wanted}")
    return value


def _of_rows(rows: Sequence[_Row], source: str) -> Curve:
    rows = sorted(rows, key=lambda row: row.frames)
    system, game, seed = rows[0].key
    if other := next((row for row in rows if row.protocol != rows[0].protocol), None):
        what = other.protocol.differences(rows[0].protocol, True) + other.protocol.differences(rows[0].protocol, False)
        raise ValueError(
            f"{source}: rows of {system}, {game}, seed {seed} have different protocols ({', '.join(what)})"
        )
    times = [row.seconds for row in rows if row.seconds is not None]
    return Curve(
        system, game, seed,
        frames=np.array([row.frames for row in rows]),
        scores=np.array([row.score for row in rows]),
        seconds=np.maximum.accumulate(times) if len(times) == len(rows) else None,
        protocol=rows[0].protocol,
        at_goal=rows[-1].state == GOAL,
        episodes=max(row.episodes for row in rows),
        share=0.0,  # unknown
        source=source,
    )  # fmt: skip


def _check_distinct(curves: Sequence[Curve]) -> None:
    seen: dict[tuple[str, ...], Curve] = {}
    for curve in curves:
        first = seen.setdefault((curve.system, curve.game, curve.seed), curve)
        if first is not curve:
            raise ValueError(
                f"{first.source} and {curve.source} are the same algorithm, setting, game and seed ({curve.system}, "
                f"{curve.game}, seed {curve.seed}): leave one out"
            )


def only(curves: Sequence[Curve], games: Sequence[str]) -> list[Curve]:
    """
    :param games: names in any spelling
    :raises ValueError: if there is no run of a game
    """
    wanted = [game_of(name) for name in games]
    for game in wanted:
        if all(curve.game != game for curve in curves):
            known = ", ".join(dict.fromkeys(curve.game for curve in curves))
            raise ValueError(f"No run plays {game}: choose --games from {known}")
    return [curve for curve in curves if curve.game in wanted]
