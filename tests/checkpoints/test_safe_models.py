"""Models and replay files of strangers: nothing runs, and what would have run is named."""

import base64
import io
import json
import pickle
import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_atari_dqn import ClassicDQN, DuelingDQN, UnsafeFile
from sb3_atari_dqn.checkpoints.model_files import read_attributes
from sb3_atari_dqn.replay.file_stream import END, MAGIC
from tests.support.environments import Catch
from tests.support.exploits import PICKLES, by_name, rewritten, with_attribute, with_pickle

WEIGHTS = ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth")


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    """A model that has learned a little."""
    path = tmp_path_factory.mktemp("ours") / "model.zip"
    small(learning_rate=1e-3).learn(40).save(path)
    return path


@pytest.fixture(scope="module")
def sb3s(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sb3s") / "model.zip"
    DQN("MlpPolicy", "CartPole-v1", learning_starts=10, buffer_size=100, device="cpu").learn(30).save(path)
    return path


def small(**kwargs: Any) -> ClassicDQN:
    settings = {"learning_starts": 10, "buffer_size": 100, "device": "cpu", "batch_size": 4, **kwargs}
    return ClassicDQN("MlpPolicy", make_vec_env("CartPole-v1"), **settings)


def refused(path: Any, says: str, marker: Path) -> None:
    for load in (ClassicDQN.load, small().set_parameters):
        with pytest.raises(UnsafeFile, match=says):
            load(path)
    assert not marker.exists()


# --- exploits


@pytest.mark.parametrize("exploit", PICKLES)
@pytest.mark.parametrize("saved_by", ["ours", "sb3s"])
def test_a_pickle_in_the_attributes_does_not_run(exploit, saved_by, request, tmp_path):
    marker = tmp_path / "marker"
    edited = with_attribute("lr_schedule", exploit(marker))
    bad = rewritten(request.getfixturevalue(saved_by), tmp_path / "bad.zip", data=edited)
    with pytest.raises(UnsafeFile, match=rf"bad\.zip \(its attribute lr_schedule\) is refused.*{PICKLES[exploit]}"):
        ClassicDQN.load(bad)
    with pytest.raises(UnsafeFile, match="lr_schedule"):
        read_attributes(bad)
    assert not marker.exists()
    replaced = ClassicDQN.load(bad, custom_objects={"lr_schedule": lambda _: 0.0})
    assert replaced.learning_rate == (1e-3 if saved_by == "ours" else 1e-4)
    assert not marker.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ClassicDQN.load(bad, trust=True)
    assert marker.exists()


@pytest.mark.parametrize("exploit", PICKLES)
@pytest.mark.parametrize("entry", WEIGHTS)
def test_a_pickle_in_the_weights_does_not_run(exploit, entry, ours, tmp_path):
    marker = tmp_path / "marker"
    bad = rewritten(ours, tmp_path / "bad.zip", **{entry: with_pickle(exploit(marker))})
    refused(bad, rf"bad\.zip \(its entry {entry}\) is refused.*{PICKLES[exploit]}", marker)


def test_what_is_only_beside_our_safe_part_is_not_even_read(ours, tmp_path):
    """A pickle under a name that the safe part does not have would be SB3's to unpickle."""
    marker, bad = tmp_path / "marker", tmp_path / "bad.zip"
    edit = with_attribute("another", by_name(marker))
    with zipfile.ZipFile(ours) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            new.writestr(name, edit(old.read(name)) if name == "data" else old.read(name))
    with pytest.raises(ValueError, match="does not belong to its entry data"):
        ClassicDQN.load(bad)
    assert not marker.exists()


def test_an_environment_named_in_the_attributes_is_not_imported(sb3s, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    with_env = rewritten(
        sb3s, tmp_path / "bad.zip", data=lambda data: json.dumps({**json.loads(data), "env": "evil:Any-v0"}).encode()
    )
    with pytest.raises(UnsafeFile, match="attribute env"):
        ClassicDQN.load(with_env)
    assert not marker.exists()


@pytest.mark.parametrize("exploit", PICKLES)
@pytest.mark.parametrize("as_file", [True, False])
def test_a_replay_file_does_not_run(exploit, as_file, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "replay.pkl"
    path.write_bytes(exploit(marker))
    model = small(replay="sb3")
    with pytest.raises(UnsafeFile, match=f"is refused: it would run.*{PICKLES[exploit]}"):
        model.load_replay_buffer(io.BytesIO(path.read_bytes()) if as_file else path)
    assert not marker.exists()
    with pytest.raises(ValueError, match="damaged"):
        model.load_replay_buffer(path, trust=True)
    assert marker.exists()


def test_the_variable_stands_for_trust_everywhere(sb3s, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    bad = rewritten(sb3s, tmp_path / "bad.zip", data=with_attribute("ep_info_buffer", by_name(marker)))
    monkeypatch.setenv("SB3_ATARI_DQN_TRUST", "yes")
    with pytest.raises(ValueError, match=r"SB3_ATARI_DQN_TRUST='yes' must be 1 .* or 0"):
        ClassicDQN.load(bad)
    monkeypatch.setenv("SB3_ATARI_DQN_TRUST", "1")
    with pytest.raises(UnsafeFile):
        ClassicDQN.load(bad, trust=False)
    assert not marker.exists()
    ClassicDQN.load(bad)
    assert marker.exists()


# --- bombs and paths


def bomb(path: Path, entry: str = "data", size: int = 200 << 20) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(entry, "w") as stream:
        for _ in range(size >> 20):
            stream.write(bytes(1 << 20))
    return path


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path):
    refused(bomb(tmp_path / "bomb.zip"), r"bomb\.zip is refused: .* would unpack to 209,715,200", tmp_path / "none")


def test_weights_that_unpack_to_too_much_are_refused_too(ours, tmp_path):
    """The zip is small and stored as it is; the file of torch inside it is another zip."""
    inner = bomb(tmp_path / "inner.pth", "archive/data/0").read_bytes()
    bad = rewritten(ours, tmp_path / "bad.zip", **{"policy.pth": inner})
    refused(bad, r"\(its entry policy\.pth\) is refused: .* would unpack", tmp_path / "none")


def test_an_entry_that_lies_about_its_size_is_damaged_and_takes_no_memory(tmp_path):
    path = bomb(tmp_path / "bomb.zip", "data", 80 << 20)
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="corrupt"):
        ClassicDQN.load(path)


@pytest.mark.parametrize("name", ["../data", "/data", "a/../../data", "C:\\data", "..\\data"])
def test_a_path_out_of_the_folder_is_refused(name, ours, tmp_path):
    with zipfile.ZipFile(ours) as old, zipfile.ZipFile(tmp_path / "bad.zip", "w") as new:
        for each in old.namelist():
            new.writestr(each, old.read(each))
        new.writestr(zipfile.ZipInfo(name), b"x")
    refused(tmp_path / "bad.zip", "leads out of the folder", tmp_path / "none")


def test_two_entries_of_one_name_and_links_are_refused(ours, tmp_path):
    with warnings.catch_warnings(), zipfile.ZipFile(ours) as old, zipfile.ZipFile(tmp_path / "twice.zip", "w") as new:
        warnings.simplefilter("ignore")
        for each in [*old.namelist(), "data"]:
            new.writestr(each, old.read(each))
    refused(tmp_path / "twice.zip", "'data' is there twice", tmp_path / "none")
    with zipfile.ZipFile(ours) as old, zipfile.ZipFile(tmp_path / "case.zip", "w") as new:
        for each in old.namelist():
            new.writestr(each, old.read(each))
        new.writestr("Data", "{}")
    refused(tmp_path / "case.zip", "'Data' is there twice", tmp_path / "none")
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(ours) as old, zipfile.ZipFile(tmp_path / "link.zip", "w") as new:
        new.writestr(link, b"/etc/passwd")
    refused(tmp_path / "link.zip", "'link' is a symbolic link", tmp_path / "none")


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.zeros(1).expand(1 << 40), "has 1 numbers"),
        (torch.zeros(2, 2).to_sparse(), "_rebuild_sparse_tensor"),
    ],
)
def test_a_tensor_larger_than_its_numbers_is_refused(tensor, says, ours, tmp_path):
    content = io.BytesIO()
    torch.save({"weight": tensor}, content)
    bad = rewritten(ours, tmp_path / "bad.zip", **{"policy.pth": content.getvalue()})
    with pytest.raises(ValueError, match=says):
        ClassicDQN.load(bad)


