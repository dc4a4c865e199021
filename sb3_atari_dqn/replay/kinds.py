"""Replay buffers by short name: which class, with which arguments, an algorithm stores its transitions in."""

import warnings
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.preprocessing import is_image_space

from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.observation_memory import PLAIN
from sb3_atari_dqn.replay.observation_parts import parts_of, spaces_of
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.sb3_buffers import SEEDED
from sb3_atari_dqn.replay.stores import FRAME_STORES, OLD_NAMES
from sb3_atari_dqn.validation import check_known, checked_flag

# Arguments that algorithms pass to every buffer.
_GIVEN = ("self", "buffer_size", "observation_space", "action_space", "device", "n_envs", "optimize_memory_usage")

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)

# SB3's default buffers.
SB3_BUFFERS = (ReplayBuffer, NStepReplayBuffer, DictReplayBuffer)

ReplayChoice = tuple[type[ReplayBuffer], dict[str, Any]]


def uniform(model: Any) -> ReplayChoice:
    """
    Every stored transition is drawn with the same probability.

    Every frame is stored once where that pays or is asked for: images (in dictionaries too), n-step returns of
    dictionaries, which SB3's buffers do not know, `optimize_memory_usage`, or in `replay_buffer_kwargs` a
    `frame_storage`. Anything else is stored as SB3 does. All of these buffers have a random generator of their own;
    with `sb3_sampling=True` in `replay_buffer_kwargs`, they draw what SB3 draws, and SB3's own buffers are taken.

    :param model: the algorithm; read are its observation space, `n_stack`, `stack_axis`, `n_steps`, `gamma`,
        `optimize_memory_usage` and `replay_buffer_kwargs`
    :return: class and keyword arguments
    :raises ValueError: if the buffers do not support the arguments
    """
    parts = spaces_of(model.observation_space)
    pays = any(is_image_space(part) for part in parts.values()) or (PLAIN not in parts and model.n_steps > 1)
    kwargs = dict(model.replay_buffer_kwargs)
    if pays or model.optimize_memory_usage or "frame_storage" in kwargs:
        return frames_once(model, FrameReplayBuffer)
    draws_as_sb3 = checked_flag("sb3_sampling", kwargs.pop("sb3_sampling", False))
    buffer_class, kwargs = _sb3_buffer(model, kwargs)
    return (buffer_class if draws_as_sb3 else SEEDED[buffer_class]), kwargs


def prioritized(model: Any) -> ReplayChoice:
    """
    Transitions are drawn by their TD errors; further arguments `alpha`, `beta`, `final_beta`, `epsilon`.

    :param model: see :func:`uniform`
    :return: class and keyword arguments
    :raises ValueError: on unknown arguments
    """
    return frames_once(model, PrioritizedFrameReplayBuffer)


def frames_once(model: Any, buffer_class: type[FrameReplayBuffer]) -> ReplayChoice:
    """
    :param model: see :func:`uniform`
    :param buffer_class: FrameReplayBuffer or a subclass
    :return: class and keyword arguments
    :raises ValueError: on a space that has no frames, a stack that does not fit, an unknown argument, or an unknown
        frame storage
    """
    of_model = {"n_steps": model.n_steps, "gamma": model.gamma}
    kwargs = {"n_stack": model.n_stack, "stack_axis": model.stack_axis, **of_model, **model.replay_buffer_kwargs}
    known = known_arguments(buffer_class)
    for name in kwargs:
        check_known("argument in replay_buffer_kwargs", name, known)
    if "frame_storage" in kwargs:
        check_known("frame_storage in replay_buffer_kwargs", kwargs["frame_storage"], FRAME_STORES)
    buffer_class.check_numbers(**kwargs)
    _check_same_returns(model, kwargs)
    parts_of(model.observation_space, kwargs["n_stack"], kwargs["stack_axis"])
    return buffer_class, kwargs


def _check_same_returns(model: Any, kwargs: Mapping[str, Any]) -> None:
    """
    The targets of the algorithm take its own n and gamma: a buffer with others would give returns that do not fit.

    A model of SB3's DQN with a buffer class of ours has its n in `replay_buffer_kwargs` only, and 1 for itself.

    :raises ValueError: if `n_steps` or `gamma` of the buffer is not that of the model, or no number
    """
    for name in sorted({"n_steps", "gamma"} & kwargs.keys()):
        FrameReplayBuffer.check_numbers(**{name: kwargs[name]})
        by_class = model.replay_buffer_class is not None and name == "n_steps" and model.n_steps == 1
        if kwargs[name] != getattr(model, name) and not by_class:
            raise ValueError(
                f"{name}={getattr(model, name)!r} and {name}={kwargs[name]!r} in replay_buffer_kwargs differ: give "
                f"{name} to the algorithm only."
            )


