"""Arrays as the bytes of a safetensors file: written here without copies, read by the library, which validates them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import safetensors
import torch

Array = np.ndarray | torch.Tensor

_NUMPY_TYPES = {
    np.dtype(kind): name
    for kind, name in (
        *((np.bool_, "BOOL"), (np.uint8, "U8"), (np.uint16, "U16"), (np.uint32, "U32"), (np.uint64, "U64")),
        *((np.int8, "I8"), (np.int16, "I16"), (np.int32, "I32"), (np.int64, "I64")),
        *((np.float16, "F16"), (np.float32, "F32"), (np.float64, "F64")),
    )
}
_TORCH_TYPES = {getattr(torch, kind.name): name for kind, name in _NUMPY_TYPES.items()} | {torch.bfloat16: "BF16"}
_TYPES = {name: kind for kind, name in _TORCH_TYPES.items()}

_METADATA = "__metadata__"  # safetensors' own name for it
_ALIGNMENT = 8
_LARGEST_HEADER = 100_000_000  # bytes; the library refuses larger ones


def pieces(arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> Iterator[bytes | memoryview]:
    """
    :param arrays: by name
    :param metadata: strings for the header of the file, by name
    :return: the bytes of a safetensors file, in pieces
    :raises TypeError: on an array of a type that a file cannot hold, naming it, before the first piece
    """
    names = sorted(arrays, key=lambda name: -_itemsize(arrays[name]))  # so that every array is aligned
    header: dict[str, Any] = {} if metadata is None else {_METADATA: dict(metadata)}
    end = 0
    for name in names:
        array = arrays[name]
        begin, end = end, end + _itemsize(array) * int(np.prod(array.shape, dtype=object))
        header[name] = {"dtype": type_of(name, array), "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > _LARGEST_HEADER:
        raise ValueError(f"The names of {len(arrays):,} arrays take {len(text):,} bytes; a file holds 100,000,000.")
    yield len(text).to_bytes(8, "little") + text
    yield from (_data(arrays[name]) for name in names)


def metadata(data: bytes) -> dict[str, str]:
    """
    :param data: of a safetensors file
    :return: the strings in its header, by name
    :raises ValueError: if it is none, or has none
    """
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(_LARGEST_HEADER, len(data) - 8):
        raise ValueError("it is not a safetensors file (its header is cut off)")
    found = json.loads(data[8 : 8 + length]).get(_METADATA)
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("it is a safetensors file without metadata")
    return found


def type_of(name: str, array: Array) -> str:
    """
    :param name: of the array, for the message
    :return: name of its type in a safetensors file
    :raises TypeError: if it has none there
    """
    kind = None
    if isinstance(array, torch.Tensor):
        if array.layout == torch.strided and not array.is_quantized:
            kind = _TORCH_TYPES.get(array.dtype)
    elif type(array) is np.ndarray:  # a masked array would lose its mask
        kind = _NUMPY_TYPES.get(array.dtype)
    if kind is None:
        of = getattr(array, "dtype", None)
        raise TypeError(
            f"The state has a {type(array).__name__} of type {of} at {name.lstrip('0123456789')}: only dense arrays of "
            "bool, integers and real numbers, in the machine's byte order, can be saved; convert it."
        )
    return kind


def load(data: bytes) -> dict[str, torch.Tensor]:
    """
    :param data: of a safetensors file
    :return: its arrays; :func:`sb3_atari_dqn.checkpoints.state.joined` makes numpy arrays of those that were
    :raises ValueError: if it is none
    """
    try:
        views = safetensors.deserialize(data)
        return {name: _tensor(**view) for name, view in views}
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"it is not a safetensors file ({error})") from error


def _tensor(dtype: str, shape: list[int], data: bytearray) -> torch.Tensor:
    """What `safetensors.torch` makes of it; which types that knows depends on its version."""
    kind = _TYPES[dtype]
    return torch.frombuffer(data, dtype=kind).reshape(shape) if data else torch.empty(shape, dtype=kind)


def _itemsize(array: Array) -> int:
    return array.element_size() if isinstance(array, torch.Tensor) else getattr(array, "itemsize", 1)


def _data(array: Array) -> memoryview:
    """:return: the numbers of an array, one after the other"""
    if isinstance(array, torch.Tensor):
        flat = array.detach().cpu().resolve_neg().contiguous().reshape(-1)
        return flat.view(torch.uint8).numpy().data if len(flat) else memoryview(b"")
    return np.asarray(array, order="C").reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
