"""Checkpoints of a training in one folder: written whole or not at all, verified when they are read, the last k kept.

    checkpoints/
        .lock                                    held by the training that writes here
        000007-step400000/                       a checkpoint; until it is complete, its name ends in .unfinished
            manifest.json                        what belongs to it, with sizes and checksums
            model.json  model.safetensors        a part: plain values and arrays
        frames/
            350001-400000-9f86d081884c7d65.safetensors.zst      written once, shared by the checkpoints that need it

No file is a pickle. What a state may hold, and why frames are apart: `state.py`. In words: docs/checkpoints.md.
"""

import errno
import os
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sb3_atari_dqn.checkpoints import frame_files
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, all_in, folder_name, no_checkpoint
from sb3_atari_dqn.checkpoints.frame_files import FrameSource
from sb3_atari_dqn.checkpoints.lock import FolderLock
from sb3_atari_dqn.checkpoints.manifest import (
    FRAMES_NAME,
    NAME,
    FramesEntry,
    Manifest,
)
from sb3_atari_dqn.checkpoints.part_files import prepared, write_file, write_part
from sb3_atari_dqn.checkpoints.state import State, split
from sb3_atari_dqn.checkpoints.storage import (
    DamagedCheckpoint,
    OtherVersion,
    UnreadableCheckpoint,
    is_there,
    sync_folder,
)

_UNFINISHED = ".unfinished"
_LEFTOVER = re.compile(r"\d{6,}-step\d+\.unfinished", re.ASCII)
_LEFTOVER_FRAMES = re.compile(rf"{FRAMES_NAME.pattern}|\.{FRAMES_NAME.pattern}\.\d+-[0-9a-f]{{8}}\.tmp", re.ASCII)

_WAYS_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make the folder writable"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESTALE), "put the folder back"),
}


class CheckpointNotWritten(OSError):
    """Says in one sentence why, which checkpoint is the last good one, and the way out; training can go on."""


Finder = Callable[[Path], Checkpoint | None]


