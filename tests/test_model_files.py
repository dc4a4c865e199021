"""Model files: SB3's names, and never half a file."""

import zipfile

import pytest

from sb3_atari_dqn.model_files import destination, read_attributes, replacing


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("model", "model.zip"),
        ("model.zip", "model.zip"),
        ("v1.2", "v1.2"),
        ("new/folder/model", "new/folder/model.zip"),
    ],
)
def test_files_are_named_as_sb3_names_them(asked, written, tmp_path):
    assert destination(tmp_path / asked) == tmp_path / written
    assert (tmp_path / written).parent.is_dir()


def test_a_folder_of_that_name_is_left_alone(tmp_path):
    (tmp_path / "model.zip").mkdir()
    with pytest.warns(UserWarning, match="is a folder"):
        assert destination(str(tmp_path / "model")) == tmp_path / "model.zip_2"


def write_half(path):
    with replacing(path) as file:
        file.write(b"half of the ne")
        raise KeyboardInterrupt


def test_an_interruption_leaves_the_old_file_whole_and_nothing_else(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.zip"]


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["model.zip"]


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme", "no model")
    for name in ("text", "empty.zip"):
        with pytest.raises(ValueError, match=f"{name}.* is not a model"):
            read_attributes(tmp_path / name)
