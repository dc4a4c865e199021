"""Atomic file writes: to a temporary file in the same folder, which is then renamed."""

import hashlib
import io
import os
import re
import secrets
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: a leftover looks like a file being written, so leftovers are not removed
    fcntl = None  # type: ignore[assignment]

#: Maximum length of a file name in bytes; file systems allow 255, and the temporary name is longer than the final one.
LONGEST_NAME = 200


@contextmanager
def replacing(path: Path) -> Iterator[io.BufferedWriter]:
    """
    Write to a temporary file that replaces the target on success.

    Threads and processes can write the same file concurrently: the last to finish wins, and readers always see one
    complete file. An interruption (such as Ctrl-C) keeps the old file and removes the temporary one; the next write
    of the same file removes leftovers of killed processes. After a power cut too, the target is one of both.

    :param path: the target; follows links and keeps permissions, a new file gets those of ``open``
    :raises OSError: if it cannot be written
    """
    target = Path(os.path.realpath(path))
    unfinished = Unfinished(target)
    try:
        with open(unfinished.opened.fileno(), "wb", closefd=False) as file:
            yield file
        os.fsync(unfinished.opened.fileno())  # else some file systems leave an empty file after a power cut
        unfinished.keep(target)
    finally:
        unfinished.discard()


class Unfinished:
    """
    An empty temporary file in the folder of the target: ``.NAME.PID-RANDOM.tmp``.

    It is locked until it is kept or discarded. The system releases the locks of a process however it ends, so an
    unlocked temporary file is a leftover. Process ids would not tell: they are reused, and differ between machines.

    :param target: the final path; leftovers of the same target are removed
    :param suffix: of the temporary name, for programs that infer the format from it
    :raises OSError: if no file can be created in the folder; it names the target
    """

    def __init__(self, target: Path, suffix: str = "") -> None:
        name = _shortened(target.name)
        _remove_leftovers(target.parent, name)
        try:
            self.path, self.opened = _create(target.parent, name, suffix)
        except OSError as error:
            error.filename = str(target)
            raise
        self._finalizer = weakref.finalize(self, _discard, self.path, self.opened, os.getpid())

    def keep(self, target: Path) -> None:
        """
        :param target: the final path, in the same folder; keeps the permissions of an existing file
        :raises OSError: if renaming fails; the file must still be discarded
        """
        with suppress(FileNotFoundError):
            shutil.copymode(target, self.path)
        if fcntl is None:  # Windows cannot rename an open file
            self.opened.close()
            self._finalizer = weakref.finalize(self, self.path.unlink, missing_ok=True)
        self.path.replace(target)
        self.discard()

    def discard(self) -> None:
        """Remove the file unless it was kept; can be called more than once."""
        self._finalizer()


def _create(folder: Path, name: str, suffix: str) -> tuple[Path, io.FileIO]:
    """
    :return: path of a new file, and the file, locked. It is an object, not a number, so that a Ctrl-C before the caller
        has it closes it: a number would keep the lock for as long as the process lives.
    """
    while True:
        path = folder / f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp{suffix}"
        opened = None
        try:
            opened = io.FileIO(path, "x+")
            # Before the lock was taken, another writer may have removed it as a leftover.
            if _lock(opened.fileno()) is not False and os.fstat(opened.fileno()).st_nlink > 0:
                return path, opened
            opened.close()
        except BaseException:  # Python raises KeyboardInterrupt after a system call
            path.unlink(missing_ok=True)
            if opened is not None:
                opened.close()
            raise


def _discard(path: Path, opened: io.FileIO, process: int) -> None:
    opened.close()
    if process == os.getpid():  # a forked child holds a copy of the handle but does not own the file
        path.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, name: str) -> None:
    ours = re.compile(rf"\.{re.escape(name)}\.\d+-[0-9a-f]{{8}}\.tmp(\.\w+)?")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):  # another writer removed it first, or another user owns it
                    _remove_leftover(Path(entry.path))


def _remove_leftover(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        if _lock(handle):
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """:return: False if another writer has the lock, None if the file system has no locks"""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _shortened(name: str) -> str:
    """:return: the name, or a hash of a long one"""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()[:32]
