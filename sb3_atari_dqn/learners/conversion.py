"""A network in bfloat16, apart from what must stay float32.

Float32 stay: layers whose outputs are values, as 8 bits of mantissa are too few for them; layers with floating-point
buffers (running statistics); and what a parametrization (spectral norm, weight norm) computes a weight from.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from sb3_atari_dqn.networks.q_network import HeadedQNetwork


def convert(network: HeadedQNetwork, dtype: torch.dtype) -> None:
    """
    Convert a network in place: its parameters, and what the layers that stay float32 take and return.

    :param network: in float32; its buffers stay as they are
    :param dtype: torch.float32 or torch.bfloat16
    """
    values = network.float32_layers()
    for layer in values:
        layer.register_forward_pre_hook(_to_float)
    if dtype == torch.float32:
        return
    exempt = {id(parameter) for module in _in_float32(network, values, dtype) for parameter in module.parameters()}
    for parameter in network.parameters():
        if id(parameter) not in exempt:
            parameter.data = parameter.data.to(dtype)


def _in_float32(module: nn.Module, values: list[nn.Linear], dtype: torch.dtype) -> Iterator[nn.Module]:
    """:return: what stays float32 in a module, each of it prepared for neighbours in the other type"""
    if any(module is layer for layer in values):
        yield module
        return
    if _has_float_buffers(module) and not any(part is layer for part in module.modules() for layer in values):
        _surround(module, dtype)
        yield module
        return
    for name, child in module.named_children():
        if name == "parametrizations" and parametrize.is_parametrized(module):
            _cast_weights(module, dtype)
            yield child
        else:
            yield from _in_float32(child, values, dtype)


def _has_float_buffers(module: nn.Module) -> bool:
    return any(buffer.is_floating_point() for buffer in module.buffers(recurse=False))


def _surround(layer: nn.Module, dtype: torch.dtype) -> None:
    """Batch norm computes from bfloat16 beside float32 parameters by itself; other layers get float32 and return it."""
    if isinstance(layer, _BatchNorm):
        return
    layer.register_forward_pre_hook(_to_float)
    layer.register_forward_hook(lambda layer, inputs, output: output.to(dtype))


class _Cast(nn.Module):
    """The last parametrization of a weight: into the type that the layer computes in."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, weight: Tensor) -> Tensor:
        return weight.to(self._dtype)


def _cast_weights(layer: nn.Module, dtype: torch.dtype) -> None:
    for name in list(layer.parametrizations):  # type: ignore[arg-type]
        parametrize.register_parametrization(layer, name, _Cast(dtype), unsafe=True)


def _to_float(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.float() for tensor in inputs)
