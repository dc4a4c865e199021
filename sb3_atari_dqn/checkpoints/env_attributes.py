"""The attributes of environments, wrappers and their helpers as plain values, and back into objects built the same way.

What an attribute may hold: plain values, numpy arrays, containers of these, random generators, spaces (their
generators), an ALE emulator, and Python objects with attributes of this kind. Functions, classes, enumerations and
frozen dataclasses do not change and are left out. Everything else raises :class:`NotPlain`.
"""

import dataclasses
import enum
import random
import types
from collections import OrderedDict, deque
from collections.abc import Container, Iterable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from sb3_atari_dqn.checkpoints.env_emulator import emulator_state, is_emulator, load_emulator_state
from sb3_atari_dqn.checkpoints.safe_values import new_bit_generator
from sb3_atari_dqn.checkpoints.state import State, generator_state, load_generator_state

_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, partial)
_CONSTANT = (*_FUNCTIONS, types.ModuleType, type, enum.Enum, np.dtype, EnvSpec)
_PLAIN = (type(None), bool, int, float, str)
_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "deque": deque, "set": set, "frozenset": frozenset}
_MAPPINGS: dict[str, Any] = {"dict": dict, "OrderedDict": OrderedDict}
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
#: Packages whose helper objects (running means, frame stacks) are known to keep everything in their attributes.
_KNOWN_PACKAGES = ("stable_baselines3", "sb3_contrib", "gymnasium", "sb3_atari_dqn")
#: Longer lists of numbers (the rewards of an episode) become an array.
_LONG = 16

#: Links to other layers, what was given to the constructor, files, and what the next step overwrites.
LEFT_OUT = frozenset(
    {
        *("env", "envs", "venv", "spec", "_cached_spec", "metadata", "_metadata", "render_mode", "class_attributes"),
        *("_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs", "results_writer", "buf_infos", "reset_infos"),
        # VecVideoRecorder begins a new video.
        *("recording", "recorded_frames", "video_name", "video_path", "video_folder"),
    }
)


class NotPlain(TypeError):
    """An attribute that cannot be saved; the message says which one."""


def attributes(owner: Any, left_out: Container[str] = LEFT_OUT) -> State:
    """
    :param owner: a layer of an environment, or one of its helpers
    :param left_out: names of attributes
    :return: its attributes, plain copies
    :raises NotPlain: on an attribute that cannot be saved
    """
    name = type(owner).__name__
    if not hasattr(owner, "__dict__"):
        raise NotPlain(f"{name} has no attributes")
    try:
        return {
            key: _plain(value, f"{name}.{key}")
            for key, value in vars(owner).items()
            if key not in left_out and not _is_constant(value)
        }
    except RecursionError as error:
        raise NotPlain(f"{name} holds itself") from error


def load_attributes(owner: Any, state: State, left_out: Container[str] = LEFT_OUT) -> None:
    """
    :param owner: built with the same arguments as the one whose attributes were saved
    :param state: as :func:`attributes` gave it; it may come from a stranger
    :param left_out: names that stay as they are, even if the state has them
    :raises ValueError: if it has other parts
    """
    for key, value in state.items():
        if key in left_out or isinstance(getattr(type(owner), key, None), (*_FUNCTIONS, property)):
            continue
        current = vars(owner).get(key)
        setattr(owner, key, _restored(value, current, f"{type(owner).__name__}.{key}"))


def _is_constant(value: Any) -> bool:
    if isinstance(value, _CONSTANT):
        return True
    if type(value).__module__.partition(".")[0] == "pygame":  # windows and clocks of gymnasium's own environments
        return True
    parameters = getattr(type(value), "__dataclass_params__", None)
    return dataclasses.is_dataclass(value) and parameters is not None and parameters.frozen


def _plain(value: Any, path: str) -> Any:
    kind = type(value).__name__
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.copy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "SU":  # the map of FrozenLake
        return _plain_texts(value)
    if isinstance(value, np.generic) and value.dtype.kind in "biufSU":
        return {"kind": "scalar", "value": _plain(np.array(value), path)}
    if type(value) is _SEQUENCES.get(kind):
        return _plain_sequence(kind, value, path)
    if type(value) is _MAPPINGS.get(kind):
        items = [[_plain(key, path), _plain(each, f"{path}[{key!r}]")] for key, each in value.items()]
        return {"kind": kind, "items": items}
    return _plain_object(value, path)


def _plain_texts(value: np.ndarray) -> State:
    """Bytes and strings of one length, such as the map of FrozenLake."""
    data = np.frombuffer(value.tobytes(), np.uint8).copy()
    return {
        "kind": "texts",
        "letters": value.dtype.kind,
        "size": value.dtype.itemsize,
        "shape": list(value.shape),
        "data": data,
    }


