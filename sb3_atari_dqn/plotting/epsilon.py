"""Epsilon as a run logged it: in ``episodes.csv`` of ``LogEpisodes``, SB3's progress.csv, or TensorBoard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sb3_atari_dqn.plotting.files import columns, episode_log, finished_lines, read_as
from sb3_atari_dqn.plotting.settings import Settings

TAG = "rollout/exploration_rate"
#: Seconds between the creation of the monitor files and the TensorBoard log of a run; it builds its networks and
#: replay buffer in between.
_BEFORE, _AFTER = 5.0, 120.0


@dataclass(frozen=True)
class Epsilon:
    """
    :param env_steps: [k]
    :param seconds: since the start [k]
    :param values: [k]
    """

    env_steps: np.ndarray
    seconds: np.ndarray
    values: np.ndarray


def read_epsilon(
    run: Path, settings: Settings, start: float, env_steps: np.ndarray, seconds: np.ndarray
) -> Epsilon | None:
    """
    :param run: its folder
    :param start: when it started, seconds since the epoch
    :param env_steps: at the end of each episode, to interpolate the time of a step [n]
    :param seconds: likewise [n]
    :return: None if the run explores without epsilon, logged none, or its TensorBoard log is ambiguous
    :raises ValueError: on a damaged file; the message names it
    """
    if settings.exploration == "none":  # logged as 0
        return None
    points = (
        _from_csv(episode_log(run), "env_steps", "epsilon")
        or _from_csv(run / "progress.csv", "time/total_timesteps", TAG)
        or _from_tensorboard(_board_of(run, settings, start))
    )
    if not points:
        return None
    steps, values = np.array(points).T
    return Epsilon(steps, np.interp(steps, env_steps, seconds), values)


def _from_csv(path: Path, steps: str, epsilon: str) -> list[tuple[float, float]]:
    if not path.is_file():
        return []
    with read_as("a CSV log", path):
        return [(at, value) for at, value in columns(finished_lines(path), (steps, epsilon), optional=True)]


def _board_of(run: Path, settings: Settings, start: float) -> Path | None:
    """:return: the only TensorBoard file created at the start of the run; None if there is not exactly one"""
    board, logs = settings.args.get("tensorboard_log"), settings.args.get("log_folder")
    if not board or not logs:
        return None
    above = list(run.resolve().parents)[1:]  # the log folder and those above it
    places = [folder / str(board) / settings.env_id for folder in above]
    files = {file for place in places for file in place.glob("*/events.out.tfevents.*")}
    near = [file for file in files if -_BEFORE <= _created(file) - start <= _AFTER]
    return near[0] if len(near) == 1 else None


def _created(file: Path) -> float:
    stamp = file.name.split(".")[3]
    return float(stamp) if stamp.isdigit() else float("nan")


def _from_tensorboard(file: Path | None) -> list[tuple[float, float]]:
    if file is None:
        return []
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with read_as("a TensorBoard log", file):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        known = TAG in events.Tags()["scalars"]
        return [(float(point.step), float(point.value)) for point in events.Scalars(TAG)] if known else []