class CheckpointFolder:
    """
    Writes the checkpoints of one training; a context manager.

    :param folder: is created; belongs to this training until :meth:`close`, or until the process ends, however it does
    :param keep: number of checkpoints; older ones are removed, with the frames that only they needed
    :param after: the checkpoint from which the training continues, or how to find it once the folder is locked, such as
        :func:`~sb3_atari_dqn.checkpoints.checkpoint.newest`; checkpoints after it are removed when the next one is
        written. None: the training is a new one, and the folder must not hold any
    :raises ValueError: if another training uses the folder, or `keep` is not a positive integer
    :raises FileNotFoundError: if a training is to continue in a folder without checkpoints
    :raises DamagedCheckpoint: from `newest`
    :raises OSError: if the folder cannot be written
    """

    def __init__(self, folder: str | Path, keep: int = 3, after: Checkpoint | Finder | None = None) -> None:
        if type(keep) is not int or keep < 1:
            raise ValueError(f"keep={keep!r}: the number of checkpoints to keep must be a whole number above 0.")
        self.folder, self.keep = Path(folder), keep
        if after is None:
            self.folder.mkdir(parents=True, exist_ok=True)
        elif not (self.folder.is_dir() and all_in(self.folder)):
            raise FileNotFoundError(no_checkpoint(self.folder))
        self._lock = FolderLock(self.folder)
        self._abandoned: set[int] = set()
        try:
            self.after = after(self.folder) if callable(after) else after
            #: The checkpoint whose files of frames the next one shares
            self.last = self.after
            self._enter(self.after)
        except BaseException:
            self.close()
            raise

    def _enter(self, after: Checkpoint | None) -> None:
        found = all_in(self.folder)
        if after is None and found:
            raise ValueError(
                f"{self.folder} holds checkpoints of another training, the last one of step {max(found)[1]}: continue "
                "it, or use another folder."
            )
        if after is not None:
            if not after.path.is_dir() or not after.path.parent.samefile(self.folder):
                raise ValueError(f"{after.path} is not in {self.folder}: continue in the folder of the checkpoint.")
            self._abandoned = {number for number, _ in found if number > after.manifest.number}
        self._remove_leftovers()

    def __enter__(self) -> "CheckpointFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Another training may use the folder now."""
        self._lock.release()

    # --- writing

    def write(
        self,
        step: int,
        states: Mapping[str, State],
        meta: Mapping[str, Any] | None = None,
        frames: FrameSource | None = None,
        whole: bool = False,
    ) -> Checkpoint:
        """
        Write a checkpoint, of the frames only those that came after the last one.

        :param step: of the training
        :param states: by the name of the part, small letters, digits and underscores
        :param meta: plain values, to be read before anything is loaded
        :param frames: of the replay memory
        :param whole: write all frames again, because the replay memory was replaced
        :return: the checkpoint
        :raises TypeError: if a state is not plain
        :raises ValueError: if a name does not fit, or another training took the folder after it had vanished
        :raises CheckpointNotWritten: naming the reason, the last good checkpoint, and the way out; the folder is then
            as it was, and the next call writes all that is missing
        """
        parts = prepared(step, states)
        plain_meta, arrays = split({"meta": meta or {}})
        if arrays:
            raise TypeError(
                f"There is an array at {next(iter(arrays)).lstrip('0123456789')}: meta is for plain values."
            )
        written: list[FramesEntry] = []
        unfinished: Path | None = None
        try:
            self._lock.renew()
            number = 1 + max((number for number, _ in all_in(self.folder)), default=0)
            unfinished = self.folder / (folder_name(number, step) + _UNFINISHED)
            unfinished.mkdir()
            kept = self._write_frames(frames, whole, written)
            entries = {name: write_part(unfinished, name, *part) for name, part in parts.items()}
            end = 0 if frames is None else frames.end
            manifest = Manifest(number, step, plain_meta["meta"], entries, (*kept, *written), end)
            write_file(unfinished / NAME, [manifest.to_bytes()])
            sync_folder(unfinished)
            path = unfinished.rename(unfinished.with_suffix(""))
        except BaseException as error:
            self._undo(unfinished, written)
            if isinstance(error, OSError):
                raise self._explained(step, error) from error
            raise
        self.last = Checkpoint(path, manifest)
        self._clean_up()
        return self.last

    def _write_frames(
        self, frames: FrameSource | None, whole: bool, written: list[FramesEntry]
    ) -> tuple[FramesEntry, ...]:
        """:return: the files that exist already and are still needed; the new ones are in `written`"""
        if frames is None:
            return ()
        folder = self.folder / frame_files.FOLDER
        folder.mkdir(exist_ok=True)
        last = None if self.last is None else self.last.manifest
        kept: tuple[FramesEntry, ...] = ()
        since = 0
        if last is not None and not whole and last.frames_end <= frames.end:
            kept = tuple(entry for entry in last.frames if entry.last >= frames.first)
            since = last.frames_end
        if lost := [entry.name for entry in kept if not is_there(folder / entry.name, entry.size)]:
            warnings.warn(
                f"{folder / lost[0]} has vanished or changed: this checkpoint is written with all frames, those "
                "before it that need the file are lost.",
                stacklevel=4,
            )
            kept, since = (), 0
        frame_files.write(folder, frames.since(since), written)
        sync_folder(folder)
        return kept

    def _undo(self, unfinished: Path | None, written: list[FramesEntry]) -> None:
        """What cannot be removed now is removed as a leftover, later."""
        with suppress(OSError):
            if unfinished is not None:
                shutil.rmtree(unfinished, ignore_errors=True)
            needed = self._needed_frames()
            for entry in written:
                if needed is not None and entry.name not in needed:
                    (self.folder / frame_files.FOLDER / entry.name).unlink(missing_ok=True)

    def _explained(self, step: int, error: OSError) -> OSError:
        way_out = _WAYS_OUT.get(error.errno or 0, "remove the cause")
        last = "there is none before it"
        if self.last is not None:
            last = f"the last good one is that of step {self.last.step}"
        explained = CheckpointNotWritten(
            f"The checkpoint of step {step} could not be written ({error.strerror or error}: "
            f"{error.filename or self.folder}); {last}. Before the next one, {way_out}: {self.folder}"
        )
        explained.errno = error.errno
        return explained

    # --- removing

    def _clean_up(self) -> None:
        """Keep the last checkpoints. If that fails, the new one is good nevertheless."""
        try:
            sync_folder(self.folder)
            kept: list[int] = []
            for number, step in sorted(all_in(self.folder), reverse=True):
                path = self.folder / folder_name(number, step)
                if number in self._abandoned or len(kept) >= self.keep or not _is_readable(path):
                    _remove(path)
                else:
                    kept.append(number)
            self._remove_leftovers()
        except OSError as error:
            warnings.warn(f"Old checkpoints could not be removed ({error}); the next one tries it again.", stacklevel=3)

    def _remove_leftovers(self) -> None:
        """Remove what killed writers and failed attempts left; only we write here, and other names are not touched."""
        for path in self.folder.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                shutil.rmtree(path)
        folder, needed = self.folder / frame_files.FOLDER, self._needed_frames()
        if needed is None or not folder.is_dir():
            return
        for path in folder.iterdir():
            if path.name not in needed and _LEFTOVER_FRAMES.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _needed_frames(self) -> set[str] | None:
        """:return: names of the files that any checkpoint refers to; None: one cannot be asked"""
        names: set[str] = set()
        for number, step in all_in(self.folder):
            try:
                manifest = Checkpoint.open(self.folder / folder_name(number, step)).manifest
            except UnreadableCheckpoint:
                return None
            names |= {entry.name for entry in manifest.frames}
        return names


def _is_readable(path: Path) -> bool:
    """:return: False for damage; what another version wrote may be good"""
    try:
        Checkpoint.open(path)
    except DamagedCheckpoint:
        return False
    except OtherVersion:
        pass
    return True


def _remove(path: Path) -> None:
    """A checkpoint is gone at once, even if the process is killed on the way."""
    gone = path.with_name(path.name + _UNFINISHED)
    os.rename(path, gone)
    shutil.rmtree(gone)
