"""A browser's process, its folder, and the promise that neither outlives us.

Beside the browser a guard is started: a shell that waits until a pipe of ours closes, which it does whatever ends us,
a kill -9 included; then it kills the browser's processes and removes their folder. :meth:`BrowserProcess.end` goes the
same way.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import weakref
from pathlib import Path

from sb3_atari_dqn.dino.faults import BrowserFault

PREFIX = "dino-"

#: The browser puts a socket there, 46 characters further down, and the path of a socket has room for 107.
LONGEST_FOLDER = 107 - len("/org.chromium.Chromium.XXXXXX/SingletonSocket")

#: $1 is the process group, $2 the folder. A process that is just dying may still write there, hence the repetition.
GUARD = """
read -r _
kill -9 -- "-$1" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$2" 2>/dev/null && break
  sleep 0.1
done
"""

#: Lowest number for our ends of pipes: 3 and 4 are where the browser looks for its own.
HIGH_FD = 10

_running: "weakref.WeakSet[BrowserProcess]" = weakref.WeakSet()


class BrowserProcess:
    """
    A browser that talks through its file descriptors 3 and 4, in a session and process group of its own.

    It ends with :meth:`end`, when this object is collected, and at the latest with this process. It belongs to the
    process that started it: a fork does not share it.

    :param browser: path of the executable
    :param arguments: of the browser; ``{folder}`` in one stands for its folder
    :raises BrowserFault: if it cannot be started
    """

    def __init__(self, browser: str, arguments: list[str]) -> None:
        self.folder = _temporary_folder()
        self._log = self.folder / "log.txt"
        command = [browser, *(argument.replace("{folder}", str(self.folder)) for argument in arguments)]
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            commands, self.write_fd = _pipe(theirs, undo)
            guard_end, self._guard_fd = _pipe(theirs, undo)
            answers, self.read_fd = _pipe(theirs, undo, we_read=True)
            try:
                self.pid = self._spawn_browser(command, commands, answers)
                self._guard_pid = self._spawn_guard(guard_end)
            except OSError as error:
                raise BrowserFault(f"{browser} does not start: {error}") from error
            undo.pop_all()
        fds = (self.read_fd, self.write_fd, self._guard_fd)
        self._finalizer = weakref.finalize(self, _end, os.getpid(), self.pid, self._guard_pid, fds, self.folder)
        _running.add(self)

    @property
    def ours(self) -> bool:
        """:return: whether this process started it and has not ended it"""
        return self._finalizer.alive

    def end(self) -> None:
        """Kill the browser's processes and remove their folder; whatever it was doing, and more than once."""
        self._finalizer()

    def last_words(self) -> str:
        """:return: the end of what the browser wrote, for messages; empty if it wrote nothing"""
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace").strip()[-1000:]
        return ""

    def forget(self) -> None:
        """In a fork: let go of what belongs to the parent."""
        if self._finalizer.detach():
            for fd in (self.read_fd, self.write_fd, self._guard_fd):
                os.close(fd)

    def _spawn_browser(self, command: list[str], commands: int, answers: int) -> int:
        """:return: its process id, which is that of its group too"""
        log = str(self._log)
        return os.posix_spawn(
            command[0],
            command,
            self._environment(),
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, commands, 3),
                (os.POSIX_SPAWN_DUP2, answers, 4),
            ],
        )

    def _spawn_guard(self, guard_end: int) -> int:
        try:
            return os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", GUARD, "guard", str(self.pid), str(self.folder)],
                os.environ,
                setsid=True,  # Ctrl-C in the terminal is not for it
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, guard_end, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
            )
        except OSError:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise

    def _environment(self) -> dict[str, str]:
        """Everything the browser writes under its home goes into its folder."""
        home = str(self.folder)
        keeps = {name: os.environ[name] for name in os.environ if not name.startswith("XDG_")}
        runtime = os.environ.get("XDG_RUNTIME_DIR")  # where a Wayland display is found, and an X display's key
        keeps |= {"XDG_RUNTIME_DIR": runtime} if runtime else {}
        keeps.setdefault("XAUTHORITY", os.path.expanduser("~/.Xauthority"))
        return {**keeps, "HOME": home, "TMPDIR": home}


def _temporary_folder() -> Path:
    """:return: a new folder where temporary files go, or in /tmp where that lies too deep"""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    if len(os.fsencode(folder)) <= LONGEST_FOLDER:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))


def _pipe(theirs: contextlib.ExitStack, undo: contextlib.ExitStack, we_read: bool = False) -> tuple[int, int]:
    """
    :param theirs: closes the child's end
    :param undo: closes ours
    :param we_read: ours is the reading end
    :return: the child's end and ours, neither open in other programs
    """
    low = os.pipe()
    try:
        read, write = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD) for fd in low)
    finally:
        for fd in low:
            os.close(fd)
    their_end, our_end = (write, read) if we_read else (read, write)
    theirs.callback(os.close, their_end)
    undo.callback(os.close, our_end)
    return their_end, our_end


def _end(owner: int, pid: int, guard_pid: int, fds: tuple[int, ...], folder: Path) -> None:
    """
    :param owner: the process that started the browser; in any other this does nothing
    :param pid: the browser, reaped last: until then nobody else can have its number
    """
    if os.getpid() != owner:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for fd in fds:
        os.close(fd)
    for child in (guard_pid, pid):
        with contextlib.suppress(ChildProcessError):  # somebody else waits for all children
            os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)  # where the guard had been killed


def _forget_all() -> None:
    for process in list(_running):
        process.forget()


os.register_at_fork(after_in_child=_forget_all)
