"""The weights inside a model: files of torch, looked through before torch reads them.

torch's own `weights_only=True` runs no code, but takes what memory the file asks for: `bytearray` is one of its allowed
names, and a tensor may be expanded from one number. So the pickle inside is walked through first, without tensors.
"""

import io
import math
import zipfile
from dataclasses import dataclass
from typing import Any

from sb3_atari_dqn.checkpoints.allowed_names import UnsafeFile
from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.file_limits import check_archive, read_entry
from sb3_atari_dqn.checkpoints.safe_pickle import loads
from sb3_atari_dqn.checkpoints.safe_values import FUNCTIONS, is_count, is_shape

_BYTES_PER_NUMBER = {
    **dict.fromkeys(("torch.DoubleStorage", "torch.LongStorage"), 8),
    **dict.fromkeys(("torch.FloatStorage", "torch.IntStorage"), 4),
    **dict.fromkeys(("torch.HalfStorage", "torch.BFloat16Storage", "torch.ShortStorage"), 2),
    **dict.fromkeys(("torch.ByteStorage", "torch.CharStorage", "torch.BoolStorage"), 1),
}


@dataclass(frozen=True)
class _Storage:
    """Numbers in the file, one after the other."""

    n_numbers: int


class _Tensor:
    """Stands for a tensor that was found to be inside its storage."""


def check_weights(data: bytes, name: str) -> int:
    """
    :param data: content of a file that `torch.save` wrote
    :param name: of the file, and where in it, for messages
    :return: how many numbers it holds
    :raises UnsafeFile: if it holds anything but tensors in dictionaries, or tensors that are larger than their numbers
    :raises ValueError: if it is damaged
    """
    if not data.startswith(b"PK\x03\x04"):
        raise UnsafeFile(f"{name} is refused: it is not in torch's zip format, which files since torch 1.6 have.")
    try:
        return _check_zip_of_torch(data, name)
    except UnsafeFile:
        raise
    except Exception as error:  # damage leads to any of them
        raise ValueError(f"{name} is damaged ({type(error).__name__}: {error}).") from error


def _check_zip_of_torch(data: bytes, name: str) -> int:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_archive(archive, name)
        roots = {entry.partition("/")[0] for entry in archive.namelist()}
        if len(roots) != 1 or f"{(root := roots.pop())}/data.pkl" not in archive.namelist():
            raise ValueError("it has no data.pkl, or several")
        found_numbers: dict[str, int] = {}
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}

        def storage(found: Any) -> _Storage:
            _, kind, key, _, count = found
            if not (is_count(count) and type(kind) is int and isinstance(key, str)):
                raise ValueError("a tensor without numbers")
            if sizes[f"{root}/data/{key}"] != count * kind:
                raise ValueError("the numbers of a tensor are missing")
            found_numbers[key] = count
            return _Storage(count)

        loads(read_entry(archive, f"{root}/data.pkl"), name, _FUNCTIONS, storage)
        return sum(found_numbers.values())


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    """:raises ValueError: if a tensor reaches out of its storage, or takes more memory than that"""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without numbers")
    if not (is_count(offset) and is_shape(size) and is_shape(stride) and len(size) == len(stride)):
        raise ValueError(f"a tensor of size {brief(size)}")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if math.prod(size) > storage.n_numbers or (math.prod(size) and last >= storage.n_numbers):
        raise ValueError(f"a tensor of size {brief(size)} has {storage.n_numbers:,} numbers")
    return _Tensor()


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_FUNCTIONS: dict[str, Any] = {
    **_BYTES_PER_NUMBER,
    "collections.OrderedDict": FUNCTIONS["collections.OrderedDict"],
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
