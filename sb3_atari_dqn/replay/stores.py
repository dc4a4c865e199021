"""Where a replay buffer keeps its frames, by short name."""

from collections.abc import Mapping
from typing import Any

from sb3_atari_dqn.replay.compressed_store import CompressedFrameStore
from sb3_atari_dqn.replay.device_store import DeviceFrameStore
from sb3_atari_dqn.replay.frame_store import FrameStore, HostFrameStore
from sb3_atari_dqn.validation import renamed

FRAME_STORES: dict[str, type[FrameStore]] = {
    "ram": HostFrameStore,
    "compressed": CompressedFrameStore,
    "device": DeviceFrameStore,
}


# As version 0.1.0 spelled them.
OLD_NAMES, _OLD_VALUES = {"frames": "frame_storage"}, {"frame_storage": {"memory": "ram"}}


def frame_store(name: str) -> type[FrameStore]:
    """
    :param name: one of `FRAME_STORES`
    :raises ValueError: on another one
    """
    if not isinstance(name, str) or name not in FRAME_STORES:
        raise ValueError(f"Unknown frame_storage={name!r}; known: {', '.join(FRAME_STORES)}.")
    return FRAME_STORES[name]


def storage_named(frame_storage: str | None, frames: str | None) -> str:
    """
    :param frame_storage: argument of a buffer; None: not given
    :param frames: its old name; None: not given
    :return: one of `FRAME_STORES`, or what else was given; "ram" if nothing was
    :raises ValueError: if both were given
    """
    given = {"frame_storage": frame_storage, "frames": frames}
    return in_new_spelling({name: value for name, value in given.items() if value is not None}).get(
        "frame_storage", "ram"
    )


def in_new_spelling(options: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param options: of a buffer; version 0.1.0 wrote `frames="memory"` for `frame_storage="ram"`
    :return: a copy that names `frame_storage`; a FutureWarning tells the user to write it so
    :raises ValueError: if the storage is given under both names
    """
    return renamed("replay_buffer_kwargs", options, OLD_NAMES, _OLD_VALUES)
