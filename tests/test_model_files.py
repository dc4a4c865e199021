"""Model files: SB3's names, and never half a file."""

import zipfile

import pytest

from sb3_atari_dqn.model_files import destination, read_attributes


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


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme", "no model")
    for name in ("text", "empty.zip"):
        with pytest.raises(ValueError, match=f"{name}.* is not a model"):
            read_attributes(tmp_path / name)
