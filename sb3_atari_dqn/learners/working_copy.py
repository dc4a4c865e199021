"""A Q-network in the precision and layout in which the machine computes fastest.

The policy's float32 parameters stay the masters that the optimizer updates and the files hold; a copy of them computes.
B: batch, C: channels, H W: height and width, A: actions.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sb3_atari_dqn.learners.conversion import convert
from sb3_atari_dqn.learners.space_to_depth import SpaceToDepth
from sb3_atari_dqn.networks.activations import ACTIVATIONS
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.networks.noisy import exploration_noise, noisy_layers
from sb3_atari_dqn.networks.q_network import HeadedQNetwork
from sb3_atari_dqn.objectives.outputs import Outputs


class WorkingCopy:
    """
    Computes what the network computes, from images as they are stored; in the master's mode until :meth:`train`.

    Parameters that need no conversion are shared with the master, and so are all buffers and random generators: running
    statistics and power iterations are updated there. The factor 1/255 of normalized images is folded into the weights
    of the first convolution, so that whole numbers go into it, which bfloat16 holds exactly up to 256. What stays
    float32: see `conversion`. In bfloat16 on a CPU, the first convolution is one of blocks: see `space_to_depth`.

    :param master: network of image observations
    :param dtype: torch.float32 or torch.bfloat16
    """

    def __init__(self, master: HeadedQNetwork, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.masters = list(master.parameters())
        self._network = _copy_sharing_state(master)
        convert(self._network, dtype)
        _flatten_before_activation(self._network)
        self._blocks = self._first_convolution_in_blocks()
        for layer in noisy_layers(self._network):
            layer.explores = True  # this copy learns, makes targets, and acts to collect; it never evaluates
        layers = list(self._network.modules())
        self._flags = [vars(layer) for layer in layers]
        self._has_own_modes = any(type(layer).train is not nn.Module.train for layer in layers)
        self._scale = 1 / 255 if master.normalize_images else 1.0
        first = self._network.first_convolution()
        self._scales_input = first is None and self._scale != 1
        self.parameters = list(self._network.parameters())
        self._first = None if first is None else [own is first.weight for own in self.parameters].index(True)
        self._share()
        self.refresh()

    def _first_convolution_in_blocks(self) -> SpaceToDepth | None:
        """
        In float32 it would be slower; on a GPU it is not measured.

        :return: its blocks; None: it stays as it is
        """
        first = self._network.first_convolution()
        if first is None or first.weight.dtype != torch.bfloat16 or first.weight.device.type != "cpu":
            return None
        blocks = SpaceToDepth.of(first, self._network.observation_space.shape)  # type: ignore[arg-type]
        if blocks is not None:
            extractor: Any = self._network.features_extractor
            extractor.cnn[0] = blocks.layer(first)
        return blocks

    def _share(self) -> None:
        """Let every parameter that equals the master's number for number use its memory; remember the others."""
        self._converted: list[int] = []
        for i, (own, master) in enumerate(zip(self.parameters, self.masters, strict=True)):
            if own.dtype == master.dtype and (i != self._first or self._scale == 1):
                own.data = master.data
            else:
                self._converted.append(i)

    def __call__(self, images: Any, n_fractions: int | None = None) -> Outputs:
        """
        :param images: what :meth:`preprocess` returned
        :param n_fractions: see :meth:`HeadedQNetwork.outputs`
        :return: float32 whatever the precision
        """
        return self._network.outputs_of_images(images, n_fractions)

    def train(self, mode: bool) -> None:
        """
        As `nn.Module.train`, in microseconds: acting and updates alternate.

        :param mode: training or evaluation: dropout, noise and running statistics depend on it
        """
        if self._network.training == mode:
            return
        if self._has_own_modes:
            self._network.train(mode)
        else:
            for flags in self._flags:
                flags["training"] = mode

    def generators(self) -> list[torch.Generator]:
        """:return: those that layers keep, the master's own"""
        return generators(self._network)

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """:return: name and buffer, the master's own"""
        return self._network.named_buffers()

    def preprocess(self, observations: Any) -> Tensor:
        """
        :param observations: images as they are stored, uint8 [B, C, H, W]
        :return: the same in the precision of this copy, channels last
        """
        blocks = observations if self._blocks is None else self._blocks.images(observations)
        images = blocks.to(self.dtype).contiguous(memory_format=torch.channels_last)
        return images.mul_(self._scale) if self._scales_input else images

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the masters' parameters."""
        if self._converted:
            numbers = [self._of_own_form(self.masters[i], i) for i in self._converted]
            torch._foreach_copy_([self.parameters[i] for i in self._converted], numbers)

    @torch.no_grad()
    def write_gradients(self, gradients: Sequence[Tensor]) -> None:
        """
        Give the masters their gradients.

        :param gradients: of this copy's parameters, in their order
        """
        numbers = [self._of_masters_form(gradient, i) for i, gradient in enumerate(gradients)]
        torch._foreach_copy_([_gradient_room(master) for master in self.masters], numbers)

    def _of_own_form(self, numbers: Tensor, i: int) -> Tensor:
        if i != self._first:
            return numbers
        blocks = numbers if self._blocks is None else self._blocks.weight(numbers)
        return blocks * self._scale

    def _of_masters_form(self, gradient: Tensor, i: int) -> Tensor:
        if i != self._first:
            return gradient
        pixels = gradient if self._blocks is None else self._blocks.weight_of_pixels(gradient)
        return pixels * self._scale


class OwnNetwork:
    """
    The master itself, with the interface of a working copy: for observations that are no images.

    :param master: network
    """

    def __init__(self, master: HeadedQNetwork) -> None:
        self._network = master
        self.parameters = self.masters = list(master.parameters())

    def __call__(self, observations: Any, n_fractions: int | None = None) -> Outputs:
        """
        :param observations: as they are stored
        :param n_fractions: see :meth:`HeadedQNetwork.outputs`
        """
        with exploration_noise(self._network):
            return self._network.outputs(observations, n_fractions)

    def preprocess(self, observations: Any) -> Any:
        """:return: the observations"""
        return observations

    def train(self, mode: bool) -> None:
        """:param mode: training or evaluation"""
        if self._network.training != mode:
            self._network.set_training_mode(mode)

    def refresh(self) -> None:
        """Nothing: there is one set of parameters."""

    def write_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Give the parameters their gradients."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient


def _copy_sharing_state(master: HeadedQNetwork) -> HeadedQNetwork:
    """:return: with parameters of its own, and the master's buffers and generators"""
    return copy.deepcopy(master, {id(each): each for each in (*master.buffers(), *generators(master))})


def _flatten_before_activation(network: nn.Module) -> None:
    """
    The gradient of features [B, F] arrives row by row, images are channels last: an activation between the two would
    read them in different orders, several times slower. It acts on each number by itself.
    """
    for layers in [module for module in network.modules() if type(module) is nn.Sequential and len(module) > 1]:
        last, flatten = layers[-2], layers[-1]
        if type(flatten) is nn.Flatten and type(last) in ACTIVATIONS.values():
            layers[-2], layers[-1] = flatten, last


def _gradient_room(master: Tensor) -> Tensor:
    """:return: kept, as megabytes that are given back and asked for at each update cost more than the copy into them"""
    if master.grad is None:
        master.grad = torch.zeros_like(master)
    return master.grad
