"""Two trainings never write into one folder; a process that ends, however it does, leaves it free."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import newest
from sb3_atari_dqn.checkpoints.lock import FolderLock
from tests.support.checkpoints import Ring, write, written

HOLDER = """
import sys, time
from pathlib import Path
from sb3_atari_dqn.checkpoints.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def in_child(work: Callable[[], object]) -> int:
    """:return: process that does the work and ends"""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


@pytest.mark.slow
def test_another_process_is_refused_and_told_who_until_that_one_is_killed(tmp_path, holder):
    owner = re.escape(f"process {holder.pid} on ")
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"Another training \({owner}.*\) writes its checkpoints into {tmp_path}"):
            CheckpointFolder(tmp_path)
    holder.kill()
    holder.wait()
    CheckpointFolder(tmp_path).close()


def test_another_training_of_the_same_process_is_refused_however_the_folder_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    with CheckpointFolder(tmp_path / "a"):
        for path in (tmp_path / "a", tmp_path / "link", tmp_path / "a" / ".." / "a"):
            with pytest.raises(ValueError, match=r"Another training \(this process\)"):
                CheckpointFolder(path)
    CheckpointFolder(tmp_path / "link").close()


def test_of_two_continuations_of_one_folder_the_second_is_refused(tmp_path):
    after = written(tmp_path)[-1]
    with CheckpointFolder(tmp_path, after=after):
        with pytest.raises(ValueError, match="Another training"):
            CheckpointFolder(tmp_path, after=after)
        assert newest(tmp_path).step == after.step  # reading needs no lock


def test_a_forked_worker_that_outlives_a_killed_training_does_not_keep_the_folder(tmp_path):
    read, told = os.pipe()

    def train():
        lock = FolderLock(tmp_path)
        worker = in_child(lambda: time.sleep(20))
        os.write(told, str(worker).encode())
        time.sleep(20)
        lock.release()

    training = in_child(train)
    worker = int(os.read(read, 20))
    try:
        with pytest.raises(ValueError, match=f"process {training}"):
            FolderLock(tmp_path)
        os.kill(training, signal.SIGKILL)
        os.waitpid(training, 0)
        os.kill(worker, 0)  # lives
        FolderLock(tmp_path).release()
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_released_lock_can_be_released_again(tmp_path):
    lock = FolderLock(tmp_path)
    lock.release()
    other = FolderLock(tmp_path)
    lock.release()
    with pytest.raises(ValueError, match="Another training"):
        FolderLock(tmp_path)
    other.release()


def test_a_folder_that_was_replaced_is_locked_again(tmp_path):
    path = tmp_path / "checkpoints"
    ring = Ring()
    with CheckpointFolder(path) as folder:
        write(folder, ring, 30)
        shutil.copytree(path, tmp_path / "copy")
        shutil.rmtree(path)
        Path(tmp_path / "copy").rename(path)
        write(folder, ring, 30)
        with pytest.raises(ValueError, match="Another training"):
            CheckpointFolder(path)
    assert newest(path).step == 60


def test_a_folder_that_was_replaced_by_that_of_another_training_is_not_written(tmp_path):
    path, ring = tmp_path / "checkpoints", Ring()
    with CheckpointFolder(path) as folder:
        write(folder, ring, 30)
        path.rename(tmp_path / "away")
        with CheckpointFolder(path), pytest.raises(ValueError, match="Another training"):
            write(folder, ring, 30)
        shutil.rmtree(path)
        (tmp_path / "away").rename(path)
        write(folder, ring, 30)
    assert newest(path).step == 90
