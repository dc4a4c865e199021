"""Model zips: written atomically, and opened only by the algorithm that saved them."""

import base64
import hashlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.save_util import json_to_data
from stable_baselines3.dqn.policies import CnnPolicy as SB3CnnPolicy
from stable_baselines3.dqn.policies import MlpPolicy as SB3MlpPolicy
from stable_baselines3.dqn.policies import MultiInputPolicy as SB3MultiInputPolicy

from sb3_atari_dqn.checkpoints import safe_objects, safe_pickle
from sb3_atari_dqn.checkpoints.allowed_names import UnsafeFile, trusts
from sb3_atari_dqn.checkpoints.file_limits import ValueCount, check_extent, read_entry
from sb3_atari_dqn.checkpoints.model_zip import NO_MODEL as NO_MODEL
from sb3_atari_dqn.checkpoints.model_zip import ModelPath as ModelPath
from sb3_atari_dqn.checkpoints.model_zip import check_zip, opened
from sb3_atari_dqn.checkpoints.model_zip import damage_of as damage_of
from sb3_atari_dqn.checkpoints.model_zip import refuse_damaged as refuse_damaged
from sb3_atari_dqn.checkpoints.safe_weights import check_weights
from sb3_atari_dqn.files import replacing as replacing

_DATA = "data"
_POLICY = "policy.pth"
_SAFE_PART = "attributes.safetensors"
_NOTES = ("_stable_baselines3_version", "system_info.txt")
_WEIGHTS = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*\.pth", re.ASCII)


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


@dataclass(frozen=True)
class SavedModel:
    """
    A model file that has been read.

    :param attributes: of the model, without its weights
    :param archive: the weights, as a zip for SB3's `load`, which needs all `attributes` as `custom_objects`; it then
        unpickles nothing, and sees nothing else of the file
    :param n_weights: numbers in the weights of the policy; None if the file is trusted
    """

    attributes: dict[str, Any]
    archive: io.BytesIO
    n_weights: int | None = None


def read_model(
    path: ModelPath, custom_objects: Mapping[str, Any] | None = None, trust: bool | None = None
) -> SavedModel:
    """
    :param path: of a zip saved by SB3; the ".zip" may be omitted
    :param custom_objects: values that replace those in the file, which are then not read
    :param trust: let the file run code; None: as the environment variable says
    :raises UnsafeFile: if it is not trusted and needs something that is not on our lists; nothing of it has run
    :raises ValueError: if the file is not a model, or is damaged
    :raises FileNotFoundError: if it does not exist
    """
    trusted = trusts(trust)
    with _checked(path, trusted) as archive:
        attributes = _attributes(archive, str(path), custom_objects or {}, trusted)
        weights, n_weights = _weights(archive, str(path), attributes, trusted)
        return SavedModel(attributes, weights, None if trusted else n_weights)


def read_attributes(
    path: ModelPath, custom_objects: Mapping[str, Any] | None = None, trust: bool | None = None
) -> dict[str, Any]:
    """
    :return: the saved attributes of the model, without its weights; parameters and errors: see :func:`read_model`
    """
    trusted = trusts(trust)
    with _checked(path, trusted) as archive:
        return _attributes(archive, str(path), custom_objects or {}, trusted)


def read_weights(path: ModelPath, trust: bool | None = None) -> io.BytesIO:
    """
    :return: the weights, as a zip for SB3's `set_parameters`; parameters and errors: see :func:`read_model`
    """
    trusted = trusts(trust)
    with _checked(path, trusted) as archive:
        return _weights(archive, str(path), {}, trusted)[0]


@contextmanager
def _checked(path: ModelPath, trusted: bool) -> Iterator[zipfile.ZipFile]:
    with opened(path) as file:
        refuse_damaged(file, str(path)) if trusted else check_zip(file, str(path))
        with zipfile.ZipFile(file) as archive:
            yield archive


def _attributes(
    archive: zipfile.ZipFile, path: str, custom_objects: Mapping[str, Any], trusted: bool
) -> dict[str, Any]:
    if _SAFE_PART in archive.namelist():
        attributes = _of_safe_part(archive, path)
    else:
        attributes = _of_data(archive, path, custom_objects, trusted)
    if not isinstance(attributes, dict):
        raise ValueError(f"{path} {NO_MODEL}")
    if isinstance(attributes.get("env"), str) and not trusted:
        raise UnsafeFile(f"{path} is refused: SB3 would make an environment of its attribute env, and import it.")
    return attributes | {key: value for key, value in custom_objects.items() if key in attributes}


