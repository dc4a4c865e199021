"""One training per checkpoint folder: a lock that the system releases however the process ends."""

import os
import socket
import warnings
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: only the trainings of one process exclude each other
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"

_Identity = tuple[int, int]  # device and inode

# A record lock belongs to the process (unlike flock, whose copies in forked workers of environments would outlive a
# killed training), so that it does not exclude a second training of the same process: this set does. It is also lost
# when the process closes any handle of the file, hence no other code may open it.
_held: set[_Identity] = set()


class FolderLock:
    """
    :param folder: must exist; a file `.lock` in it stays there
    :raises ValueError: if another training, in this or another process, holds the lock
    :raises OSError: if the file cannot be created
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: int | None = None
        self._identity: _Identity = (0, 0)
        self._acquire()

    def renew(self) -> None:
        """
        Check that the lock still protects the folder; where the folder was replaced, lock the new one.

        :raises FileNotFoundError: if the folder has vanished
        :raises ValueError: if another training has locked the new one
        """
        if self._handle is None or _identity(self.folder / NAME) != self._identity:
            self.release()
            if not self.folder.is_dir():
                raise FileNotFoundError(2, "No such folder", str(self.folder))
            self._acquire()

    def release(self) -> None:
        """Can be called more than once."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            _held.discard(self._identity)

    def _acquire(self) -> None:
        path = self.folder / NAME
        if _identity(path) in _held:
            raise ValueError(self._in_use("this process"))
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _locked(handle):
                raise ValueError(self._in_use(os.pread(handle, 200, 0).decode(errors="replace")))
            _name_owner(handle)
        except BaseException:
            os.close(handle)
            raise
        status = os.fstat(handle)
        self._handle, self._identity = handle, (status.st_dev, status.st_ino)
        _held.add(self._identity)

    def _in_use(self, owner: str) -> str:
        return (
            f"Another training ({owner or 'of another process'}) writes its checkpoints into {self.folder}: wait for "
            "its end, or use another folder."
        )


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _locked(handle: int) -> bool:
    """:return: whether the lock is ours"""
    if fcntl is None:
        return True
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # systems differ
        return False
    except OSError as error:
        warnings.warn(
            f"The file system of the checkpoints has no locks ({error}): make sure that no other training uses the "
            "same folder.",
            stacklevel=5,
        )
    return True


def _name_owner(handle: int) -> None:
    """For the message of the next one who tries; nothing depends on it."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
