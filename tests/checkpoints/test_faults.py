"""Whatever happens while a checkpoint is written: the last good one stays good, and nothing is left behind."""

import errno
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_atari_dqn.checkpoints import storage
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder, CheckpointNotWritten
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, all_in, newest
from tests.support.checkpoints import Ring, assert_whole, files, states, write, written


def assert_intact(path: Path, n_checkpoints: int | None = None) -> Checkpoint:
    """Every checkpoint is whole, and nothing else is there; :return: the newest"""
    found = [Checkpoint.open(path / f"{number:06d}-step{step}") for number, step in all_in(path)]
    assert n_checkpoints in (None, len(found))
    for checkpoint in found:
        assert_whole(checkpoint)
    expected = {".lock"} | {f"frames/{entry.name}" for each in found for entry in each.manifest.frames}
    for checkpoint in found:
        expected |= {f"{checkpoint.path.name}/{part}.json" for part in ("model", "counters", "manifest")}
        expected |= {f"{checkpoint.path.name}/{part}.safetensors" for part in ("model", "counters")}
    assert files(path) == expected
    assert {each.name for each in path.iterdir() if each.is_dir()} - {"frames"} == {each.path.name for each in found}
    return found[-1]


def forked(work: Callable[[], object]) -> int:
    """:return: process that works and ends with 0, or 1 after an error"""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def ended_by(child: int) -> int:
    """:return: signal, 0 for none"""
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


# --- kills

SWITCHES = ["fsync", "open", "rename", "replace", "unlink", "mkdir", "rmdir", "close"]


