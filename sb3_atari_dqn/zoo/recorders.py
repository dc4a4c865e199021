"""Our callbacks in a run of the zoo: they learn its folder, and get environments that render where they need them.

The zoo builds callbacks before it knows the folder, and hands them nothing. Serves every algorithm; a run that names
none of our callbacks is left alone.
"""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_atari_dqn.callbacks import RecordEpisodes, Run, RunCallback
from sb3_atari_dqn.catalogue import ALGORITHMS


def create_callbacks(upstream: Callable[..., Any], manager: Any) -> None:
    """Tell our callbacks which run they belong to; stands in for ``ExperimentManager.create_callbacks``."""
    for callback in _ours(manager.callbacks):
        run = Run(Path(manager.save_path), partial(_evaluation_env, manager), Path(manager.params_path).name)
        callback.bind(run)
    upstream(manager)


def training_is_filmed(manager: Any) -> bool:
    """:return: whether a callback needs pictures of the training's own environments"""
    return any(isinstance(callback, RecordEpisodes) and callback.renders_training for callback in manager.callbacks)


def rendering(manager: Any) -> Any:
    """:return: a manager that builds the same environments, with pictures; nothing of it is written down"""
    twin = copy.copy(manager)
    twin.env_kwargs = {**manager.env_kwargs, "render_mode": "rgb_array"}
    return twin


def leave_out(manager: Any) -> None:
    """A trial of the tuning has no run folder: it does without our callbacks, and says so."""
    from rl_zoo3.utils import get_callback_list

    named = manager.specified_callbacks
    named = named if isinstance(named, list) else [named]
    kept = [entry for entry in named if not _ours(get_callback_list({"callback": entry}))]
    if len(kept) < len(named):
        print("Tuning leaves out the callbacks of sb3_atari_dqn: a trial has no run folder to write to")
    manager.specified_callbacks = kept


def _ours(callbacks: list[Any]) -> list[RunCallback]:
    return [callback for callback in callbacks if isinstance(callback, RunCallback)]


def _evaluation_env(manager: Any) -> VecEnv:
    """:return: one ordinary environment of the run's evaluation, with pictures"""
    twin = copy.copy(manager)
    twin.verbose = 0
    twin.vec_env_class, twin.vec_env_kwargs = DummyVecEnv, {}
    twin.eval_env_kwargs = {**manager.eval_env_kwargs, "render_mode": "rgb_array"}
    if manager.algo in ALGORITHMS:
        twin.native_envs = manager.native_envs.ordinary()
    return twin.create_envs(1, eval_env=True, no_log=True)