def known_arguments(buffer_class: type[ReplayBuffer]) -> set[str]:
    """
    :param buffer_class: its constructor may hand `**kwargs` on to that of the class above it
    :return: names of the arguments that a user may give: all but those that the algorithm gives
    """
    known: set[str] = set()
    for each in buffer_class.__mro__:
        if "__init__" not in vars(each):
            continue
        parameters = signature(each.__init__).parameters.values()  # type: ignore[misc]
        known |= {parameter.name for parameter in parameters if parameter.kind in _NAMED}
        if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return known.difference(_GIVEN, OLD_NAMES)


def sb3(model: Any) -> ReplayChoice:
    """
    What SB3 chooses by itself: its plain, n-step or dictionary buffer; every transition is drawn equally often.

    :param model: the algorithm; read are its observation space, `n_steps`, `gamma`, `optimize_memory_usage` and
        `replay_buffer_kwargs`
    :return: class and keyword arguments
    :raises ValueError: if SB3's buffers do not support the arguments
    """
    return _sb3_buffer(model, dict(model.replay_buffer_kwargs))


def _sb3_buffer(model: Any, kwargs: dict[str, Any]) -> ReplayChoice:
    for name in {"frame_storage", "sb3_sampling"} & kwargs.keys():
        raise ValueError(
            f"{name}={kwargs[name]!r} in replay_buffer_kwargs is for buffers that store each frame once, and SB3's do "
            "not: leave it out, or leave out replay='sb3'."
        )
    is_dict = isinstance(model.observation_space, spaces.Dict)
    if is_dict and model.n_steps > 1:
        raise ValueError(
            f"SB3's buffers do not support n_steps={model.n_steps} with dictionary observations: leave out "
            "replay='sb3', or use n_steps=1."
        )
    if model.optimize_memory_usage:
        _check_memory_optimization(is_dict, model.n_steps, kwargs)
    buffer_class = DictReplayBuffer if is_dict else NStepReplayBuffer if model.n_steps > 1 else ReplayBuffer
    _check_same_returns(model, kwargs)
    kwargs = {name: value for name, value in kwargs.items() if name not in ("n_steps", "gamma")}  # those of the model
    for name in kwargs:
        check_known("argument in replay_buffer_kwargs", name, known_arguments(buffer_class))
    if buffer_class is NStepReplayBuffer:
        kwargs |= {"n_steps": model.n_steps, "gamma": model.gamma}
    return buffer_class, kwargs


def _check_memory_optimization(is_dict: bool, n_steps: int, kwargs: dict[str, Any]) -> None:
    """:raises ValueError: where SB3 cannot leave out the next observations (SB3 #934 for the timeouts)"""
    if is_dict or n_steps > 1:
        trouble = "dictionary observations" if is_dict else f"n_steps={n_steps}"
        raise ValueError(
            f"SB3's optimize_memory_usage=True does not work with {trouble}: leave out replay='sb3', whose limit this "
            "is, or set it to False."
        )
    if kwargs.get("handle_timeout_termination", True):
        raise ValueError(
            "SB3's optimize_memory_usage=True cannot handle timeouts: leave out replay='sb3', whose limit this is, add "
            "replay_buffer_kwargs={'handle_timeout_termination': False}, or set it to False."
        )


def check_own_buffer(buffer_class: Any, kind: str) -> None:
    """
    :param buffer_class: the user's `replay_buffer_class`
    :param kind: the user's `replay`
    :raises ValueError: if it is not a buffer class, or both choose the buffer
    """
    if buffer_class is None:
        return
    if not (isinstance(buffer_class, type) and issubclass(buffer_class, ReplayBuffer)):
        known = ", ".join(REPLAY_KINDS)
        raise ValueError(
            f"replay_buffer_class must be a ReplayBuffer class, got {buffer_class!r}; to name a kind of replay, give "
            f"its short name in replay= ({known})."
        )
    if kind != "uniform":
        raise ValueError(
            f"replay={kind!r} and replay_buffer_class={buffer_class.__name__} both choose the buffer: give "
            "replay='uniform' with a class of your own, or omit the class."
        )


def warn_of_ignored_n_steps(buffer_class: type[ReplayBuffer] | None, n_steps: int) -> None:
    """
    :param buffer_class: the user's `replay_buffer_class`
    :param n_steps: of the return
    """
    if buffer_class is not None and not issubclass(buffer_class, FrameReplayBuffer) and n_steps > 1:
        warnings.warn(
            f"n_steps={n_steps} does not reach replay_buffer_class={buffer_class.__name__}: leave the class out, or "
            "give it what it needs in replay_buffer_kwargs.",
            stacklevel=4,
        )


REPLAY_KINDS: dict[str, Callable[[Any], ReplayChoice]] = {"uniform": uniform, "prioritized": prioritized, "sb3": sb3}
