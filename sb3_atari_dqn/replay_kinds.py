"""Replay buffers by short name: which class, with which arguments, an algorithm stores its transitions in."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecFrameStack

from sb3_atari_dqn.arguments import check_known, whole_number
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer, stack_axis
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.stacks import StackShape
from sb3_atari_dqn.replay.stores import FRAME_STORES

ReplayChoice = tuple[type[ReplayBuffer], dict[str, Any]]


def frames_per_stack(env: VecEnv) -> int:
    """
    :param env: the training environment
    :return: frames that its VecFrameStack puts into an observation, or its own `n_stack` where it stacks by itself; 1
        without either, which is right for any environment and costs memory where something else stacks
    """
    inner: Any = env
    while isinstance(inner, VecEnvWrapper):
        if isinstance(inner, VecFrameStack):
            return inner.stacked_obs.n_stack
        inner = inner.venv
    return getattr(inner, "n_stack", 1)


def uniform(model: Any) -> ReplayChoice:
    """
    Every stored transition is drawn with the same probability; of images, every frame is stored once. So it is of other
    observations if `replay_buffer_kwargs` say where the frames lie (`frames`).

    :param model: the algorithm; read are its observation space, `n_stack`, `n_steps`, `gamma`, `optimize_memory_usage`
        and `replay_buffer_kwargs`
    :return: class and keyword arguments
    :raises ValueError: where the buffers cannot do what is asked
    """
    wants_frames = is_image_space(model.observation_space) or "frames" in model.replay_buffer_kwargs
    if model.optimize_memory_usage or not wants_frames:
        return sb3(model)
    return frames_once(model, FrameReplayBuffer)


def prioritized(model: Any) -> ReplayChoice:
    """
    Transitions are drawn by their TD errors; further arguments `alpha`, `beta`, `final_beta`, `epsilon`.

    :param model: see :func:`uniform`
    :return: class and keyword arguments
    :raises ValueError: on dictionary observations and on arguments that the buffer does not know
    """
    if model.optimize_memory_usage:
        raise ValueError("replay='prioritized' stores each frame once already: leave out optimize_memory_usage=True.")
    return frames_once(model, PrioritizedFrameReplayBuffer)


def frames_once(model: Any, buffer_class: type[FrameReplayBuffer]) -> ReplayChoice:
    """
    :param model: see :func:`uniform`
    :param buffer_class: a buffer of ours
    :return: class and keyword arguments
    :raises ValueError: on observations that are no Box, a stack that does not fit them, an unknown argument, or an
        unknown place for the frames
    """
    space = model.observation_space
    if not isinstance(space, spaces.Box):
        raise ValueError(f"{buffer_class.__name__} needs Box observations, got {space}; use replay='sb3'.")
    kwargs = {"n_stack": model.n_stack, "n_steps": model.n_steps, "gamma": model.gamma, **model.replay_buffer_kwargs}
    known = list(signature(buffer_class.__init__).parameters)[7:]  # the algorithm gives those before
    for name in kwargs:
        check_known("argument in replay_buffer_kwargs", name, known)
    if "frames" in kwargs:
        check_known("frames in replay_buffer_kwargs", kwargs["frames"], FRAME_STORES)
    buffer_class.check_numbers(**kwargs)
    StackShape(tuple(space.shape), whole_number("n_stack", kwargs["n_stack"], 1), stack_axis(space))
    return buffer_class, kwargs


def sb3(model: Any) -> ReplayChoice:
    """
    What SB3 chooses by itself: its plain, n-step or dictionary buffer; every transition is drawn equally often.

    :param model: the algorithm; read are its observation space, `n_steps`, `gamma`, `optimize_memory_usage` and
        `replay_buffer_kwargs`
    :return: class and keyword arguments
    :raises ValueError: where SB3's buffers cannot do what is asked
    """
    kwargs = dict(model.replay_buffer_kwargs)
    if "frames" in kwargs:
        raise ValueError(
            f"frames={kwargs['frames']!r} in replay_buffer_kwargs is for buffers that store each frame once, and SB3's "
            "do not: leave it out, or leave out what chooses SB3's (replay='sb3', optimize_memory_usage=True)."
        )
    is_dict = isinstance(model.observation_space, spaces.Dict)
    if is_dict and model.n_steps > 1:
        raise ValueError(f"n_steps={model.n_steps} is not supported with dictionary observations; use n_steps=1.")
    if model.optimize_memory_usage:
        _check_memory_optimization(is_dict, model.n_steps, kwargs)
    if is_dict:
        return DictReplayBuffer, kwargs
    if model.n_steps > 1:
        return NStepReplayBuffer, {**kwargs, "n_steps": model.n_steps, "gamma": model.gamma}
    return ReplayBuffer, kwargs


def _check_memory_optimization(is_dict: bool, n_steps: int, kwargs: dict[str, Any]) -> None:
    """:raises ValueError: where SB3 cannot leave out the next observations (SB3 #934 for the timeouts)"""
    if is_dict or n_steps > 1:
        raise ValueError(
            f"optimize_memory_usage=True works neither with dictionary observations nor with n_steps={n_steps} > 1; "
            "set it to False."
        )
    if kwargs.get("handle_timeout_termination", True):
        raise ValueError(
            "optimize_memory_usage=True cannot handle timeouts; add "
            "replay_buffer_kwargs={'handle_timeout_termination': False} or set it to False."
        )


def check_own_buffer(buffer_class: Any, kind: str) -> None:
    """
    :param buffer_class: what the user gave as `replay_buffer_class`
    :param kind: what stands in `replay`
    :raises ValueError: if it is no buffer class, or both choose the buffer
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
        raise ValueError(f"replay={kind!r} and replay_buffer_class={buffer_class.__name__} both choose; give one.")


REPLAY_KINDS: dict[str, Callable[[Any], ReplayChoice]] = {"uniform": uniform, "prioritized": prioritized, "sb3": sb3}
