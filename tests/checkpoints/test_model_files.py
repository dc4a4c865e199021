"""Model files: SB3's names, and never half a file."""

import io
import zipfile

import pytest

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.checkpoints.model_files import destination, read_attributes, refuse_damaged


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


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.zip"
    DuelingDQN("MlpPolicy", "CartPole-v1", buffer_size=10, policy_kwargs={"net_arch": [4]}).save(path)
    return path


def readers():
    """:return: all that opens a model of ours, by name"""
    own = DuelingDQN("MlpPolicy", "CartPole-v1", buffer_size=10, policy_kwargs={"net_arch": [4]})
    return [
        DuelingDQN.load,
        own.set_parameters,
        read_attributes,
        lambda path: DuelingDQN.load(io.BytesIO(path.read_bytes())),
    ]


@pytest.mark.parametrize("entry", ["data", "policy.pth", "policy.optimizer.pth", "_stable_baselines3_version"])
def test_one_damaged_byte_is_said_with_its_entry_by_all_that_read_a_model(model, tmp_path, entry):
    content = bytearray(model.read_bytes())
    with zipfile.ZipFile(model) as archive:
        found = archive.getinfo(entry)
    content[found.header_offset + 30 + len(entry) + found.compress_size // 2] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(content)
    for read in readers():
        with pytest.raises(ValueError, match=rf"is damaged: .*'{entry}'.*another copy"):
            read(tmp_path / "damaged.zip")


@pytest.mark.parametrize("keep", [4, 0.5, -1])
def test_a_model_that_was_cut_off_is_damaged_and_not_something_else(model, tmp_path, keep):
    content = model.read_bytes()
    end = int(keep * len(content)) if isinstance(keep, float) else keep
    (tmp_path / "cut.zip").write_bytes(content[:end])
    with pytest.raises(ValueError, match=r"cut is damaged: .*another copy"):
        DuelingDQN.load(tmp_path / "cut")


def test_a_model_that_is_not_there_or_is_a_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none .*none\.zip"):
        DuelingDQN.load(tmp_path / "none")
    with pytest.raises(ValueError, match="is a folder"):
        DuelingDQN.load(tmp_path)


def test_a_whole_model_is_read_from_wherever_the_file_object_stands(model):
    with model.open("rb") as file:
        file.seek(100)
        refuse_damaged(file)
        assert read_attributes(file)["algorithm"] == "DuelingDQN"
    refuse_damaged({"policy": {}})
