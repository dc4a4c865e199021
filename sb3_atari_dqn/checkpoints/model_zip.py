"""The zips of models: opened, and checked for damage and for what they would unpack to."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from stable_baselines3.common.save_util import open_path

from sb3_atari_dqn.checkpoints.file_limits import check_archive

NO_MODEL = "is not a model that Stable-Baselines3 saved (a zip with an entry 'data')."
_CUT = "is damaged: the end of the zip file, with its directory, is missing or corrupt; use another copy."

ModelPath = str | Path | io.BufferedIOBase


def check_zip(file: IO[bytes], name: str) -> None:
    """
    Check a file before anything in it is unpacked.

    :param file: expected to be a zip
    :param name: of the file, for messages
    :raises UnsafeFile: if it would unpack to too much, or to somewhere else
    :raises ValueError: if it is damaged
    """
    check_limits(file, name)
    refuse_damaged(file, name)


def check_limits(file: IO[bytes], name: str) -> None:
    """See :func:`check_zip`; says nothing about damage."""
    archive = None
    with suppress(zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
        archive = zipfile.ZipFile(file)
    if archive is not None:
        check_archive(archive, name)


def refuse_damaged(source: Any, name: str | None = None) -> None:
    """
    Check a model file for damage, which SB3 always reports as "not a zip file".

    :param source: path or file object; dictionaries are not checked
    :param name: of the file, for the message
    :raises ValueError: if it is not a zip file, or the checksum of an entry does not match
    :raises FileNotFoundError: if it does not exist
    """
    if isinstance(source, dict):
        return
    with opened(source) as file:
        if damage := damage_of(file):
            raise ValueError(f"{name or source} {damage}")


def damage_of(file: IO[bytes]) -> str:
    """
    :param file: expected to be a zip
    :return: description of the damage, a sentence that starts after the file name; empty for an intact zip
    """
    file.seek(0)
    start = file.read(64)
    is_cut = start.startswith(b"PK\x03\x04")  # header of the first entry, followed by its name
    try:
        with zipfile.ZipFile(file) as archive:
            # The state dicts inside a model are zips themselves: a truncated model may end with a complete one.
            names = [entry.filename.encode() for entry in archive.infolist()]
            if is_cut and not any(start.startswith(name, 30) for name in names):
                return _CUT
            damaged = next((entry.filename for entry in archive.infolist() if not _is_whole(archive, entry)), None)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError):  # a damaged directory may raise any of them
        return _CUT if is_cut else NO_MODEL
    finally:
        file.seek(0)
    return "" if damaged is None else f"is damaged: its entry {damaged!r} is corrupt; use another copy."


def _is_whole(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """:return: whether an entry can be read completely and its checksum matches"""
    try:
        with archive.open(entry) as stream:
            while stream.read(1 << 20):
                pass
    except Exception:  # the exception type depends on the damaged byte
        return False
    return True


@contextmanager
def opened(path: ModelPath) -> Iterator[IO[bytes]]:
    """
    :param path: path, with or without ".zip", or a file object, which stays open
    :raises FileNotFoundError: if it does not exist
    :raises ValueError: if it is a folder, a pipe or a device
    """
    if isinstance(path, str | Path):
        _refuse_pipes(path)
    try:
        file = open_path(path, "r", suffix="zip")
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder, not a model: use a .zip file inside it.") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"Neither {path} nor {path}.zip exists: use the path of a saved model.") from error
    try:
        yield file
    finally:
        if file is not path:
            file.close()


def _refuse_pipes(path: str | Path) -> None:
    """They would wait for ever, or never end."""
    for each in (Path(path), Path(f"{path}.zip")):
        if each.exists() and not (each.is_file() or each.is_dir()):
            raise ValueError(f"{each} is a pipe or a device, not a model: use a .zip file.")
