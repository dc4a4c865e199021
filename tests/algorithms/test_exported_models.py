"""Models leave as safetensors, JSON and ONNX, and come back the same; nothing in the folder is executed."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import onnxruntime
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_dqn import ClassicDQN, DoubleDQN, DuelingDQN
from sb3_atari_dqn.algorithms import onnx_files
from sb3_atari_dqn.checkpoints.export_files import FILES
from sb3_atari_dqn.networks.normalization import NORMALIZATIONS
from sb3_atari_dqn.networks.torsos import TORSOS
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from tests.support.environments import ImageAndVector

SMALL: dict[str, Any] = dict(buffer_size=200, learning_starts=10, batch_size=4, seed=0, device="cpu")
IMAGES = spaces.Box(0, 255, (4, 56, 60), np.uint8)


class SpaceOnly(gym.Env):
    """An environment for its spaces only."""

    def __init__(self, space: spaces.Space, actions: spaces.Discrete | None = None) -> None:
        self.observation_space, self.action_space = space, actions or spaces.Discrete(3)


def values(model: Any, seed: int = 0) -> torch.Tensor:
    """:return: action values of random observations"""
    model.observation_space.seed(seed)
    samples = [model.observation_space.sample() for _ in range(5)]
    if isinstance(samples[0], dict):
        batch: Any = {name: np.stack([each[name] for each in samples]) for name in samples[0]}
    else:
        batch = np.stack(samples)
    model.policy.set_training_mode(False)
    with torch.no_grad():
        return model.q_net(model.policy.obs_to_tensor(batch)[0])


def first_layer(network: torch.nn.Module) -> torch.Tensor:
    return next(network.parameters())


def assert_same(model: Any, folder: Path, **kwargs: Any) -> Any:
    model.export(folder, onnx=False, **kwargs)
    again = type(model).import_(folder, device="cpu")
    assert torch.equal(values(model), values(again))
    assert again.observation_space == model.observation_space
    assert again.action_space == model.action_space
    assert again._arguments() == model._arguments()
    return again


# --- round trips


@pytest.mark.slow
@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("torso", TORSOS)
def test_every_torso_head_and_normalization_comes_back_bit_for_bit(torso, normalization, head, tmp_path):
    kwargs = {
        "features_extractor_class": torso,
        "features_extractor_kwargs": {"hidden_size": 16, "normalization": normalization},
        "head": head,
    }
    assert_same(DuelingDQN("CnnPolicy", SpaceOnly(IMAGES), policy_kwargs=kwargs, **SMALL), tmp_path / "out")


SPACES: dict[str, tuple[str, spaces.Space]] = {
    "unequal bounds": (
        "MlpPolicy",
        spaces.Box(np.array([-1, 0, -np.inf]), np.array([1, 2.5, np.inf]), dtype=np.float64),
    ),
    "empty bounds": ("MlpPolicy", spaces.Box(-3, 3, (2, 2), np.float32)),
    "discrete": ("MlpPolicy", spaces.Discrete(4)),
    "several": ("MlpPolicy", spaces.MultiDiscrete([3, 4])),
    "bits": ("MlpPolicy", spaces.MultiBinary(5)),
    "dictionary": (
        "MultiInputPolicy",
        spaces.Dict({"b": spaces.Box(0, 255, (3, 36, 36), np.uint8), "a": spaces.Discrete(3)}),
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_kind_of_observation_comes_back(name, tmp_path):
    policy, space = SPACES[name]
    actions = spaces.Discrete(3, start=2)
    again = assert_same(ClassicDQN(policy, SpaceOnly(space, actions), **SMALL), tmp_path / "out")
    chosen, _ = again.predict(again.observation_space.sample(), deterministic=True)
    assert 2 <= chosen < 5


HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "classes": {
        "policy_kwargs": {
            "features_extractor_class": NatureCNN,
            "activation_fn": torch.nn.Tanh,
            "optimizer_class": torch.optim.RMSprop,
            "optimizer_kwargs": {"eps": 1e-3},
            "net_arch": [8, 8],
        },
        "replay_buffer_class": PrioritizedFrameReplayBuffer,
        "replay_buffer_kwargs": {"alpha": 0.5},
    },
    "linear schedule": {"exploration": "exponential", "exploration_delay": 7, "replay": "prioritized"},
    "replay ratio": {"replay_ratio": 0.5, "overlap": True, "learner": "fast", "precision": "fp32"},
    "SB3's pace": {"train_freq": (2, "episode"), "gradient_steps": -1, "n_steps": 3, "loss": "mse"},
    "infinite": {"max_grad_norm": float("inf"), "exploration": None, "stats_window_size": 7},
}


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_hyperparameters_come_back(name, tmp_path):
    assert_same(DoubleDQN("CnnPolicy", SpaceOnly(IMAGES), **SMALL, **HYPERPARAMETERS[name]), tmp_path / "out")


@pytest.mark.parametrize("schedule", ["SB3's", "the zoo's", "a number"])
def test_learning_rates_come_back(schedule, tmp_path):
    from rl_zoo3.utils import SimpleLinearSchedule

    rates: dict[str, Any] = {
        "SB3's": LinearSchedule(1e-3, 1e-4, 0.3),
        "the zoo's": SimpleLinearSchedule(7e-4),
        "a number": 3e-4,
    }
    model = ClassicDQN("MlpPolicy", "CartPole-v1", learning_rate=rates[schedule], **SMALL)
    model.export(tmp_path / "out", onnx=False)
    again = ClassicDQN.import_(tmp_path / "out", device="cpu")
    for progress in (1.0, 0.9, 0.77, 1 / 3, 0.0):
        assert again.lr_schedule(progress) == model.lr_schedule(progress)
    again.save(tmp_path / "again.zip")  # it can be pickled as well
    assert ClassicDQN.load(tmp_path / "again.zip").lr_schedule(0.77) == model.lr_schedule(0.77)


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["reference", "fast"])
def test_an_imported_model_goes_on_with_or_without_the_training_state(learner, tmp_path):
    def learned(model: Any) -> torch.Tensor:
        model.learn(0, reset_num_timesteps=False)
        model.set_random_seed(5)
        model.train(10, 4)
        return values(model)

    env = make_vec_env("CartPole-v1", 1, seed=1)
    kwargs: dict[str, Any] = {**SMALL, "learning_starts": 0, "learning_rate": 1e-2, "learner": learner}
    model = ClassicDQN("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, target_update_interval=7, **kwargs)
    model.learn(45)
    model.export(tmp_path / "whole", onnx=False, training_state=True)
    model.export(tmp_path / "bare", onnx=False)
    whole, bare = (
        ClassicDQN.import_(tmp_path / name, make_vec_env("CartPole-v1", 1, seed=1), device="cpu")
        for name in ("whole", "bare")
    )
    assert not torch.equal(first_layer(model.q_net_target), first_layer(model.q_net))
    assert torch.equal(first_layer(whole.q_net_target), first_layer(model.q_net_target))
    assert torch.equal(first_layer(bare.q_net_target), first_layer(model.q_net))
    assert (whole.num_timesteps, whole._n_updates, whole.exploration_rate) == (48, model._n_updates, 0.05)
    whole.replay_buffer = bare.replay_buffer = model.replay_buffer
    expected = learned(model)
    assert torch.equal(learned(whole), expected)
    assert not torch.equal(learned(bare), expected), "another optimizer and target network"
    whole.learn(40, reset_num_timesteps=False)
    assert whole.num_timesteps == 88


def test_arguments_can_be_replaced(tmp_path):
    ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL).export(tmp_path / "out", onnx=False)
    model = ClassicDQN.import_(tmp_path / "out", device="cpu", buffer_size=77, gamma=0.5)
    assert (model.buffer_size, model.gamma) == (77, 0.5)
    with pytest.raises(ValueError, match="gama"):
        ClassicDQN.import_(tmp_path / "out", gama=0.5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"learning_rate": -1}, "^learning_rate must be a number"),
        ({"n_steps": "many"}, "^n_steps"),
        ({"values": "quantile"}, "^the model was saved with values='scalar'"),
        ({"policy_kwargs": {"net_arch": [8]}}, "^The networks of an exported model are fixed, and policy_kwargs given"),
        ({"replay_ratio": 0.25, "train_freq": 4}, "^replay_ratio=0.25 and train_freq=4.* both say how often"),
        ({"env": "MountainCar-v0"}, "^Observation spaces do not match"),
    ],
)
def test_mistakes_of_the_caller_are_not_those_of_the_folder(arguments, told, tmp_path):
    ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL).export(tmp_path / "out", onnx=False)
    with pytest.raises(ValueError, match=told):
        ClassicDQN.import_(tmp_path / "out", device="cpu", **arguments)
    rewrite(tmp_path / "out", set_at("arguments", "gamma", "high"))
    with pytest.raises(ValueError, match=r"out/config\.json cannot be read: |does not fit config\.json"):
        ClassicDQN.import_(tmp_path / "out", device="cpu", **arguments)


@pytest.mark.parametrize(
    ("saved", "given", "pace"),
    [
        ({}, {"replay_ratio": 0.25}, (0.25, (1, "step"), 0)),
        ({"train_freq": 2, "gradient_steps": 3}, {"replay_ratio": 0.5, "overlap": True}, (0.5, (1, "step"), 0)),
        ({"replay_ratio": 0.5}, {"replay_ratio": None, "train_freq": 8}, (None, (8, "step"), 1)),
        ({"train_freq": 2, "gradient_steps": 3}, {"train_freq": 8}, (None, (8, "step"), 3)),
    ],
)
def test_the_pace_is_replaced_as_at_load(saved, given, pace, tmp_path):
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL, **saved)
    model.export(tmp_path / "out", onnx=False)
    model.save(tmp_path / "model")
    for read in (
        lambda: ClassicDQN.import_(tmp_path / "out", **given),
        lambda: ClassicDQN.load(tmp_path / "model", **given),
    ):
        again: Any = read()
        frequency, unit = again.train_freq
        assert (again.replay_ratio, (frequency, getattr(unit, "value", unit)), again.gradient_steps) == pace


def test_what_is_shown_and_logged_is_no_part_of_a_model(tmp_path):
    ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL).export(tmp_path / "out", onnx=False)
    model = ClassicDQN.import_(tmp_path / "out", device="cpu", verbose=1, tensorboard_log=str(tmp_path / "runs"))
    assert (model.verbose, model.tensorboard_log) == (1, str(tmp_path / "runs"))


def test_other_programs_read_the_files(tmp_path):
    model = DuelingDQN("MlpPolicy", "CartPole-v1", **SMALL)
    written = model.export(tmp_path / "out", onnx=False, about={"env": "CartPole-v1", "frame_stack": None})
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(written.files)
    arrays = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(arrays[name], each) for name, each in model.q_net.state_dict().items())
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["algorithm"] == "DuelingDQN"
    assert config["about"] == {"env": "CartPole-v1", "frame_stack": None}
    assert config["versions"]["torch"] == torch.__version__


# --- ONNX


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "dictionary", "discrete"])
def test_the_onnx_file_gives_the_same_action_values(kind, tmp_path):
    if kind == "dictionary":
        model: Any = DuelingDQN("MultiInputPolicy", ImageAndVector(), **SMALL)
    else:
        space = IMAGES if kind == "images" else spaces.Discrete(4)
        model = DuelingDQN("CnnPolicy" if kind == "images" else "MlpPolicy", SpaceOnly(space), **SMALL)
    expected = values(model)
    written = model.export(tmp_path / "out", onnx=True)
    assert written == (("config.json", "model.safetensors", "model.onnx"), "")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    model.observation_space.seed(0)
    samples = [model.observation_space.sample() for _ in range(5)]
    names = [each.name for each in session.get_inputs()]
    batch = {n: np.stack([each[n] for each in samples]) for n in names} if kind == "dictionary" else np.stack(samples)
    tensors = model.policy.obs_to_tensor(batch)[0]
    inputs = {n: tensors[n].numpy() for n in names} if kind == "dictionary" else {"observations": tensors.numpy()}
    (found,) = session.run(["action_values"], inputs)
    assert np.allclose(found, expected, atol=1e-5)
    assert torch.equal(values(type(model).import_(tmp_path / "out", device="cpu")), expected)


def test_without_its_packages_onnx_is_left_out_and_refused_where_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None)
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL)
    assert model.export(tmp_path / "out").left_out == "onnx and onnxscript not installed"
    with pytest.raises(ValueError, match=r"onnx=True needs onnx and onnxscript: .*sb3-atari-dqn\[export\]"):
        model.export(tmp_path / "second", onnx=True)
    assert not (tmp_path / "second").exists()


def test_a_network_that_torch_cannot_write_as_onnx_is_exported_without_it(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no operator\nfor this")

    monkeypatch.setattr(torch.onnx, "export", fail)
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL)
    written = model.export(tmp_path / "out")
    assert written.left_out == "torch cannot write this network (RuntimeError: no operator)"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors"}
    with pytest.raises(ValueError, match="onnx=True: torch cannot write this network"):
        model.export(tmp_path / "second", onnx=True)
    assert not (tmp_path / "second").exists()


# --- what cannot be exported


class OwnActivation(torch.nn.ReLU):
    pass


def test_what_would_have_to_be_executed_is_refused_before_anything_is_written(tmp_path):
    rate = ClassicDQN("MlpPolicy", "CartPole-v1", learning_rate=lambda _: 1e-3, **SMALL)
    with pytest.raises(ValueError, match=r"learning_rate=<function .* cannot be exported"):
        rate.export(tmp_path / "parent" / "out")
    layer = ClassicDQN("MlpPolicy", "CartPole-v1", policy_kwargs={"activation_fn": OwnActivation}, **SMALL)
    with pytest.raises(ValueError, match=r"policy_kwargs\['activation_fn'\]=.*OwnActivation.* cannot be exported"):
        layer.export(tmp_path / "parent" / "out")
    with pytest.raises(ValueError, match=r"about\['env'\]=<object"):
        ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL).export(tmp_path / "parent" / "out", about={"env": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_kept_and_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL)
    (tmp_path / "empty").mkdir()
    model.export(tmp_path / "empty", onnx=False)
    before = (tmp_path / "empty" / "config.json").stat()
    with pytest.raises(ValueError, match="empty exists: remove it, or choose another name"):
        model.export(tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").stat() == before

    def interrupted(policy, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("sb3_atari_dqn.algorithms.exported_models.write_onnx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.export(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


# --- folders that were written to


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "out"
    DuelingDQN("MlpPolicy", "CartPole-v1", **SMALL).export(folder, onnx=False, training_state=True)
    return folder


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def rewrite(folder: Path, change: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def set_at(*path: Any) -> Any:
    """:return: sets the value that is last in the path"""

    def change(config: Any) -> None:
        *places, key, value = path
        for place in places:
            config = config[place]
        config[key] = value

    return change


FORGED: dict[str, tuple[Any, str]] = {
    "other format": (set_at("format", "x"), "is not that of an exported model"),
    "newer version": (set_at("format_version", 2), "has version 2 of the format.*reads version 1"),
    "other algorithm": (set_at("algorithm", "ClassicDQN"), "it holds a 'ClassicDQN', not a DuelingDQN"),
    "no algorithm": (lambda config: config.pop("algorithm"), "KeyError"),
    "class": (set_at("policy", {"$class": "os.system"}), "policy names 'os.system', which is unknown here"),
    "no policy": (set_at("policy", {"$class": "torch.nn.modules.activation.ReLU"}), "which is no policy"),
    "class in arguments": (
        set_at("arguments", "policy_kwargs", {"optimizer_class": {"$class": "builtins.eval"}}),
        "eval",
    ),
    "object": (set_at("arguments", "learning_rate", {"$object": "os.system", "command": "ls"}), "'os.system'"),
    "wrong object": (set_at("arguments", "learning_rate", {"$object": "LinearRate"}), "not a value of an exported"),
    "unknown mark": (set_at("arguments", "gamma", {"$eval": "1"}), "not a value of an exported model"),
    "argument": (set_at("arguments", "env", "CartPole-v1"), "arguments has no 'env'|env"),
    "type": (set_at("arguments", "gamma", "high"), "gamma"),
    "counter": (set_at("counters", "num_timesteps", "many"), "counters\\['num_timesteps'\\]"),
    "counters": (set_at("counters", {}), "counters must be"),
    "file outside": (set_at("files", "../secret", {"size": 1, "sha256": ""}), "names a file '../secret'"),
    "no files": (set_at("files", []), "no list of files"),
    "no network": (lambda config: config["files"].pop("model.safetensors"), "does not name model.safetensors"),
    "entry": (set_at("files", "model.safetensors", {"size": "1"}), "size and sha256"),
    "size": (set_at("files", "model.safetensors", "size", 10**15), "instead of 1,000,000,000,000,000"),
    "huge network": (set_at("arguments", "policy_kwargs", {"net_arch": [10**6, 10**6]}), "does not fit config.json"),
    "many layers": (set_at("arguments", "policy_kwargs", {"net_arch": [1] * 1001}), "1,001 values: at most 1,000"),
    "huge space": (set_at("observation_space", "shape", [10**6, 10**6]), "which is not a space .at most 16,777,216"),
    "space": (set_at("observation_space", {"$space": "Text"}), "which is not a space"),
    "actions": (set_at("action_space", "n", 10**9), "does not fit config.json"),
    "other network": (set_at("arguments", "policy_kwargs", {"head": "linear"}), "does not fit config.json"),
    "optimizer": (set_at("optimizer", "state", {"x": {}}), "cannot be read"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_folder_that_was_written_to_is_refused_in_one_sentence(name, folder):
    change, told = FORGED[name]
    rewrite(folder, change)
    with pytest.raises(ValueError, match=told) as caught:
        DuelingDQN.import_(folder, device="cpu")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "it is not JSON"),
        ('{"format": NaN}', "NaN is not JSON"),
        ("[]", "is not that of an exported model"),
        (" " * (1 << 20) + "{}", "1,048,576 are allowed"),
        ("\x00", "is not JSON"),
    ],
)
def test_a_config_that_is_no_config_is_refused(text, told, folder):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=told):
        DuelingDQN.import_(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
def test_damaged_arrays_are_refused(name, folder):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=f"{name} is damaged: its checksum"):
        DuelingDQN.import_(folder, device="cpu")
    (folder / name).write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=f"{name} is damaged: it has"):
        DuelingDQN.import_(folder, device="cpu")
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is damaged: the file is missing"):
        DuelingDQN.import_(folder, device="cpu")


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"is not an exported model: it has no config.json"):
        DuelingDQN.import_(tmp_path)


def test_an_environment_that_does_not_fit_is_refused(folder):
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        DuelingDQN.import_(folder, env=DummyVecEnv([lambda: SpaceOnly(spaces.Box(-1, 1, (3,)), spaces.Discrete(2))]))


def test_nothing_but_the_known_files_is_written(exported):
    assert {path.name for path in exported.iterdir()} < set(FILES)
