"""Networks leave: traced, scripted as far as SB3's can be, and as ONNX through onnxruntime."""

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import onnxruntime
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import preprocess_obs

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.networks.normalization import NORMALIZATIONS
from sb3_atari_dqn.networks.torsos import TORSOS
from tests.support.environments import ImageAndVector

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
IMAGES = spaces.Box(0, 255, (4, 56, 60), np.uint8)


class SpaceOnly(gym.Env):
    """An environment for its spaces only."""

    action_space = spaces.Discrete(5)

    def __init__(self, space: spaces.Space) -> None:
        self.observation_space = space


def model_of(torso: str, head: str, normalization: str = "none") -> DuelingDQN:
    kwargs: dict[str, Any] = dict(features_extractor_class=torso, head=head, rescale_shared_gradient=head == "dueling")
    centered = {"center_images": True} if normalization == "layer" else {}
    kwargs["features_extractor_kwargs"] = {"hidden_size": 16, "normalization": normalization, **centered}
    return DuelingDQN("CnnPolicy", SpaceOnly(IMAGES), seed=0, device="cpu", policy_kwargs=kwargs)


def network_of(model: DuelingDQN) -> Any:
    model.policy.q_net.set_training_mode(False)
    return model.policy.q_net


def images(batch_size: int) -> torch.Tensor:
    return torch.randint(256, (batch_size, *IMAGES.shape), dtype=torch.uint8)


def onnx_values(network: Any, example: Any, inputs: Any, path: Path) -> np.ndarray:
    """Export with one batch size and run with another."""
    batch = {0: torch.export.Dim("batch")}
    is_dict = isinstance(example, dict)
    shapes = (dict.fromkeys(example, batch),) if is_dict else (batch,)
    names = list(example) if is_dict else ["observations"]
    settings: Any = dict(input_names=names, dynamic_shapes=shapes, dynamo=True, verbose=False)
    torch.onnx.export(network, (example, {}), path, **settings)
    session = onnxruntime.InferenceSession(path)
    arrays = [tensor.numpy() for tensor in (inputs.values() if is_dict else [inputs])]
    return session.run(None, dict(zip(names, arrays, strict=True)))[0]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "normalization"), [("linear", "none"), ("dueling", "none"), ("linear", "layer")])
@pytest.mark.parametrize("torso", TORSOS)
def test_every_torso_and_head_is_traced_and_scripted_to_the_last_bit(torso, head, normalization):
    network = network_of(model_of(torso, head, normalization))
    traced, observations = torch.jit.trace(network, (images(2),)), images(5)
    with torch.no_grad():
        expected = network(observations)
        assert torch.equal(traced(observations), expected)
        inputs = preprocess_obs(observations, IMAGES)
        features = torch.jit.script(network.features_extractor)(inputs)
        assert torch.equal(torch.jit.script(network.q_net)(features).squeeze(2), expected)


@pytest.mark.slow
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("torso", TORSOS)
def test_every_torso_head_and_normalization_runs_as_onnx(torso, normalization, tmp_path):
    head = "linear" if normalization == "layer" else "dueling"  # the linear one leaves the torso its dense layer
    network = network_of(model_of(torso, head, normalization))
    observations = images(5)
    values = onnx_values(network, images(2), observations, tmp_path / "network.onnx")
    assert np.allclose(values, network(observations).detach(), atol=1e-5)


VECTORS: dict[str, tuple[spaces.Space, str | None]] = {
    "numbers": (spaces.Box(-1, 1, (6,), np.float32), None),
    "bytes": (spaces.Box(0, 255, (128,), np.uint8), "bytes"),
    "discrete": (spaces.Discrete(4), None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VECTORS)
def test_vectors_are_traced_and_run_as_onnx(name, tmp_path):
    space, extractor = VECTORS[name]
    model = DuelingDQN(
        "MlpPolicy", SpaceOnly(space), device="cpu", policy_kwargs={"features_extractor_class": extractor}
    )
    network = network_of(model)
    two, five = (
        model.policy.obs_to_tensor(np.stack([np.asarray(space.sample()) for _ in range(n)]))[0] for n in (2, 5)
    )
    expected = network(five).detach()
    assert torch.equal(torch.jit.trace(network, (two,))(five), expected)
    assert np.allclose(onnx_values(network, two, five, tmp_path / "network.onnx"), expected, atol=1e-5)


@pytest.mark.slow
def test_dictionaries_are_traced_and_run_as_onnx(tmp_path):
    model = DuelingDQN("MultiInputPolicy", ImageAndVector(), device="cpu")
    network, space = network_of(model), model.observation_space
    two, five = (
        model.policy.obs_to_tensor({key: np.stack([part.sample() for _ in range(n)]) for key, part in space.items()})[0]  # type: ignore[attr-defined]
        for n in (2, 5)
    )
    expected = network(five).detach()
    assert torch.equal(torch.jit.trace(network, (two,), strict=False)(five), expected)
    assert np.allclose(onnx_values(network, two, five, tmp_path / "network.onnx"), expected, atol=1e-5)


@pytest.mark.slow
def test_the_lines_of_the_page_run_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_of("nature", "dueling").save("pong.zip")
    scope: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S):
        exec(block, scope)
    expected = scope["model"].predict(scope["observations"].numpy(), deterministic=True)[0]
    assert scope["actions"].tolist() == expected.tolist()
    traced = torch.jit.load("pong.pt")(scope["observations"])
    assert torch.equal(traced, scope["network"](scope["observations"]))


def test_the_gradient_is_still_rescaled_where_it_is_asked_for():
    network = network_of(model_of("nature", "dueling"))
    observations = images(3)
    gradients = {}
    for rescale in (True, False):
        network.rescale_shared_gradient = rescale
        network.zero_grad()
        network(observations).sum().backward()
        gradients[rescale] = network.features_extractor.cnn[0].weight.grad.clone()
    assert torch.allclose(gradients[True], gradients[False] * 2**-0.5, rtol=1e-4, atol=1e-5)
