"""State of the parts of a training: one protocol, random generators, and the way into JSON and arrays.

Everything that changes while a training runs belongs to one object, and every such object gives it with `state_dict()`
and takes it back with `load_state_dict()`, as torch's modules and optimizers do. What an object was built with (sizes,
alpha, places of the frames) is not part of its state: it is built with the same arguments first.

- A state is plain: numbers, strings, None, lists of these, numpy arrays, torch tensors, and dictionaries of all this
  by string. :func:`split` parts it into JSON and named arrays, :func:`joined` puts it together again. No pickle.
- It is a copy: the run that goes on does not change it, and asking for it changes nothing in the run. What is on its
  way from a device (TD errors) is waited for, kept in the state, and still delivered when it would have been.
- Each object has its own random generator and gives its state. The global ones belong to the process:
  :func:`global_generators`. An action space has one too: `generator_state(space.np_random)`.

The frames of a replay memory are the one thing too large to copy at each checkpoint (7 GB for a million of 84x84). Its
`state_dict()` holds everything else, about 16 bytes per transition: rewards, actions, flags, priorities, the few
frames outside of the ring, generators, TD errors on their way. The frames come from `frames_since(step)`, some at a
time and in the order of time. A frame before the vector step at which a state was taken never changes afterwards, so
that a checkpoint writes only those since the one before; to load, `load_state_dict()` first, then `load_frames()` for
each of the chunks, oldest checkpoint first. Chunks that the ring has overwritten since do no harm in this order. A
memory without `frames_since` (of vectors, which are small) has everything in its state.

The files of `save_replay_buffer` are something else: they load into memories of other sizes and kinds, and hold the
priorities as they will be once every TD error has arrived.
"""

import math
import random
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.safe_values import check_position, set_bit_generator_state

State = dict[str, Any]

# Replace, in the JSON part, an array, or for a number that JSON does not have; no state has a dictionary with only one
# of these keys.
_ARRAY, _TENSOR, _FLOAT = "$array", "$tensor", "$float"
_RESERVED = ({_ARRAY}, {_TENSOR}, {_FLOAT})


@runtime_checkable
class Stateful(Protocol):
    """What can be saved and continued."""

    def state_dict(self) -> State:
        """:return: a plain copy of everything that changes while the object is used"""

    def load_state_dict(self, state: State) -> None:
        """
        :param state: as `state_dict` of an object that was built with the same arguments gave it
        :raises ValueError: if it does not fit; the object is then as it was
        """


def check_form(state: Any, own: Any, owner: str, path: str = "") -> None:
    """
    Ask this before anything is taken over.

    :param state: that is to be loaded
    :param own: a state of the object that takes it over: the same keys are wanted, and values of the same kinds; None
        stands for an array that there need not be, `...` for anything
    :param owner: what the object is, for the message
    :param path: of the value inside the whole state, likewise
    :raises ValueError: naming the first difference
    """
    if own is ...:
        return
    if not isinstance(own, Mapping):
        if not _kind(state) & _kind(own):
            raise ValueError(_misfit(f"{path or 'it'} = {brief(state, 60)}", f"this {owner} has {own!r:.60}"))
        return
    if not isinstance(state, Mapping):
        raise ValueError(_misfit(f"{path or 'it'} = {brief(state, 60)}", f"this {owner} has {', '.join(own)} there"))
    for key in own:
        if key not in state:
            raise ValueError(_misfit(f"no {path}{key or repr(key)}", f"this {owner} has"))
    for key in state:
        if key not in own:
            raise ValueError(_misfit(f"{path}{key or repr(key)}", f"this {owner} has not"))
    for key, value in own.items():
        check_form(state[key], value, owner, f"{path}{key}/" if isinstance(value, Mapping) else f"{path}{key}")


def check_sizes(state: Mapping[str, Any], own: Mapping[str, np.ndarray], owner: str) -> None:
    """
    :param state: with an array of each of these names
    :param own: arrays that it goes into, or such as these
    :param owner: what they belong to, for the message
    :raises ValueError: naming the first that has another shape or type
    """
    for name, array in own.items():
        other = np.asarray(state[name])
        if (other.shape, other.dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"The state has {name} of shape {other.shape} and type {other.dtype}, this {owner} {array.shape} and "
                f"{array.dtype}: build it with the same arguments."
            )


def _misfit(theirs: str, ours: str) -> str:
    return f"The state has {theirs}, which {ours}: load it into an object built with the same arguments."


def _kind(value: Any) -> set[str]:
    if value is None:
        return {"none", "array"}
    if isinstance(value, np.ndarray | torch.Tensor):
        return {"array"}
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return {"number"}
    return {type(value).__name__}


# --- random generators

Generator = np.random.Generator | np.random.RandomState | random.Random | torch.Generator | ModuleType


