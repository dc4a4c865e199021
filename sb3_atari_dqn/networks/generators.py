"""Random generators that layers keep for themselves, so that what they draw disturbs no other part of a training."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class DrawingLayer(nn.Module):
    """A layer with a generator of its own, which is seeded from torch's and follows the layer to other devices."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.generator = _seeded("cpu")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        device = next(self.parameters()).device
        if device.type not in ("meta", self.generator.device.type):  # shapes alone draw nothing
            self.generator = _seeded(device, self.generator.initial_seed())
        return self


def _seeded(device: torch.device | str, seed: int | None = None) -> torch.Generator:
    """:param seed: drawn from torch's generator if None"""
    if seed is None:
        seed = int(torch.randint(2**62, (), device="cpu"))
    return torch.Generator(device).manual_seed(seed)


def seed_generators(network: nn.Module, seed: int) -> None:
    """:param seed: of what all generators in the network are seeded from, each with a number of its own"""
    draws = torch.Generator().manual_seed(seed)
    for generator in generators(network):
        generator.manual_seed(int(torch.randint(2**62, (), generator=draws)))


def generators(network: nn.Module) -> list[torch.Generator]:
    """:return: the random generators that layers keep as attributes, beside those of torch, each once"""
    values = (value for module in network.modules() for value in vars(module).values())
    return list({id(value): value for value in values if isinstance(value, torch.Generator)}.values())
