"""Trainings that are cut off at some step, continued by another model, and compared with one that was left alone."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.checkpoints.state import split
from sb3_atari_dqn.checkpoints.training import open_archive
from tests.support.continuing import assert_equal, play

Build = Callable[[Path], Any]
Callbacks = Callable[[Path], list[BaseCallback]]

_CLOCKS = {"t", "_num_timesteps_at_start", "t_start", "start"}


class Killed(Exception):
    """Stands for the end of the process."""


class KillAt(BaseCallback):
    """:param step: at which the training is cut off, whatever it is doing"""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            raise Killed
        return True


def train_killed(build: Build, callbacks: Callbacks, folder: Path, total: int, kill_at: int) -> None:
    folder.mkdir()
    model = build(folder)
    with pytest.raises(Killed):
        model.learn(total, callback=[*callbacks(folder), KillAt(kill_at)], log_interval=1)
    cast(VecEnv, model.env).close()


def train_on(build: Build, callbacks: Callbacks, folder: Path, total: int, kill_at: int | None = None) -> ClassicDQN:
    """:return: the model after the rest of the training, in which global generators begin elsewhere"""
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    model = build(folder)
    model.continue_from(open_archive(folder / "checkpoints", keep=2), folder)
    steps = total - model.num_timesteps
    if kill_at is None:
        return model.learn(steps, callback=callbacks(folder), log_interval=1, reset_num_timesteps=False)
    with pytest.raises(Killed):
        model.learn(steps, callback=[*callbacks(folder), KillAt(kill_at)], log_interval=1, reset_num_timesteps=False)
    cast(VecEnv, model.env).close()
    return model


def assert_same_after_kills(build: Build, callbacks: Callbacks, tmp_path: Path, total: int, kills: list[int]) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    model = build(undisturbed).learn(total, callback=callbacks(undisturbed), log_interval=1)
    train_killed(build, callbacks, killed, total, kills[0])
    for step in kills[1:]:
        train_on(build, callbacks, killed, total, step)
    other = train_on(build, callbacks, killed, total)
    assert_same(contents(model), contents(other))
    played = [play(each.env, np.random.default_rng(0), 20) for each in (model, other)]  # type: ignore[arg-type]
    assert_equal(*played)
    assert_same(rows(undisturbed), rows(killed))
    assert any(len(each) > 1 for each in rows(undisturbed).values())  # there was something to compare
    for each in (model, other):
        cast(VecEnv, each.env).close()


def contents(model: ClassicDQN) -> dict[str, Any]:
    """:return: everything that a training changed in a model, by name, but for its environments, which hold clocks"""
    values, arrays = split({name: part for name, part in model.state_dict().items() if name != "env"})
    found: dict[str, Any] = {"values": json.dumps(_without_clocks(values), sort_keys=True)}
    found |= {name: torch.tensor(array) if isinstance(array, np.ndarray) else array for name, array in arrays.items()}
    source = model.frame_source()
    for chunk in [] if source is None else source.since(0):
        found[f"frames {chunk.part} {chunk.env} {chunk.first_step}"] = torch.tensor(chunk.frames)
    return found


def rows(folder: Path) -> dict[str, Any]:
    """:return: of monitor and CSV files that are not empty the rows without clocks, of an evaluation its arrays"""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            lines = [line for line in csv.reader(file) if not line[0].startswith("#")]
        if not lines:  # just created: the head is not written yet
            continue
        clocks = [index for index, name in enumerate(lines[0]) if name in ("t", "seconds") or name.startswith("time/")]
        found[path.name] = [[each for index, each in enumerate(line) if index not in clocks] for line in lines]
    for path in folder.glob("*.npz"):
        found[path.name] = {name: array.tolist() for name, array in np.load(path).items()}
    return found


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other[name]), name
        else:
            assert value == other[name], name


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_clocks(each) for name, each in value.items() if name not in _CLOCKS}
    return [_without_clocks(each) for each in value] if isinstance(value, list) else value