def _texts(state: State) -> np.ndarray:
    """:return: what `_plain_texts` took apart"""
    letters, size = state["letters"], int(state["size"])
    if letters not in ("S", "U"):
        raise ValueError(f"The state has an array of {letters!r:.20}, neither bytes nor strings.")
    dtype = np.dtype(f"{letters}{size if letters == 'S' else size // 4}")
    return np.frombuffer(state["data"].tobytes(), dtype).reshape(state["shape"])


def _plain_sequence(kind: str, value: Iterable[Any], path: str) -> State:
    items = list(value)
    if any(map(_is_constant, items)):  # the stages of a pipeline, the actions of a game
        return {"kind": "constant"}
    extra = {"maxlen": value.maxlen} if isinstance(value, deque) else {}
    for number in (float, int):
        if len(items) >= _LONG and all(type(item) is number and abs(item) < 2**53 for item in items):
            return {"kind": kind, "numbers": np.array(items, np.float64 if number is float else np.int64), **extra}
    return {"kind": kind, "items": [_plain(item, f"{path}[{i}]") for i, item in enumerate(items)], **extra}


def _plain_object(value: Any, path: str) -> State:
    if isinstance(value, _GENERATORS):
        return {"kind": "generator", "state": generator_state(value)}
    if isinstance(value, spaces.Space):
        return {"kind": "space", "generators": [_generator_state_of(each) for each in _spaces_in(value)]}
    if is_emulator(value):
        return {"kind": "emulator", "state": emulator_state(value)}
    if isinstance(value, gym.Env) or type(value).__module__.partition(".")[0] not in _KNOWN_PACKAGES:
        raise NotPlain(f"{path} is a {type(value).__module__}.{type(value).__name__}")
    return {"kind": "object", "attributes": attributes(value)}


def _spaces_in(space: spaces.Space) -> list[spaces.Space]:
    """:return: the space, and those that it is made of"""
    parts = getattr(space, "spaces", ())
    return [
        space,
        *(inner for each in (parts.values() if isinstance(parts, dict) else parts) for inner in _spaces_in(each)),
    ]


def _generator_state_of(space: spaces.Space) -> State | None:
    """:return: None if nothing was drawn from it: to ask for its generator would seed it from the operating system"""
    return None if space._np_random is None else generator_state(space.np_random)


def _restored(state: Any, current: Any, path: str) -> Any:
    """:return: the value; generators, spaces, emulators, helper objects and arrays are filled where they are"""
    if not isinstance(state, dict):
        return _restored_array(state, current) if isinstance(state, np.ndarray) else state
    kind = state["kind"]
    if kind == "scalar":
        return _restored(state["value"], None, path)[()]
    if kind == "texts":
        return _restored_array(_texts(state), current)
    if kind == "constant":
        return current
    if kind in _SEQUENCES:
        return _restored_sequence(state, current, path)
    if kind in _MAPPINGS:
        known = current if isinstance(current, dict) else {}
        pairs = [(_restored(key, None, path), value) for key, value in state["items"]]
        return _MAPPINGS[kind]((key, _restored(value, known.get(key), f"{path}[{key!r}]")) for key, value in pairs)
    return _restored_object(state, current, path)


def _restored_array(state: np.ndarray, current: Any) -> np.ndarray:
    """Other attributes may share the memory of an array: fill it where it fits."""
    fits = isinstance(current, np.ndarray) and current.shape == state.shape and current.dtype == state.dtype
    if not fits or not current.flags.writeable:
        return state.copy()
    current[...] = state
    return current


def _restored_sequence(state: State, current: Any, path: str) -> Any:
    if "numbers" in state:
        items = state["numbers"].tolist()
    else:
        known = list(current) if isinstance(current, list | tuple) and len(current) == len(state["items"]) else None
        items = [
            _restored(each, known[i] if known is not None else None, f"{path}[{i}]")
            for i, each in enumerate(state["items"])
        ]
    kind = _SEQUENCES[state["kind"]]
    return kind(items, state["maxlen"]) if kind is deque else kind(items)


def _restored_object(state: State, current: Any, path: str) -> Any:
    kind = state["kind"]
    if kind == "generator":
        if current is None:  # gymnasium draws its seed at the first use
            current = np.random.default_rng(0)
        if isinstance(current, np.random.Generator):
            current = _generator_of(state["state"]["state"], current)
        load_generator_state(current, state["state"])
    elif kind == "space" and isinstance(current, spaces.Space):
        for space, each in zip(_spaces_in(current), state["generators"], strict=True):
            if each is not None:
                load_generator_state(space.np_random, each)
    elif kind == "emulator" and is_emulator(current):
        load_emulator_state(current, state["state"])
    elif kind == "object" and current is not None:
        load_attributes(current, state["attributes"])
    else:
        raise ValueError(f"{path} was of kind {kind}, and is {current!r:.100} here: create everything as it was then")
    return current


def _generator_of(state: State, current: np.random.Generator) -> np.random.Generator:
    """:return: one with the same algorithm as the saved one"""
    name = state["bit_generator"]
    if type(current.bit_generator).__name__ == name:
        return current
    return np.random.Generator(new_bit_generator(name))
