"""Spectral norm in IMPALA's residual blocks: where it is, what it computes, and that it comes after initialization."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize
from torch.testing import assert_close

from sb3_atari_dqn.networks.initialization import INITIALIZATIONS, initialize
from sb3_atari_dqn.networks.padding import pad_same
from sb3_atari_dqn.networks.torsos import ImpalaTorso
from sb3_atari_dqn.policies import CnnPolicy

BTR: dict[str, Any] = {"width": 2, "spectral_norm": True, "pooling": "max"}


def images(height: int = 44, width: int = 41, channels: int = 4) -> spaces.Box:
    return spaces.Box(0, 255, (channels, height, width), np.uint8)


def impala(seed: int = 0, **kwargs) -> ImpalaTorso:
    torch.manual_seed(seed)
    return ImpalaTorso(images(), **{"spectral_norm": True, "hidden_size": 8, **kwargs})


def convolutions(torso: ImpalaTorso) -> dict[str, nn.Conv2d]:
    return {name: layer for name, layer in torso.named_modules() if isinstance(layer, nn.Conv2d)}


def original_of(layer: Any) -> torch.Tensor:
    """:return: what the optimizer sees"""
    return layer.parametrizations.weight.original


def largest_singular_value(layer: nn.Conv2d) -> float:
    return torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item()


def with_large_weights(torso: ImpalaTorso) -> ImpalaTorso:
    """As if training had changed them: neither of norm 1, nor what the power iterations know."""
    with torch.no_grad():
        for parameter in torso.parameters():
            parameter.copy_(parameter.std().nan_to_num(1) * 5 * torch.randn_like(parameter))
    return torso


def test_the_convolutions_in_the_blocks_have_it_and_no_other_layer():
    torso = impala()
    normalized = {name for name, layer in torso.named_modules() if parametrize.is_parametrized(layer)}
    stages = {"cnn.0", "cnn.4", "cnn.8"}
    assert normalized == convolutions(torso).keys() - stages
    assert len(normalized) == 12
    assert all(".body." in name for name in normalized)
    assert not any(parametrize.is_parametrized(layer) for layer in impala(spectral_norm=False).modules())


def test_largest_singular_values_approach_1_in_training_and_only_those_of_the_blocks():
    torso = with_large_weights(impala()).eval()
    blocks = {name: layer for name, layer in convolutions(torso).items() if parametrize.is_parametrized(layer)}
    begin = [largest_singular_value(layer) for layer in blocks.values()]
    assert max(begin) > 1.3
    for _ in range(3):
        torso(torch.rand(1, 4, 44, 41))
    assert [largest_singular_value(layer) for layer in blocks.values()] == begin, "evaluation iterates nothing"
    torso.train()
    for _ in range(60):
        torso(torch.rand(1, 4, 44, 41))
    torso.eval()
    for name, layer in convolutions(torso).items():
        if name in blocks:
            assert largest_singular_value(layer) == pytest.approx(1, abs=0.02), name
        else:
            assert largest_singular_value(layer) > 2, f"{name} begins a stage"


@pytest.mark.parametrize("initialization", [None, *INITIALIZATIONS])
def test_it_begins_with_the_initialized_weights(initialization):
    """Initialization writes weights in place, which does nothing to one that is computed."""
    torso, without = (impala(initialization=initialization, spectral_norm=on) for on in (True, False))
    for normalized, plain in zip(convolutions(torso).values(), convolutions(without).values(), strict=True):
        if parametrize.is_parametrized(normalized):
            assert torch.equal(original_of(normalized), plain.weight)
            assert largest_singular_value(normalized.eval()) == pytest.approx(1, abs=0.15)
            if initialization == "orthogonal":
                kernel = normalized.weight.flatten(1)
                assert_close(kernel @ kernel.T, torch.eye(len(kernel)), atol=1e-5, rtol=0)
        else:
            assert torch.equal(normalized.weight, plain.weight)
    dense, same = (next(each.linear.parameters()) for each in (torso, without))
    assert torch.equal(dense, same)


def test_initialization_reaches_a_weight_that_is_computed():
    layer = parametrizations.weight_norm(nn.Linear(30, 8))
    initialize(layer, "orthogonal")
    assert_close(layer.weight @ layer.weight.T, 2 * torch.eye(8), atol=1e-5, rtol=0)


def written_down(torso: ImpalaTorso, pixels: torch.Tensor) -> torch.Tensor:
    """The torso of Beyond The Rainbow, with exact singular values."""
    layers = iter(convolutions(torso).values())

    def convolved(maps: torch.Tensor, normalized: bool) -> torch.Tensor:
        layer = next(layers)
        kernel = layer.weight
        if normalized:
            original = original_of(layer)
            kernel = original / torch.linalg.matrix_norm(original.flatten(1), 2)
        return F.conv2d(maps, kernel, layer.bias, padding=1)

    for _ in range(3):
        pixels = F.max_pool2d(pad_same(convolved(pixels, False), 3, 2, -float("inf")), 3, 2)
        for _ in range(2):
            pixels = pixels + convolved(F.relu(convolved(F.relu(pixels), True)), True)
    return F.adaptive_max_pool2d(F.relu(pixels), (6, 6)).flatten(1)


def test_it_computes_the_network_of_the_paper():
    torso = with_large_weights(impala(**BTR, hidden_size=None))
    for _ in range(150):
        torso(torch.rand(1, 4, 44, 41))
    torso.eval()
    pixels = torch.rand(3, 4, 44, 41)
    expected = written_down(torso, pixels)
    assert_close(torso(pixels), expected, rtol=0, atol=0.02 * expected.abs().max().item())


def test_beyond_the_rainbows_torso_has_as_many_parameters_as_its_layers_say():
    def block(n: int) -> int:
        return 4 * (n * n * 9 + n)

    stages = (4 * 32 + 32 * 64 + 64 * 64) * 9 + 32 + 64 + 64
    torso = ImpalaTorso(images(84, 84), **BTR, hidden_size=512)
    n_parameters = sum(parameter.numel() for parameter in torso.parameters())
    assert n_parameters == stages + block(32) + 2 * block(64) + (64 * 36 + 1) * 512
    assert sum(buffer.numel() for buffer in torso.buffers()) == 4 * 10 * 32 + 8 * 10 * 64, "not parameters"


def test_the_power_iterations_are_part_of_the_state():
    torso, other = with_large_weights(impala(seed=1)), impala(seed=2)
    torso(torch.rand(2, 4, 44, 41))
    vectors = [name for name in torso.state_dict() if name.endswith(("._u", "._v"))]
    assert len(vectors) == 24
    other.load_state_dict(torso.state_dict())
    for mode in (False, True):  # evaluation, then an iteration
        pixels = torch.rand(2, 4, 44, 41)
        assert torch.equal(other.train(mode)(pixels), torso.train(mode)(pixels))


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_a_flag_that_is_none_is_named(value):
    with pytest.raises(ValueError, match=rf"spectral_norm must be True or False, got {value!r}"):
        impala(spectral_norm=value)


@pytest.mark.parametrize("torso", ["nature", "hadamax"])
def test_a_torso_without_residual_blocks_does_not_know_it(torso):
    with pytest.raises(ValueError, match="Unknown key 'spectral_norm' in features_extractor_kwargs of"):
        CnnPolicy(
            images(84, 84),
            spaces.Discrete(2),
            lambda _: 1e-3,
            features_extractor_class=torso,
            features_extractor_kwargs={"spectral_norm": True},
        )
