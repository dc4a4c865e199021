"""The bytes of files: written with their checksum and flushed to the disk, read only as far as a manifest allows."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import psutil

from sb3_atari_dqn.checkpoints.manifest import FileEntry

_PIECE = 1 << 20


class UnreadableCheckpoint(ValueError):
    """
    A file cannot be used.

    :param path: of the file
    :param problem: the rest of the sentence
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path, self.problem = path, problem


class DamagedCheckpoint(UnreadableCheckpoint):
    """A file is not what was written; parameters as above, the sentence begins with "is damaged: "."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(path, f"is damaged: {problem}")


class OtherVersion(UnreadableCheckpoint):
    """The file was written in a format of another version."""


def write_pieces(file: BinaryIO, pieces: Iterable[bytes | memoryview]) -> FileEntry:
    """
    :param file: just opened
    :param pieces: all that it will hold
    :return: its size and checksum; the bytes are on the disk then
    """
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        file.write(piece)
        digest.update(piece)
        size += len(piece)
    file.flush()
    os.fsync(file.fileno())
    return FileEntry(size, digest.hexdigest())


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk afterwards; Windows and some file systems cannot be asked for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def read_bounded(path: Path, largest: int) -> bytes:
    """
    :param path: of a file
    :param largest: number of bytes to read
    :raises DamagedCheckpoint: if it has more, is missing, or is no file; nothing is read then
    """
    with _opened(path) as (file, size):
        if size > largest:
            raise DamagedCheckpoint(path, f"it has {size:,} bytes, where {largest:,} are allowed.")
        return file.read(largest)


def read_checked(path: Path, entry: FileEntry) -> bytes:
    """
    :param path: of a file
    :param entry: what it must be
    :return: its content
    :raises DamagedCheckpoint: if it has another size or checksum
    :raises MemoryError: if the content does not fit into what is left
    """
    with _opened(path, entry) as (file, size):
        if size > (available := psutil.virtual_memory().available):
            raise MemoryError(f"{path} takes {size / 1e9:.2f} GB of memory, and {available / 1e9:.2f} GB are left.")
        data = file.read(size)
    _compare(path, hashlib.sha256(data).hexdigest(), entry)
    return data


def check(path: Path, entry: FileEntry) -> None:
    """
    Read a file once, a piece at a time.

    :raises DamagedCheckpoint: if it has another size or checksum
    """
    digest = hashlib.sha256()
    with _opened(path, entry) as (file, _):
        while piece := file.read(_PIECE):
            digest.update(piece)
    _compare(path, digest.hexdigest(), entry)


def is_there(path: Path, size: int) -> bool:
    """:return: whether there is a file of this size; it is not read"""
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size


@contextmanager
def _opened(path: Path, entry: FileEntry | None = None) -> Iterator[tuple[BinaryIO, int]]:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedCheckpoint(path, "the file is missing.") from error
    except IsADirectoryError as error:  # Windows may say PermissionError
        raise DamagedCheckpoint(path, "it is not a file.") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever, a device never end
        os.close(handle)
        raise DamagedCheckpoint(path, "it is not a file.")
    with open(handle, "rb") as file:
        if entry is not None and status.st_size != entry.size:
            raise DamagedCheckpoint(path, f"it has {status.st_size:,} bytes instead of {entry.size:,}.")
        yield file, status.st_size


def _compare(path: Path, found: str, entry: FileEntry) -> None:
    if found != entry.sha256:
        raise DamagedCheckpoint(path, "its checksum does not match.")
