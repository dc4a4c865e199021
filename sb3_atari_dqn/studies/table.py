"""The tidy CSV of a study: one row per run and point of its curve."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_dqn.files import replacing
from sb3_atari_dqn.plotting.runs import NothingToDraw, RunLog, read_run
from sb3_atari_dqn.plotting.statistics import running_mean
from sb3_atari_dqn.reports.protocol import COLUMNS as PROTOCOL
from sb3_atari_dqn.reports.protocol import EVALUATION, as_cells, protocol_of
from sb3_atari_dqn.studies.plan import Run
from sb3_atari_dqn.studies.record import Place, Record, active_seconds, as_text

COLUMNS = (
    *("study", "algorithm", "setting", "game", "seed", "step", "frames", "score", "episodes", "seconds", "state"),
    *(*PROTOCOL, "commit", "machine", "threads"),
)
POINTS = 50  # of a run: a study of 50 runs is about 400 kB
PARTIAL = "partial"


def write_table(runs: Sequence[Run], folder: Path, out: Path) -> tuple[int, list[str]]:
    """
    :param runs: of a study
    :param folder: of the study
    :param out: CSV; replaced when it is complete
    :return: number of runs in it, and for each that had to be left out a sentence why
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    written, left_out = 0, []
    for run in runs:
        try:
            found = list(rows(Place(run, folder)))
        except ValueError as error:
            left_out.append(f"{out.name} lacks {run.name}: {error}")
            continue
        table.writerows(found)
        written += bool(found)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as file:
        file.write(text.getvalue().encode())
    return written, left_out


def log_of(place: Place) -> RunLog | None:
    """:return: the episodes of a run, None before the first has ended"""
    folder = place.run_folder
    if folder is None:
        return None
    try:
        return read_run(folder)
    except NothingToDraw:
        return None


def episode_seconds(log: RunLog, record: Record) -> np.ndarray:
    """:return: seconds of training until the end of each episode, without pauses between processes [n]"""
    return active_seconds(record, _start(log.path) + log.episodes.seconds)


def rows(place: Place) -> Iterator[dict[str, Any]]:
    """:return: of one run, none before its first episode has ended"""
    log, record, run = log_of(place), place.record(), place.run
    if log is None:
        return
    if log.settings.frames_held is None:
        raise ValueError(f"{log.path} does not say how many frames a step has: which wrapper is in its config.yml?")
    episodes, held = log.episodes, sum(log.settings.frames_held) / 2
    scores = running_mean(episodes.returns, run.window)
    seconds = episode_seconds(log, record)
    same = {
        "study": run.study, "algorithm": run.algorithm, "setting": run.setting, "game": run.game, "seed": run.seed,
        "state": record.ended or PARTIAL, **as_cells(protocol_of(log.settings)),
        "commit": as_text(record.commits), "machine": as_text(record.machines), "threads": record.threads,
    }  # fmt: skip
    for episode in _places(episodes.env_steps, run.steps):
        step = float(episodes.env_steps[episode])
        yield {
            **same,
            "step": round(step),
            "frames": round(step * held),
            "score": round(float(scores[episode]), 3),
            "episodes": min(int(episode) + 1, run.window),
            "seconds": round(float(seconds[episode]), 1),
        }
    if (found := log.goal_evaluations) is not None:  # they confirm the goal: rows of another protocol
        protocol = replace(protocol_of(log.settings, EVALUATION), epsilon=found.epsilon)
        ended = active_seconds(record, _start(log.path) + found.seconds)
        for step, score, second in zip(found.env_steps, found.means, ended, strict=True):
            yield {
                **same,
                **as_cells(protocol),
                "step": round(step),
                "frames": round(step * held),
                "score": round(float(score), 3),
                "episodes": found.games,
                "seconds": round(float(second), 1),
            }


def _places(env_steps: np.ndarray, steps: int) -> np.ndarray:
    """:return: positions of the last episodes before equally spaced steps, and of the last of all"""
    ends = np.linspace(steps / POINTS, steps, POINTS)
    last = np.searchsorted(env_steps, ends, side="right") - 1
    return np.unique([*last[last >= 0], len(env_steps) - 1])


def _start(folder: Path) -> float:
    """:return: when the first monitor file was begun, seconds since the epoch"""
    heads = [path.open(encoding="utf-8").readline() for path in folder.glob("*monitor.csv")]
    return min(float(json.loads(head.lstrip("#"))["t_start"]) for head in heads)
