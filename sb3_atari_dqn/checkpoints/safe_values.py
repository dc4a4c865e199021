"""What NumPy, torch and Python write into pickles as a function and its arguments: here the arguments are checked.

None of the originals is called with what a file says before its type, its size and its extent are known.
"""

import enum
import math
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from sb3_atari_dqn.checkpoints.brief import brief

_PLAIN = (bool, int, float, str, bytes, np.number, np.bool_, type, enum.Enum)
_ORDERS = {"<", "=", "|"} if sys.byteorder == "little" else {">", "=", "|"}
_NUMBERS = "?bBhHiIlLqQefd"  # numpy's characters of the types that hold plain numbers
_BIT_GENERATORS = {kind.__name__: kind for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937)}
_MT19937_WORDS = 624
_PHILOX_WORDS = 4
_MOST_SEED_WORDS = 64
_LONGEST_SEED_WORD = 1024  # bits
_LARGEST_COUNT = 1 << 63
_MOST_DIMENSIONS = 32


def is_count(value: Any) -> bool:
    """:return: whether a value is a number of something: products of a few such numbers are still quickly made"""
    return type(value) is int and 0 <= value < _LARGEST_COUNT


def is_shape(value: Any) -> bool:
    """:return: whether a value may be the shape of an array"""
    return type(value) is tuple and len(value) <= _MOST_DIMENSIONS and all(map(is_count, value))


def check_keys_of_file(keys: Iterable[Any]) -> None:
    """
    Ask this before keys or items are put into a dictionary or a set: the hash of nested tuples follows every reference.

    :raises ValueError: on one that is neither plain nor a tuple of plain values
    """
    for key in keys:
        if not _is_plain(key) and not (type(key) is tuple and all(map(_is_plain, key))):
            raise ValueError(f"{brief(key)} cannot be a key of a dictionary or an item of a set here")


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, _PLAIN)


def _shape(value: Any) -> tuple[int, ...]:
    if not is_shape(value):
        raise ValueError(f"{brief(value)} is not a shape")
    return value


def _dtype(kind: Any, align: Any = False, copy: Any = False) -> np.dtype:
    """Plain numbers, or Python objects; never a type with parts or flags that the file chooses."""
    dtype = np.dtype(kind) if isinstance(kind, str) and len(kind) <= 3 else None
    if dtype is None or (dtype.char not in f"{_NUMBERS}O"):
        raise ValueError(f"arrays of {brief(kind)} are not plain numbers")
    return dtype


def _set_dtype_state(dtype: np.dtype, state: Any) -> None:
    """The rest of a pickled dtype: for plain numbers only its byte order, and that must be the machine's."""
    if not (type(state) is tuple and len(state) >= 8 and state[1] in [*_ORDERS] and state[2:5] == (None, None, None)):
        raise ValueError(f"arrays of {dtype} with {brief(state)} are not plain numbers of this machine")


def _raw(dtype: Any, data: Any, shape: tuple[int, ...]) -> np.dtype:
    """:return: the dtype, if these bytes are an array of this shape"""
    if not isinstance(dtype, np.dtype) or dtype.char not in _NUMBERS:
        raise ValueError(f"{brief(dtype)} is not a type of numbers")
    if not isinstance(data, bytes | bytearray) or len(data) != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{type(data).__name__} of another size than an array {shape} of {dtype}")
    return dtype


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> np.ndarray:
    if order not in ("C", "F", "K"):
        raise ValueError(f"order {brief(order, 20)}")
    if order == "K":  # of newer versions: transposed as `axis_order` says
        axes = _shape(tuple(axis_order))
        flat = np.frombuffer(data, _raw(dtype, data, _shape(shape)))
        return flat.reshape(shape).transpose(axes)
    return np.frombuffer(data, _raw(dtype, data, _shape(shape))).reshape(shape, order=order)


def _reconstruct(kind: Any, shape: Any, dtype: Any) -> np.ndarray:
    if kind is not np.ndarray:
        raise ValueError(f"{brief(kind)} is not numpy.ndarray")
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _set_array_state(array: np.ndarray, state: Any) -> None:
    _, shape, dtype, is_fortran, data = state
    if isinstance(dtype, np.dtype) and dtype.char == "O":
        if type(data) is not list or len(data) != math.prod(_shape(shape)):
            raise ValueError("an array of objects without them")
    else:
        dtype = _raw(dtype, data, _shape(shape))
    array.__setstate__((1, shape, dtype, bool(is_fortran), data))  # type: ignore[arg-type]


def _scalar(dtype: Any, data: Any) -> Any:
    return np.frombuffer(data, _raw(dtype, data, ()))[0]


def new_bit_generator(kind: Any = "MT19937") -> np.random.BitGenerator:
    """
    :param kind: class, or name of a class, of one of NumPy's bit generators; it may come from a file
    :raises ValueError: on anything else
    """
    if kind not in (*_BIT_GENERATORS, *_BIT_GENERATORS.values()):
        raise ValueError(f"{brief(kind)} is not one of {', '.join(_BIT_GENERATORS)}")
    return (_BIT_GENERATORS[kind] if isinstance(kind, str) else kind)(0)


def _generator(source: Any = "MT19937", constructor: Any = None) -> np.random.Generator:
    return np.random.Generator(source if isinstance(source, np.random.BitGenerator) else new_bit_generator(source))


def _random_state(source: Any = "MT19937", constructor: Any = None) -> np.random.RandomState:
    return np.random.RandomState(source if isinstance(source, np.random.BitGenerator) else new_bit_generator(source))