def test_memory_that_torch_would_reserve_for_a_file_is_refused(ours, tmp_path):
    pickled = b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R."
    bad = rewritten(ours, tmp_path / "bad.zip", **{"policy.pth": with_pickle(pickled)})
    refused(bad, "builtins.bytearray", tmp_path / "none")


def test_weights_of_torch_before_1_6_are_refused(ours, tmp_path):
    content = io.BytesIO()
    torch.save({}, content, _use_new_zipfile_serialization=False)
    refused(
        rewritten(ours, tmp_path / "bad.zip", **{"policy.pth": content.getvalue()}), "zip format", tmp_path / "none"
    )


@pytest.mark.parametrize(
    ("key", "value"), [("finals", 1 << 40), ("heads", 1 << 40), ("filled", -1), ("first frame", -(1 << 40))]
)
def test_a_replay_file_reserves_memory_only_for_what_the_buffer_holds(key, value, tmp_path):
    model = ClassicDQN("CnnPolicy", make_vec_env(Catch), buffer_size=50, learning_starts=10, device="cpu").learn(30)
    content = io.BytesIO()
    model.save_replay_buffer(content)
    plain = zstandard.ZstdDecompressor().stream_reader(content.getvalue()[len(MAGIC) : -len(END)]).read()
    (length,) = struct.unpack("<I", plain[:4])
    header = json.loads(plain[4 : 4 + length])
    header[key] = dict.fromkeys(header[key], value) if isinstance(header[key], dict) else value
    text = json.dumps(header).encode()
    body = zstandard.ZstdCompressor().compress(struct.pack("<I", len(text)) + text + plain[4 + length :])
    with pytest.raises(ValueError, match="impossible numbers"):
        model.load_replay_buffer(io.BytesIO(MAGIC + body + END))


