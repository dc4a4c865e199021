"""A browser's process, its folder, and the promise that neither outlives us.

Before the browser a guard is started: a shell that waits until a pipe of ours closes, which it does whatever ends us,
a kill -9 included; then it kills the browser's processes and removes their folder. :meth:`BrowserProcess.end` does the
same by itself, and sends the guard home.
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

#: The browser puts a socket there, 46 characters further down, and the path of a socket has room for 107.
LONGEST_FOLDER = 107 - len("/org.chromium.Chromium.XXXXXX/SingletonSocket")

#: $1 is the folder. Two lines come through the pipe, if we live to write them: the process group, and that all is done.
#: Without the first the browser ends as its own pipe closes, and the folder is removed until it has. Killing is
#: repeated until the group is empty. dash, the shell of Debian, knows no "--" after "kill -9". Crash reporters leave
#: the group, and are found by where they put their reports.
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
        self.folder = _name_of_a_folder()
        self._log = self.folder / "log.txt"
        self._belongings = _Belongings(self.folder)
        self._finalizer = weakref.finalize(self, self._belongings.end)
        _running.add(self)
        command = [browser, *(argument.replace("{folder}", str(self.folder)) for argument in arguments)]
        try:
            self._start(command)
        except OSError as error:
            self.end()
            raise BrowserFault(f"{browser} does not start: {error}") from error
        except BaseException:  # Ctrl-C, at any moment
            self.end()
            raise

    @property
    def pid(self) -> int:
        """:return: process id of the browser, which is that of its group too"""
        assert self._belongings.pid is not None
        return self._belongings.pid

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
            self._belongings.close()

    def _start(self, command: list[str]) -> None:
        keep = self._belongings
        with contextlib.ExitStack() as theirs:
            guard_end, keep.guard_fd = _pipe(theirs, keep.fds)
            commands, self.write_fd = _pipe(theirs, keep.fds)
            answers, self.read_fd = _pipe(theirs, keep.fds, we_read=True)
            keep.spawn_guard(guard_end)
            self.folder.mkdir(0o700)
            keep.spawn_browser(command, self._environment(), commands, answers, str(self._log))

    def _environment(self) -> dict[str, str]:
        """Everything the browser writes under its home goes into its folder."""
        home = str(self.folder)
        keeps = {name: os.environ[name] for name in os.environ if not name.startswith("XDG_")}
        runtime = os.environ.get("XDG_RUNTIME_DIR")  # where a Wayland display is found, and an X display's key
        keeps |= {"XDG_RUNTIME_DIR": runtime} if runtime else {}
        keeps.setdefault("XAUTHORITY", os.path.expanduser("~/.Xauthority"))
        return {**keeps, "HOME": home, "TMPDIR": home}


class _Belongings:
    """
    What a browser consists of, as far as its start has come, to be ended in any state of it.

    :param folder: need not be there yet
    """

    def __init__(self, folder: Path) -> None:
        self.owner = os.getpid()
        self.folder = folder
        self.fds: list[int] = []
        self.guard_fd: int | None = None
        self.guard_pid: int | None = None
        self.pid: int | None = None
        self.uncertain = False  # an interrupted start may have left a browser whose number is not known

    def spawn_guard(self, guard_end: int) -> None:
        """:param guard_end: of its pipe"""
        self.guard_pid = os.posix_spawn(
            SHELL,
            ["sh", "-c", GUARD, "guard", str(self.folder)],
            os.environ,
            setsid=True,  # Ctrl-C in the terminal is not for it
            file_actions=[
                (os.POSIX_SPAWN_DUP2, guard_end, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )

    def spawn_browser(self, command: list[str], environment: dict[str, str], reads: int, writes: int, log: str) -> None:
        """
        :param reads: file descriptor of its commands
        :param writes: file descriptor of its answers
        :param log: path of a file for what it says besides
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
        """Done in the process that started the browser alone."""
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
        """:return: whether it is gone; a process that is just dying may still write there, hence the repetition"""
        for _ in range(tries):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                return True
            time.sleep(0.05)
        return False

    def _tell_guard(self, line: str) -> None:
        if self.guard_fd is not None:
            with contextlib.suppress(OSError):  # it has been killed
                os.write(self.guard_fd, f"{line}\n".encode())

    def _reap(self) -> None:
        """The browser last: until then nobody else can have its number, which the guard may be killing."""
        for child in (None if self.uncertain else self.guard_pid, self.pid):
            if child is not None:
                with contextlib.suppress(ChildProcessError):  # somebody else waits for all children
                    os.waitpid(child, 0)


def _crash_reporters(folder: Path) -> list[int]:
    """:return: process ids of those that put their reports into the folder; found on Linux alone"""
    found, wanted = [], os.fsencode(f"--database={folder}/")
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if wanted in arguments.read_bytes():
                found.append(int(arguments.parent.name))
    return found


def _name_of_a_folder() -> Path:
    """:return: of a new folder where temporary files go, or in /tmp where that lies too deep"""
    name = PREFIX + secrets.token_hex(6)
    folder = Path(tempfile.gettempdir(), name)
    return folder if len(os.fsencode(folder)) <= LONGEST_FOLDER else Path("/tmp", name)


def _pipe(theirs: contextlib.ExitStack, ours: list[int], we_read: bool = False) -> tuple[int, int]:
    """
    :param theirs: closes the child's end
    :param ours: where our end is noted, to be closed with the others
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
    ours.append(our_end)
    return their_end, our_end


def _forget_all() -> None:
    for process in list(_running):
        process.forget()


os.register_at_fork(after_in_child=_forget_all)
