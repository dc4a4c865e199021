"""Videos that are encoded on the fly."""

import gc
import os

import numpy as np
import psutil
import pytest

from sb3_atari_dqn.callbacks import video
from sb3_atari_dqn.callbacks.video import Video, check_encoder
from tests.support.videos import encoder_that_fails, pictures_of


def test_a_gif_shows_every_frame_enlarged_pixel_by_pixel_within_one_colour_level(tmp_path):
    pictures = np.random.default_rng(1).integers(256, size=(3, 5, 7, 3), dtype=np.uint8)
    recording = Video(tmp_path, "gif", scale=3, fps=10)
    for picture in pictures:
        recording.add(picture)
    recording.keep(tmp_path / "game.gif")
    enlarged = pictures.repeat(3, axis=1).repeat(3, axis=2)
    assert np.abs(pictures_of(tmp_path / "game.gif") - enlarged.astype(int)).max() <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["game.gif"]


def test_an_mp4_has_every_frame_and_even_sides(tmp_path):
    recording = Video(tmp_path, "mp4", scale=3, fps=10)
    for level in (10, 100, 200):
        recording.add(np.full((11, 9, 3), level, np.uint8))
    recording.keep(tmp_path / "game.mp4")
    seen = pictures_of(tmp_path / "game.mp4")
    assert seen.shape == (3, 34, 28, 3)
    assert seen[:, 15, 15, 0] == pytest.approx([10, 100, 200], abs=4)


@pytest.mark.parametrize("end", ["discard", "forget"])
def test_a_video_that_is_not_kept_leaves_neither_a_file_nor_a_process(tmp_path, end):
    before = set(psutil.Process().children())
    recording = Video(tmp_path, "mp4", scale=1, fps=10)
    recording.add(np.zeros((8, 8, 3), np.uint8))
    (encoder,) = set(psutil.Process().children()) - before
    if end == "discard":
        recording.discard()
        recording.discard()
    del recording
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert not encoder.is_running(), "not even as a zombie"


def test_leftovers_of_a_killed_training_are_removed_and_unfinished_videos_are_not(tmp_path):
    (tmp_path / ".video.1-0123abcd.tmp.mp4").write_bytes(b"half")
    first, second = Video(tmp_path, "mp4", scale=1, fps=10), Video(tmp_path, "gif", scale=1, fps=10)
    for recording in (first, second):
        recording.add(np.zeros((8, 8, 3), np.uint8))
    first.keep(tmp_path / "first.mp4")
    second.keep(tmp_path / "second.gif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.mp4", "second.gif"]


def test_a_video_replaces_an_older_one_only_when_complete(tmp_path):
    (tmp_path / "game.gif").write_bytes(b"older")
    recording = Video(tmp_path, "gif", scale=1, fps=10)
    recording.add(np.zeros((8, 8, 3), np.uint8))
    assert (tmp_path / "game.gif").read_bytes() == b"older"
    recording.keep(tmp_path / "game.gif")
    assert pictures_of(tmp_path / "game.gif").shape == (1, 8, 8, 3)


def test_a_failing_encoder_raises_its_own_message(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", encoder_that_fails(tmp_path, "no such codec"))
    recording = Video(tmp_path, "mp4", scale=1, fps=10)

    def record():
        recording.add(np.zeros((8, 8, 3), np.uint8))
        recording.keep(tmp_path / "game.mp4")

    with pytest.raises(OSError, match="no such codec"):
        record()


def test_a_frame_of_another_size_raises_with_both_sizes(tmp_path):
    recording = Video(tmp_path, "gif", scale=1, fps=10)
    recording.add(np.zeros((8, 6, 3), np.uint8))
    with pytest.raises(OSError, match=r"\(8, 9, 3\).*\(8, 6, 3\)"):
        recording.add(np.zeros((8, 9, 3), np.uint8))
    recording.discard()


@pytest.mark.parametrize("file_format", ["mp4", "gif"])
@pytest.mark.parametrize("program", ["/nowhere/ffmpeg", "/bin/true", "/bin/false"])
def test_a_program_that_cannot_encode_is_named_before_any_work(monkeypatch, program, file_format):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    with pytest.raises(ValueError, match=rf"{program} .*{file_format}.*IMAGEIO_FFMPEG_EXE"):
        check_encoder(file_format)


@pytest.mark.parametrize("file_format", ["mp4", "gif"])
def test_the_packaged_encoder_passes(file_format):
    check_encoder(file_format)


def test_without_ffmpeg_the_error_says_how_to_get_one(monkeypatch):
    def missing():
        raise RuntimeError("nothing found")

    monkeypatch.setattr(video, "get_ffmpeg_exe", missing)
    with pytest.raises(ValueError, match=r"pip install imageio-ffmpeg.*IMAGEIO_FFMPEG_EXE.*nothing found"):
        check_encoder()


def test_ctrl_c_in_the_terminal_does_not_reach_the_encoder(tmp_path):
    before = set(psutil.Process().children())
    recording = Video(tmp_path, "gif", scale=1, fps=10)
    recording.add(np.zeros((8, 8, 3), np.uint8))
    (encoder,) = set(psutil.Process().children()) - before
    assert os.getpgid(encoder.pid) != os.getpgid(0)
    recording.discard()
