"""Scaling, text and output files."""

import re

import numpy as np
import pytest

from sb3_atari_dqn.pictures.drawing import check_writable, complete_or_absent, fit, shortened, text_width


@pytest.mark.parametrize(
    ("shape", "box", "size"),
    [
        ((84, 84), (252, 252), (252, 252)),
        ((210, 160), (252, 252), (210, 160)),  # 1.2 times would make uneven pixels
        ((105, 80), (168, 168), (168, 128)),  # once would waste the room
        ((400, 600), (200, 200), (133, 200)),
    ],
)
def test_a_picture_fits_its_box_and_keeps_its_proportions(shape, box, size):
    assert fit(np.zeros((*shape, 3), np.uint8), box).shape == (*size, 3)


def test_integer_factors_repeat_pixels_unchanged():
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (fit(picture, (4, 4)) == picture.repeat(2, 0).repeat(2, 1)).all()


def test_long_text_is_truncated_to_the_available_width():
    assert shortened("short", 15, 200) == "short"
    cut = shortened("a long headline that does not fit", 15, 100)
    assert cut.endswith("...")
    assert text_width(cut, 15) <= 100


def test_an_unfinished_file_leaves_nothing_behind(tmp_path):
    def write_half():
        with complete_or_absent(tmp_path / "a.png") as unfinished:
            unfinished.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_finished_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")
    with complete_or_absent(path) as unfinished:
        unfinished.write_text("new")
        assert (path.read_text(), unfinished.suffix) == ("old", ".png")
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(path, "new")]


def test_an_unwritable_output_raises_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "a.jpg", tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(ValueError, match=f"{re.escape(str(path))} .*-o"):
            check_writable(path, ".png")
    check_writable(tmp_path / "new" / "a.png", ".png")
    assert not list((tmp_path / "new").iterdir())
