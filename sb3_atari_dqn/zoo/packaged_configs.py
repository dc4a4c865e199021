"""Packaged YAML configurations: one per algorithm, and profiles for different hardware."""

from pathlib import Path

import sb3_atari_dqn


def config_path(algo: str) -> Path:
    """Path of the packaged configuration of an algorithm.

    :param algo: zoo name of one of our algorithms
    :return: the YAML file, in the installed package or next to it in a source checkout
    :raises FileNotFoundError: if the install is damaged
    """
    path = _configurations() / f"{algo}.yml"
    if not path.is_file():
        raise FileNotFoundError(
            f"This installation of sb3_atari_dqn is missing {path}: repair it with "
            "`pip install --force-reinstall --no-deps sb3-atari-dqn`, or pass a configuration with -conf"
        )
    return path


def profiles() -> dict[str, Path]:
    """:return: packaged configurations for certain hardware rather than an algorithm, by name"""
    return {path.stem: path for path in sorted((_configurations() / "profiles").glob("*.yml"))}


def _configurations() -> Path:
    package = Path(sb3_atari_dqn.__file__).parent
    installed = package / "hyperparams"
    return installed if installed.is_dir() else package.parent / "hyperparams"
