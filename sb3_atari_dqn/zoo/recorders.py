"""Passes the run folder to our callbacks in runs of the zoo, and creates the rendering environments that they need.

The zoo creates callbacks before it chooses the run folder, and passes them no information. Works with all algorithms;
runs without our callbacks are unaffected.
"""

import copy
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_atari_dqn.callbacks import RecordEpisodes, Run, RunCallback
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.zoo import checkpointing


def create_callbacks(upstream: Callable[..., Any], manager: Any) -> None:
    """Add checkpoints, and bind our callbacks to their run; replaces ``ExperimentManager.create_callbacks``."""
    if manager.algo in ALGORITHMS and not manager.optimize_hyperparameters:
        checkpointing.add_callback(manager)
    for callback in _ours(manager.callbacks):
        run = Run(
            Path(manager.save_path),
            partial(_evaluation_env, manager),
            Path(manager.params_path).name,
            partial(_evaluation_envs, manager),
        )
        callback.bind(run)
    upstream(manager)


def records_training(manager: Any) -> bool:
    """:return: whether a callback records the training environments"""
    return any(isinstance(callback, RecordEpisodes) and callback.renders_training for callback in manager.callbacks)


def rendering(manager: Any) -> Any:
    """:return: a copy of the manager that creates rendering environments; its ``render_mode`` is not saved"""
    twin = copy.copy(manager)
    twin.env_kwargs = {**manager.env_kwargs, "render_mode": "rgb_array"}
    return twin


def disable(manager: Any) -> None:
    """Disable our callbacks during ``-optimize`` and print a message, because trials have no run folder."""
    from rl_zoo3.utils import get_callback_list

    named = manager.specified_callbacks
    named = named if isinstance(named, list) else [named]
    kept = [entry for entry in named if not _ours(get_callback_list({"callback": entry}))]
    if len(kept) < len(named):
        print("The callbacks of sb3_atari_dqn are disabled during -optimize: trials have no run folder")
    manager.specified_callbacks = kept


def _ours(callbacks: list[Any]) -> list[RunCallback]:
    return [callback for callback in callbacks if isinstance(callback, RunCallback) and callback.writes]


def _evaluation_env(manager: Any) -> VecEnv:
    """:return: one regular, rendering evaluation environment"""
    twin = copy.copy(manager)
    twin.verbose = 0
    twin.vec_env_class, twin.vec_env_kwargs = DummyVecEnv, {}
    twin.eval_env_kwargs = {**manager.eval_env_kwargs, "render_mode": "rgb_array"}
    if manager.algo in ALGORITHMS:
        twin.native_envs = manager.native_envs.ordinary()
    return twin.create_envs(1, eval_env=True, no_log=True)


def _evaluation_envs(manager: Any, n: int) -> VecEnv:
    """:return: n evaluation environments in this process, native ones where the run has them"""
    twin = copy.copy(manager)
    twin.verbose = 0
    twin.vec_env_class, twin.vec_env_kwargs = DummyVecEnv, {}
    with redirect_stdout(StringIO()):  # why there are no native ones is said at the start of the run
        return twin.create_envs(n, eval_env=True, no_log=True)
