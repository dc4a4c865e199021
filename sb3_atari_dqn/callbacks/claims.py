"""One training per folder at a time: a lock on the folder, which the system drops with the process."""

import os
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes are not told apart, two threads of one are
    fcntl = None  # type: ignore[assignment]


@dataclass
class _Holding:
    """
    :param handle: of the locked folder, None where the file system has no locks
    :param thread: in which the training runs
    :param writers: its callbacks that write there
    """

    handle: int | None
    thread: threading.Thread
    writers: "weakref.WeakSet[object]" = field(default_factory=weakref.WeakSet)


_guard = threading.RLock()  # a finalizer may run within any instruction
_held: dict[Path, _Holding] = {}


def claim(folder: Path, writer: object) -> None:
    """
    :param folder: there already
    :param writer: a callback; those of one training share the folder
    :raises ValueError: if another training, of this process or another one, writes there
    """
    folder = folder.resolve()
    with _guard:
        holding = _held.get(folder)
        # A training that died in this thread has released nothing, but it cannot go on.
        if holding is not None and holding.thread is not threading.current_thread() and holding.thread.is_alive():
            raise ValueError(_in_use(folder))
        if holding is None:
            holding = _held[folder] = _Holding(_locked(folder), threading.current_thread())
        holding.thread = threading.current_thread()
        holding.writers.add(writer)
        weakref.finalize(writer, _close_unused, folder)


def release(folder: Path, writer: object) -> None:
    """The training of this callback is over; the last one opens the folder to others."""
    folder = folder.resolve()
    with _guard:
        if folder in _held:
            _held[folder].writers.discard(writer)
            _close_unused(folder)


def _close_unused(folder: Path) -> None:
    with _guard:
        if folder in _held and not list(_held[folder].writers):  # its length may count those that have just gone
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
    return f"Another training is writing into {folder}: give each its own, with folder= of its callbacks"
