"""Objects of the allowed classes as one safetensors file: their arrays, and everything else as JSON in its header.

The JSON is what `json` makes of plain values; anything else is a dictionary with one of the keys below.
"""

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from sb3_atari_dqn.checkpoints import tensors
from sb3_atari_dqn.checkpoints.allowed_names import (
    ENUMS,
    NAMED_TUPLES,
    NotAllowed,
    UnsafeFile,
    is_allowed,
    lookup,
    makes_objects,
    name_of,
    new_object,
    refusal,
    set_state,
)
from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.file_limits import ValueCount, check_extent
from sb3_atari_dqn.checkpoints.safe_values import FUNCTIONS, check_keys_of_file, device, set_bit_generator_state
from sb3_atari_dqn.checkpoints.tensors import Array

_HEADER = "sb3_atari_dqn"
_FORMAT = "1"

_NAME, _OBJECT, _ENUM, _FIELDS = "$name", "$object", "$enum", "$fields"
_TUPLE, _DEQUE, _SET, _ITEMS = "$tuple", "$deque", "$set", "$items"
_ARRAY, _SCALAR, _DTYPE, _FLOAT, _DEVICE, _GENERATOR = "$array", "$scalar", "$dtype", "$float", "$device", "$generator"
_KEYS = {_NAME, _OBJECT, _ENUM, _FIELDS, _TUPLE, _DEQUE, _SET, _ITEMS}
_KEYS |= {_ARRAY, _SCALAR, _DTYPE, _FLOAT, _DEVICE, _GENERATOR}


def dumps(value: Any) -> bytes:
    """
    :param value: dictionaries, lists, arrays, generators, and objects of the allowed classes
    :return: content of a file for :func:`loads`
    :raises TypeError: if it holds anything else; the message names it
    """
    arrays: dict[str, Array] = {}
    text = json.dumps(_encoded(value, arrays), allow_nan=False)
    return b"".join(tensors.pieces(arrays, {_HEADER: text, "format": _FORMAT}))


def loads(data: bytes, name: str) -> Any:
    """
    :param data: from :func:`dumps`
    :param name: of the file, for messages
    :raises UnsafeFile: if it names something that is not on our lists
    :raises ValueError: if it is damaged, or of a later version
    """
    try:
        header = tensors.metadata(data)
        if header["format"] != _FORMAT:
            raise ValueError(f"its format is {brief(header['format'], 20)}, and this version reads {_FORMAT}: update")
        ValueCount(name).add(sum(map(header[_HEADER].count, ",[{")))
        arrays = {key: tensor.numpy() for key, tensor in tensors.load(data).items()}
        return check_extent(_decoded(check_extent(json.loads(header[_HEADER]), name), arrays), name)
    except NotAllowed as error:
        raise refusal(name, [error.name]) from error
    except (UnsafeFile, MemoryError):
        raise
    except Exception as error:  # damage leads to any of them
        raise ValueError(f"{name} is damaged ({type(error).__name__}: {error}).") from error


# --- writing


def _encoded(value: Any, arrays: dict[str, Array]) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    for kind, encode in _ENCODERS:
        if isinstance(value, kind):
            return encode(value, arrays)
    if isinstance(value, type) or hasattr(value, "__code__"):
        return {_NAME: _checked_name(value)}
    kind = type(value)
    if name_of(kind) in ENUMS and is_allowed(kind):
        return {_ENUM: name_of(kind), "value": value.value}
    if not makes_objects(kind):
        raise TypeError(f"a {name_of(kind)}")
    state = value.__getstate__() if hasattr(kind, "__setstate__") else vars(value)
    return {_OBJECT: name_of(kind), "state": _encoded(dict(state), arrays)}


def _checked_name(value: Any) -> str:
    if not is_allowed(value):
        raise TypeError(f"{name_of(value)}")
    return name_of(value)


def _of_dict(value: Mapping[Any, Any], arrays: dict[str, Array]) -> Any:
    if type(value) not in (dict, OrderedDict):
        raise TypeError(f"a {name_of(type(value))}")
    if type(value) is dict and all(type(key) is str for key in value) and not value.keys() & _KEYS:
        return {key: _encoded(each, arrays) for key, each in value.items()}
    items = [[_encoded(key, arrays), _encoded(each, arrays)] for key, each in value.items()]
    return {_ITEMS: items, "ordered": type(value) is OrderedDict}


