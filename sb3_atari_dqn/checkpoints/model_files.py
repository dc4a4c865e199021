"""Model zips: written atomically, and opened only by the algorithm that saved them."""

import io
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stable_baselines3.common.save_util import json_to_data, open_path
from stable_baselines3.dqn.policies import CnnPolicy as SB3CnnPolicy
from stable_baselines3.dqn.policies import MlpPolicy as SB3MlpPolicy
from stable_baselines3.dqn.policies import MultiInputPolicy as SB3MultiInputPolicy

from sb3_atari_dqn.files import replacing as replacing

NO_MODEL = "is not a model that Stable-Baselines3 saved (a zip with an entry 'data')."
_CUT = "is damaged: the end of the zip file, with its directory, is missing or corrupt; use another copy."

ModelPath = str | Path | io.BufferedIOBase


def destination(path: str | Path, suffix: str = "zip") -> Path:
    """
    :param path: as passed by the user
    :param suffix: for paths without one
    :return: the path SB3 would save to: adds a missing suffix, adds "_2" to the name of an existing folder, follows
        links; creates parent folders
    """
    path = Path(path)
    if path.suffix == "":
        path = path.with_name(f"{path.name}.{suffix}")
    if path.is_dir():
        warnings.warn(f"Path '{path}' is a folder. Will save instead to {path}_2", stacklevel=4)
        path = Path(f"{path}_2")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def read_attributes(path: ModelPath, custom_objects: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    :param path: of a zip saved by SB3; the ".zip" may be omitted
    :param custom_objects: values that replace those in the file
    :return: the saved attributes of the model, without its weights
    :raises ValueError: if the file is not a model, or is damaged
    :raises FileNotFoundError: if it does not exist
    """
    with _opened(path) as file:
        refuse_damaged(file, name=str(path))
        try:
            with zipfile.ZipFile(file) as archive:
                return dict(json_to_data(archive.read("data").decode(), custom_objects=custom_objects))
        except (KeyError, ValueError, AttributeError, TypeError) as error:  # json_to_data checks little
            raise ValueError(f"{path} {NO_MODEL}") from error


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
    with _opened(source) as file:
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
def _opened(path: ModelPath) -> Iterator[IO[bytes]]:
    """
    :param path: path, with or without ".zip", or a file object, which stays open
    :raises FileNotFoundError: if it does not exist
    :raises ValueError: if it is a folder
    """
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


def is_sb3_dqn(attributes: dict[str, Any]) -> bool:
    """
    :param attributes: from `read_attributes`
    :return: whether Stable-Baselines3's own DQN saved the file, with one of its own policies
    """
    policy = attributes.get("policy_class")
    return "algorithm" not in attributes and policy in (SB3MlpPolicy, SB3CnnPolicy, SB3MultiInputPolicy)


def refuse_foreign(path: ModelPath, attributes: dict[str, Any], algorithm: str) -> None:
    """
    :param attributes: from `read_attributes`
    :param algorithm: name of the class that loads the file
    :raises ValueError: if another class saved the file; the message names the file, its class and the way out
    """
    saved_by = attributes.get("algorithm")
    if saved_by == algorithm:
        return
    if saved_by is not None:
        raise ValueError(f"{path} holds a {saved_by}, not a {algorithm}; load it with {saved_by}.load().")
    policy = attributes.get("policy_class")
    home = getattr(policy, "__module__", "unknown module")
    way_out = "load it with the algorithm that saved it"
    if home == "stable_baselines3.dqn.policies":
        way_out = f"build a {algorithm} with the same policy_kwargs and call set_parameters() on the file"
    name = getattr(policy, "__name__", policy)
    raise ValueError(f"{path} was not saved by {algorithm}: it holds a model with policy {name} of {home}; {way_out}.")


def refuse_unknown(overrides: Collection[str], known: Collection[str], algorithm: str) -> None:
    """
    :param overrides: names of the arguments passed to `load()` to change the model
    :param known: valid names
    :raises ValueError: on a name that would have no effect
    """
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ValueError(f"{algorithm}.load() has no argument {', '.join(unknown)}; remove or correct it.")
