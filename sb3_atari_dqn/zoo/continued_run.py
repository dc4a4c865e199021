"""A run of the zoo that goes on in its own folder: with its own settings, from its newest checkpoint.

Nothing of the command line but ``-n`` has an effect on it. The zoo builds environments, callbacks and model as for a
new run; :mod:`sb3_atari_dqn.zoo.experiment` then brings the checkpoint's state into them.
"""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_atari_dqn.zoo.resumable_run import ContinuedRun, open_run, run_folder_of

#: Attributes of the zoo's manager that come from the run's own command line, by the names of these arguments.
_FROM_ARGUMENTS = {
    "seed": "seed",
    "eval_freq": "eval_freq",
    "n_eval_episodes": "eval_episodes",
    "n_eval_envs": "n_eval_envs",
    "save_freq": "save_freq",
    "save_replay_buffer": "save_replay_buffer",
    "log_interval": "log_interval",
    "device": "device",
    "_eval_env_kwargs_args": "eval_env_kwargs",
}


#: Opened by the command `resume`, for the zoo's script that it starts.
requested: ContinuedRun | None = None


def wanted(manager: Any) -> ContinuedRun | None:
    """
    :param manager: the zoo's, new
    :return: the run that it is to continue, by the command `resume` or by ``-i``, its settings taken over; None: a new
        run
    :raises ValueError: if algorithm or environment differ, or see :func:`open_run`
    """
    run = requested
    total = manager.n_timesteps if manager.n_timesteps > 0 else None
    if run is None:
        place = Path(manager.trained_agent)
        if not manager.continue_training or run_folder_of(place) is None:
            return None
        run = open_run(place, total)
        print(
            f"{place} is in a run folder with checkpoints: that run goes on from its newest checkpoint, not from this "
            "file. To begin a new run with the file, copy it elsewhere."
        )
    for option, name, here in (("--algo", "algo", manager.algo), ("--env", "env", str(manager.env_name.gym_id))):
        if run.arguments[name] != here:
            run.archive.close()
            raise ValueError(
                f"{run.folder} was trained with {option} {run.arguments[name]}, not {here}: continue it with that."
            )
    changed = [name for name, value in (manager.custom_hyperparams or {}).items() if run.hyperparams.get(name) != value]
    if changed:
        run.archive.close()
        raise ValueError(
            f"-params {changed[0]}: {run.folder} is continued as it was; leave it out, or copy the model out of the "
            "run folder to begin a new run with it"
        )
    manager.n_timesteps = total or run.planned_steps
    _take_over_settings(manager, run)
    return run


def _take_over_settings(manager: Any, run: ContinuedRun) -> None:
    for attribute, name in _FROM_ARGUMENTS.items():
        if name in run.arguments:
            setattr(manager, attribute, run.arguments[name])
    run.monitors_append = run.arguments.get("vec_env") == "subproc"  # these cannot be brought back from here
    manager.vec_env_class = SubprocVecEnv if run.monitors_append else manager.default_vec_env_cls or DummyVecEnv
    manager.show_progress |= bool(run.arguments.get("progress"))
    tensorboard = run.arguments.get("tensorboard_log")
    manager.tensorboard_log = str(Path(tensorboard) / manager.env_name) if tensorboard else None
    manager.continue_training, manager.trained_agent = False, ""
    manager.save_path = str(run.folder)
    manager.params_path = str(run.folder / manager.env_name)
    manager.config = str(run.folder / manager.env_name / "config.yml")


def load(manager: Any, model: Any) -> None:
    """
    :param manager: that continues a run
    :param model: built for it, brought to where the checkpoint was taken
    """
    run = manager.continued
    manifest = run.checkpoint.path / "manifest.json"
    versions = run.checkpoint.manifest.versions
    print(
        f"Continuing {run.folder} from step {run.steps:,} of {manager.n_timesteps:,}: {run.checkpoint.path.name}, "
        f"{_age(time.time() - manifest.stat().st_mtime)} old, sb3-atari-dqn {versions.get('sb3-atari-dqn')}, torch "
        f"{versions.get('torch')}"
    )
    model.continue_from(run.archive, run.folder)


@contextmanager
def restored_on_failure(manager: Any) -> Iterator[None]:
    """A run that could not be continued keeps its log files, and another process may try it."""
    try:
        yield
    except BaseException:
        if (run := getattr(manager, "continued", None)) is not None:
            run.restore_files()
            run.archive.close()
        raise


def appending(manager: Any) -> Any:
    """:return: the manager, or a copy that lets monitors in other processes write on in their files"""
    run = getattr(manager, "continued", None)
    if run is None or not run.monitors_append:
        return manager
    twin = copy.copy(manager)
    twin.monitor_kwargs = {**manager.monitor_kwargs, "override_existing": False}
    return twin


def _age(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(seconds, 0):.0f} seconds"


class StepsLeft:
    """
    A model as the zoo's `learn` knows it, which would begin to count again: trains the steps that a run still needs.

    :param model: that continues a run
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def env(self) -> Any:
        """Of the model"""
        return self._model.env

    def learn(self, total_timesteps: int, **kwargs: Any) -> Any:
        """:param total_timesteps: of the whole run"""
        left = total_timesteps - self._model.num_timesteps
        return self._model.learn(left, reset_num_timesteps=False, **kwargs)