# --- what is ours

_named: list[str] = []
_is_watched = False


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _is_watched and event == "pickle.find_class":
        _named.append(".".join(map(str, args)))


sys.addaudithook(_watch)


def names_unpickled(action: Any) -> list[str]:
    """:return: every name that Python's own unpickler looks up meanwhile"""
    global _is_watched
    _named.clear()
    _is_watched = True
    try:
        action()
    finally:
        _is_watched = False
    return list(_named)


def test_loading_unpickles_nothing(ours, sb3s, tmp_path):
    assert names_unpickled(lambda: load_from_zip_file(ours)) != []
    for path in (ours, sb3s):
        assert names_unpickled(lambda path=path: ClassicDQN.load(path, env=make_vec_env("CartPole-v1"))) == []
        assert names_unpickled(lambda path=path: small().set_parameters(path)) == []
    model = small(replay="sb3").learn(20)
    model.save_replay_buffer(tmp_path / "replay")
    assert names_unpickled(lambda: model.load_replay_buffer(tmp_path / "replay")) == []


def test_the_safe_part_is_enough_and_loads_the_same_model(ours, tmp_path):
    safe = ClassicDQN.load(ours)
    with zipfile.ZipFile(ours) as archive:
        assert "attributes.safetensors" in archive.namelist()
        names = set(json.loads(archive.read("data")))
    without = rewritten(ours, tmp_path / "without.zip")
    attributes, others = read_attributes(ours), read_attributes(without)
    assert attributes.keys() == others.keys() == names
    trusted = read_attributes(without, trust=True)
    for name in names - {"_last_obs", "_last_episode_starts", "_last_original_obs"}:
        one, two, three = (repr(each[name]) for each in (attributes, others, trusted))
        assert one == two or "object at" in one, name
        assert one == three or "object at" in one, name
    assert (attributes["_last_obs"] == others["_last_obs"]).all()
    assert safe.num_timesteps == 40
    observation = np.zeros((3, 4), np.float32)
    for path in (ours, without):
        assert (
            ClassicDQN.load(path).predict(observation, deterministic=True)[0]
            == safe.predict(observation, deterministic=True)[0]
        ).all()


