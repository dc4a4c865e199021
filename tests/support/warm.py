"""Commands in a process of their own that need not wait for the imports of torch and the zoo's other packages.

One server for each test process imports them once, and is forked for each command. What is left of a fresh start:
our package, the zoo and what they import of themselves are imported by the command, in its order; folder, environment,
files, exit code and the end of the interpreter are its own. What is not: Python's and torch's own start, and the random
seed of the hashes. Tests of those pass ``fresh=True``.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support import markers

CLIENT = Path(__file__).with_name("warm_client.py")

#: Packages of others that our commands and the zoo's import. Not those that read the environment when they are
#: imported: huggingface_hub, moviepy.
PACKAGES = (
    *("torch.utils.tensorboard", "stable_baselines3", "sb3_contrib", "gymnasium.wrappers", "ale_py", "cv2", "pandas"),
    *("optuna", "sqlalchemy", "yaml", "tqdm.rich", "PIL.ImageFont", "zstandard", "safetensors.torch", "psutil"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "requests"),
)

#: Beginnings of variables that are read when Python starts or the packages are imported.
READ_AT_THE_START = (
    "PYTHON",
    "SB3_ATARI_DQN_AUTOLOAD",
    "OMP_",
    "MKL_",
    "GOMP_",
    "TORCH",
    "LD_",
    "MPL",
    "CUDA",
    "OPENCV",
)


def fits(command: Sequence[str], env: dict[str, str]) -> bool:
    """
    :param env: what is added to the environment
    :return: whether the command is a module of this Python, and only what it reads later is changed
    """
    starts = command[0] == sys.executable and list(command[1:2]) == ["-m"]
    return starts and hasattr(os, "fork") and not any(name.startswith(READ_AT_THE_START) for name in env)


def command(*arguments: str) -> list[str]:
    """:return: what to start in place of ``python ARGUMENTS``"""
    markers.require("Python is started", *markers.NOT_FAST)
    return [sys.executable, "-I", "-S", str(CLIENT), server(), *arguments]


@functools.cache
def server() -> str:
    """:return: path of its socket; it ends with this process"""
    folder = tempfile.mkdtemp(prefix="warm-")
    path = f"{folder}/s"
    code = f"from tests.support import warm; warm.serve({path!r}, {os.getpid()})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], start_new_session=True)
    atexit.register(_end, process, folder)
    while not Path(path).exists():
        assert process.poll() is None, "the server of commands did not start"
        time.sleep(0.05)
    return path


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    process.terminate()
    process.wait()
    for path in Path(folder).iterdir():
        path.unlink()
    Path(folder).rmdir()


# --- in the server


def serve(path: str, owner: int) -> None:
    """Import the packages and wait for commands; return in the process of each, once it has been run.

    :param path: of the socket to listen on
    :param owner: process that the server serves; without it, it ends
    """
    for name in PACKAGES:
        importlib.import_module(name)
    gc.freeze()  # at the end of a fork, too, nobody looks through all of that
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{path}.new")
    listening.listen(64)
    os.rename(f"{path}.new", path)  # now it is there
    while True:
        if os.getppid() != owner:
            os._exit(0)
        if select.select([listening], [], [], 1.0)[0]:
            client, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _attend(client)
                return
            client.close()
        _bury()


def _bury() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _attend(client: socket.socket) -> None:
    """Run the client's command in a fork and tell its exit code; end it if the client ends before."""
    head, files, _, _ = socket.recv_fds(client, 4, 3)
    length, text = int.from_bytes(head), b""
    while len(text) < length:
        text += client.recv(length - len(text))
    order = json.loads(text)
    child = os.fork()
    if child == 0:
        client.close()
        _run(order, files)
        return
    for file in files:
        os.close(file)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        if select.select([client], [], [], 0.02)[0]:  # it never writes again: it ended
            os.kill(child, signal.SIGKILL)
            os._exit(0)


def _run(order: dict[str, Any], files: list[int]) -> None:
    """Become a Python that was started as ordered."""
    for number in range(3):
        os.close(number)
    for number, file in zip(order["files"], files, strict=True):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if number not in order["files"]:
            setattr(sys, name, None)
    resource.setrlimit(resource.RLIMIT_FSIZE, tuple(order["largest_file"]))
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    importlib.import_module("numpy").random.seed()
    _, module, *sys.argv[1:] = order["arguments"]
    sys.path[0] = order["folder"]
    runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # what `python -m` calls
