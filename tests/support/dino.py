"""Real browsers for tests: where there is none, these are skipped, or fail if SB3_ATARI_DQN_NEEDS_BROWSER is set.

``python -m tests.support.dino play GAME SEED STEPS`` plays in a process of its own; ``hold HOW`` runs a browser until
it is ended in some way; ``start`` starts one, and says so while it is starting.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sb3_atari_dqn.dino.browser import find_browser
from sb3_atari_dqn.dino.env import ChromeDinoEnv
from sb3_atari_dqn.dino.faults import NoBrowser
from sb3_atari_dqn.dino.page import Page
from sb3_atari_dqn.dino.process import BrowserProcess
from tests.support import markers

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = "SB3_ATARI_DQN_NEEDS_BROWSER"


def skip_without_browser() -> None:
    if REQUIRED in os.environ:
        return
    try:
        find_browser()
    except NoBrowser:
        pytest.skip("no Chromium or Chrome")


@contextmanager
def dino(**options: Any) -> Iterator[ChromeDinoEnv]:
    """An environment with all three actions; its browser ends with the block."""
    markers.require("A browser is started", "browser")
    env = ChromeDinoEnv(**{"actions": 3, **options})
    try:
        yield env
    finally:
        env.close()


def play(env: ChromeDinoEnv, seed: int, steps: int) -> str:
    """:return: hash of all that is seen in one or more episodes of random actions"""
    actions = np.random.default_rng(seed)
    seen = hashlib.sha256()
    observation, info = env.reset(seed=seed)
    for _ in range(steps):
        seen.update(observation.tobytes() + repr(sorted(info.items())).encode())
        observation, reward, terminated, truncated, info = env.step(int(actions.integers(3)))
        seen.update(repr((reward, terminated, truncated)).encode())
        if terminated or truncated:
            observation, info = env.reset()
    return seen.hexdigest()


def page_of(env: ChromeDinoEnv) -> Page:
    assert env.game is not None
    return env.game.page


def picture_of(env: ChromeDinoEnv) -> np.ndarray:
    picture = env.render()
    assert picture is not None
    return picture


def process_of(env: ChromeDinoEnv) -> BrowserProcess:
    return page_of(env).process


def members(group: int) -> list[psutil.Process]:
    """:return: living processes of a process group, and what they started"""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def comes_true(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def users(folder: Path) -> list[int]:
    """:return: process ids of those that name a folder in their arguments, whatever group they are in"""
    found = []
    for process in psutil.process_iter():
        try:
            # the guard names it too, but alone, and lives until all is done
            if any(f"{folder}/" in argument for argument in process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def nothing_left(group: int, folder: Path) -> bool:
    return comes_true(lambda: not members(group) and not users(folder) and not folder.exists())


def script(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """This module as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "tests.support.dino", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, **options)


def _tell(group: int, folder: Path) -> None:
    print(json.dumps({"group": group, "folder": str(folder)}), flush=True)


def _start() -> None:
    spawn = os.posix_spawn

    def spawn_and_tell(path: Any, argv: Any, *rest: Any, **options: Any) -> int:
        pid = spawn(path, argv, *rest, **options)
        if path != "/bin/sh":
            profile = next(argument for argument in argv if argument.startswith("--user-data-dir="))
            _tell(pid, Path(profile.partition("=")[2]).parent)
        return pid

    os.posix_spawn = spawn_and_tell
    ChromeDinoEnv(game="embedded").reset()
    time.sleep(60)


def _hold(how: str) -> None:
    env = ChromeDinoEnv(game="embedded")
    env.reset(seed=1)
    process = process_of(env)
    if how == "fork" and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    _tell(process.pid, process.folder)
    if how == "stopped":
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(60)
    if how == "exception":
        raise RuntimeError("on purpose")
    while how != "end":
        if any(env.step(0)[2:4]):
            env.reset()


def _main(what: str, *arguments: str) -> None:
    if what == "hold":
        _hold(*arguments)
    elif what == "start":
        _start()
    else:
        game, seed, steps = arguments
        with dino(game=game) as env:
            print(play(env, int(seed), int(steps)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
