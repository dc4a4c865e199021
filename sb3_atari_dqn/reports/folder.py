"""A folder of files that is there as a whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from sb3_atari_dqn.reports.markdown import FIGURES

NUMBERS, PAGE = "report.json", "report.md"
#: A folder that holds nothing else is replaced by the next report of the same name.
_FILES = {NUMBERS, PAGE, *FIGURES}


def check_folder(path: Path) -> None:
    """
    :param path: folder to be written later; the folder above it is created
    :raises ValueError: if it could not be written, holds other things than a report, or is the working directory
    """
    try:
        place = Path(os.path.realpath(path))
        if place.exists() and not place.is_dir():
            raise ValueError(f"{path} is a file: give another folder with -o")
        if place.is_dir() and (others := {each.name for each in place.iterdir()} - _FILES):
            raise ValueError(f"{path} holds other things than a report ({min(others)}): give another folder with -o")
        if place == Path.cwd():  # a folder is replaced by a new one, and a shell is in the old one
            raise ValueError(f"{path} is the working directory: give another folder with -o")
        place.parent.mkdir(parents=True, exist_ok=True)
        _unfinished(place).rmdir()
    except OSError as error:
        raise _refused(path, error) from error


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """
    :param path: folder; a former report there is replaced when the new one is complete
    :param files: content by name
    :raises ValueError: if it cannot be written; a former report stays then
    """
    place = Path(os.path.realpath(path))
    unfinished: Path | None = None
    try:
        unfinished = _unfinished(place)
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        if place.exists():
            former = place.with_name(f".{place.name}.{secrets.token_hex(4)}.old")
            place.rename(former)
            try:
                unfinished.rename(place)
            except BaseException:  # Ctrl-C too
                former.rename(place)
                raise
            shutil.rmtree(former)
        else:
            unfinished.rename(place)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


def _unfinished(place: Path) -> Path:
    folder = place.with_name(f".{place.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    folder.mkdir()
    return folder


def _refused(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path} cannot be written ({error.strerror or error}): give another folder with -o")
