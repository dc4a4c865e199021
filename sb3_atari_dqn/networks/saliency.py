"""Saliency maps: how much a scalar output of a network depends on each place of its input.

B: batch, C: channels, H, W: image, K: places of the perturbations.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

GRADIENT, SMOOTH, PERTURBATION = "gradient", "smooth", "perturbation"
METHODS = (GRADIENT, SMOOTH, PERTURBATION)

#: Perturbations along the side of a square image; those of another shape have as many in all.
GRID = 14
#: In pixels of an image of 84 x 84: deviation of the mask (the paper's variance is 25), of the blurred image, and of
#: what smooths gradients. They grow with the image.
MASK, BLUR, SMOOTHING = 5.0, 3.0, 2.0
_SIDE = 84.0
_CHUNK = 64  # images at a time, so that a large torso does not fill the memory

Outputs = Callable[[Tensor], Sequence[Tensor]]


def saliency_maps(outputs: Outputs, inputs: Tensor, method: str, is_image: bool) -> list[np.ndarray]:
    """
    :param outputs: from inputs float32 [B, ...] to scalars, each [B]
    :param inputs: one observation, float32 [1, C, H, W], or [1, ...] of another kind
    :param method: one of METHODS; for inputs that are not images always the gradient
    :return: a map per output, non-negative, [H, W] for an image, else like the input
    """
    if is_image and method == PERTURBATION:
        return _by_perturbation(outputs, inputs[0])
    maps = _gradients(outputs, inputs, is_image)
    if is_image and method == SMOOTH:
        maps = [_blurred(each, SMOOTHING * _scale(each)) for each in maps]
    return [each.float().cpu().numpy() for each in maps]


def _gradients(outputs: Outputs, inputs: Tensor, is_image: bool) -> list[Tensor]:
    """
    :return: absolute gradients, for an image the maximum over the channels
    Source: Simonyan et al. 2013, section 3; Wang et al. 2016, section 4.2.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        gradients = [torch.autograd.grad(each.sum(), inputs, retain_graph=True)[0] for each in outputs(inputs)]
    return [each[0].abs().amax(dim=0) if is_image else each[0].abs() for each in gradients]


@torch.no_grad()
def _by_perturbation(outputs: Outputs, image: Tensor) -> list[np.ndarray]:
    """
    Blur the image in one place after another; half the squared change of an output is the saliency of the place.

    :param image: float32 [C, H, W]; all channels, here stacked frames, are blurred in the same place
    Source: Greydanus et al. 2018, section 3. Deviations: a grid of 14 x 14 instead of 17 x 17 places; a single output
    instead of the vector of the policy's logits; interpolated bicubically; sizes relative to the image.
    """
    height, width = image.shape[1:]
    step = (height * width) ** 0.5 / GRID
    rows, columns = _places(height, step), _places(width, step)
    change = _blurred(image, BLUR * _scale(image)) - image
    vertical = _gaussians(rows, height, MASK * _scale(image)).to(image)
    horizontal = _gaussians(columns, width, MASK * _scale(image)).to(image)
    masks = (vertical[:, None, :, None] * horizontal[None, :, None, :]).reshape(-1, 1, height, width)  # [K, 1, H, W]
    before = outputs(image[None])
    after = [outputs(image + some * change) for some in masks.split(_CHUNK)]
    maps = []
    for number, output in enumerate(before):
        changes = torch.cat([each[number] for each in after]) - output  # [K]
        coarse = (changes.square() / 2).reshape(1, 1, len(rows), len(columns))
        large = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
        maps.append(large[0, 0].clamp(min=0).float().cpu().numpy())
    return maps


def _scale(image: Tensor) -> float:
    """:return: of its side, relative to 84 pixels"""
    return (image.shape[-2] * image.shape[-1]) ** 0.5 / _SIDE


def _places(length: int, step: float) -> Tensor:
    """:return: centres of equal parts, about `step` pixels each"""
    n = max(round(length / step), 1)
    return (torch.arange(n) + 0.5) * length / n - 0.5


def _gaussians(centres: Tensor, length: int, deviation: float) -> Tensor:
    """:return: for each centre a Gaussian over the pixels, with a maximum of 1, [centres, length]"""
    return torch.exp(-((torch.arange(length) - centres[:, None]) ** 2) / (2 * deviation**2))


def _blurred(image: Tensor, deviation: float) -> Tensor:
    """:param image: [..., H, W]; at the border the Gaussian is cut off, so that brightness stays"""
    down, across = (_gaussians(torch.arange(n), n, deviation).to(image) for n in image.shape[-2:])
    return (down / down.sum(1, keepdim=True)) @ image @ (across / across.sum(1, keepdim=True)).T