def _of_tuple(value: tuple[Any, ...], arrays: dict[str, Array]) -> Any:
    parts = [_encoded(each, arrays) for each in value]
    if type(value) is tuple:
        return {_TUPLE: parts}
    if name_of(type(value)) not in NAMED_TUPLES or not is_allowed(type(value)):
        raise TypeError(f"a {name_of(type(value))}")
    return {_FIELDS: name_of(type(value)), "values": parts}


def _of_array(value: np.ndarray, arrays: dict[str, Array]) -> Any:
    name = str(len(arrays))
    tensors.type_of(name, value)
    arrays[name] = value
    return {_ARRAY: name}


def _of_float(value: float, _: dict[str, Array]) -> Any:
    return value if np.isfinite(value) else {_FLOAT: str(value)}


def _of_generator(value: np.random.Generator, arrays: dict[str, Array]) -> Any:
    return {_GENERATOR: _encoded(value.bit_generator.state, arrays)}


_Encoder = Callable[[Any, dict[str, Array]], Any]
_ENCODERS: list[tuple[type, _Encoder]] = [
    (np.ndarray, _of_array),
    (np.generic, lambda value, arrays: {_SCALAR: _of_array(np.array(value), arrays)[_ARRAY]}),
    (float, _of_float),
    (list, lambda value, arrays: [_encoded(each, arrays) for each in value]),
    (tuple, _of_tuple),
    (dict, _of_dict),
    (deque, lambda value, arrays: {_DEQUE: [_encoded(each, arrays) for each in value], "maxlen": value.maxlen}),
    (set, lambda value, arrays: {_SET: [_encoded(each, arrays) for each in value]}),
    (np.dtype, lambda value, _: {_DTYPE: FUNCTIONS["numpy.dtype"](value.str[1:]).str[1:]}),
    (torch.device, lambda value, _: {_DEVICE: str(value)}),
    (np.random.Generator, _of_generator),
]


# --- reading


def _decoded(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_decoded(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    for key, decode in _DECODERS.items():
        if key in value:
            return decode(value, arrays)
    return {key: _decoded(each, arrays) for key, each in value.items()}


def _to_object(value: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    kind = lookup(value[_OBJECT])
    if not (isinstance(kind, type) and makes_objects(kind)):
        raise NotAllowed(f"{value[_OBJECT]}()")
    made = new_object(kind)
    set_state(made, _decoded(value["state"], arrays))
    return made


def _called(names: set[str], name: Any, *args: Any) -> Any:
    if name not in names:
        raise NotAllowed(f"{name}()")
    return lookup(name)(*args)


def _to_dict(value: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    items = [(_decoded(key, arrays), _decoded(each, arrays)) for key, each in value[_ITEMS]]
    check_keys_of_file(key for key, _ in items)
    return OrderedDict(items) if value["ordered"] else dict(items)


def _to_generator(value: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    state = _decoded(value[_GENERATOR], arrays)
    generator = FUNCTIONS["numpy.random._pickle.__generator_ctor"](state["bit_generator"])
    set_bit_generator_state(generator.bit_generator, state)
    return generator


_Decoder = Callable[[dict[str, Any], Mapping[str, np.ndarray]], Any]
_DECODERS: dict[str, _Decoder] = {
    _NAME: lambda value, _: lookup(value[_NAME]),
    _OBJECT: _to_object,
    _ENUM: lambda value, _: _called(ENUMS, value[_ENUM], value["value"]),
    _FIELDS: lambda value, arrays: _called(NAMED_TUPLES, value[_FIELDS], *_decoded(value["values"], arrays)),
    _TUPLE: lambda value, arrays: tuple(_decoded(value[_TUPLE], arrays)),
    _DEQUE: lambda value, arrays: FUNCTIONS["collections.deque"](_decoded(value[_DEQUE], arrays), value["maxlen"]),
    _SET: lambda value, arrays: FUNCTIONS["builtins.set"](_decoded(value[_SET], arrays)),
    _ITEMS: _to_dict,
    _ARRAY: lambda value, arrays: arrays[value[_ARRAY]],
    _SCALAR: lambda value, arrays: arrays[value[_SCALAR]][()],
    _DTYPE: lambda value, _: FUNCTIONS["numpy.dtype"](value[_DTYPE]),
    _FLOAT: lambda value, _: float(value[_FLOAT]),
    _DEVICE: lambda value, _: device(value[_DEVICE]),
    _GENERATOR: _to_generator,
}
