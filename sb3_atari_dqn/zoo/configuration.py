"""Is a configuration of one of our algorithms good? Asked before anything is built or written.

The algorithms check their own arguments; here stand the zoo's keys, and the keys that nobody knows.
"""

import inspect
import re
from pathlib import Path
from typing import Any

import yaml

import sb3_atari_dqn
from sb3_atari_dqn import arguments
from sb3_atari_dqn.arguments import check_between, whole_number
from sb3_atari_dqn.zoo.names import ALGORITHMS

#: Constructor arguments that the zoo fills in itself, from the command line.
_SET_BY_THE_ZOO = {"self", "env", "tensorboard_log", "seed", "verbose", "device", "_init_setup_model"}

#: Whole numbers that the zoo reads, with the smallest sensible value of each.
_WHOLE_NUMBERS = {"n_envs": 1, "frame_stack": 1}


def check_file(config: str, env_id: str) -> None:
    """:raises ValueError: if a YAML file does not map environments to mappings; other formats are upstream's to read"""
    if not config.endswith((".yml", ".yaml")):
        return
    content = yaml.safe_load(Path(config).read_text())
    if not isinstance(content, dict):
        raise ValueError(
            f"{config} maps no environments to hyperparameters; it should begin with {env_id}: or default:"
        )
    for name, settings in content.items():
        if not isinstance(settings, dict):
            raise ValueError(f"{config}: {name} should be a mapping of hyperparameters, not {settings!r}")


def check_values(config: str, env_id: str, hyperparams: dict[str, Any]) -> None:
    """:raises ValueError: on a value of the zoo's keys that it would stumble over later, or without a word"""
    if "n_timesteps" not in hyperparams or "policy" not in hyperparams:
        raise ValueError(f"{config}: {env_id} needs the keys n_timesteps and policy")
    check_between("n_timesteps (write 1000000 or !!float 1e6)", hyperparams["n_timesteps"], 1, 1e15)
    for name, minimum in _WHOLE_NUMBERS.items():
        if hyperparams.get(name) is not None:
            hyperparams[name] = whole_number(name, hyperparams[name], minimum)
    native = hyperparams.get("native_envs", "auto")
    if not (isinstance(native, bool) or native == "auto"):  # 0 and 1 are equal to them, and neither
        raise ValueError(f"native_envs must be true, false or auto, got {hyperparams['native_envs']!r}")
    if not isinstance(hyperparams["policy"], str):
        raise ValueError(f"policy must be a name such as CnnPolicy, got {hyperparams['policy']!r}")
    if hyperparams.get("frame_stack") and "VecRepeatFirstStack" in str(hyperparams.get("vec_env_wrapper")):
        raise ValueError(
            "frame_stack and VecRepeatFirstStack (vec_env_wrapper) both stack frames: leave one of them out"
        )
    rate = hyperparams.get("learning_rate")
    if isinstance(rate, str) and not re.fullmatch(r"lin_[0-9.]+(e[-+]?[0-9]+)?", rate):
        raise ValueError(f"learning_rate must be a number (0.0001 or !!float 1e-4) or linear (lin_1e-4), got {rate!r}")
    if rate is not None and not isinstance(rate, str):
        check_between("learning_rate", rate, 0, 1)


def check_keys(algo: str, config: str, hyperparams: dict[str, Any]) -> None:
    """:raises ValueError: on a key that is neither the zoo's nor the algorithm's, with the one that may be meant"""
    signature = inspect.signature(getattr(sb3_atari_dqn, ALGORITHMS[algo]).__init__)
    arguments.check_keys(
        f"the hyperparameters of {algo} (from {config} or -params)",
        hyperparams,
        set(signature.parameters) - _SET_BY_THE_ZOO,
    )
