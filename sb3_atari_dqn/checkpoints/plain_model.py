"""What a model was built with, as JSON: numbers, strings, spaces, and classes and schedules by names of a fixed list.

Nothing is imported or evaluated by name: a name is looked up in a :class:`Vocabulary`, and an unknown one is refused.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_atari_dqn.checkpoints.brief import brief

#: Largest number of elements of a space: 64 MiB of bounds in float32.
LARGEST_SPACE = 1 << 24

_CLASS, _OBJECT, _SPACE, _TUPLE, _FLOAT = "$class", "$object", "$space", "$tuple", "$float"

_BOX_TYPES = ("uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64")


@dataclass(frozen=True)
class Record:
    """
    An object that is the same as another one built with the same attributes, such as a schedule.

    :param types: qualified names of the classes that are written under this name
    :param attributes: which are also the keyword arguments of `build`
    :param build: the class that is read
    """

    types: tuple[str, ...]
    attributes: tuple[str, ...]
    build: Callable[..., Any]


@dataclass(frozen=True)
class Vocabulary:
    """
    :param classes: by the names that stand for them
    :param records: likewise
    """

    classes: Mapping[str, type] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)

    def encode(self, value: Any, path: str) -> Any:
        """
        :param value: plain, or made of what this vocabulary knows
        :param path: of the value, for the message
        :return: for JSON
        :raises ValueError: on anything else, naming where
        """
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | np.integer):
            return int(value)
        if isinstance(value, float | np.floating):
            return float(value) if math.isfinite(value) else {_FLOAT: str(float(value))}
        if isinstance(value, list | tuple):
            items = [self.encode(each, f"{path}[{index}]") for index, each in enumerate(value)]
            return {_TUPLE: items} if isinstance(value, tuple) else items
        if isinstance(value, Mapping):
            return {key: self.encode(each, f"{path}[{key!r}]") for key, each in _plain_keys(value, path)}
        return self._encode_named(value, path)

    def _encode_named(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, type):
            for name, each in self.classes.items():
                if each is value:
                    return {_CLASS: name}
        for name, record in self.records.items():
            if f"{type(value).__module__}.{type(value).__qualname__}" in record.types:
                parts = {each: self.encode(getattr(value, each), f"{path}.{each}") for each in record.attributes}
                return {_OBJECT: name, **parts}
        known = ", ".join(sorted({*self.classes, *self.records}))
        raise ValueError(
            f"{path}={value!r:.200} cannot be exported, as it would have to be executed to be read again; use a "
            f"number, a string, or one of {known}."
        )

    def decode(self, value: Any, path: str) -> Any:
        """
        :param value: out of JSON
        :param path: of the value, for the message
        :return: what was encoded
        :raises ValueError: on a name that is not of this vocabulary, or a malformed value
        """
        if isinstance(value, list):
            return [self.decode(each, f"{path}[{index}]") for index, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if not any(key.startswith("$") for key in value):
            return {key: self.decode(each, f"{path}[{key!r}]") for key, each in value.items()}
        if value.keys() == {_TUPLE} and isinstance(value[_TUPLE], list):
            return tuple(self.decode(value[_TUPLE], path))
        if value.keys() == {_FLOAT} and value[_FLOAT] in ("nan", "inf", "-inf"):
            return float(value[_FLOAT])
        if value.keys() == {_CLASS}:
            return _known(self.classes, value[_CLASS], path)
        if _OBJECT in value:
            record = _known(self.records, value[_OBJECT], path)
            if value.keys() == {_OBJECT, *record.attributes}:
                parts = {each: self.decode(value[each], f"{path}.{each}") for each in record.attributes}
                return record.build(**parts)
        raise ValueError(f"{path} holds {brief(value, 200)}, which is not a value of an exported model.")


def _plain_keys(value: Mapping[Any, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, each in value.items():
        if not isinstance(key, str) or key.startswith("$"):
            raise ValueError(f"{path} has a key {key!r}: only strings that do not begin with $ can be exported.")
        yield key, each


def _known(names: Mapping[str, Any], name: Any, path: str) -> Any:
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{path} names {brief(name, 200)}, which is unknown here; known: {', '.join(sorted(names))}.")
    return names[name]


# --- spaces


def encode_space(space: spaces.Space) -> dict[str, Any]:
    """
    :return: for JSON; bounds that are all the same are written once
    :raises ValueError: on a kind of space that no policy takes
    """
    if type(space) is spaces.Box:
        bounds = {"low": _bounds(space.low), "high": _bounds(space.high)}
        return {_SPACE: "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    if type(space) is spaces.Discrete:
        return {_SPACE: "Discrete", "n": int(space.n), "start": int(space.start)}
    if type(space) is spaces.MultiDiscrete and space.nvec.ndim == 1 and not space.start.any():
        return {_SPACE: "MultiDiscrete", "nvec": space.nvec.tolist()}
    if type(space) is spaces.MultiBinary:
        return {_SPACE: "MultiBinary", "shape": list(space.shape)}
    if type(space) is spaces.Dict:
        return {_SPACE: "Dict", "spaces": [[name, encode_space(part)] for name, part in space.spaces.items()]}
    raise ValueError(f"The space {space} cannot be exported; use Box, Discrete, MultiDiscrete, MultiBinary or Dict.")


def decode_space(value: Any, path: str) -> spaces.Space:
    """
    :param value: out of JSON
    :param path: of the value, for the message
    :raises ValueError: if it is no space, or one that is too large
    """
    kind = value.get(_SPACE) if isinstance(value, dict) else None
    readers = {"Box": _box, "Discrete": _discrete, "MultiDiscrete": _multi_discrete, "MultiBinary": _multi_binary}
    try:
        if kind == "Dict":
            return spaces.Dict({str(name): decode_space(part, f"{path}[{name!r}]") for name, part in value["spaces"]})
        return readers[kind](value)  # type: ignore[index]
    except (KeyError, TypeError, ValueError, AssertionError, OverflowError) as error:
        reason = f" ({error})" if isinstance(error, ValueError) else ""
        raise ValueError(f"{path} holds {brief(value, 200)}, which is not a space{reason}.") from error


def _bounds(numbers: np.ndarray) -> Any:
    """:return: one number, or all of them one after the other"""
    flat = numbers.ravel()
    same = flat.size and (flat == flat[0]).all()
    return _number(flat[0]) if same else [_number(each) for each in flat]


def _number(value: Any) -> Any:
    return str(float(value)) if np.isinf(value) else value.item()


def _shape(value: Any) -> tuple[int, ...]:
    shape = tuple(value)
    if not all(type(each) is int and each >= 0 for each in shape) or math.prod(shape) > LARGEST_SPACE:
        raise ValueError(f"at most {LARGEST_SPACE:,} elements")
    return shape


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _box(value: dict[str, Any]) -> spaces.Box:
    shape = _shape(value["shape"])
    if value["dtype"] not in _BOX_TYPES:
        raise ValueError(f"dtype must be one of {', '.join(_BOX_TYPES)}")
    dtype = np.dtype(value["dtype"])

    def bounds(numbers: Any) -> np.ndarray:
        flat = np.array([_bound(each) for each in (numbers if isinstance(numbers, list) else [numbers])])
        return np.broadcast_to(flat.astype(dtype).reshape(shape if isinstance(numbers, list) else ()), shape)

    return spaces.Box(bounds(value["low"]), bounds(value["high"]), shape, dtype.type)


def _bound(number: Any) -> int | float:
    if number in ("inf", "-inf"):
        return float(number)
    if type(number) not in (int, float):
        raise TypeError
    return number


def _discrete(value: dict[str, Any]) -> spaces.Discrete:
    return spaces.Discrete(_whole(value["n"]), start=_whole(value["start"]))


def _multi_discrete(value: dict[str, Any]) -> spaces.MultiDiscrete:
    return spaces.MultiDiscrete([_whole(each) for each in value["nvec"]])


def _multi_binary(value: dict[str, Any]) -> spaces.MultiBinary:
    shape = _shape(value["shape"])
    return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
