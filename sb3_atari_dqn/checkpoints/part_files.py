"""The parts of a checkpoint: plain values as JSON, arrays as safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_atari_dqn.checkpoints import tensors
from sb3_atari_dqn.checkpoints.manifest import LARGEST_JSON, PART_NAME, FileEntry, PartEntry
from sb3_atari_dqn.checkpoints.state import State, split
from sb3_atari_dqn.checkpoints.storage import write_pieces


def prepared(step: int, states: Mapping[str, State]) -> dict[str, tuple[bytes, dict[str, tensors.Array]]]:
    """:return: of each part JSON and arrays; whatever does not fit is refused before anything is written"""
    if type(step) is not int or step < 0:
        raise ValueError(f"step={step!r} must be a whole number of steps, 0 or more.")
    parts = {}
    for name, state in states.items():
        if not PART_NAME.fullmatch(name):
            raise ValueError(f"A part cannot be named {name!r}: use small letters, digits and underscores.")
        values, arrays = split({name: state})
        for array_name, array in arrays.items():
            tensors.type_of(array_name, array)
        try:
            text = json.dumps(values[name], allow_nan=False, separators=(",", ":")).encode()
        except ValueError as error:  # an integer of more digits than Python reads
            raise ValueError(f"The state of {name} cannot be written: {error}.") from error
        if len(text) > LARGEST_JSON:
            raise ValueError(
                f"The plain values of {name} take {len(text):,} bytes, and {LARGEST_JSON:,} can be read: use arrays."
            )
        parts[name] = text, arrays
    return parts


def write_part(folder: Path, name: str, text: bytes, arrays: dict[str, tensors.Array]) -> PartEntry:
    return PartEntry(
        write_file(folder / f"{name}.json", [text]),
        write_file(folder / f"{name}.safetensors", tensors.pieces(arrays)),
    )


def write_file(path: Path, pieces: Any) -> FileEntry:
    """No temporary name: the folder has one."""
    with open(path, "xb") as file:
        return write_pieces(file, pieces)
