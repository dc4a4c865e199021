"""One checkpoint, to read: opened by its manifest, verified, loaded a part or a file of frames at a time."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sb3_atari_dqn.checkpoints import frame_files, tensors
from sb3_atari_dqn.checkpoints.frame_files import LoadedFrames
from sb3_atari_dqn.checkpoints.manifest import LARGEST_JSON, NAME, Manifest, OtherFormat
from sb3_atari_dqn.checkpoints.state import State, joined
from sb3_atari_dqn.checkpoints.storage import DamagedCheckpoint, OtherVersion, check, read_bounded, read_checked

_FOLDER = re.compile(r"(\d{6,18})-step(\d{1,19})", re.ASCII)


class Checkpoint:
    """
    :param path: its folder
    :param manifest: of it
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: str | Path) -> "Checkpoint":
        """
        :param path: the folder of one checkpoint
        :raises DamagedCheckpoint: if it has no valid manifest
        :raises OtherVersion: if it was written in another version of the format
        """
        path = Path(path)
        file = path / NAME
        try:
            manifest = Manifest.from_bytes(read_bounded(file, LARGEST_JSON))
        except DamagedCheckpoint:
            raise
        except OtherFormat as error:
            raise OtherVersion(file, f"{error}.") from error
        except ValueError as error:
            raise DamagedCheckpoint(file, f"{error}.") from error
        if path.resolve().name != (name := folder_name(manifest.number, manifest.step)):
            raise DamagedCheckpoint(file, f"it belongs in a folder named {name}.")
        return cls(path, manifest)

    @property
    def step(self) -> int:
        """Of the training."""
        return self.manifest.step

    @property
    def meta(self) -> dict[str, Any]:
        """As it was written."""
        return joined(self.manifest.meta, {})

    def verify(self) -> None:
        """
        Read everything once, without keeping it.

        :raises DamagedCheckpoint: naming the first file that is not what was written
        """
        for name, entry in self.manifest.parts.items():
            check(self.path / f"{name}.json", entry.json)
            check(self.path / f"{name}.safetensors", entry.arrays)
        for frames in self.manifest.frames:
            check(self._frames_folder / frames.name, frames)

    def state(self, part: str) -> State:
        """
        :param part: by name
        :return: as it was written, in memory of its own
        :raises KeyError: if there is none
        :raises DamagedCheckpoint: if a file is not what was written
        :raises MemoryError: if it does not fit into what is left
        """
        entry = self.manifest.parts[part]
        path, arrays_path = self.path / f"{part}.json", self.path / f"{part}.safetensors"
        text, data = read_checked(path, entry.json), read_checked(arrays_path, entry.arrays)
        try:
            arrays = tensors.load(data)
        except ValueError as error:
            raise DamagedCheckpoint(arrays_path, f"{error}.") from error
        try:
            return joined(json.loads(text), arrays)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedCheckpoint(path, f"it is not a state ({error!r:.200}).") from error

    def frames(self) -> Iterator[LoadedFrames]:
        """
        :return: the frames of the replay memory, for its `load_frames`, after its state
        :raises DamagedCheckpoint: if a file is not what was written; :meth:`verify` first, to have all or nothing
        """
        for entry in self.manifest.frames:
            yield from frame_files.read(self._frames_folder, entry)

    @property
    def _frames_folder(self) -> Path:
        return self.path.parent / frame_files.FOLDER


def folder_name(number: int, step: int) -> str:
    """:return: of a checkpoint"""
    return f"{number:06d}-step{step}"


def is_folder_name(name: str) -> bool:
    """:return: whether a checkpoint may have this name"""
    return _FOLDER.fullmatch(name) is not None


def all_in(folder: Path) -> list[tuple[int, int]]:
    """:return: numbers and steps of the complete checkpoints in a folder, in the order in which they were written"""
    matches = (_FOLDER.fullmatch(path.name) for path in folder.iterdir())
    found = [(int(match[1]), int(match[2])) for match in matches if match]
    return sorted(pair for pair in found if (folder / folder_name(*pair)).is_dir())


def no_checkpoint(folder: Path) -> str:
    """:return: what to say about a folder without any"""
    return f"{folder} holds no checkpoint: use the folder of a training that wrote one."


def newest(folder: str | Path) -> Checkpoint:
    """
    :param folder: of a :class:`~sb3_atari_dqn.checkpoints.archive.CheckpointFolder`
    :return: the last checkpoint, verified
    :raises FileNotFoundError: if there is none
    :raises DamagedCheckpoint: if it is damaged; the message names the file, and the last intact checkpoint before it
    """
    folder = Path(folder)
    found = all_in(folder) if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(no_checkpoint(folder))
    try:
        return verified(folder / folder_name(*found[-1]))
    except DamagedCheckpoint as error:
        problem = error.problem.removeprefix("is damaged: ")
        raise DamagedCheckpoint(error.path, f"{problem} {_way_out(folder, found[:-1])}") from error


def newest_intact(folder: str | Path) -> Checkpoint | None:
    """:return: the last checkpoint that can be read completely, verified; None: there is none"""
    folder = Path(folder)
    for pair in reversed(all_in(folder) if folder.is_dir() else []):
        try:
            return verified(folder / folder_name(*pair))
        except DamagedCheckpoint:
            continue
    return None


def verified(path: str | Path) -> Checkpoint:
    """
    :param path: the folder of one checkpoint
    :raises DamagedCheckpoint: naming the first file that is not what was written
    """
    checkpoint = Checkpoint.open(path)
    checkpoint.verify()
    return checkpoint


def _way_out(folder: Path, older: list[tuple[int, int]]) -> str:
    for pair in reversed(older):
        try:
            intact = verified(folder / folder_name(*pair))
        except DamagedCheckpoint:
            continue
        return f"The last intact checkpoint before it is that of step {intact.step}: continue from {intact.path}."
    return "There is no intact checkpoint before it: begin anew, or use a copy."
