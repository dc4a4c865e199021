"""One training per folder at a time: a lock on the folder, which the system releases when the process ends."""

import os
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: only threads of one process exclude each other, not processes
    fcntl = None  # type: ignore[assignment]


@dataclass
class _Holding:
    """
    :param handle: of the locked folder, None if the file system has no locks
    :param thread: that runs the training
    :param writers: callbacks of this training that write into the folder
    """

    handle: int | None
    thread: threading.Thread
    writers: "weakref.WeakSet[object]" = field(default_factory=weakref.WeakSet)


_guard = threading.RLock()  # reentrant: a finalizer may run at any instruction
_held: dict[Path, _Holding] = {}


def claim(folder: Path, writer: object) -> None:
    """
    :param folder: must exist
    :param writer: a callback; the callbacks of one training share the folder
    :raises ValueError: if another training, in this or another process, writes into it
    """
    folder = folder.resolve()
    with _guard:
        holding = _held.get(folder)
        # A training that crashed in this thread never released the folder, but it cannot continue either.
        if holding is not None and holding.thread is not threading.current_thread() and holding.thread.is_alive():
            raise ValueError(_in_use(folder))
        if holding is None:
            holding = _held[folder] = _Holding(_locked(folder), threading.current_thread())
        holding.thread = threading.current_thread()
        holding.writers.add(writer)
        weakref.finalize(writer, _close_unused, folder)


def release(writer: object) -> None:
    """The training of this callback has ended; the last callback to release its folder unlocks it."""
    with _guard:
        for folder, holding in list(_held.items()):
            holding.writers.discard(writer)
            _close_unused(folder)


def _close_unused(folder: Path) -> None:
    with _guard:
        if folder in _held and not list(_held[folder].writers):  # len() may still count collected writers
            handle = _held.pop(folder).handle
            if handle is not None:
                os.close(handle)


def _locked(folder: Path) -> int | None:
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ValueError(_in_use(folder)) from error
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle


def _in_use(folder: Path) -> str:
    return f"Another training is writing into {folder}: give each its own with folder= of the callbacks"