def _of_safe_part(archive: zipfile.ZipFile, path: str) -> Any:
    """
    :return: the attributes in our entry; the pickles beside it are for SB3 only
    :raises ValueError: if SB3 would load another model from this file than we do
    """
    name = f"{path} (its entry {_SAFE_PART})"
    found = safe_objects.loads(read_entry(archive, _SAFE_PART), name)
    if not isinstance(found, dict) or found.get("of data") != _digest(archive):
        raise ValueError(f"{name} does not belong to its entry {_DATA}, which was changed: use another copy.")
    return found.get("attributes")


def _digest(archive: zipfile.ZipFile) -> str:
    return hashlib.sha256(read_entry(archive, _DATA)).hexdigest() if _DATA in archive.namelist() else ""


def _of_data(archive: zipfile.ZipFile, path: str, custom_objects: Mapping[str, Any], trusted: bool) -> Any:
    """:return: the attributes in SB3's own entry"""
    try:
        text = read_entry(archive, _DATA).decode()
        if trusted:
            return dict(json_to_data(text, custom_objects=dict(custom_objects)))
        ValueCount(path).add(sum(map(text.count, ",[{")))
        items = check_extent(json.loads(text), path).items()
    except UnsafeFile:
        raise
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:  # json_to_data checks little
        raise ValueError(f"{path} {NO_MODEL}") from error
    count = ValueCount(path)
    return {key: _plain(path, key, item, count) for key, item in items if key not in custom_objects} | {
        key: custom_objects[key] for key, _ in items if key in custom_objects
    }


def _plain(path: str, key: str, item: Any, count: ValueCount) -> Any:
    """:return: an attribute as SB3 writes it into JSON, unpickled safely if it is a pickle"""
    if not (isinstance(item, dict) and ":serialized:" in item):
        return item
    data = base64.b64decode(str(item[":serialized:"]))
    return safe_pickle.loads(data, f"{path} (its attribute {key})", count=count)


def _weights(
    archive: zipfile.ZipFile, path: str, attributes: Mapping[str, Any], trusted: bool
) -> tuple[io.BytesIO, int]:
    """:return: a new zip of what SB3 may read, and how many numbers the policy has in it"""
    copy, n_weights = io.BytesIO(), 0
    with zipfile.ZipFile(copy, "w") as ours:
        ours.writestr(_DATA, json.dumps(dict.fromkeys(attributes)))
        for name in archive.namelist():
            is_weights = name.endswith(".pth")
            if not (is_weights or name in _NOTES):
                continue
            content = read_entry(archive, name)
            if is_weights and not trusted:
                if not _WEIGHTS.fullmatch(name):
                    raise UnsafeFile(f"{path} is refused: its entry {name!r:.80} is not a name of weights.")
                found = check_weights(content, f"{path} (its entry {name})")
                n_weights = found if name == _POLICY else n_weights
            ours.writestr(name, content)
    copy.seek(0)
    return copy, n_weights


def add_safe_part(file: io.BytesIO, attributes: Mapping[str, Any]) -> None:
    """
    Add to a model what loads without unpickling anything. If it holds objects outside of our lists, nothing is added.

    :param file: a zip that SB3 saved
    :param attributes: of the model, those that SB3 left out included
    """
    with zipfile.ZipFile(file) as archive:
        names, digest = json.loads(archive.read(_DATA)), _digest(archive)
    try:
        content = safe_objects.dumps({"attributes": {name: attributes[name] for name in names}, "of data": digest})
    except TypeError:
        _warn_if_unsafe(file)
        return
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(_SAFE_PART, content)


def _warn_if_unsafe(file: io.BytesIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            _of_data(archive, "This model", {}, trusted=False)
    except UnsafeFile as error:
        warnings.warn(f"Loading will need trust=True, or allow(), as the model holds code. {error}", stacklevel=4)


def is_sb3_dqn(attributes: dict[str, Any]) -> bool:
    """
    :param attributes: from `read_attributes`
    :return: whether Stable-Baselines3's own DQN saved the file, with one of its own policies
    """
    policy = attributes.get("policy_class")
    return "algorithm" not in attributes and policy in (SB3MlpPolicy, SB3CnnPolicy, SB3MultiInputPolicy)


class ForeignModel(ValueError):
    """
    Another algorithm of this package saved the model.

    :param path: of the model
    :param saved_by: name of the class that saved it
    :param algorithm: name of the class that loads it
    """

    def __init__(self, path: ModelPath, saved_by: str, algorithm: str) -> None:
        self.saved_by = saved_by
        self.holds = f"{path} holds a {saved_by}, not a {algorithm}"
        super().__init__(f"{self.holds}; load it with {saved_by}.load().")


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
        raise ForeignModel(path, saved_by, algorithm)
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
