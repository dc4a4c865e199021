"""Validates a zoo configuration of one of our algorithms before anything is created or written.

The algorithms validate their own arguments; this module validates the zoo's keys and rejects unknown keys.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn import validation
from sb3_atari_dqn.algorithms.arguments import under_new_names
from sb3_atari_dqn.callbacks import RunCallback
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.distributed.settings import ActorSettings
from sb3_atari_dqn.validation import as_int, check_between, check_options
from sb3_atari_dqn.zoo import checkpointing
from sb3_atari_dqn.zoo.named_classes import class_of, named_classes
from sb3_atari_dqn.zoo.profiles import profile_of

#: Constructor arguments that the zoo sets itself, from the command line.
_SET_BY_THE_ZOO = {"self", "env", "tensorboard_log", "seed", "verbose", "device", "_init_setup_model"}

#: Keys that the zoo and this package take out of a configuration before they construct an algorithm.
_OF_THE_ZOO = {
    *("n_timesteps", "n_envs", "frame_stack", "normalize", "env_wrapper", "vec_env_wrapper", "env_kwargs"),
    *("monitor_kwargs", "callback", "native_envs", "ray", "checkpoint_freq"),
}

#: Integer keys of the zoo, with their minimum.
_WHOLE_NUMBERS = {"n_envs": 1, "frame_stack": 1}


#: Integer arguments of the zoo's command line, with their minimum.
_COMMAND_LINE = {"eval_episodes": 1, "n_eval_envs": 1}

#: Keys that hold mappings. The zoo evaluates strings in those of _EVALUATED; the algorithm validates the result.
_MAPPINGS = (
    *("env_kwargs", "monitor_kwargs", "policy_kwargs", "replay_buffer_kwargs"),
    *("values_kwargs", "bootstrap_kwargs", "ray"),
)
_EVALUATED = ("monitor_kwargs", "policy_kwargs", "replay_buffer_kwargs")


def nest(hyperparams: Mapping[str, Any]) -> dict[str, Any]:
    """
    Put single keys of mappings, such as "policy_kwargs.noisy_std" from a trial or ``-params``, into these mappings;
    with several dots, into mappings in them.

    :param hyperparams: is not changed
    :raises ValueError: if there is something else than a mapping, such as a text that the zoo evaluates
    """
    single = {name: value for name, value in hyperparams.items() if name.partition(".")[0] in _MAPPINGS and "." in name}
    nested = {name: value for name, value in hyperparams.items() if name not in single}
    for name, value in single.items():
        nested = _with_key(nested, name.split("."), value, name)
    return nested


def _with_key(mapping: Mapping[str, Any], path: list[str], value: Any, name: str) -> dict[str, Any]:
    """:return: the mapping with another value at the end of the path; `name` is for the message"""
    key, *rest = path
    if not rest:
        return {**mapping, key: value}
    before = mapping.get(key) or {}
    if not isinstance(before, Mapping):
        raise ValueError(f"{name} cannot be set in {key}={before!r}: write {key} as a YAML mapping")
    return {**mapping, key: _with_key(before, rest, value, name)}


def check_command_line(args: Any) -> None:
    """
    :param args: parsed arguments of the zoo's train; may lack attributes if another program creates the run
    :raises ValueError: on a number that train would ignore, or fail on later
    """
    n_timesteps = getattr(args, "n_timesteps", None)
    if n_timesteps is not None and (n_timesteps == 0 or n_timesteps < -1 or (n_timesteps == -1 and _has_n_option())):
        raise ValueError(
            f"-n {n_timesteps}: training needs at least 1 step; omit -n to use n_timesteps of the configuration"
        )
    for name, minimum in _COMMAND_LINE.items():
        if hasattr(args, name):
            as_int(f"--{name.replace('_', '-')}", getattr(args, name), minimum)
    if getattr(args, "log_interval", None) == 0:
        raise ValueError("--log-interval 0: the interval is in episodes, use at least 1, or -2 to disable logging")


def _has_n_option() -> bool:
    """:return: whether -n is on the command line; its default, -1, is a number too"""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-n", "--n-timesteps")
    return parser.parse_known_args(sys.argv[1:])[0].n_timesteps is not None


def check_file(config: str, env_id: str, is_atari: bool) -> None:
    """
    :param config: a YAML file, a Python file or a module; upstream reads the contents of a Python file
    :param is_atari: whether the environment is an Atari game
    :raises ValueError: if it does not map environments to mappings, or has no entry for this environment
    :raises FileNotFoundError: if it does not exist
    """
    if not config.endswith((".yml", ".yaml", ".py")):
        content = _of_module(config)
    elif not Path(config).is_file():
        raise FileNotFoundError(f"-conf {config}: this file does not exist, pass another file or module")
    elif config.endswith(".py"):
        return
    else:
        content = _of_yaml(config)
    if not isinstance(content, dict):
        raise ValueError(
            f"{config} must map environments to hyperparameters; it should start with {env_id}: or default:"
        )
    for name, settings in content.items():
        if not isinstance(settings, dict):
            raise ValueError(f"{config}: {name} must be a mapping of hyperparameters, got {settings!r}")
        check_options(f"{config}: the hyperparameters of {name}", settings)
    common = "atari" if is_atari else "default"
    if env_id not in content and common not in content:
        if profile := profile_of(config):
            raise ValueError(f"-conf {profile} is for Atari games, and {env_id} is none: omit -conf, or change --env")
        held = ", ".join(map(str, content)) or "nothing"
        raise ValueError(
            f"{config} has entries for {held}, but none for {env_id}: add {env_id}: or {common}:, or change --env"
        )


def _of_yaml(config: str) -> Any:
    try:
        return yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{config} is not valid YAML, or contains a Python object ({reason})") from error


def _of_module(config: str) -> Any:
    try:
        return import_module(config).hyperparams
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            f"-conf {config}: this module cannot be imported ({error}), pass another file or module"
        ) from error
    except (AttributeError, ImportError, ValueError, TypeError) as error:
        raise ValueError(
            f"-conf {config}: this module has no dictionary hyperparams ({error}), pass another file or module"
        ) from error


def check_mappings(config: str, hyperparams: dict[str, Any]) -> None:
    """:raises ValueError: if a key that must hold a mapping does not; the algorithm accepts policy_kwargs: None"""
    for key in _MAPPINGS:
        options = hyperparams.get(key, {})
        if key.startswith(("values", "bootstrap")) and options is None:
            continue
        if key == "ray" and (options is None or isinstance(options, str)):  # none, or an address alone
            continue
        if key in _EVALUATED and (isinstance(options, str) or (options is None and key != "monitor_kwargs")):
            continue
        check_options(f"{config} or the command line: {key}", options)


def check_values(config: str, env_id: str, hyperparams: dict[str, Any]) -> None:
    """:raises ValueError: on a value that the zoo would silently ignore, or fail on later"""
    if "n_timesteps" not in hyperparams or "policy" not in hyperparams:
        raise ValueError(f"{config}: {env_id} needs the keys n_timesteps and policy")
    check_between("n_timesteps (write 1000000 or !!float 1e6)", hyperparams["n_timesteps"], 1, 1e15)
    for name, minimum in _WHOLE_NUMBERS.items():
        if hyperparams.get(name) is not None:
            hyperparams[name] = as_int(name, hyperparams[name], minimum)
    native = hyperparams.get("native_envs", "auto")
    if not (isinstance(native, bool) or native == "auto"):  # rejects 0 and 1, which equal False and True
        raise ValueError(f"native_envs must be true, false or auto, got {hyperparams['native_envs']!r}")
    if hyperparams.get("ray") is not None:
        if native is False:
            raise ValueError("ray: actors play native games only: remove native_envs: false, or ray")
        ActorSettings.of(hyperparams["ray"]).divided(hyperparams.get("n_envs", 1))
    checkpointing.check(hyperparams.get("checkpoint_freq"))
    if not isinstance(hyperparams["policy"], str):
        raise ValueError(f"policy must be a name such as CnnPolicy, got {hyperparams['policy']!r}")
    if "." in hyperparams["policy"]:
        class_of("policy", hyperparams["policy"])
    named_classes("vec_env_wrapper", hyperparams.get("vec_env_wrapper"))
    check_callbacks(hyperparams.get("callback"))
    if hyperparams.get("frame_stack") and "VecRepeatFirstStack" in str(hyperparams.get("vec_env_wrapper")):
        raise ValueError("frame_stack and VecRepeatFirstStack (vec_env_wrapper) both stack frames: remove one of them")
    rate = hyperparams.get("learning_rate")
    if isinstance(rate, str) and not re.fullmatch(r"lin_([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", rate):
        raise ValueError(f"learning_rate must be a number (0.0001 or !!float 1e-4) or linear (lin_1e-4), got {rate!r}")
    if rate is not None and not isinstance(rate, str):
        check_between("learning_rate", rate, 0, 1)
    normalize = hyperparams.get("normalize")
    if not isinstance(normalize, bool | str | dict | None):
        raise ValueError(
            f"normalize must be true, false or a mapping such as {{norm_reward: false}}, got {normalize!r}"
        )


def evaluate_texts(config: str, hyperparams: dict[str, Any], names: dict[str, Any]) -> None:
    """
    Replace texts by the mappings that the zoo would make of them.

    :param hyperparams: is changed
    :param names: that the texts may use
    :raises ValueError: if one cannot be evaluated, or does not give a mapping
    """
    for key in ("normalize", *_EVALUATED):
        if not isinstance(text := hyperparams.get(key), str):
            continue
        where = f"{config} or the command line: {key}"
        try:
            options = eval(text, names)
        except Exception as error:  # as any code
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"{where}: {text!r} cannot be evaluated ({reason}): write a YAML mapping") from error
        if options is not None or key == "monitor_kwargs":
            check_options(where, options)
        hyperparams[key] = options


def check_monitor_kwargs(options: Mapping[str, Any]) -> None:
    """:raises ValueError: if ``info_keywords`` is not a list of names"""
    keywords = options.get("info_keywords", ())
    if not (isinstance(keywords, list | tuple) and all(isinstance(each, str) for each in keywords)):
        raise ValueError(f"monitor_kwargs: info_keywords must be a list of names such as [score], got {keywords!r}")


def check_callbacks(callback: Any) -> None:
    """
    :param callback: value of the key `callback`
    :raises ValueError: if an entry is not a callback, or has invalid options
    """
    entries = callback if isinstance(callback, list) else [callback]
    named = [entry for entry in entries if not isinstance(entry, BaseCallback)]  # a Python file may contain instances
    for found, options in named_classes("callback", named):
        if not isinstance(found, type):
            continue
        if not issubclass(found, BaseCallback):
            raise ValueError(f"callback: {found.__module__}.{found.__name__} is not a Stable-Baselines3 callback")
        if issubclass(found, RunCallback):
            as_int(f"callback: verbose of {found.__name__}", options.get("verbose", 0), 0)
            folder = options.get("folder")
            if folder is not None and not (isinstance(folder, str) and folder):
                raise ValueError(
                    f"callback: folder of {found.__name__} must be a path, got {folder!r}; omit it for the run folder"
                )


def check_keys(algo: str, config: str, hyperparams: dict[str, Any]) -> None:
    """:raises ValueError: on a key that belongs neither to the zoo nor to the algorithm; suggests a similar one"""
    validation.check_keys(
        f"the hyperparameters of {algo} (from {config} or -params)",
        hyperparams,
        _arguments(ALGORITHMS[algo].import_class()) - _SET_BY_THE_ZOO,
    )


def check_names(algo: str, names: Iterable[str]) -> None:
    """
    :param algo: the zoo's name; keys of algorithms that are not ours are not checked
    :param names: of keys, as ``-params`` has them
    :raises ValueError: on a key that belongs neither to the zoo nor to the algorithm; suggests a similar one
    """
    if algo in ALGORITHMS:
        keys = under_new_names("-params", dict.fromkeys(name.partition(".")[0] for name in names))
        known = _arguments(ALGORITHMS[algo].import_class()) - _SET_BY_THE_ZOO | _OF_THE_ZOO
        validation.check_keys(f"the hyperparameters of {algo}", keys, known)


def _arguments(cls: type) -> set[str]:
    """:return: names of the constructor's arguments, including those of parents if it forwards ``**kwargs``"""
    names: set[str] = set()
    for owner in cls.__mro__:
        if "__init__" not in vars(owner):
            continue
        parameters = inspect.signature(vars(owner)["__init__"]).parameters.values()
        names |= {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            break
    return names
