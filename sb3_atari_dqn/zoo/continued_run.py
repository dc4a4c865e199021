"""A run of the zoo that goes on in its own folder: with its own settings, from its newest checkpoint.

Nothing of the command line but ``-n`` has an effect on it. The zoo builds environments, callbacks and model as for a
new run; :mod:`sb3_atari_dqn.zoo.experiment` then brings the checkpoint's state into them.
"""

import copy
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_sb3 import EnvironmentName
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.checkpoints import training
from sb3_atari_dqn.checkpoints.allowed_names import trusts
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, all_in
from sb3_atari_dqn.checkpoints.log_files import load_text_state
from sb3_atari_dqn.zoo.plain_yaml import refused
from sb3_atari_dqn.zoo.run_files import IMPORTED_TO_TRAIN, read_config
from sb3_atari_dqn.zoo.run_settings import read_command_line, reading

#: A word of a command line: the name of an algorithm, an environment or a module.
_WORD = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)

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


@dataclass
class ContinuedRun:
    """
    :param folder: of the run
    :param archive: its checkpoints, locked
    :param arguments: of its command line
    :param hyperparams: as the zoo saved them
    :param monitors_append: whether monitors are to write on in their files
    """

    folder: Path
    archive: CheckpointFolder
    arguments: dict[str, Any]
    hyperparams: dict[str, Any]
    monitors_append: bool = False

    @property
    def checkpoint(self) -> Checkpoint:
        """Of which it goes on"""
        assert self.archive.after is not None
        return self.archive.after

    @property
    def steps(self) -> int:
        """Environment steps so far"""
        return self.checkpoint.step

    def check_algorithm(self) -> None:
        """:raises ValueError: if its args.yml names another one than its checkpoint"""
        known = ALGORITHMS.get(self.arguments["algo"])
        if known is None or known.class_name != self.checkpoint.meta["algorithm"]:
            raise ValueError(
                f"{self.folder}: args.yml has algo {self.arguments['algo']}, and the checkpoint belongs to a "
                f"{self.checkpoint.meta['algorithm']}: correct args.yml"
            )

    def restore_files(self) -> None:
        """Bring the log files back that environments which were created in vain have overwritten."""
        load_text_state(self.checkpoint.state("files"), self.folder, [])

    def check_total(self, total: int) -> None:
        """
        :param total: environment steps that it is to have
        :raises ValueError: if it has them already
        """
        if total <= self.steps:
            raise ValueError(
                f"{self.folder} has {self.steps:,} of {total:,} steps already: to train on, give a higher -n."
            )

    @property
    def planned_steps(self) -> int:
        """Environment steps that the run was to have, the last time"""
        return int(self.checkpoint.state("loop")["_total_timesteps"])


#: Opened by the command `resume`, for the zoo's script that it starts.
requested: ContinuedRun | None = None


def run_folder_of(place: Path) -> Path | None:
    """
    :param place: a run folder, its folder of checkpoints, one of these, or a file in any of them
    :return: the run folder, if it has checkpoints; else None
    """
    place = place.absolute()
    return next((each for each in (place, *place.parents[:3]) if _has_checkpoints(each)), None)


def _has_checkpoints(folder: Path) -> bool:
    return (folder / training.FOLDER).is_dir() and bool(all_in(folder / training.FOLDER))


def checkpoint_at(place: Path) -> Path | None:
    """:return: the checkpoint that a path names, or None for the newest"""
    place = place.absolute()
    return next((each for each in (place, *place.parents[:1]) if each.parent.name == training.FOLDER), None)


def open_run(place: Path, total: int | None = None, trust: bool | None = None) -> ContinuedRun:
    """
    :param place: a run folder, a file in it, or one of its checkpoints
    :param total: environment steps that it is to have, None: as planned
    :param trust: let its configuration name any code; None: as SB3_ATARI_DQN_TRUST says
    :return: the run, locked against other processes
    :raises ValueError: if there is nothing to continue, another process continues it, or its checkpoint is damaged
    """
    folder = run_folder_of(place)
    if folder is None:
        raise ValueError(
            f"{place} holds no checkpoints: a run gets one every five minutes, and when it is stopped or at its end. "
            "Begin it anew, or pass the folder of another run."
        )
    if not trusts(trust):
        _check_links(folder)
    arguments = read_command_line(folder, trusts(trust))
    check_command_line(folder, arguments, trusts(trust))
    with reading(f"{folder} cannot be continued"):
        config = folder / EnvironmentName(arguments["env"]) / "config.yml"
        hyperparams = read_config(config, trust, imported=IMPORTED_TO_TRAIN)
    archive = training.open_archive(folder / training.FOLDER, keep=2, at=checkpoint_at(place))
    run = ContinuedRun(folder, archive, arguments, hyperparams)
    try:
        run.check_algorithm()
        run.check_total(total or run.planned_steps)
    except BaseException:
        archive.close()
        raise
    return run


def check_command_line(folder: Path, arguments: dict[str, Any], trust: bool) -> None:
    """
    Its values become words of a command line again, which the zoo partly evaluates.

    :param folder: of the run
    :param arguments: of its command line
    :param trust: its modules may be imported
    :raises ValueError: on a value that is no such word
    """
    packages = arguments.get("gym_packages") or []
    if packages and not trust:
        raise refused(f"{folder} (gym_packages in args.yml)", ", ".join(map(str, packages)))
    words = {
        "algo": arguments["algo"],
        "env": arguments["env"],
        **{f"gym_packages {i}": each for i, each in enumerate(packages)},
    }
    for name, word in words.items():
        if not (isinstance(word, str) and _WORD.fullmatch(word)):
            raise ValueError(f"{folder}: args.yml has {name} {str(word)[:80]!r}, which is no name: correct it")
    if type(arguments.get("num_threads", -1)) is not int:
        raise ValueError(
            f"{folder}: args.yml has num_threads {str(arguments['num_threads'])[:80]!r}, not a whole number"
        )


def _check_links(folder: Path) -> None:
    """:raises ValueError: if the log files of a run are links to files elsewhere, which would be overwritten"""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{path} links to {path.resolve()}, outside of the run folder: remove the link, or pass --trust if you "
                "know that the run may write there"
            )


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
            f"{place} belongs to a run with checkpoints, which goes on; to begin a new run with it, copy it elsewhere"
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
