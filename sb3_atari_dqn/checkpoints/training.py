"""A whole training in a checkpoint: the model, its callbacks, its log files, and the generators of the process."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.callback_states import callback_states, load_callback_states
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, is_folder_name, newest, verified
from sb3_atari_dqn.checkpoints.env_state import record_actions
from sb3_atari_dqn.checkpoints.frame_files import FrameSource
from sb3_atari_dqn.checkpoints.log_files import (
    continued_logger,
    load_text_state,
    logger_files,
    logger_state,
    monitor_files,
    restore_monitor_files,
    text_state,
)
from sb3_atari_dqn.checkpoints.manifest import installed_versions
from sb3_atari_dqn.checkpoints.state import State, generator_state, global_generators, load_generator_state

#: Of the content of the parts; raised when an older checkpoint can no longer be continued.
STATE_VERSION = 2
#: In the folder of a run.
FOLDER = "checkpoints"

_OWN_PARTS = ("callbacks", "files", "logger", "generators")


class Trained(Protocol):
    """What is needed of a model."""

    env: Any
    num_timesteps: int
    frames_saved_in: str | None

    @property
    def logger(self) -> Any:
        """SB3's"""

    def state_dict(self) -> dict[str, State]:
        """:return: the state by part"""

    def load_state_dict(self, state: dict[str, State], frames: Iterable[Any] = ()) -> None:
        """Take it back."""

    def load_pending_log(self, state: State) -> None:
        """Of the part `log`."""

    def frame_source(self) -> FrameSource | None:
        """:return: the frames of the replay memory"""

    def identity(self) -> State:
        """:return: what a continued training must have in common with it"""

    def set_logger(self, logger: Any) -> None:
        """:param logger: SB3's"""


def write(
    archive: CheckpointFolder, model: Trained, callback: Any, run_folder: Path, text_files: Iterable[Path]
) -> Checkpoint:
    """
    :param archive: for the checkpoint
    :param model: between two rollouts
    :param callback: of its training
    :param run_folder: may be moved before the run continues
    :param text_files: that grow with the training, beside those of monitors and logger
    :raises CheckpointNotWritten: see :meth:`CheckpointFolder.write`
    """
    opened = [Path(file.name) for file in (*monitor_files(model.env), *logger_files(model.logger))]
    states = {
        **model.state_dict(),
        "callbacks": callback_states(callback),
        "files": text_state([*opened, *text_files], run_folder),
        "logger": logger_state(model.logger, run_folder),
        "generators": {name: generator_state(each) for name, each in global_generators().items()},
    }
    meta = {"state_version": STATE_VERSION, **model.identity()}
    is_other_memory = archive.last is None or model.frames_saved_in != _name(archive.last)
    checkpoint = archive.write(model.num_timesteps, states, meta, model.frame_source(), whole=is_other_memory)
    model.frames_saved_in = _name(checkpoint)
    return checkpoint


@dataclass
class Continuation:
    """
    A training that goes on from a checkpoint; what a callback brings back once the training has started.

    :param archive: in which it goes on
    :param checkpoint: from which
    """

    archive: CheckpointFolder
    checkpoint: Checkpoint

    def load_callbacks(self, callback: Any) -> None:
        """:param callback: of the continued training, which is about to start"""
        load_callback_states(callback, self.checkpoint.state("callbacks"))

    def load_generators(self) -> None:
        """Call this just before the first step: whatever is built draws numbers."""
        states = self.checkpoint.state("generators")
        for name, generator in global_generators().items():
            if name in states:
                load_generator_state(generator, states[name])


def place_of(place: Path) -> tuple[Path, Path | None]:
    """
    :param place: the folder of a run, or one of its checkpoints
    :return: the folder of the run; and the checkpoint, or None for the newest
    """
    if place.absolute().parent.name == FOLDER and is_folder_name(place.name):
        return place.absolute().parent.parent, place
    return place, None


def open_archive(folder: Path, keep: int, at: Path | None = None) -> CheckpointFolder:
    """
    :param folder: with the checkpoints
    :param keep: number of checkpoints
    :param at: the checkpoint from which to continue; None: the newest
    :return: locked, the checkpoint verified
    :raises ValueError: if another training uses it, or the checkpoint is damaged or does not fit this version
    :raises FileNotFoundError: if there is no checkpoint
    """
    finder: Callable[[Path], Checkpoint | None] = newest if at is None else lambda _: verified(at)
    archive = CheckpointFolder(folder, keep, after=finder)
    version = archive.after.meta.get("state_version") if archive.after is not None else None
    if version != STATE_VERSION:
        writer = archive.after.manifest.versions.get("sb3-atari-dqn") if archive.after is not None else None
        archive.close()
        raise ValueError(
            f"{folder} was written by sb3-atari-dqn {writer}, whose checkpoints hold another state (version "
            f"{version}, here {STATE_VERSION}): continue it with that version."
        )
    return archive


def load(archive: CheckpointFolder, model: Trained, run_folder: Path) -> Continuation:
    """
    Bring a model, its environments and its log files to where the checkpoint was taken.

    :param archive: from :func:`open_archive`
    :param model: built as the one that was trained, in environments built as its were
    :param run_folder: with the log files
    :raises ValueError: if it does not fit, or the monitors of environments in other processes do not append
    """
    checkpoint = archive.after
    assert checkpoint is not None
    meta, identity = checkpoint.meta, model.identity()
    for name, here in identity.items():
        if meta.get(name) != here:
            raise ValueError(
                f"{checkpoint.path} belongs to a training with {name} {meta.get(name)}, and this one has {here}: "
                "continue it as it was begun."
            )
    texts = checkpoint.state("files")
    if overwritten := restore_monitor_files(texts, run_folder, monitor_files(model.env)):
        raise ValueError(
            f"{overwritten[0]} was opened anew by an environment in another process, whose rows would go over those of "
            "the checkpoint. They are in the file again: build the environments with "
            "monitor_kwargs={'override_existing': False} (make_vec_env) or Monitor(override_existing=False), and "
            "continue once more."
        )
    _warn_of_other_versions(checkpoint)
    record_actions(model.env)
    parts = {name: checkpoint.state(name) for name in checkpoint.manifest.parts if name not in _OWN_PARTS}
    model.load_state_dict(parts, checkpoint.frames())
    model.frames_saved_in = _name(checkpoint)
    model.set_logger(continued_logger(checkpoint.state("logger"), texts, run_folder))
    model.load_pending_log(parts["log"])
    handles = [*monitor_files(model.env), *logger_files(model.logger)]
    load_text_state(texts, run_folder, handles)
    return Continuation(archive, checkpoint)


@contextmanager
def monitor_files_restored_on_failure(archive: CheckpointFolder, run_folder: Path) -> Iterator[None]:
    """
    New environments have overwritten them before anybody could check whether the training can continue.

    :param archive: from :func:`open_archive`
    :param run_folder: with the log files
    """
    try:
        yield
    except BaseException:
        assert archive.after is not None
        restore_monitor_files(archive.after.state("files"), run_folder)
        raise


def _name(checkpoint: Checkpoint) -> str:
    """:return: of a checkpoint, among those of all trainings"""
    return str(checkpoint.path.resolve())


def _warn_of_other_versions(checkpoint: Checkpoint) -> None:
    here = installed_versions()
    other = {name: then for name, then in checkpoint.manifest.versions.items() if here.get(name) != then}
    if other:
        named = ", ".join(f"{name} {then} (here {here.get(name)})" for name, then in other.items())
        warnings.warn(
            f"The checkpoint was written with {named}: the run goes on, but not necessarily bit for bit.", stacklevel=3
        )
