"""A browser process and its folder, neither of which outlives this process.

A guard process starts before the browser: a shell that waits on a pipe from this process. The pipe closes when this
process ends, even by kill -9; the guard then kills the browser's processes and removes their folder.
:meth:`BrowserProcess.end` does the same directly, and dismisses the guard.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
import time
import weakref
from pathlib import Path

from sb3_atari_dqn.dino.faults import BrowserFault

PREFIX = "dino-"

#: The browser creates a socket in its folder, which adds 46 characters to the path; socket paths are limited to 107.
LONGEST_FOLDER = 107 - len("/org.chromium.Chromium.XXXXXX/SingletonSocket")

#: $1 is the folder. We write up to two lines to the pipe: the browser's process group, and "done". Without the first
#: line, the browser exits because its own pipe closes, and the guard removes the folder until that has happened. The
#: guard kills until the group is empty. dash, Debian's shell, rejects "--" after "kill -9". Crash reporters leave the
#: group; the guard finds them by the path of their database.
GUARD = """
PATH=$PATH:/usr/bin:/bin
read -r group
read -r done && exit
tries=100
while [ $tries -gt 0 ]; do
  kill -9 "-${group:-none}" 2>/dev/null
  empty=$?
  for file in $(grep -alF -e "--database=$1/" /proc/[0-9]*/cmdline 2>/dev/null); do
    process=${file#/proc/}
    kill -9 "${process%/cmdline}" 2>/dev/null
  done
  rm -rf -- "$1" 2>/dev/null
  [ -n "$group" ] && [ $empty -ne 0 ] && [ ! -e "$1" ] && exit
  tries=$((tries - 1))
  sleep 0.1
done
"""
SHELL = "/bin/sh"

#: Lowest file descriptor for our ends of the pipes: the browser uses 3 and 4 for its own.
HIGH_FD = 10

_running: "weakref.WeakSet[BrowserProcess]" = weakref.WeakSet()


class BrowserProcess:
    """
    A browser controlled through its file descriptors 3 and 4, in its own session and process group.

    It ends with :meth:`end`, when this object is garbage-collected, and at the latest with this process. Forked
    processes do not share it.

    :param browser: path of the executable
    :param arguments: of the browser; ``{folder}`` is replaced by its folder
    :raises BrowserFault: if it cannot be started
    """

    def __init__(self, browser: str, arguments: list[str]) -> None:
        self.folder = _new_folder()
        self._log = self.folder / "log.txt"
        self._resources = _Resources(self.folder)
        self._finalizer = weakref.finalize(self, self._resources.end)
        _running.add(self)
        command = [browser, *(argument.replace("{folder}", str(self.folder)) for argument in arguments)]
        try:
            self._start(command)
        except OSError as error:
            self.end()
            raise BrowserFault(f"{browser} cannot be started: {error}") from error
        except BaseException:  # Ctrl-C, at any moment
            self.end()
            raise

    @property
    def pid(self) -> int:
        """:return: process id of the browser, and of its process group"""
        assert self._resources.pid is not None
        return self._resources.pid

    @property
    def ours(self) -> bool:
        """:return: whether this process started it and has not ended it"""
        return self._finalizer.alive

    def end(self) -> None:
        """Kill the browser's processes and remove their folder, at any time; further calls do nothing."""
        self._finalizer()

    def output_tail(self) -> str:
        """:return: the end of the browser's output, for messages; may be empty"""
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace").strip()[-1000:]
        return ""

    def detach(self) -> None:
        """In a forked child: release what belongs to the parent."""
        if self._finalizer.detach():
            self._resources.close()

    def _start(self, command: list[str]) -> None:
        keep = self._resources
        with contextlib.ExitStack() as theirs:
            guard_end, keep.guard_fd = _pipe(theirs, keep.fds)
            commands, self.write_fd = _pipe(theirs, keep.fds)
            answers, self.read_fd = _pipe(theirs, keep.fds, we_read=True)
            keep.spawn_guard(guard_end)
            self.folder.mkdir(0o700)
            keep.spawn_browser(command, self._environment(), commands, answers, str(self._log))

    def _environment(self) -> dict[str, str]:
        """The environment variables of the browser, which redirect its home to its folder."""
        home = str(self.folder)
        keeps = {name: os.environ[name] for name in os.environ if not name.startswith("XDG_")}
        runtime = os.environ.get("XDG_RUNTIME_DIR")  # holds the Wayland socket and the X authority file
        keeps |= {"XDG_RUNTIME_DIR": runtime} if runtime else {}
        keeps.setdefault("XAUTHORITY", os.path.expanduser("~/.Xauthority"))
        return {**keeps, "HOME": home, "TMPDIR": home}


class _Resources:
    """
    Processes, pipes and folder of a browser, which can be cleaned up at any point of its start.

    :param folder: need not exist yet
    """

    def __init__(self, folder: Path) -> None:
        self.owner = os.getpid()
        self.folder = folder
        self.fds: list[int] = []
        self.guard_fd: int | None = None
        self.guard_pid: int | None = None
        self.pid: int | None = None
        self.uncertain = False  # an interrupted start may leave a browser with an unknown process id

    def spawn_guard(self, guard_end: int) -> None:
        """:param guard_end: the guard's end of its pipe"""
        self.guard_pid = os.posix_spawn(
            SHELL,
            ["sh", "-c", GUARD, "guard", str(self.folder)],
            os.environ,
            setsid=True,  # Ctrl-C in the terminal must not reach it
            file_actions=[
                (os.POSIX_SPAWN_DUP2, guard_end, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )

    def spawn_browser(self, command: list[str], environment: dict[str, str], reads: int, writes: int, log: str) -> None:
        """
        :param reads: file descriptor for commands
        :param writes: file descriptor for responses
        :param log: path of a file for stdout and stderr
        """
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, reads, 3),
            (os.POSIX_SPAWN_DUP2, writes, 4),
        ]
        self.uncertain = True
        try:
            self.pid = os.posix_spawn(command[0], command, environment, setsid=True, file_actions=actions)
        except OSError:
            self.uncertain = False
            raise
        self._tell_guard(str(self.pid))
        self.uncertain = False

    def end(self) -> None:
        """Clean up, only in the process that started the browser."""
        if os.getpid() != self.owner:
            return
        try:
            self._kill()
            if self._remove_folder() and not self.uncertain:
                self._tell_guard("done")
        finally:
            self.close()
        self._reap()

    def close(self) -> None:
        """Close our ends of all pipes."""
        while self.fds:
            os.close(self.fds.pop())

    def _kill(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        for reporter in _crash_reporters(self.folder):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(reporter, signal.SIGKILL)

    def _remove_folder(self, tries: int = 20) -> bool:
        """:return: whether it is gone; repeated because a dying process may still write there"""
        for _ in range(tries):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                return True
            time.sleep(0.05)
        return False

    def _tell_guard(self, line: str) -> None:
        if self.guard_fd is not None:
            with contextlib.suppress(OSError):  # the guard has been killed
                os.write(self.guard_fd, f"{line}\n".encode())

    def _reap(self) -> None:
        """Reap the browser last: until then, its process id cannot be reused while the guard may still kill it."""
        for child in (None if self.uncertain else self.guard_pid, self.pid):
            if child is not None:
                with contextlib.suppress(ChildProcessError):  # other code already waited for all children
                    os.waitpid(child, 0)


def _crash_reporters(folder: Path) -> list[int]:
    """:return: process ids of crash reporters whose database is in the folder; Linux only"""
    found, wanted = [], os.fsencode(f"--database={folder}/")
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if wanted in arguments.read_bytes():
                found.append(int(arguments.parent.name))
    return found


def _new_folder() -> Path:
    """:return: path of a new temporary folder, in /tmp if the default location makes the path too long"""
    name = PREFIX + secrets.token_hex(6)
    folder = Path(tempfile.gettempdir(), name)
    return folder if len(os.fsencode(folder)) <= LONGEST_FOLDER else Path("/tmp", name)


def _pipe(theirs: contextlib.ExitStack, ours: list[int], we_read: bool = False) -> tuple[int, int]:
    """
    :param theirs: closes the child's end
    :param ours: list of our file descriptors, to which our end is appended
    :param we_read: our end is the reading end
    :return: the child's end and ours; neither is inherited by other programs
    """
    low = os.pipe()
    try:
        read, write = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD) for fd in low)
    finally:
        for fd in low:
            os.close(fd)
    their_end, our_end = (write, read) if we_read else (read, write)
    theirs.callback(os.close, their_end)
    ours.append(our_end)
    return their_end, our_end


def _detach_all() -> None:
    for process in list(_running):
        process.detach()


os.register_at_fork(after_in_child=_detach_all)
