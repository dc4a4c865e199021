"""Files that are there whole or not at all: written under a temporary name in the same folder, then renamed."""

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
except ImportError:  # Windows: nobody can tell a leftover from a file that is being written, so leftovers stay
    fcntl = None  # type: ignore[assignment]

#: Of a name, in bytes; file systems allow 255, and the temporary name is longer than the final one.
LONGEST_NAME = 200


@contextmanager
def replacing(path: Path) -> Iterator[io.BufferedWriter]:
    """
    Write to a temporary file, and put it in the place of the file when all is written.

    Any number of threads and processes can write the same file at once: the last to finish wins, and readers see one
    whole file or the other. An interruption (Ctrl-C among them) leaves the old file whole and no temporary one; what
    a killed process leaves behind goes with the next write of the same file.

    :param path: the file; links are followed, its permissions are kept, a new one gets those of ``open``
    :raises OSError: if it cannot be written
    """
    target = Path(os.path.realpath(path))
    unfinished = Unfinished(target)
    try:
        with open(unfinished.handle, "wb", closefd=False) as file:
            yield file
        unfinished.keep(target)
    finally:
        unfinished.discard()


class Unfinished:
    """
    An empty file with a temporary name in the folder of the target: ``.NAME.PID-RANDOM.tmp``.

    It is locked until it is kept or discarded. The system drops the lock of a process that ends, however it ends, so
    an unlocked file of such a name is a leftover: process numbers are reused, and mean nothing to another machine.

    :param target: what it will become; leftovers of the same target are removed
    :param suffix: of the temporary name, for programs that choose the format by it
    :raises OSError: if the folder takes no file; it names the target
    """

    def __init__(self, target: Path, suffix: str = "") -> None:
        name = _shortened(target.name)
        _remove_leftovers(target.parent, name)
        try:
            self.path, self.handle = _create(target.parent, name, suffix)
        except OSError as error:
            error.filename = str(target)
            raise
        self._finalizer = weakref.finalize(self, _discard, self.path, self.handle, os.getpid())

    def keep(self, target: Path) -> None:
        """
        :param target: the final name, in the same folder; an older file there hands on its permissions
        :raises OSError: if that is impossible; the file is still to be discarded then
        """
        with suppress(FileNotFoundError):
            shutil.copymode(target, self.path)
        if fcntl is None:  # Windows renames no open file
            os.close(self.handle)
            self._finalizer = weakref.finalize(self, self.path.unlink, missing_ok=True)
        self.path.replace(target)
        self.discard()

    def discard(self) -> None:
        """Remove the file if it still has its temporary name; can be called more than once."""
        self._finalizer()


def _create(folder: Path, name: str, suffix: str) -> tuple[Path, int]:
    """:return: path and handle of a new locked file"""
    while True:
        path = folder / f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp{suffix}"
        handle = None
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            # Between creation and lock another writer may have taken it for a leftover.
            if _lock(handle) is not False and os.fstat(handle).st_nlink > 0:
                return path, handle
            os.close(handle)
        except BaseException:  # Ctrl-C arrives at the end of a system call
            path.unlink(missing_ok=True)
            if handle is not None:
                os.close(handle)
            raise


def _discard(path: Path, handle: int, process: int) -> None:
    os.close(handle)
    if process == os.getpid():  # a forked child has a copy of the handle, the file is not its own
        path.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, name: str) -> None:
    ours = re.compile(rf"\.{re.escape(name)}\.\d+-[0-9a-f]{{8}}\.tmp(\.\w+)?")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):  # another writer was faster, or the file belongs to another user
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
    """:return: the name, or what stands for a long one"""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()[:32]
