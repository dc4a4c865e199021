"""The manifest of a checkpoint: what belongs to it, with sizes and checksums, sealed with a checksum of its own."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from sb3_atari_dqn.checkpoints.brief import brief

FORMAT = "sb3_atari_dqn checkpoint"
VERSION = 1
NAME = "manifest.json"

#: Largest manifest and JSON file in bytes: what JSON describes takes many times its size in memory.
LARGEST_JSON = 16 << 20
#: Largest content of a file of frames in bytes.
LARGEST_FRAMES = 128 << 20

_PACKAGES = ("sb3-atari-dqn", "stable-baselines3", "gymnasium", "torch", "numpy")

PART_NAME = re.compile(r"(?!manifest$)[a-z][a-z0-9_]{0,63}", re.ASCII)
FRAMES_NAME = re.compile(r"\d{1,19}-\d{1,19}-[0-9a-f]{16}\.safetensors\.zst", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

# The end of every manifest, of whatever version: the checksum of all bytes before it.
_SEAL, _SEALED = b' "sha256": "', b'"\n}\n'


class OtherFormat(ValueError):
    """
    :param found: version of the format
    :param writer: the package that wrote it
    """

    def __init__(self, found: int, writer: str) -> None:
        super().__init__(
            f"has version {found} of the checkpoint format, and this installation reads version {VERSION}: use "
            f"{writer}, which wrote it"
        )


@dataclass(frozen=True)
class FileEntry:
    """
    :param size: in bytes
    :param sha256: of its bytes, in hexadecimal
    """

    size: int
    sha256: str


@dataclass(frozen=True)
class FramesEntry(FileEntry):
    """
    :param name: of a file in the folder of frames
    :param raw_size: of its content in bytes
    :param first: vector step of its oldest frame
    :param last: of its newest one
    """

    name: str
    raw_size: int
    first: int
    last: int


@dataclass(frozen=True)
class PartEntry:
    """
    :param json: the file of plain values
    :param arrays: the safetensors file
    """

    json: FileEntry
    arrays: FileEntry


@dataclass(frozen=True)
class Manifest:
    """
    :param number: counts the checkpoints of a folder
    :param step: of the training, as its caller counts
    :param meta: what the caller wants to know before it loads anything; plain values
    :param parts: by name
    :param frames: oldest first
    :param frames_end: vector steps stored when the frames were written
    :param versions: of the packages that wrote it
    """

    number: int
    step: int
    meta: dict[str, Any]
    parts: dict[str, PartEntry]
    frames: tuple[FramesEntry, ...] = ()
    frames_end: int = 0
    versions: dict[str, str] = field(default_factory=lambda: installed_versions())

    def to_bytes(self) -> bytes:
        """
        :return: the file
        :raises ValueError: if it would be too large to be read again
        """
        values = {"format": FORMAT, "format_version": VERSION, **asdict(self)}
        text = json.dumps(values, indent=1, allow_nan=False).removesuffix("\n}") + ",\n"
        sealed = text.encode() + _SEAL
        whole = sealed + hashlib.sha256(sealed).hexdigest().encode() + _SEALED
        if len(whole) > LARGEST_JSON:
            raise ValueError(
                f"The manifest would take {len(whole):,} bytes; {LARGEST_JSON:,} can be read: shorten meta."
            )
        return whole

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """
        :param data: of the file
        :raises OtherFormat: if another version of the format wrote it
        :raises ValueError: saying what is wrong with it
        """
        _check_seal(data)
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is not valid JSON ({error})") from error
        _check(isinstance(values, dict) and values.get("format") == FORMAT, f"its format is not {FORMAT}")
        found = values.get("format_version")
        if type(found) is int and found != VERSION:
            raise OtherFormat(found, _name_of_writer(values))
        _check(found == VERSION and type(found) is int, f"its format version is {brief(found, 100)}")
        return _manifest(values)


def installed_versions() -> dict[str, str]:
    """:return: of the packages on which the content of a checkpoint depends"""
    versions = {"python": python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # a checkout on the path
            versions[name] = "unknown"
    return versions


def _name_of_writer(values: Mapping[str, Any]) -> str:
    versions = values.get("versions")
    known = versions.get(_PACKAGES[0]) if isinstance(versions, dict) else None
    return f"{_PACKAGES[0]} {known}" if isinstance(known, str) else f"the version of {_PACKAGES[0]}"


def _check_seal(data: bytes) -> None:
    end = len(data) - len(_SEALED) - 64
    whole = end > len(_SEAL) and data.endswith(_SEALED) and data[:end].endswith(_SEAL)
    _check(whole, "its end is missing")
    matches = hashlib.sha256(data[:end]).hexdigest().encode() == data[end : end + 64]
    _check(matches, "its checksum does not match")


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _manifest(values: Mapping[str, Any]) -> Manifest:
    meta, parts, frames, versions = (values.get(name) for name in ("meta", "parts", "frames", "versions"))
    _check(isinstance(meta, dict) and isinstance(versions, dict), "it has no meta or no versions")
    _check(isinstance(parts, dict) and isinstance(frames, list), "it lists no parts or no frames")
    return Manifest(
        number=_count(values, "number"),
        step=_count(values, "step"),
        meta=meta,  # type: ignore[arg-type]
        parts={_name(name, PART_NAME): _part(entry) for name, entry in parts.items()},  # type: ignore[union-attr]
        frames=tuple(_frames(entry) for entry in frames),  # type: ignore[union-attr]
        frames_end=_count(values, "frames_end"),
        versions=versions,  # type: ignore[arg-type]
    )


def _count(values: Any, name: str) -> int:
    value = values.get(name) if isinstance(values, dict) else None
    _check(type(value) is int and 0 <= value < 1 << 63, f"its {name} is {value!r}, not a count")
    return value  # type: ignore[return-value]


def _name(name: Any, pattern: re.Pattern) -> str:
    _check(isinstance(name, str) and pattern.fullmatch(name) is not None, f"it has the file name {brief(name, 100)}")
    return name


def _digest(values: Mapping[str, Any]) -> str:
    digest = values.get("sha256")
    _check(isinstance(digest, str) and _SHA256.fullmatch(digest) is not None, f"it has the checksum {brief(digest)}")
    return digest  # type: ignore[return-value]


def _file(values: Any, largest: int | None = None) -> FileEntry:
    size = _count(values, "size")
    _check(largest is None or size <= largest, f"it has a file of {size:,} bytes, where {largest or 0:,} are allowed")
    return FileEntry(size, _digest(values))


def _part(values: Any) -> PartEntry:
    _check(isinstance(values, dict), "it has a part without files")
    return PartEntry(_file(values.get("json"), LARGEST_JSON), _file(values.get("arrays")))


def _frames(values: Any) -> FramesEntry:
    file, raw_size = _file(values, 2 * LARGEST_FRAMES), _count(values, "raw_size")
    allowed = raw_size <= LARGEST_FRAMES
    _check(allowed, f"it has frames that unpack to {raw_size:,} bytes, where {LARGEST_FRAMES:,} are allowed")
    steps = _count(values, "first"), _count(values, "last")
    return FramesEntry(file.size, file.sha256, _name(values.get("name"), FRAMES_NAME), raw_size, *steps)
