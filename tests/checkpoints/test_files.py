"""Files that are there whole or not at all, whoever else writes them, and however a writer ends."""

import os
import signal
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.files import Unfinished, replacing
from tests.support.games import countdowns

HALF_WRITER = """
import sys, time
from pathlib import Path
from sb3_atari_dqn.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def half_writer(path: Path) -> subprocess.Popen:
    """:return: a process in the middle of writing ``path``"""
    writer = subprocess.Popen([sys.executable, "-c", HALF_WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def kill(writer: subprocess.Popen) -> None:
    writer.kill()
    writer.communicate()


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model.zip"]


def test_the_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "model.zip", []
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append((os.fstat(handle).st_size, path.read_bytes())))
    write(path, b"newer")
    assert synced == [(5, b"old")]


def test_a_disk_that_does_not_take_the_content_leaves_the_old_file(tmp_path, monkeypatch):
    def fails(handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "model.zip"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model.zip"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, OSError])
def test_an_interruption_leaves_the_old_file_whole_and_nothing_else(tmp_path, interruption):
    path = tmp_path / "model.zip"
    path.write_bytes(b"old")
    with pytest.raises(interruption), replacing(path) as file:  # noqa: PT012 - as a whole
        file.write(b"half of the ne")
        raise interruption
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model.zip"]


def test_ctrl_c_at_any_moment_leaves_a_whole_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.zip"
    write(path, bytes(1000))
    for delay in range(20):
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - wherever it arrives
            threading.Timer(delay / 4000, signal.raise_signal, [signal.SIGINT]).start()
            while True:
                write(path, bytes([delay]) * 1000)
        assert len(path.read_bytes()) == 1000
    write(path, b"new")  # what arrived between two instructions goes with the next write
    assert names(tmp_path) == ["model.zip"]


def test_two_threads_that_save_at_once_leave_one_whole_file_and_a_reader_never_sees_another(tmp_path):
    path = tmp_path / "numbers.zip"
    done = threading.Event()

    def save(number: int) -> None:
        for _ in range(200):
            with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
                for entry in range(3):
                    archive.writestr(str(entry), bytes([number]) * 2000)

    def read() -> int:
        count = 0
        while not done.is_set() or count == 0:
            with suppress(FileNotFoundError), zipfile.ZipFile(path) as archive:
                assert len({archive.read(entry) for entry in archive.namelist()}) == 1
                assert len(archive.namelist()) == 3
                count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        writers = [pool.submit(save, number) for number in range(2)]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        assert reader.result() > 10
    assert names(tmp_path) == ["numbers.zip"]


@pytest.mark.slow
def test_two_threads_can_save_one_model_at_once(tmp_path):
    model = ClassicDQN("MlpPolicy", countdowns(3), buffer_size=10, device="cpu")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(model.save, [tmp_path / "model"] * 20))
    assert ClassicDQN.load(tmp_path / "model", device="cpu").num_timesteps == 0
    assert names(tmp_path) == ["model.zip"]


@pytest.mark.slow
def test_what_a_killed_writer_left_goes_with_the_next_write_of_that_file_alone(tmp_path):
    kill(half_writer(tmp_path / "model.zip"))
    kill(half_writer(tmp_path / "other.zip"))
    assert len(names(tmp_path)) == 2
    write(tmp_path / "model.zip", b"new")
    (other,) = (name for name in names(tmp_path) if name != "model.zip")
    assert other.startswith(".other.zip.")


@pytest.mark.slow
def test_a_file_that_another_process_is_writing_is_no_leftover(tmp_path):
    writer = half_writer(tmp_path / "model.zip")
    write(tmp_path / "model.zip", b"new")
    assert len(names(tmp_path)) == 2
    kill(writer)
    write(tmp_path / "model.zip", b"new")
    assert names(tmp_path) == ["model.zip"]


def test_a_leftover_goes_although_its_process_number_is_in_use_again(tmp_path):
    (tmp_path / f".model.zip.{os.getpid()}-0123abcd.tmp").write_bytes(b"half")
    write(tmp_path / "model.zip", b"new")
    assert names(tmp_path) == ["model.zip"]


@pytest.mark.parametrize(
    "name",
    [".model.zip.tmp", ".model.zip.1-0123abcd.tmp.d/", ".model.zip.bak", ".xmodel.zip.1-0123abcd.tmp", "model.zip.tmp"],
)
def test_nothing_else_is_taken_for_a_leftover(tmp_path, name):
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).touch()
    write(tmp_path / "model.zip", b"new")
    assert names(tmp_path) == sorted([name.rstrip("/"), "model.zip"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_that_forgets_the_file_does_not_remove_it(tmp_path):
    unfinished = Unfinished(tmp_path / "model.zip")
    child = os.fork()
    if child == 0:
        unfinished.discard()
        os._exit(0)
    os.waitpid(child, 0)
    assert unfinished.path.exists()
    unfinished.discard()
    assert names(tmp_path) == []


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_that_open_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "ours", b"")
        (tmp_path / "theirs").write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_an_older_file_hands_on_its_permissions(tmp_path):
    (tmp_path / "model.zip").touch()
    (tmp_path / "model.zip").chmod(0o640)
    write(tmp_path / "model.zip", b"new")
    assert (tmp_path / "model.zip").stat().st_mode & 0o777 == 0o640


def test_links_are_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "model.zip"
    link.symlink_to("elsewhere/real.zip")
    for content in (b"first", b"second"):
        write(link, content)
        assert link.is_symlink()
        assert (tmp_path / "elsewhere/real.zip").read_bytes() == content
    assert names(tmp_path / "elsewhere") == ["real.zip"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path, name):
    kill(half_writer(tmp_path / name))
    write(tmp_path / name, b"new")
    assert names(tmp_path) == [name]


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone/model\.zip"):
        write(tmp_path / "gone" / "model.zip", b"new")
