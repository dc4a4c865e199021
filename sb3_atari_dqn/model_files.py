"""Model zips: written whole or not at all, and opened only by the algorithm that wrote them."""

import io
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from stable_baselines3.common.save_util import json_to_data, open_path
from stable_baselines3.dqn.policies import CnnPolicy as SB3CnnPolicy
from stable_baselines3.dqn.policies import MlpPolicy as SB3MlpPolicy
from stable_baselines3.dqn.policies import MultiInputPolicy as SB3MultiInputPolicy

from sb3_atari_dqn.files import replacing as replacing

ModelPath = str | Path | io.BufferedIOBase


def destination(path: str | Path, suffix: str = "zip") -> Path:
    """
    :param path: where the user wants the file
    :param suffix: of a bare name
    :return: where SB3 would put it: the suffix added to a bare name, "_2" to the name of a folder, links followed;
        folders above it are created
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
    :param path: a zip that SB3 wrote, its ".zip" may be missing
    :param custom_objects: values to take in the place of what the file holds
    :return: the saved attributes of the model, without its weights
    :raises ValueError: if the file is not a model
    """
    file = open_path(path, "r", suffix="zip")
    try:
        with zipfile.ZipFile(file) as archive:
            return dict(json_to_data(archive.read("data").decode(), custom_objects=custom_objects))
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, TypeError) as error:  # json_to_data checks little
        raise ValueError(f"{path} is not a model that Stable-Baselines3 saved (a zip with an entry 'data').") from error
    finally:
        if file is not path:
            file.close()


def is_sb3_dqn(attributes: dict[str, Any]) -> bool:
    """
    :param attributes: what `read_attributes` found in a file
    :return: whether Stable-Baselines3's own DQN saved it, with a policy of its own
    """
    policy = attributes.get("policy_class")
    return "algorithm" not in attributes and policy in (SB3MlpPolicy, SB3CnnPolicy, SB3MultiInputPolicy)


def refuse_foreign(path: ModelPath, attributes: dict[str, Any], algorithm: str) -> None:
    """
    :param attributes: what `read_attributes` found in the file
    :param algorithm: name of the class that wants to load it
    :raises ValueError: if another class saved the file; the message names file, content and way out
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
    :param overrides: names of the arguments given to `load()` to change the model
    :param known: names that mean something to it
    :raises ValueError: on a name that would change nothing
    """
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ValueError(f"{algorithm}.load() knows no argument {', '.join(unknown)}; remove or correct it.")