def kill_at(number: int) -> None:
    """This process is killed right before its nth call of the system that changes or closes a file."""
    left = [number]

    def counted(call):
        def wrapper(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return wrapper

    for name in SWITCHES:
        setattr(os, name, counted(getattr(os, name)))


@pytest.mark.slow
def test_a_kill_between_any_two_calls_of_the_system_leaves_the_last_checkpoint_good(tmp_path):
    written(tmp_path / "original", (60, 30), keep=2)
    number, n_killed, steps = 0, 0, set()
    while True:
        number += 1
        path = shutil.copytree(tmp_path / "original", tmp_path / str(number))

        def go_on(path=path, number=number):
            ring = Ring()
            ring.steps = 90
            kill_at(number)
            with CheckpointFolder(path, keep=2, after=Checkpoint.open(path / "000002-step90")) as folder:
                write(folder, ring, 70)

        if ended_by(forked(go_on)) == 0:
            break
        n_killed += 1
        last = newest(path)
        steps.add(last.step)
        CheckpointFolder(path, keep=2, after=last).close()
        assert assert_intact(path).step == last.step
        shutil.rmtree(path)
    assert n_killed > 30
    assert steps == {90, 160}


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_last_checkpoint_good(tmp_path):
    written(tmp_path, (60,))
    generator = random.Random(3)
    ring = Ring()
    reached = []
    for _ in range(20):
        after = newest(tmp_path)

        def train(after=after):
            ring.steps = after.step
            with CheckpointFolder(tmp_path, after=after) as folder:
                while True:
                    write(folder, ring, 10)

        child = forked(train)
        time.sleep(generator.uniform(0.01, 0.3))
        os.kill(child, signal.SIGKILL)
        assert ended_by(child) == signal.SIGKILL
        assert_whole(newest(tmp_path))
        reached.append(newest(tmp_path).step)
    assert reached == sorted(reached)
    assert reached[-1] > 60
    CheckpointFolder(tmp_path, after=newest(tmp_path)).close()
    assert_intact(tmp_path)


# --- errors


def assert_goes_on(path: Path, folder: CheckpointFolder, ring: Ring) -> None:
    """The next checkpoint holds everything."""
    write(folder, ring, 30)
    assert assert_intact(path).step == ring.steps


@pytest.mark.parametrize("largest", [0, 100, 600, 1000, 3000])
def test_a_full_disk_is_said_with_a_way_out_and_the_next_checkpoint_has_everything(tmp_path, largest):
    """No file grows beyond some size: of frames, a part, or the manifest."""
    ring = Ring()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with CheckpointFolder(tmp_path) as folder:
        write(folder, ring, 60)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
        try:
            message = (
                r"^The checkpoint of step 160 could not be written \(File too large: .*\); the last good one is that "
                rf"of step 60\. Before the next one, free space there: {tmp_path}$"
            )
            for _ in range(2):
                with pytest.raises(CheckpointNotWritten, match=message) as caught:
                    folder.write(160, states(160), frames=_after(ring, 160).source())
                assert caught.value.errno == errno.EFBIG
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert_intact(tmp_path, 1)
        assert_goes_on(tmp_path, folder, ring)


def _after(ring: Ring, steps: int) -> Ring:
    ring.steps = steps
    return ring


def test_the_first_checkpoint_that_cannot_be_written_says_that_there_is_none(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with CheckpointFolder(tmp_path) as folder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            with pytest.raises(CheckpointNotWritten, match="there is none before it"):
                folder.write(1, states(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == {".lock"}


@pytest.mark.parametrize("away", ["moved", "a file"])
def test_a_vanished_folder_is_said_and_used_again_when_it_is_back(tmp_path, away):
    path, ring = tmp_path / "checkpoints", Ring()
    with CheckpointFolder(path) as folder:
        write(folder, ring, 60)
        path.rename(tmp_path / "away")
        if away == "a file":
            path.write_text("")
        for _ in range(2):
            with pytest.raises(
                CheckpointNotWritten, match=f"step 60. Before the next one, put the folder back: {path}"
            ):
                write(folder, ring, 30)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["away", "checkpoints"][: 1 + (away == "a file")]
        path.unlink(missing_ok=True)
        (tmp_path / "away").rename(path)
        assert_goes_on(path, folder, ring)


def test_a_folder_that_is_empty_when_it_is_back_gets_all_frames(tmp_path):
    path, ring = tmp_path / "checkpoints", Ring()
    with CheckpointFolder(path) as folder:
        write(folder, ring, 60)
        shutil.rmtree(path)
        path.mkdir()
        with pytest.warns(UserWarning, match="has vanished or changed: this checkpoint is written with all frames"):
            write(folder, ring, 30)
        assert_intact(path, 1)


def test_frames_that_were_lost_are_written_again(tmp_path):
    ring = Ring()
    with CheckpointFolder(tmp_path) as folder:
        write(folder, ring, 60)
        next((tmp_path / "frames").iterdir()).unlink()
        with pytest.warns(UserWarning, match="those before it that need the file are lost"):
            assert_whole(write(folder, ring, 30))


def test_a_read_only_folder_is_said():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        path = Path(name)

        def train():
            if os.geteuid() == 0:  # root may write everywhere
                os.chown(path, 65534, 65534)
                os.setgid(65534)
                os.setuid(65534)
            ring = Ring()
            with CheckpointFolder(path) as folder:
                write(folder, ring, 60)
                for each in (path, path / "frames"):
                    each.chmod(0o500)
                    with pytest.raises(CheckpointNotWritten, match=r"Permission denied.*make the folder writable"):
                        write(folder, ring, 30)
                    each.chmod(0o700)
                assert_goes_on(path, folder, ring)

        assert ended_by(forked(train)) == 0


def test_an_interruption_leaves_nothing_behind(tmp_path):
    ring = Ring()

    def interrupted(step):
        yield from ring.frames_since(step)
        raise KeyboardInterrupt

    with CheckpointFolder(tmp_path) as folder:
        write(folder, ring, 60)
        ring.steps = 90
        source = type(ring.source())(interrupted, ring.first, ring.steps)
        with pytest.raises(KeyboardInterrupt):
            folder.write(90, states(90), frames=source)
        assert_intact(tmp_path, 1)
        assert_goes_on(tmp_path, folder, ring)


def test_what_killed_writers_left_is_removed_and_files_of_others_stay(tmp_path):
    after = written(tmp_path)[-1]
    (tmp_path / "000009-step5.unfinished").mkdir()
    (tmp_path / "000009-step5.unfinished" / "model.json").write_text("{")
    name = "1-2-0123456789abcdef.safetensors.zst"
    (tmp_path / "frames" / name).write_text("")
    (tmp_path / "frames" / f".{name}.7-01234567.tmp").write_text("")
    notes = [tmp_path / "notes.txt", tmp_path / "frames" / "notes.txt", tmp_path / "step.unfinished"]
    for path in notes:
        path.write_text("mine")
    CheckpointFolder(tmp_path, after=after).close()
    for path in notes:
        path.unlink()
    assert_intact(tmp_path, 3)


def test_an_old_checkpoint_that_cannot_be_removed_is_a_warning(tmp_path):
    """A directory where the new name of the old one should be."""
    ring = Ring()
    with CheckpointFolder(tmp_path, keep=1) as folder:
        write(folder, ring, 60)
        obstacle = tmp_path / "000001-step60.unfinished"
        obstacle.write_text("")
        with pytest.warns(
            UserWarning, match=r"Old checkpoints could not be removed \(.*\); the next one tries it again"
        ):
            write(folder, ring, 30)
        assert_whole(newest(tmp_path))
        obstacle.unlink()
        assert_goes_on(tmp_path, folder, ring)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced, sync_folder = [], storage.sync_folder

    def seen(path):
        synced.append(path)
        sync_folder(path)

    monkeypatch.setattr("sb3_atari_dqn.checkpoints.archive.sync_folder", seen)
    name = written(tmp_path, (10,))[-1].path.name
    assert [path.relative_to(tmp_path).as_posix() for path in synced] == ["frames", f"{name}.unfinished", "."]