def set_bit_generator_state(generator: np.random.BitGenerator, state: Any) -> None:
    """
    :param generator: takes the state over
    :param state: as its attribute `state`, or that with a seed sequence
    :raises ValueError: if it belongs to another kind, or its position is outside of its words
    """
    values, *seed = state if type(state) is tuple else (state,)
    check_position(generator, values)
    generator.state = values
    if seed and isinstance(seed[0], np.random.SeedSequence):
        generator.__setstate__((generator.state, seed[0]))  # type: ignore[attr-defined]


def check_position(generator: np.random.BitGenerator, state: Any) -> None:
    """NumPy believes the position in a generator's words, and would read behind them."""
    if isinstance(generator, np.random.MT19937):
        words, position, largest = state["state"]["key"], state["state"]["pos"], _MT19937_WORDS
    elif isinstance(generator, np.random.Philox):
        words, position, largest = state["buffer"], state["buffer_pos"], _PHILOX_WORDS
    else:
        return
    if len(words) != largest or not 0 <= int(position) <= largest:
        raise ValueError(f"the state of the generator {type(generator).__name__} is damaged")


def _set_generator_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.RandomState) and isinstance(state, dict) and "key" not in state:
        set_bit_generator_state(generator._bit_generator, {key: state[key] for key in ("bit_generator", "state")})
        generator.set_state({**generator.get_state(legacy=False), **{k: state[k] for k in ("has_gauss", "gauss")}})
    elif state is not None:
        set_bit_generator_state(generator.bit_generator, state)


def _seed_sequence(kind: Any, checksum: Any, state: Any) -> np.random.SeedSequence:
    if kind is not np.random.SeedSequence:
        raise ValueError(f"{brief(kind)} is not numpy.random.SeedSequence")
    sequence = np.random.SeedSequence(0)
    if state is not None:
        _set_seed_state(sequence, state)
    return sequence


def _set_seed_state(sequence: np.random.SeedSequence, state: Any) -> None:
    """Begun anew from what it was made of: its pool of words is not taken from the file."""
    entropy, spawned, _, pool_size, spawn_key = state[:5]
    words = entropy if isinstance(entropy, list | tuple) else [entropy]
    if not (
        len(words) <= _MOST_SEED_WORDS
        and all(word is None or (type(word) is int and 0 <= word < 1 << _LONGEST_SEED_WORD) for word in words)
        and is_count(spawned)
        and is_count(pool_size)
        and 4 <= pool_size <= _MOST_SEED_WORDS
        and _shape(spawn_key) is spawn_key
    ):
        raise ValueError("the seed of a generator is damaged")
    sequence.__init__(entropy, spawn_key=spawn_key, pool_size=pool_size, n_children_spawned=spawned)  # type: ignore[misc]


def made_of(kind: type[enum.Enum]) -> Callable[[Any], enum.Enum]:
    """:return: what makes members of an enumeration, which itself would print any value that it does not know"""

    def member(value: Any) -> enum.Enum:
        if not isinstance(value, str | int):
            raise ValueError(f"{brief(value)} is not a {kind.__name__}")
        return kind(value)

    return member


def _deque(items: Any = (), maxlen: Any = None) -> deque[Any]:
    if not isinstance(items, list | tuple) or not (maxlen is None or is_count(maxlen)):
        raise ValueError(f"a deque of {brief(items)}")
    return deque(items, maxlen)


def _ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    if not isinstance(items, list | tuple):
        raise ValueError(f"a dictionary of {brief(items)}")
    pairs = [tuple(item) for item in items if isinstance(item, list | tuple) and len(item) == 2]
    if len(pairs) < len(items):
        raise ValueError(f"a dictionary of {brief(items)}")
    check_keys_of_file(key for key, _ in pairs)
    return OrderedDict(pairs)


def _set_dict_state(target: OrderedDict[Any, Any], state: Any) -> None:
    """torch's versions of modules, which loading can do without."""
    if not (isinstance(state, dict) and state.keys() <= {"_metadata"}):
        raise ValueError(f"a dictionary with attributes {brief(state)}")


def _set(items: Any = ()) -> set[Any]:
    if not isinstance(items, list | tuple):
        raise ValueError(f"a set of {brief(items)}")
    check_keys_of_file(items)
    return set(items)


def device(kind: Any, index: Any = None) -> torch.device:
    """
    :param kind: "cpu", "cuda", "cuda:0"
    :param index: its number
    :raises ValueError: if they are not
    """
    if not (isinstance(kind, str) and (index is None or is_count(index))):
        raise ValueError(f"a device {brief(kind)}")
    return torch.device(kind) if index is None else torch.device(kind, index)


#: Name in a pickle -> what is called in its place.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _dtype,
    "numpy._core.numeric._frombuffer": _frombuffer,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.random._pickle.__bit_generator_ctor": new_bit_generator,
    "numpy.random._pickle.__generator_ctor": _generator,
    "numpy.random._pickle.__randomstate_ctor": _random_state,
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": _seed_sequence,
    "collections.deque": _deque,
    "collections.OrderedDict": _ordered_dict,
    "builtins.set": _set,
    "torch.device": device,
}

#: Type -> what gives an object of it its state.
STATES: dict[type, Callable[[Any, Any], None]] = {
    **{type(np.dtype(kind)): _set_dtype_state for kind in (*_NUMBERS, "O")},
    OrderedDict: _set_dict_state,
    np.ndarray: _set_array_state,
    np.random.SeedSequence: _set_seed_state,
    np.random.Generator: _set_generator_state,
    np.random.RandomState: _set_generator_state,
    **dict.fromkeys(_BIT_GENERATORS.values(), set_bit_generator_state),
}
