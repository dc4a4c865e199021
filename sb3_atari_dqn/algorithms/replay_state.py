"""The state of any replay buffer: ours by its own methods, SB3's by their arrays."""

from collections.abc import Iterable
from typing import Any

from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_atari_dqn.checkpoints.frame_files import FrameSource
from sb3_atari_dqn.checkpoints.state import check_form, check_sizes
from sb3_atari_dqn.replay.sb3_buffers import stored_arrays
from sb3_atari_dqn.replay.state import FrameChunk

_SB3S = (ReplayBuffer, DictReplayBuffer, NStepReplayBuffer)
_OWNER = "replay memory"


def obstacle(buffer_class: type[ReplayBuffer]) -> str | None:
    """:return: why buffers of a class cannot be saved, in one line; None if they can be"""
    if buffer_class in _SB3S or hasattr(buffer_class, "state_dict"):
        return None
    return f"{buffer_class.__name__} gives no state: add state_dict() and load_state_dict()"


def buffer_state(buffer: Any) -> dict[str, Any]:
    """
    :param buffer: one of ours, one of SB3's, or of any class with `state_dict`
    :return: its state, plain; of our frame buffers without the frames in the ring, see :func:`frame_source`
    :raises TypeError: on any other class
    """
    if hasattr(buffer, "state_dict"):
        return buffer.state_dict()
    if reason := obstacle(type(buffer)):
        raise TypeError(reason)
    filled = buffer.size()
    arrays = {name: array[:filled].copy() for name, array in stored_arrays(buffer).items()}
    return {"slots": buffer.buffer_size, "pos": buffer.pos, "full": buffer.full, "arrays": arrays}


def load_buffer_state(buffer: Any, state: dict[str, Any]) -> None:
    """
    :param buffer: built with the same arguments
    :param state: from `buffer_state`
    :raises ValueError: if it does not fit
    """
    if hasattr(buffer, "load_state_dict"):
        buffer.load_state_dict(state)
        return
    own = stored_arrays(buffer)
    check_form(state, {"slots": 0, "pos": 0, "full": False, "arrays": own}, _OWNER)
    filled = state["slots"] if state["full"] else state["pos"]
    check_sizes(state["arrays"], {name: array[:filled] for name, array in own.items()}, _OWNER)
    for name, array in own.items():
        array[:filled] = state["arrays"][name]
    buffer.pos, buffer.full = state["pos"], state["full"]


def frame_source(buffer: Any) -> FrameSource | None:
    """:return: the frames that are not in the state; None if it holds everything"""
    if not hasattr(buffer, "frames_since"):
        return None
    oldest = buffer.memory.oldest_frames(buffer.size()) if buffer.size() else {}
    return FrameSource(buffer.frames_since, min(oldest.values(), default=0), buffer.memory.steps)


def load_frames(buffer: Any, chunks: Iterable[Any]) -> None:
    """
    :param buffer: whose state was loaded
    :param chunks: from :func:`frame_source`, oldest first
    """
    for chunk in chunks:
        buffer.load_frames(FrameChunk(*chunk))
