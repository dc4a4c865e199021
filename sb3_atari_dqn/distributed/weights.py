"""A network's numbers as one array of bytes, in the precision in which it computes."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor


def packed(tensors: Iterable[Tensor]) -> np.ndarray:
    """
    :param tensors: parameters and buffers, on any device
    :return: their bytes one after another, uint8 [any]; a copy
    """
    return torch.cat([each.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for each in tensors]).numpy()


@torch.no_grad()
def unpack(numbers: np.ndarray, into: Iterable[Tensor]) -> None:
    """
    :param numbers: from :func:`packed`, which may be read-only
    :param into: tensors of the same shapes and types, overwritten
    :raises ValueError: if they hold another number of bytes; they are then as they were
    """
    tensors = list(into)
    if len(numbers) != sum(_nbytes(each) for each in tensors):
        raise ValueError(
            f"{len(numbers)} bytes of weights do not fit a network of {sum(_nbytes(each) for each in tensors)}: the "
            "actor built another network than the learner's."
        )
    for tensor, part in zip(tensors, _parts(numbers, tensors), strict=True):
        tensor.copy_(part)


def _parts(numbers: np.ndarray, tensors: list[Tensor]) -> Iterator[Tensor]:
    start = 0
    for tensor in tensors:
        end = start + _nbytes(tensor)
        part = np.array(numbers[start:end])  # its own memory, aligned and writable
        yield torch.from_numpy(part).view(tensor.dtype).reshape(tensor.shape)
        start = end


def _nbytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
