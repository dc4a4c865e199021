"""The YAML files that come with this package: one per algorithm, and profiles for kinds of machines."""

from pathlib import Path

import sb3_atari_dqn


def config_path(algo: str) -> Path:
    """Where the packaged configuration of an algorithm lies.

    :param algo: zoo name of one of our algorithms
    :return: the YAML file, inside the installed package or, in a source checkout, beside it
    :raises FileNotFoundError: if the install is damaged
    """
    path = _configurations() / f"{algo}.yml"
    if not path.is_file():
        raise FileNotFoundError(
            f"This install of sb3_atari_dqn lacks its configuration {path}: repair it with "
            "`pip install --force-reinstall --no-deps sb3-atari-dqn`, or name one with -conf"
        )
    return path


def profiles() -> dict[str, Path]:
    """:return: packaged configurations for a kind of machine rather than an algorithm, by short name"""
    return {path.stem: path for path in sorted((_configurations() / "profiles").glob("*.yml"))}


def _configurations() -> Path:
    package = Path(sb3_atari_dqn.__file__).parent
    installed = package / "hyperparams"
    return installed if installed.is_dir() else package.parent / "hyperparams"
