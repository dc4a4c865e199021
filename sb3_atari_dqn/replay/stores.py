"""The places where the frames of a replay buffer may lie, by short name."""

from sb3_atari_dqn.replay.compressed_store import CompressedFrameStore
from sb3_atari_dqn.replay.device_store import DeviceFrameStore
from sb3_atari_dqn.replay.frame_store import FrameStore, HostFrameStore

FRAME_STORES: dict[str, type[FrameStore]] = {
    "memory": HostFrameStore,
    "compressed": CompressedFrameStore,
    "device": DeviceFrameStore,
}


def frame_store(name: str) -> type[FrameStore]:
    """
    :param name: one of `FRAME_STORES`
    :raises ValueError: on another one
    """
    if not isinstance(name, str) or name not in FRAME_STORES:
        raise ValueError(f"Unknown frames={name!r}; known: {', '.join(FRAME_STORES)}.")
    return FRAME_STORES[name]
