"""Sizes and names inside files, checked before anything is unpacked."""

import math
import re
import stat
import zipfile
from collections import deque
from typing import Any, BinaryIO, cast

import numpy as np
import psutil

from sb3_atari_dqn.checkpoints.allowed_names import UnsafeFile

#: What a zip may unpack to: this many bytes whatever its size, or its size times the ratio. Weights hardly compress.
UNPACKED_BYTES = 64 << 20
UNPACKED_RATIO = 100
_MOST_ENTRIES = 10_000
#: Values that a file holds, and those that it stands for: references make a short file stand for a long one ("billion
#: laughs"). A replay buffer of SB3 may hold a million dictionaries.
_MOST_VALUES = 4_000_000
_LARGEST_EXTENT = 8_000_000
_DEEPEST = 100
_PIECE = 1 << 20

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others take their memory from the file
_ENCRYPTED = 1


def check_archive(archive: zipfile.ZipFile, name: str, max_bytes: float = math.inf) -> None:
    """
    :param archive: open for reading
    :param name: for the message
    :param max_bytes: of all its entries
    :raises UnsafeFile: if it unpacks to too much, or an entry's name leads out of a folder, or exists twice
    """
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise UnsafeFile(f"{name} is refused: it has {len(entries):,} entries, and {_MOST_ENTRIES:,} are allowed.")
    seen: set[str] = set()
    for entry in entries:
        if problem := _problem(entry, seen):
            raise UnsafeFile(f"{name} is refused: its entry {entry.filename!r:.80} {problem}.")
        seen.add(entry.filename.lower())
    check_unpacked_size(sum(entry.file_size for entry in entries), _size(archive), name, max_bytes)


def check_unpacked_size(unpacked: int, packed: int, name: str, max_bytes: float = math.inf) -> None:
    """
    :param unpacked: bytes
    :param packed: bytes
    :param name: of the file, for the message
    :param max_bytes: to unpack
    :raises UnsafeFile: if they are too many for its size, or for the memory that is left
    """
    allowed = min(max(UNPACKED_BYTES, UNPACKED_RATIO * packed), max_bytes, psutil.virtual_memory().available)
    if unpacked > allowed:
        raise UnsafeFile(
            f"{name} is refused: {packed:,} bytes would unpack to {unpacked:,}, and {int(allowed):,} are allowed here."
        )


def _problem(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    """:return: the rest of the sentence, empty if there is none"""
    path = entry.orig_filename
    if re.search(r"[\\:\x00]", path) or path.startswith("/") or ".." in path.split("/"):
        return "leads out of the folder that it would be unpacked to"
    if entry.filename.lower() in seen:  # torch finds names whatever their case
        return "is there twice"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a symbolic link"
    if entry.compress_type not in _METHODS or entry.flag_bits & _ENCRYPTED:
        return "is compressed or encrypted in another way than SB3 does it"
    return ""


def _size(archive: zipfile.ZipFile) -> int:
    file = cast(BinaryIO, archive.fp)
    before = file.tell()
    size = file.seek(0, 2)
    file.seek(before)
    return size


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """
    :param archive: checked
    :param name: of an entry
    :return: its content, never more than its directory says; `ZipFile.read` may unpack more before it cuts it off
    """
    pieces = []
    with archive.open(name) as stream:
        while piece := stream.read(_PIECE):
            pieces.append(piece)
    return b"".join(pieces)


class ValueCount:
    """
    Counts values while they are read: one byte of a file can stand for an object of 200.

    :param name: of the file, for the message
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def add(self, count: int) -> None:
        """:raises UnsafeFile: if they are too many"""
        self._count += count
        if self._count > _MOST_VALUES:
            raise UnsafeFile(f"{self._name} is refused: it stands for more than {_MOST_VALUES:,} values.")


def check_extent(value: Any, name: str) -> Any:
    """
    :param value: that came out of a file
    :param name: of the file, and where in it
    :return: the value
    :raises UnsafeFile: if it is nested too deeply, contains itself, or holds too many values
    """
    if _count(value, {}, 0) > _LARGEST_EXTENT:
        raise UnsafeFile(f"{name} is refused: it stands for more than {_LARGEST_EXTENT:,} values.")
    return value


def _count(value: Any, known: dict[int, float], depth: int) -> float:
    """:return: number of values in a value, counting those that are shared each time"""
    children = _children(value)
    if not children:
        return 1
    if id(value) in known:  # infinite while it is being counted: it contains itself
        return known[id(value)]
    if depth > _DEEPEST:
        return math.inf
    known[id(value)] = math.inf
    known[id(value)] = 1 + sum(_count(child, known, depth + 1) for child in children)
    return known[id(value)]


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    if isinstance(value, np.ndarray):
        return list(value.flat) if value.dtype == object else []
    return list(getattr(value, "__dict__", {}).values()) if not isinstance(value, type) else []
