"""Convolutions of blocks of pixels beside those of the pixels."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sb3_atari_dqn.learners.space_to_depth import SpaceToDepth
from sb3_atari_dqn.learners.working_copy import WorkingCopy
from tests.support.batches import images, make_policy, observations


def bytes_of(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("kernel", "stride", "shape"),
    [
        (8, 4, (4, 84, 84)),
        (8, 4, (3, 104, 80)),
        (4, 2, (1, 20, 36)),
        (5, 1, (2, 9, 7)),
        ((8, 4), (4, 2), (2, 24, 18)),
        ((6, 8), (3, 8), (2, 12, 16)),
        ((3, 2), (3, 1), (2, 12, 5)),
    ],
)
def test_it_is_the_same_sum(kernel, stride, shape):
    """Forward and backward in float64, on both sides; without a stride there is nothing to do."""
    torch.manual_seed(0)
    layer: Any = nn.Conv2d(shape[0], 6, kernel, stride).double()
    pixels = bytes_of(5, *shape)
    blocks: Any = SpaceToDepth.of(layer, shape)
    if stride == 1:
        assert blocks is None
        return
    expected = layer(pixels.double())
    of_blocks = blocks.layer(layer)
    found = of_blocks(blocks.images(pixels).double())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-9)
    weights = torch.rand_like(expected)
    [gradient] = torch.autograd.grad((expected * weights).sum(), [layer.weight])
    [theirs] = torch.autograd.grad((found * weights).sum(), [of_blocks.weight])
    torch.testing.assert_close(blocks.weight_of_pixels(theirs), gradient, rtol=1e-12, atol=1e-8)
    assert torch.equal(blocks.weight_of_pixels(blocks.weight(layer.weight)), layer.weight)
    assert of_blocks.bias is layer.bias


def test_each_block_is_a_pixel():
    """Written out: channel c, row i and column j of a block become channel 4c + 2i + j."""
    pixels = bytes_of(2, 3, 6, 8)
    blocks = SpaceToDepth(2, 2).images(pixels)
    assert blocks.shape == (2, 12, 3, 4)
    assert blocks.is_contiguous(memory_format=torch.channels_last)
    for c, i, j in np.ndindex(3, 2, 2):
        assert torch.equal(blocks[:, 4 * c + 2 * i + j], pixels[:, c, i::2, j::2])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_of_any_type_and_memory_are_taken(dtype):
    """VecNormalize gives floats; frames on a device arrive as views."""
    wide = bytes_of(2, 4, 8, 20).to(dtype)
    view = wide[:, ::2, :, 3:15]
    assert torch.equal(SpaceToDepth(4, 4).images(view), SpaceToDepth(4, 4).images(view.clone()))
    assert torch.equal(SpaceToDepth(4, 4).images(view)[0, :16, 0, 0], view[0, 0, :4, :4].flatten())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 8, 8, 4), (4, 105, 80)),
        (nn.Conv2d(4, 8, 8, 4), (4, 84, 82)),
        (nn.Conv2d(4, 8, 5, 4), (4, 84, 84)),
        (nn.Conv2d(4, 8, 8, 4, padding=2), (4, 84, 84)),
        (nn.Conv2d(4, 8, 8, 4, dilation=2), (4, 84, 84)),
        (nn.Conv2d(4, 8, 8, 4, groups=2), (4, 84, 84)),
        (nn.Conv2d(4, 8, 6, 3), (4, 84, 84)),
        (type("Own", (nn.Conv2d,), {})(4, 8, 8, 4), (4, 84, 84)),
    ],
)
def test_any_other_convolution_stays_as_it_is(layer, shape):
    assert SpaceToDepth.of(layer, shape) is None


@pytest.mark.parametrize(
    ("dtype", "size", "in_blocks"),
    [(torch.bfloat16, 84, True), (torch.bfloat16, 85, False), (torch.float32, 84, False)],
)
def test_a_working_copy_takes_blocks_in_bfloat16(dtype, size, in_blocks):
    space = images(4, size, size)
    network: Any = make_policy(space=space, features_extractor_kwargs={"center_images": True}).q_net
    working, first = WorkingCopy(network, dtype), network.features_extractor.cnn[0]
    pixels = observations(space, 6, np.random.default_rng(0))
    assert (working.preprocess(pixels).shape[1] == 64) == in_blocks

    def assert_alike() -> torch.Tensor:
        with torch.no_grad():
            found, exact = working(working.preprocess(pixels)).per_action.squeeze(2), network(pixels)
        torch.testing.assert_close(found, exact, rtol=0, atol=0.03 * exact.abs().max().item())
        return exact

    before = assert_alike()
    with torch.no_grad():  # a step of the masters
        first.weight[3, 2, 5, 6] += 100
    working.refresh()
    assert (assert_alike() - before).abs().max() > before.abs().max()
    working.write_gradients(
        torch.autograd.grad(working(working.preprocess(pixels)).per_action.sum(), working.parameters)
    )
    ours = first.weight.grad.clone()
    network.zero_grad()
    network(pixels).sum().backward()
    assert torch.nn.functional.cosine_similarity(ours.flatten(), first.weight.grad.flatten(), dim=0) > 0.99
