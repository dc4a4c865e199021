"""Spectral norm, pooling and Hadamax: both learners, the target network, files, exports and continued trainings."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger
from torch import nn
from torch.nn.utils import parametrizations

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.atari import NativeAtariVecEnv
from sb3_atari_dqn.callbacks import SaveCheckpoints
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.networks.hadamax import HadamaxTorso
from sb3_atari_dqn.networks.torsos import NatureTorso
from sb3_atari_dqn.policies import CnnPolicy, QPolicy
from tests.support.batches import RULE, batch, images, make_policy, observations
from tests.support.environments import Noise
from tests.support.interrupted import assert_same_after_kills

# A little larger than the smallest images that max-pooling takes; name -> the images that the torso sees.
PIXELS = {"impala": images(2, 44, 41), "hadamax": images(2, 44, 41), "nature": images(2, 77, 76)}
BTR: dict[str, Any] = {"spectral_norm": True, "pooling": "max"}
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "impala spectral": ("impala", {"spectral_norm": True}),
    "impala btr": ("impala", BTR),
    "impala btr wide": ("impala", {**BTR, "width": 2}),
    "impala btr layer": ("impala", {**BTR, "normalization": "layer", "initialization": "orthogonal"}),
    "impala mean": ("impala", {"pooling": "mean"}),
    "nature max": ("nature", {"pooling": "max"}),
    "nature mean": ("nature", {"pooling": "mean"}),
    "hadamax": ("hadamax", {}),
    "hadamax none": ("hadamax", {"normalization": "none"}),
    "hadamax max": ("hadamax", {"pooling": "max"}),
}
SOME = ("impala btr", "hadamax")


def policy_kwargs(name: str, head: str = "dueling", activation: str | None = None) -> dict[str, Any]:
    """:return: with an epsilon that does not turn rounding into whole steps of Adam, see test_fast_learner"""
    torso, kwargs = OPTIONS[name]
    return {
        "features_extractor_class": torso,
        "features_extractor_kwargs": {"hidden_size": 32, "activation": activation, **kwargs},
        "head": head,
        "optimizer_kwargs": {"eps": 1.5e-4},
    }


def policy_of(name: str, *args: Any, **kwargs: Any) -> QPolicy:
    return make_policy(CnnPolicy, PIXELS[OPTIONS[name][0]], **policy_kwargs(name, *args), **kwargs)


def state_of(policy: QPolicy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.q_net.state_dict().items()}


def train(learner: Any, n_updates: int = 3) -> dict[str, torch.Tensor]:
    space = learner.policy.observation_space
    for number in range(n_updates):
        learner.greedy_actions(observations(space, 2, np.random.default_rng(number)).numpy())
        learner.update(batch(space, number), RULE)
    return state_of(learner.policy)


def vector(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def is_iterated(name: str) -> bool:
    """:return: whether this is a vector of a power iteration"""
    return name.endswith(("._u", "._v"))


@pytest.mark.parametrize(
    ("name", "head"), [*((name, "dueling") for name in OPTIONS), *((name, "linear") for name in SOME)]
)
def test_in_float32_parameters_and_power_iterations_are_those_of_the_reference_learner(name, head):
    begin = vector(state_of(policy_of(name, head, "silu")).values())
    reference = train(ReferenceLearner(policy_of(name, head, "silu")))
    fast = train(FastLearner(policy_of(name, head, "silu"), "fp32", 8))
    way = vector(reference.values()) - begin
    # Max-pooling chooses, and rounding may choose otherwise: about 1e-6 where it does not.
    assert (vector(fast.values()) - vector(reference.values())).norm() < 2e-3 * way.norm()
    for key in filter(is_iterated, reference):
        torch.testing.assert_close(fast[key], reference[key], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", OPTIONS)
def test_in_bfloat16_the_gradient_is_nearly_that_of_the_reference_learner(name):
    learners = ReferenceLearner(policy_of(name)), FastLearner(policy_of(name), "bf16", 8)
    theirs, ours = (train(learner, n_updates=1) for learner in learners)
    exact, rounded = (vector(p.grad for p in learner.policy.q_net.parameters()) for learner in learners)  # type: ignore[misc]
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert nn.functional.cosine_similarity(rounded, exact, dim=0) > 0.97
    for key in filter(is_iterated, theirs):
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_working_copies_give_the_values_of_the_networks(name, precision):
    policy = policy_of(name)
    learner = FastLearner(policy, precision, 8)
    pixels = observations(policy.observation_space, 8, np.random.default_rng(3))
    train(learner)
    learner.online.train(False)
    policy.set_training_mode(False)
    bound = 1e-5 if precision == "fp32" else 0.03
    for working, network in ((learner.online, policy.q_net), (learner.target, policy.q_net_target)):
        with torch.no_grad():
            values, exact = working(working.preprocess(pixels)).per_action[..., 0], network(pixels)
        torch.testing.assert_close(values, exact, rtol=bound, atol=bound * max(1, exact.abs().max().item()))


@pytest.mark.parametrize("name", OPTIONS)
def test_the_factor_of_images_goes_into_the_first_convolution(name):
    """It is a plain one in all of them; bfloat16 would round images that are scaled themselves."""
    network: Any = policy_of(name).q_net
    assert network.first_convolution() is network.features_extractor.cnn[0]


class SpectralNature(NatureTorso):
    def __init__(self, observation_space: Any, **options: Any) -> None:
        super().__init__(observation_space, **options)
        parametrizations.spectral_norm(self.cnn[0])


class SpectralHadamax(HadamaxTorso):
    def __init__(self, observation_space: Any, **options: Any) -> None:
        super().__init__(observation_space, **options)
        parametrizations.spectral_norm(self.cnn[0])


@pytest.mark.parametrize("torso", [SpectralNature, SpectralHadamax])
def test_a_first_convolution_whose_weight_is_computed_does_not_take_the_factor(torso):
    """Spectral norm would divide by it again."""
    space = PIXELS["nature"]
    policy = make_policy(CnnPolicy, space, features_extractor_class=torso)
    assert policy.q_net.first_convolution() is None
    learner, pixels = FastLearner(policy, "fp32", 8), observations(space, 4, np.random.default_rng(3))
    learner.online.train(False)
    policy.set_training_mode(False)
    with torch.no_grad():
        values = learner.online(learner.online.preprocess(pixels)).per_action[..., 0]
        torch.testing.assert_close(values, policy.q_net(pixels), rtol=0, atol=1e-5)


# --- through the algorithm


def model_of(name: str, **kwargs: Any) -> DuelingDQN:
    env = make_vec_env(Noise, env_kwargs={"shape": (44, 41, 2)})
    settings: dict[str, Any] = {"buffer_size": 40, "learning_starts": 8, "batch_size": 4, "seed": 0, "device": "cpu"}
    model = DuelingDQN("CnnPolicy", env, policy_kwargs=policy_kwargs(name), **settings, **kwargs)
    model.set_logger(Logger(None, []))
    return model


def values(model: DuelingDQN, target: bool = False) -> torch.Tensor:
    model.policy.set_training_mode(False)
    with torch.no_grad():
        network = model.q_net_target if target else model.q_net
        return network(observations(model.observation_space, 5, np.random.default_rng(4)))


@pytest.mark.parametrize("learner", ["reference", "fast"])
@pytest.mark.parametrize("name", SOME)
def test_a_copied_target_network_has_the_power_iterations_too(name, learner):
    model = model_of(name, learner=learner, precision="bf16", learning_rate=1e-2).learn(20)
    assert not torch.allclose(values(model), values(model, target=True))
    model._update_target_network()
    assert torch.equal(values(model), values(model, target=True))
    working = model._get_learner()
    if isinstance(working, FastLearner):
        working.online.train(False)
        pixels = observations(model.observation_space, 5, np.random.default_rng(4))
        ours, theirs = (each(each.preprocess(pixels)).per_action for each in (working.online, working.target))
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", SOME)
def test_saved_and_exported_models_come_back_bit_for_bit(name, tmp_path):
    model = model_of(name, learner="fast", precision="bf16").learn(20)
    model.save(tmp_path / "model")
    model.export(tmp_path / "folder", onnx=False, training_state=True)
    loaded = DuelingDQN.load(tmp_path / "model", device="cpu")
    imported = DuelingDQN.import_(tmp_path / "folder", device="cpu")
    for other in (loaded, imported):
        for key, tensor in model.policy.state_dict().items():
            assert torch.equal(other.policy.state_dict()[key], tensor), key
        assert torch.equal(values(other), values(model))
        assert other.policy_kwargs["features_extractor_kwargs"] == model.policy_kwargs["features_extractor_kwargs"]


@pytest.mark.slow
def test_a_killed_training_goes_on_with_the_same_power_iterations(tmp_path):
    def build(folder: Path) -> DuelingDQN:
        env = NativeAtariVecEnv("BreakoutNoFrameskip-v4", 1, seed=3, monitor_dir=str(folder))
        settings: dict[str, Any] = {"buffer_size": 100, "learning_starts": 20, "batch_size": 4, "exploration_steps": 60}
        fast: dict[str, Any] = {"learner": "fast", "precision": "bf16", "replay_ratio": 0.25, "overlap": True}
        kwargs = policy_kwargs("impala btr")
        return DuelingDQN("CnnPolicy", env, seed=1, target_update_interval=30, policy_kwargs=kwargs, **settings, **fast)

    def callbacks(folder: Path) -> list:
        return [SaveCheckpoints(25, folder=folder)]

    assert_same_after_kills(build, callbacks, tmp_path, 220, [60, 95])


class SpaceOnly(gym.Env):
    """An environment for its spaces only."""

    action_space = spaces.Discrete(5)

    def __init__(self, space: spaces.Space) -> None:
        self.observation_space = space


@pytest.mark.slow
@pytest.mark.parametrize("name", ["impala btr", "impala mean", "nature max", "hadamax max"])
def test_exported_to_onnx_they_give_the_same_values(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    space = PIXELS[OPTIONS[name][0]]
    model = DuelingDQN("CnnPolicy", SpaceOnly(space), device="cpu", policy_kwargs=policy_kwargs(name))
    exported = model.export(tmp_path / "folder", onnx=True)
    assert "model.onnx" in exported.files
    session = onnxruntime.InferenceSession(tmp_path / "folder" / "model.onnx")
    pixels = observations(space, 5, np.random.default_rng(4))
    (found,) = session.run(None, {"observations": pixels.numpy()})
    np.testing.assert_allclose(found, values(model), atol=1e-5)
    traced = torch.jit.trace(model.q_net, (pixels[:2],))
    assert torch.equal(traced(pixels), values(model))