def generator_state(generator: Generator) -> State:
    """
    :param generator: numpy's, Python's or torch's; the modules `random` and `numpy.random` stand for their global ones
    :return: its state, plain
    :raises TypeError: if it is none of these
    """
    if isinstance(generator, torch.Generator):
        return {"kind": "torch", "device": generator.device.type, "state": generator.get_state()}
    if isinstance(generator, np.random.Generator):
        return {"kind": "numpy", "state": generator.bit_generator.state}
    if generator is np.random or isinstance(generator, np.random.RandomState):
        return {"kind": "numpy legacy", "state": generator.get_state(legacy=False)}
    if generator is random or isinstance(generator, random.Random):
        version, words, gauss = generator.getstate()
        return {"kind": "python", "version": version, "words": np.array(words, np.uint32), "gauss": gauss}
    raise TypeError(f"{generator!r} is not a random generator of numpy, torch or Python.")


def load_generator_state(generator: Generator, state: State) -> None:
    """
    :param generator: goes on where the other one was
    :param state: from `generator_state`
    :raises ValueError: if it comes from another kind of generator, or is no state; the generator is then as it was
    """
    before = generator_state(generator)
    if not isinstance(state, Mapping) or "kind" not in state:
        raise ValueError(f"{brief(state, 60)} is not the state of a random generator.")
    if state["kind"] != before["kind"]:
        raise ValueError(f"The state of a {state['kind']} generator does not fit a {before['kind']} generator.")
    if "device" in before and state.get("device") != before["device"]:
        raise ValueError(f"The state of a generator on {state.get('device')} does not fit one on {before['device']}.")
    try:
        _set_state(generator, state)
    except Exception as error:  # which one depends on the kind of generator, and on what is wrong
        _set_state(generator, before)
        raise ValueError(f"This is not the state of a {before['kind']} generator ({error!r}).") from error


def _set_state(generator: Generator, state: State) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state["state"].cpu())
    elif isinstance(generator, np.random.Generator):
        set_bit_generator_state(generator.bit_generator, state["state"])
    elif state["kind"] == "numpy legacy":
        check_position(np.random.MT19937(0), state["state"])
        generator.set_state(state["state"])  # type: ignore[union-attr]
    else:
        words = tuple(int(word) for word in state["words"])
        gauss = None if state["gauss"] is None else float(state["gauss"])
        generator.setstate((state["version"], words, gauss))  # type: ignore[union-attr]


def global_generators() -> dict[str, Generator]:
    """:return: the generators that everything in this process shares, by name; of CUDA where it is in use"""
    generators: dict[str, Generator] = {"python": random, "numpy": np.random, "torch": torch.default_generator}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        generators |= {f"cuda:{index}": each for index, each in enumerate(torch.cuda.default_generators)}
    return generators


# --- files


def split(state: State) -> tuple[State, dict[str, np.ndarray | torch.Tensor]]:
    """
    :param state: plain
    :return: what goes into JSON, and the arrays by name, as they are
    :raises TypeError: on anything else in it, naming where
    """
    arrays: dict[str, np.ndarray | torch.Tensor] = {}
    return _without_arrays(state, "", arrays), arrays


def _without_arrays(value: Any, path: str, arrays: dict[str, np.ndarray | torch.Tensor]) -> Any:
    if isinstance(value, np.ndarray | torch.Tensor):
        # Names of parts may hold anything, even what UTF-8 does not encode: the number makes them different.
        name = f"{len(arrays)}{path}".encode(errors="backslashreplace").decode()
        arrays[name] = value
        return {_TENSOR if isinstance(value, torch.Tensor) else _ARRAY: name}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"The state has a key {key!r} at {path or '/'}: keys are strings.")
        if value.keys() in _RESERVED:
            raise TypeError(f"The state has a dictionary {dict(value)!r:.100} at {path or '/'}: that key is reserved.")
        return {key: _without_arrays(each, f"{path}/{key}", arrays) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_arrays(each, f"{path}/{index}", arrays) for index, each in enumerate(value)]
    if type(value) is float and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"The state has a {type(value).__name__} at {path}: only plain values and arrays can be saved.")


def joined(values: Any, arrays: Mapping[str, np.ndarray | torch.Tensor]) -> Any:
    """
    :param values: what came out of JSON
    :param arrays: by name, all numpy arrays or all tensors if a file gives them so
    :return: what was split
    """
    if isinstance(values, list):
        return [joined(each, arrays) for each in values]
    if not isinstance(values, dict):
        return values
    if values.keys() == {_ARRAY}:
        return np.asarray(arrays[values[_ARRAY]])
    if values.keys() == {_TENSOR}:
        return torch.as_tensor(arrays[values[_TENSOR]])
    if values.keys() == {_FLOAT}:
        return float(values[_FLOAT])
    return {key: joined(each, arrays) for key, each in values.items()}
