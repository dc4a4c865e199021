"""What a run was trained with, for those who play it: its command line and its hyperparameters."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sb3_atari_dqn.checkpoints.allowed_names import UnsafeFile
from sb3_atari_dqn.validation import as_int
from sb3_atari_dqn.zoo.plain_yaml import refused
from sb3_atari_dqn.zoo.run_files import evaluated_normalize, read_args, read_config


@contextmanager
def reading(complaint: str) -> Iterator[None]:
    """
    Convert any error of the enclosed code to a ValueError, as damaged files may raise anything.

    :param complaint: start of the message
    :raises ValueError: instead of any other error; one about an unsafe file stays
    """
    try:
        yield
    except UnsafeFile:
        raise
    except Exception as error:
        raise ValueError(f"{complaint} ({type(error).__name__}: {error})") from error


def read_command_line(folder: Path, trust: bool) -> dict[str, Any]:
    """
    :param folder: of the run
    :param trust: let the file run code
    :return: arguments of the training run, including env and algo
    :raises ValueError: if the folder is not a run folder, or is damaged
    """
    found = sorted(folder.glob("*/args.yml"))
    if len(found) != 1:
        runs = sorted(str(path.parent.parent.relative_to(folder)) for path in folder.glob("*/*/args.yml"))
        inside = f"but contains some: pass {' or '.join(runs)}" if runs else "it does not contain ENVIRONMENT/args.yml"
        raise ValueError(f"{folder} is not a run folder of the zoo, {inside}")
    with reading(f"{found[0]} is damaged, pass another run"):
        args = {"gym_packages": None, "env_kwargs": None, **read_args(found[0], trust)}
        _check_types(args, {"env": str, "algo": str, "gym_packages": list | None, "env_kwargs": dict | None})
        return args


def read_hyperparams(settings: Path, trust: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    :param settings: folder of the configuration
    :param trust: let the file run code
    :return: hyperparameters as the zoo's `get_saved_hyperparams` gives them, and the arguments of the environment
    :raises ValueError: if the file is missing or damaged
    """
    path = settings / "config.yml"
    if not path.is_file():
        raise ValueError(f"{settings} has no config.yml, so its environment cannot be created: pass another run")
    with reading(f"{path} is damaged, pass another run"):
        hyperparams = {"env_kwargs": None, "monitor_kwargs": None, "normalize": False, **read_config(path, trust)}
        if normalize := evaluated_normalize(hyperparams, path, trust):
            given = normalize if isinstance(normalize, dict) else {"norm_obs": normalize}
            hyperparams["normalize_kwargs"] = {**given, "norm_reward": False}
        _check_types(hyperparams, {"env_kwargs": dict | None, "monitor_kwargs": dict | str | None})
        env_kwargs = hyperparams.pop("env_kwargs") or {}
        monitor = hyperparams["monitor_kwargs"]
        if isinstance(monitor, dict):
            _check_types({"info_keywords": None, **monitor}, {"info_keywords": list | tuple | None})
        if (stack := hyperparams.get("frame_stack")) is not None:
            as_int("frame_stack", stack, 1)
    return hyperparams, env_kwargs


def import_packages(folder: Path, names: list[str], trust: bool) -> None:
    """
    :param folder: of the run
    :param names: modules that register environments
    :param trust: import them
    :raises UnsafeFile: if there are some, and they are not trusted
    :raises ValueError: if a package from the training run is not installed
    """
    for name in names:
        if not trust:
            raise refused(f"{folder} (gym_packages in args.yml)", str(name))
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"the run was trained with --gym-packages {name}: install this package ({error})"
            ) from error


def _check_types(settings: dict[str, Any], wanted: dict[str, Any]) -> None:
    """
    :param settings: possibly edited by hand
    :param wanted: type of each setting
    :raises ValueError: on a wrong type, or a missing setting
    """
    for key, kind in wanted.items():
        if key not in settings:
            raise ValueError(f"{key} is missing")
        if not isinstance(settings[key], kind):
            name = "a string" if kind is str else "a mapping" if kind in (dict | None, dict | str | None) else "a list"
            raise ValueError(f"{key} must be {name}, got {settings[key]!r}")
