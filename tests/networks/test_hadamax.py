"""The Hadamax torso beside a statement of its own in a few lines, with two separate convolutions per block."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from sb3_atari_dqn.networks.hadamax import HadamardProduct, HadamaxTorso
from sb3_atari_dqn.networks.padding import PairedConv2d


def images(height: int = 84, width: int = 84) -> spaces.Box:
    return spaces.Box(0, 255, (4, height, width), np.uint8)


def torso_of(height: int = 84, width: int = 84, **kwargs) -> Any:
    """:return: with gains and biases that differ"""
    torch.manual_seed(0)
    torso = HadamaxTorso(images(height, width), **kwargs)
    with torch.no_grad():
        for layer in torso.modules():
            if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
                nn.init.normal_(layer.weight, 1, 0.3)
                nn.init.normal_(layer.bias, 0, 0.3)
    return torso


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def padded(maps: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """As JAX's "SAME": for an output of ceil(size / stride), the odd pixel below and to the right."""
    height, width = (
        max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in (maps.shape[2], maps.shape[3])
    )
    return F.pad(maps, (width // 2, width - width // 2, height // 2, height - height // 2), value=value)


def block(maps: Tensor, conv: Any, norm: Any, pool: int, stride: int) -> Tensor:
    """Two convolutions, each with layer norm over channels and pixels and GELU; their product, max-pooled."""
    activated = []
    for half in (slice(None, conv.out_channels // 2), slice(conv.out_channels // 2, None)):
        kernel = conv.weight[half]
        each = F.conv2d(padded(maps, kernel.shape[2], 1, 0), kernel, conv.bias[half])
        each = F.layer_norm(each, each.shape[1:]) * norm.weight[half, None, None] + norm.bias[half, None, None]
        activated.append(F.gelu(each))
    return F.max_pool2d(padded(activated[0] * activated[1], pool, stride, -math.inf), pool, stride)


@pytest.mark.parametrize("size", [(84, 84), (105, 80), (9, 14)])
def test_it_computes_what_its_authors_wrote(size):
    torso = torso_of(*size)
    pixels = torch.rand(2, 4, *size)
    convs = [layer for layer in torso.cnn if isinstance(layer, PairedConv2d)]
    norms = [layer for layer in torso.cnn if isinstance(layer, nn.GroupNorm)]
    maps = pixels
    for conv, norm, (pool, stride) in zip(convs, norms, [(4, 4), (2, 2), (3, 1)], strict=True):
        maps = block(maps, conv, norm, pool, stride)
    assert maps.shape[1:] == (64, math.ceil(math.ceil(size[0] / 4) / 2), math.ceil(math.ceil(size[1] / 4) / 2))
    dense, norm, _ = torso.linear
    expected = F.gelu(F.layer_norm(dense(maps.flatten(1)), (512,), norm.weight, norm.bias))
    assert_close(torso(pixels), expected, rtol=1e-4, atol=1e-5)


def test_the_product_is_of_the_first_half_of_the_channels_and_the_second():
    maps = torch.tensor([2.0, 3.0, 5.0, 7.0]).view(1, 4, 1, 1)
    assert HadamardProduct()(maps).flatten().tolist() == [2 * 5, 3 * 7]  # not 2 * 3, 5 * 7


def test_it_has_as_many_parameters_as_the_published_one():
    convolutions = 2 * sum(n * (c * k * k + 1) for c, n, k in [(4, 32, 8), (32, 64, 4), (64, 64, 3)])
    norms = 2 * 2 * (32 + 64 + 64)
    dense = (11 * 11 * 64 + 1) * 512
    assert n_parameters(HadamaxTorso(images())) == convolutions + norms + dense + 2 * 512
    assert n_parameters(HadamaxTorso(images(), normalization="none")) == convolutions + dense


def test_each_of_the_two_convolutions_is_normalized_by_itself():
    conv, norm, *_ = torso_of(20, 20).cnn
    nn.init.ones_(norm.weight)
    nn.init.zeros_(norm.bias)
    pixels = torch.rand(2, 4, 20, 20)
    before = norm(conv(pixels))
    with torch.no_grad():
        conv.weight[:32] *= 50
        conv.bias[:32] *= 50
    after = norm(conv(pixels))
    assert_close(after, before, atol=2e-3, rtol=0)  # epsilon
    for half in after.chunk(2, dim=1):
        assert_close(half.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
        assert_close(half.var(dim=(1, 2, 3), correction=0), torch.ones(2), atol=1e-2, rtol=0)


def test_each_of_the_two_convolutions_is_initialized_by_itself():
    first, second = torso_of(20, 20, initialization="glorot_uniform").cnn[0].weight.chunk(2)
    bound = math.sqrt(6 / (4 * 64 + 32 * 64))  # not (4 * 64 + 64 * 64), of one convolution with 64 filters
    for weight in (first, second):
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.001)
    orthogonal = torso_of(20, 20, initialization="orthogonal").cnn[0].weight.flatten(1)
    assert_close(orthogonal[:32] @ orthogonal[:32].T, 2 * torch.eye(32), atol=1e-4, rtol=0)
    assert (orthogonal[:32] @ orthogonal[32:].T).abs().max() > 0.05, "drawn one after the other"


def test_activation_and_norms_are_those_of_the_paper_unless_told_otherwise():
    kinds = [type(layer) for layer in HadamaxTorso(images(20, 20)).modules()]
    assert kinds.count(nn.GELU) == 4
    assert (kinds.count(nn.GroupNorm), kinds.count(nn.LayerNorm)) == (3, 1)
    kinds = [type(layer) for layer in HadamaxTorso(images(20, 20), activation="relu", normalization="none").modules()]
    assert not {nn.GELU, nn.GroupNorm, nn.LayerNorm} & set(kinds)
    assert kinds.count(nn.ReLU) == 4
