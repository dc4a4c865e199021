"""Pooling between convolutions and dense layer: sizes, values, and which images are too small."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.testing import assert_close

from sb3_atari_dqn.networks import TORSOS
from sb3_atari_dqn.networks.image_torso import ImageTorso
from sb3_atari_dqn.networks.pooling import POOLINGS, AdaptiveMaxPool2d
from sb3_atari_dqn.networks.torsos import ImpalaTorso, NatureTorso
from sb3_atari_dqn.policies import CnnPolicy

# The smallest image with 6x6 outputs, by hand from the last layer to the first: (size - 1) * stride + kernel, or
# (size - 1) * stride + 1 if padded; and the filters of the last convolution.
SMALLEST = {
    "dqn2013": (60, 32),
    "nature": (76, 64),
    "nature_stride2": (116, 64),
    "elu": (17, 64),
    "elu_printed": (17, 64),
    "maxpool": (373, 64),
    "impala": (41, 32),
    "hadamax": (41, 64),
    "data_efficient": (150, 64),
}


def images(height: int, width: int, channels: int = 2) -> spaces.Box:
    return spaces.Box(0, 255, (channels, height, width), np.uint8)


def torso_of(name: str, height: int, width: int, **kwargs) -> ImageTorso:
    torch.manual_seed(0)
    return TORSOS[name](images(height, width), hidden_size=None, **kwargs)


def maxima_of_windows(maps: Tensor, side: int = 6) -> Tensor:
    """The definition, pixel by pixel."""
    height, width = maps.shape[2:]
    pooled = torch.empty(*maps.shape[:2], side, side)
    for row in range(side):
        for column in range(side):
            above, below = math.floor(row * height / side), math.ceil((row + 1) * height / side)
            left, right = math.floor(column * width / side), math.ceil((column + 1) * width / side)
            pooled[:, :, row, column] = maps[:, :, above:below, left:right].flatten(2).max(dim=2).values
    return pooled


@pytest.mark.parametrize("size", [(6, 6), (7, 13), (11, 11), (14, 10), (12, 9)])
def test_odd_sizes_are_pooled_to_six_by_six_overlapping_windows_exported_or_not(size):
    maps, pool = torch.randn(2, 3, *size), AdaptiveMaxPool2d(6)
    exported = torch.export.export(pool, (maps,)).module()
    for pooled in (pool(maps), torch.jit.script(pool)(maps), exported(maps)):
        assert torch.equal(pooled, maxima_of_windows(maps))
    exported_nodes = {str(node.target) for node in torch.export.export(pool, (maps,)).graph.nodes}
    assert not any("adaptive" in name for name in exported_nodes), "ONNX has no such operator"


@pytest.mark.slow
def test_torch_still_has_no_onnx_for_its_own_adaptive_max_pooling(tmp_path):
    """Should this fail, AdaptiveMaxPool2d is no longer needed."""
    with pytest.raises(torch.onnx.errors.OnnxExporterError):
        torch.onnx.export(nn.AdaptiveMaxPool2d(6), (torch.rand(2, 3, 11, 11),), tmp_path / "no.onnx", dynamo=True)


@pytest.mark.parametrize("name", TORSOS)
def test_every_torso_pools_the_outputs_of_its_convolutions(name):
    side, filters = SMALLEST[name]
    pixels = torch.rand(2, 2, side, side + 5)
    maps = torso_of(name, side, side + 5).cnn[:-1](pixels)
    expected = {"none": maps, "max": maxima_of_windows(maps), "mean": maps.mean(dim=(2, 3))}
    sizes = {"none": maps[0].numel(), "max": 36 * filters, "mean": filters}
    for pooling in POOLINGS:
        torso = torso_of(name, side, side + 5, pooling=pooling)
        assert torso.features_dim == sizes[pooling]
        assert_close(torso(pixels), expected[pooling].flatten(1))


@pytest.mark.parametrize("name", TORSOS)
def test_an_image_without_six_outputs_each_way_is_too_small_for_max_pooling(name):
    smallest, _ = SMALLEST[name]
    with pytest.raises(ValueError, match=rf"{smallest}x{smallest}\b.*'max'.*\b{smallest - 1}x999.*another pooling"):
        torso_of(name, smallest - 1, 999, pooling="max")


def test_without_pooling_the_advice_is_not_to_change_it():
    with pytest.raises(ValueError, match="36x36 pixels, got 35x99") as error:
        torso_of("nature", 35, 99)
    assert "pooling" not in str(error.value)


@pytest.mark.parametrize("pooling", ["avg", None, 6])
def test_an_unknown_pooling_is_named(pooling):
    with pytest.raises(ValueError, match=rf"Unknown pooling {pooling!r}; known: max, mean, none"):
        NatureTorso(images(84, 84), pooling=pooling)


OPTIONS = [
    *((name, {"pooling": pooling}) for name in ("nature", "impala", "hadamax") for pooling in ("max", "mean")),
    ("impala", {"spectral_norm": True}),
    ("impala", {"spectral_norm": True, "pooling": "max", "normalization": "layer"}),
    ("hadamax", {}),
    ("hadamax", {"normalization": "none"}),
]


@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize(("name", "kwargs"), OPTIONS)
def test_the_gradient_reaches_every_parameter(name, kwargs, head):
    torch.manual_seed(0)
    space = images(84, 80)
    policy = CnnPolicy(
        space,
        spaces.Discrete(3),
        lambda _: 1e-3,
        features_extractor_class=name,
        features_extractor_kwargs={"hidden_size": 32, **kwargs},
        head=head,
    )
    pixels = torch.randint(256, (8, *space.shape), dtype=torch.uint8)
    (policy.q_net(pixels) * torch.randn(8, 3)).sum().backward()
    for parameter_name, parameter in policy.q_net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


def test_a_wide_torso_with_pooling_has_the_features_of_beyond_the_rainbow():
    for size in ((84, 84), (105, 80)):
        assert ImpalaTorso(images(*size), width=2, pooling="max", hidden_size=None).features_dim == 64 * 6 * 6
        assert ImpalaTorso(images(*size), width=2, pooling="mean", hidden_size=None).features_dim == 64
