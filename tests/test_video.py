"""Videos: complete or absent."""

from unittest import mock

import cv2
import numpy as np
import pytest

from sb3_atari_dqn.pictures.video import Video, check_encoder


def test_every_picture_is_in_the_video(tmp_path):
    path = tmp_path / "a.mp4"
    with Video(path, (64, 48), fps=3.75) as video:
        for shade in (0, 120, 240):
            video.add(np.full((48, 64, 3), shade, np.uint8))
    assert list(tmp_path.iterdir()) == [path]
    read = cv2.VideoCapture(str(path))
    assert read.get(cv2.CAP_PROP_FPS) == pytest.approx(3.75)
    shades = [int(read.read()[1].mean()) for _ in range(3)]
    assert shades == pytest.approx([0, 120, 240], abs=4)
    assert not read.read()[0]


def test_a_video_that_was_not_finished_leaves_nothing_behind(tmp_path):
    def write_half():
        with Video(tmp_path / "a.mp4", (64, 48), fps=15) as video:
            video.add(np.zeros((48, 64, 3), np.uint8))
            raise RuntimeError("the game broke")

    with pytest.raises(RuntimeError, match="the game broke"):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_missing_encoder_is_named_with_the_way_out():
    check_encoder()
    absent = mock.patch("imageio_ffmpeg.get_ffmpeg_exe", side_effect=RuntimeError("none"))
    with absent, pytest.raises(ValueError, match="pip install imageio-ffmpeg"):
        check_encoder()
