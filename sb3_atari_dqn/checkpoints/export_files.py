"""The folder of an exported model: config.json names every other file with its size and checksum. No pickle."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sb3_atari_dqn.checkpoints import storage, tensors
from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.manifest import FileEntry, installed_versions
from sb3_atari_dqn.files import LONGEST_NAME

FORMAT, VERSION = "sb3_atari_dqn export", 1

CONFIG, MODEL, TRAINING, ONNX = "config.json", "model.safetensors", "training.safetensors", "model.onnx"
#: All names that a folder may have.
FILES = (CONFIG, MODEL, TRAINING, ONNX)

#: Largest config.json in bytes.
LARGEST_CONFIG = 1 << 20


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """
    Write into a folder of another name, which is renamed at the end: what has the final name is complete.

    :param folder: that will exist; its parents are created
    :raises ValueError: if there is something of this name that is not an empty folder
    """
    check_free(folder)
    target = Path(os.path.abspath(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    name = target.name if len(os.fsencode(target.name)) <= LONGEST_NAME else "export"
    unfinished = target.parent / f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    unfinished.mkdir()
    try:
        yield unfinished
        storage.sync_folder(unfinished)
        check_free(folder)
        if os.name != "posix" and target.is_dir():  # Windows does not rename over an empty folder
            target.rmdir()
        unfinished.rename(target)
        storage.sync_folder(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_free(folder: Path) -> None:
    """:raises ValueError: if there is something of this name that is not an empty folder"""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} exists: remove it, or choose another name for the export.")


def write(folder: Path, config: dict[str, Any], arrays: Mapping[str, dict[str, tensors.Array]]) -> None:
    """
    :param folder: empty, but for a file of ONNX
    :param config: plain values for JSON
    :param arrays: by the name of their file
    :raises ValueError: if config.json would be too large to be read again
    """
    entries: dict[str, FileEntry] = {}
    for name, each in arrays.items():
        with open(folder / name, "xb") as file:
            entries[name] = storage.write_pieces(file, tensors.pieces(each))
    if (folder / ONNX).exists():
        content = (folder / ONNX).read_bytes()
        with open(folder / ONNX, "wb") as file:
            entries[ONNX] = storage.write_pieces(file, [content])
    head = {"format": FORMAT, "format_version": VERSION}
    files = {name: asdict(entry) for name, entry in entries.items()}
    whole = {**head, **config, "versions": installed_versions(), "files": files}
    text = json.dumps(whole, indent=1, allow_nan=False).encode() + b"\n"
    if len(text) > LARGEST_CONFIG:
        raise ValueError(f"{CONFIG} would have {len(text):,} bytes, where {LARGEST_CONFIG:,} can be read again.")
    with open(folder / CONFIG, "xb") as file:
        storage.write_pieces(file, [text])


def read_config(folder: Path) -> dict[str, Any]:
    """
    :param folder: of an exported model
    :return: content of config.json; `files` by name
    :raises ValueError: if it is damaged, of another format or version, or names files that no export has
    """
    path = folder / CONFIG
    if not path.exists():
        raise ValueError(f"{folder} is not an exported model: it has no {CONFIG}. Write one with export().")
    try:
        config = json.loads(storage.read_bounded(path, LARGEST_CONFIG), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, storage.UnreadableCheckpoint):
            raise
        raise ValueError(f"{path} is damaged: it is not JSON ({error}).") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{path} is not that of an exported model of this package.")
    if config.get("format_version") != VERSION:
        raise ValueError(
            f"{path} has version {brief(config.get('format_version'), 40)} of the format, and this installation reads "
            f"version {VERSION}: use the version of the package that wrote it, {brief(config.get('versions'), 200)}."
        )
    config["files"] = _entries(path, config.get("files"))
    return config


def _entries(path: Path, files: Any) -> dict[str, FileEntry]:
    if not isinstance(files, dict):
        raise ValueError(f"{path} is damaged: it has no list of files.")
    entries = {}
    for name, entry in files.items():
        if name not in FILES[1:]:
            raise ValueError(f"{path} names a file {brief(name, 100)}; an export has only {', '.join(FILES)}.")
        is_entry = isinstance(entry, dict) and entry.keys() == {"size", "sha256"}
        if not is_entry or type(entry["size"]) is not int or not isinstance(entry["sha256"], str):
            raise ValueError(f"{path} is damaged: it does not give size and sha256 of {name}.")
        entries[name] = FileEntry(entry["size"], entry["sha256"])
    if MODEL not in entries:
        raise ValueError(f"{path} is damaged: it does not name {MODEL}.")
    return entries


def read_arrays(folder: Path, entry: FileEntry, name: str) -> dict[str, torch.Tensor]:
    """
    :param folder: of an exported model
    :param entry: what the file must be
    :param name: of the file
    :raises ValueError: if it has another size or checksum, or is no safetensors file
    :raises MemoryError: if it does not fit into what is left
    """
    data = storage.read_checked(folder / name, entry)
    try:
        return tensors.load(data)
    except ValueError as error:
        raise ValueError(f"{folder / name} is damaged: {error}.") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the constant {name} is not JSON")