def test_sb3_loads_our_models(ours):
    attributes, parameters, _ = load_from_zip_file(ours, device="cpu")
    assert attributes is not None
    assert attributes["num_timesteps"] == 40
    sb3 = DQN("MlpPolicy", "CartPole-v1", device="cpu")
    sb3.set_parameters(ours)
    weights = sb3.q_net.state_dict()
    saved: Any = parameters["policy"]
    assert all((saved[f"q_net.{name}"] == value).all() for name, value in weights.items())


def test_a_model_with_code_of_the_user_is_saved_with_a_warning_and_needs_trust(tmp_path):
    model = small(learning_rate=lambda remaining: 1e-3 * remaining)
    with pytest.warns(UserWarning, match=r"Loading will need trust=True.*learning_rate.*cloudpickle"):
        model.save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert "attributes.safetensors" not in archive.namelist()
    with pytest.raises(UnsafeFile, match="learning_rate"):
        ClassicDQN.load(tmp_path / "model")
    assert ClassicDQN.load(tmp_path / "model", trust=True).learning_rate(0.5) == 5e-4  # type: ignore[operator]
    replaced = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0}
    assert ClassicDQN.load(tmp_path / "model", custom_objects=replaced).learning_rate == 0.0


def test_classes_of_torch_in_the_arguments_of_the_policy_need_no_trust(tmp_path):
    policy_kwargs = {"activation_fn": torch.nn.ELU, "optimizer_class": torch.optim.RMSprop, "net_arch": [8]}
    model = DuelingDQN("MlpPolicy", "CartPole-v1", policy_kwargs=policy_kwargs, device="cpu")
    model.save(tmp_path / "model")
    assert DuelingDQN.load(tmp_path / "model").policy_kwargs == policy_kwargs


def test_a_replay_pickle_of_something_else_is_damaged():
    with pytest.raises(ValueError, match="holds a dict"):
        small(replay="sb3").load_replay_buffer(io.BytesIO(pickle.dumps({})))
    assert issubclass(type(small(replay="sb3").replay_buffer), ReplayBuffer)


# --- sizes


def with_values(path: Path, target: Path, **values: Any) -> Path:
    """:return: a copy of a model without our safe part, with other attributes"""

    def edited(data: bytes) -> bytes:
        serialized = {
            key: {":type:": "x", ":serialized:": base64.b64encode(pickle.dumps(value)).decode()}
            for key, value in values.items()
        }
        return json.dumps({**json.loads(data), **serialized}).encode()

    return rewritten(path, target, data=edited)


def forged(space: Any, **attributes: Any) -> Any:
    vars(space).update(attributes)
    return space


@pytest.mark.parametrize("saved_by", ["ours", "sb3s"])
@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"policy_kwargs": {"net_arch": [200_000, 200_000]}},
            r"networks of 40,[\d,]+ weights, and holds",
        ),
        ({"policy_kwargs": {"net_arch": [1] * 1001}}, "net_arch has 1,001 values: at most 1,000"),
        ({"action_space": forged(spaces.Discrete(2), n=np.int64(10**10))}, "networks of .* weights"),
        (
            {"observation_space": forged(spaces.Box(-1, 1, (4,)), _shape=(30_000, 30_000))},
            "at most 16,777,216",
        ),
        ({"observation_space": forged(spaces.Box(-1, 1, (4,)), _shape=(30, 30))}, "bounds of another shape"),
        ({"observation_space": spaces.Dict(x=forged(spaces.Box(-1, 1), _shape=(1 << 40,)))}, "at most 16,777,216"),
        ({"observation_space": forged(spaces.MultiBinary(4), _shape=(1 << 40,))}, "at most 16,777,216"),
    ],
)
def test_a_network_larger_than_its_weights_is_not_built(saved_by, values, says, request, tmp_path):
    bad = with_values(request.getfixturevalue(saved_by), tmp_path / "bad.zip", **values)
    with pytest.raises(ValueError, match=says):
        ClassicDQN.load(bad, device="cpu")
