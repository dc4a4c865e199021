"""The zoo's commands, as a user types them (a new process) or quickly (this process)."""

import contextlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from tests.support import markers, warm

# Buffers and budgets small enough for a test; everything else as configured.
TINY = (
    "learning_starts:150",
    "buffer_size:500",
    "batch_size:8",
    "target_update_interval:100",
    "exploration_steps:100",
)
# Few games, too: to load one takes as long as to learn from it.
TINY_ATARI = (*TINY, "n_envs:2")


def zoo(command: str, *args: str, python: str = sys.executable, **options: Any) -> subprocess.CompletedProcess[str]:
    """``python -m rl_zoo3.COMMAND ARGS`` in a new process; its output is on the result.

    :param python: another interpreter
    :param options: of :func:`run`
    """
    return run([python, "-m", f"rl_zoo3.{command}", *args], **options)


def run(
    command: Sequence[str], env: dict[str, str] | None = None, fresh: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """
    :param env: is added to the environment
    :param fresh: start Python anew also where a warm one would do (:mod:`tests.support.warm`)
    :param options: of ``subprocess.run``
    """
    markers.require(f"{command[0]} is started", *markers.NOT_FAST)
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}  # errors come where they belong in the output
    environment = {**os.environ, **quiet, **(env or {})}
    options = {"timeout": 300, **options}
    if not fresh and warm.fits(command, env or {}):
        command = warm.command(*command[1:])
    return subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )


def shell(command: str, *words: str, redirection: str = "", largest_file: int | None = None) -> str:
    """``python -m sb3_atari_dqn COMMAND WORDS`` in a shell.

    :param redirection: of the standard output, as a user types it behind the command
    :param largest_file: in kilobytes; a small one stands for a full disk
    :return: what it printed, but for what was redirected
    """
    line = shlex.join(warm.command("-m", "sb3_atari_dqn", command, *words))
    limit = "" if largest_file is None else f"ulimit -f {largest_file}; "
    return run(["bash", "-c", f"{limit}{line} {redirection}"]).stdout


def train(*args: str) -> str:
    """``rl_zoo3.train ARGS`` in this process, for the many cases that would cost an interpreter start each.

    :return: what it printed
    """
    from rl_zoo3.train import train as main

    printed = io.StringIO()
    with mock.patch.object(sys, "argv", ["train", *args]), contextlib.redirect_stdout(printed):
        main()
    return printed.getvalue()


def files(folder: Path) -> list[str]:
    """:return: every file and folder below ``folder``, relative to it"""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
