"""Hidden units that are off, or nearly off, in all of a sample of states.

n: states, C: channels (filters), H W: height and width, F: units of a dense layer.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

from sb3_atari_dqn.networks.generators import generators

_AT_ONCE = 64  # states in one forward pass: bounds the memory

#: Modules of torch's `activation` file that are not applied unit by unit.
_OTHERS = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax, nn.GLU)
_ACTIVATIONS: tuple[type[nn.Module], ...] = tuple(
    found
    for found in vars(activation).values()
    if isinstance(found, type) and found.__module__ == activation.__name__ and found not in _OTHERS
)


class Units(NamedTuple):
    """
    :param dead: how many are
    :param of: how many there are
    """

    dead: int
    of: int


def dead_units(network: nn.Module, states: Any, tau: float = 0.0) -> dict[str, Units]:
    """
    Count the dead units of every hidden layer. A convolution filter is one unit: dead if it is at all pixels.

    A unit of a ReLU layer is dead if it outputs 0 in all states; no gradient reaches it from any of them. With another
    activation it is dead if its output is the same in all states. With `tau` > 0, units that are nearly so count too.

    Neither the network (parameters, buffers, mode, generators of its layers) nor a global generator changes.

    :param network: Q-network; its activations are modules, which are found by their type
    :param states: observations as the network takes them, [n, ...], or a dictionary of these
    :param tau: a unit counts if its score, the mean size of its output relative to that of its layer, is at most tau.
        With an activation other than ReLU, outputs are measured from those in the first state
    :return: by layer, in the order in which they are computed: "conv1", "conv2", ... for images, "dense1" for features,
        then the layers of the head: "head1", or by stream, "value1" and "advantage1"
    :raises ValueError: if the network has no activations that are modules
    Source: Sokar et al. 2023, "The Dormant Neuron Phenomenon in Deep Reinforcement Learning", definition 3.1: dead is
    0-dormant. Deviation: none for ReLU, the only activation there.
    """
    check_activations(network)
    total = len(next(iter(states.values())) if isinstance(states, dict) else states)
    watch = _Watch(network)
    with _undisturbed(network), watch.hooked(), torch.no_grad():
        for first in range(0, total, _AT_ONCE):
            watch.begin_pass()
            network(_rows(states, slice(first, first + _AT_ONCE)))
    return watch.counted(tau)


def check_activations(network: nn.Module) -> None:
    """:raises ValueError: if the network has no activations that are modules"""
    if not any(_is_activation(network, module) for module in network.modules()):
        raise ValueError(
            f"{type(network).__name__} has no activation that is a module (nn.ReLU, ...), so its units cannot be "
            "observed: use modules instead of functions in your network."
        )


def _is_activation(network: Any, module: nn.Module) -> bool:
    torso = getattr(network, "features_extractor", None)
    chosen = getattr(network, "activation_fn", None), getattr(torso, "activation", None)  # the user's own, maybe
    return isinstance(module, (*_ACTIVATIONS, *(each for each in chosen if isinstance(each, type))))


class _Layer:
    """
    Sums of one layer's outputs over passes.

    :param name: of the layer
    :param output: of the first pass, [n, C or F, ...]
    :param is_rectified: whether off is 0
    """

    def __init__(self, name: str, output: Tensor, is_rectified: bool) -> None:
        self.name = name
        self._off = torch.zeros_like(output[:1]) if is_rectified else output[:1].clone()
        self._sums = torch.zeros(output.shape[1], device=output.device)

    def add(self, output: Tensor) -> None:
        distance = (output - self._off).abs().float()
        self._sums += distance.transpose(0, 1).flatten(1).sum(dim=1)

    def counted(self, tau: float) -> Units:
        dormant = self._sums <= tau * self._sums.mean()
        return Units(int(dormant.sum()), len(dormant))


class _Watch:
    """Sees the output of every activation, also of a module that a pass calls several times."""

    def __init__(self, network: nn.Module) -> None:
        self._modules = [(name, module) for name, module in network.named_modules() if _is_activation(network, module)]
        self._layers: list[_Layer] = []
        self._kinds: Counter[str] = Counter()
        self._next = 0

    @contextmanager
    def hooked(self) -> Iterator[None]:
        handles = [module.register_forward_hook(self._hook(name)) for name, module in self._modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def begin_pass(self) -> None:
        self._next = 0

    def counted(self, tau: float) -> dict[str, Units]:
        return {layer.name: layer.counted(tau) for layer in self._layers}

    def _hook(self, path: str) -> Any:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            if self._next == len(self._layers):
                kind = _kind(path, output)
                self._kinds[kind] += 1
                self._layers.append(_Layer(f"{kind}{self._kinds[kind]}", output, isinstance(module, nn.ReLU)))
            self._layers[self._next].add(output)
            self._next += 1

        return hook


def _kind(path: str, output: Tensor) -> str:
    """
    :param path: of the activation in the Q-network, for instance "features_extractor.cnn.1" or "q_net.value.1"
    :return: what its layer is called, without its number
    """
    owner, *inside = path.split(".")
    if owner in ("q_net", "quantile_net"):
        return inside[0] if inside and not inside[0].isdigit() else "head"
    return "conv" if output.dim() > 2 else "dense"


def _rows(states: Any, rows: slice) -> Any:
    return {name: part[rows] for name, part in states.items()} if isinstance(states, dict) else states[rows]


@contextmanager
def _undisturbed(network: nn.Module) -> Iterator[None]:
    """In evaluation mode, and afterwards with modes, buffers and generators as they were."""
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    states = [(generator, generator.get_state()) for generator in generators(network)]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for generator, state in states:
            generator.set_state(state)
