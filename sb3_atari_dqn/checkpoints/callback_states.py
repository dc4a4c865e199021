"""The states of the callbacks of a training: ours by their own methods, those of SB3 and others by their attributes.

A class of the user's that extends one of ours has both: the state of ours, and the attributes that it adds.
"""

import dis
import functools
import inspect
import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback, EvalCallback, EventCallback

from sb3_atari_dqn.checkpoints.env_attributes import LEFT_OUT, NotPlain, attributes, load_attributes
from sb3_atari_dqn.checkpoints.env_state import env_state, load_env_state
from sb3_atari_dqn.checkpoints.state import State

#: What a callback is given, and what it shows, beside the arguments of its constructor; those inside are asked by
#: themselves.
_NOT_STATE = LEFT_OUT | {
    *("model", "locals", "globals", "parent", "callback", "callbacks", "callback_on_new_best", "eval_env", "pbar"),
    *("_logger", "verbose", "save_path", "log_path", "best_model_save_path"),
}
_PACKAGE = __name__.partition(".")[0]
#: In the state of a callback of ours, what a class of the user's has added.
_ADDED = "added attributes"


def all_callbacks(callback: Any) -> Iterator[BaseCallback]:
    """
    :param callback: as given to learn(): a callback, a list, a function, or None
    :return: each of them and those inside, in the order in which they are called
    """
    if isinstance(callback, list | tuple):
        for each in callback:
            yield from all_callbacks(each)
    elif isinstance(callback, BaseCallback):
        yield callback
        yield from all_callbacks(callback.callbacks if isinstance(callback, CallbackList) else None)
        yield from all_callbacks(callback.callback_on_new_best if isinstance(callback, EvalCallback) else None)
        yield from all_callbacks(callback.callback if isinstance(callback, EventCallback) else None)


def callback_states(callback: Any) -> State:
    """
    :param callback: of a training that runs
    :return: for each one its name, its state, and that of its evaluation environments once they were used; plain
    """
    return {"callbacks": [[_name(each), _state(each), _evaluation(each)] for each in _with_state(callback)]}


def load_callback_states(callback: Any, state: State) -> None:
    """
    :param callback: of the continued training, at its start; callbacks are told apart by class and order
    :param state: from `callback_states`
    """
    saved: dict[str, list[Any]] = defaultdict(list)
    for name, own, evaluation in state["callbacks"]:
        saved[name].append((own, evaluation))
    for each in _with_state(callback):
        if not saved[_name(each)]:
            continue
        own, evaluation = saved[_name(each)].pop(0)
        if own is not None:
            _load(each, own)
        if evaluation is not None:
            load_env_state(each.eval_env, evaluation)  # type: ignore[attr-defined]
    if lost := [name for name, left in saved.items() if any(own and len(own) > 2 for own, _ in left)]:
        warnings.warn(
            f"The run had {', '.join(lost)} among its callbacks, and this training has not: what they counted is lost.",
            stacklevel=3,
        )


def why_lost(callback: Any) -> str | None:
    """:return: which callback cannot be continued, and why, in one line; None if all can be"""
    for each in _with_state(callback):
        try:
            _attributes(each)
        except NotPlain as error:
            return f"{error}: give {_name(each)} state_dict() and load_state_dict()"
    return None


def _with_state(callback: Any) -> Iterator[BaseCallback]:
    return (each for each in all_callbacks(callback) if not isinstance(each, CallbackList | ConvertCallback))


def _left_out(callback: BaseCallback) -> frozenset[str]:
    """:return: names of attributes that are no state: what was given to a constructor may be given anew"""
    arguments = (
        inspect.signature(vars(each)["__init__"]).parameters
        for each in type(callback).__mro__
        if "__init__" in vars(each) and each is not object
    )
    return _NOT_STATE.union(_assigned_by(_with_own_state(callback)), *arguments)


def _with_own_state(callback: BaseCallback) -> type:
    """:return: the class whose state_dict() knows its attributes; without one, the root of all"""
    return next(
        each for each in type(callback).__mro__ if "state_dict" in vars(each) or _is_ours(each) or each is object
    )


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == _PACKAGE


@functools.cache
def _assigned_by(kind: type) -> set[str]:
    """:return: names of the attributes that the methods of a class, and of those that it extends, assign"""
    methods = (each for base in kind.__mro__ for each in vars(base).values() if inspect.isfunction(each))
    return {step.argval for each in methods for step in dis.get_instructions(each) if step.opname == "STORE_ATTR"}


def _attributes(callback: BaseCallback) -> State:
    """
    :return: of a class without state_dict(), all; of one that inherits it from ours, those that it adds; else none
    :raises NotPlain: on one that cannot be saved
    """
    own = _with_own_state(callback)
    is_extended = own is not type(callback) and (own is object or _is_ours(own))
    return attributes(callback, _left_out(callback)) if is_extended else {}


def _name(callback: BaseCallback) -> str:
    return type(callback).__name__


def _state(callback: Any) -> State | None:
    try:
        added = _attributes(callback)
    except NotPlain:  # said at the start of the training
        added = None
    if not hasattr(callback, "state_dict"):
        return added
    return {**callback.state_dict(), _ADDED: added} if added else callback.state_dict()


def _load(callback: Any, state: State) -> None:
    if not hasattr(callback, "load_state_dict"):
        load_attributes(callback, state, _left_out(callback))
        return
    load_attributes(callback, state.get(_ADDED, {}), _left_out(callback))
    callback.load_state_dict({name: value for name, value in state.items() if name != _ADDED})


def _evaluation(callback: BaseCallback) -> State | None:
    """:return: state of the evaluation environment; None: it was not used, and is as it was created"""
    if not isinstance(callback, EvalCallback) or callback.last_mean_reward == -float("inf"):
        return None
    return env_state(callback.eval_env)
