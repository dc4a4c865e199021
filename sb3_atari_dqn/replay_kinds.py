"""Replay buffers by short name: which class, with which arguments, an algorithm stores its transitions in."""

from collections.abc import Callable
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

ReplayChoice = tuple[type[ReplayBuffer], dict[str, Any]]


def uniform(model: Any) -> ReplayChoice:
    """
    What SB3 chooses by itself: every stored transition is drawn with the same probability.

    :param model: the algorithm; read are its observation space, `n_steps`, `gamma`, `optimize_memory_usage` and
        `replay_buffer_kwargs`
    :return: class and keyword arguments
    :raises ValueError: where SB3's buffers cannot do what is asked
    """
    kwargs = dict(model.replay_buffer_kwargs)
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


REPLAY_KINDS: dict[str, Callable[[Any], ReplayChoice]] = {"uniform": uniform}
