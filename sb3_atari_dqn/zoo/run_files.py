"""The configuration, the command line and the statistics of a run: read, or checked, without running anything."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.checkpoints.allowed_names import WAY_OUT, NotAllowed, UnsafeFile, lookup, name_of, trusts
from sb3_atari_dqn.checkpoints.model_files import read_attributes
from sb3_atari_dqn.checkpoints.statistics_files import check_statistics
from sb3_atari_dqn.zoo.allowed_imports import is_importable
from sb3_atari_dqn.zoo.plain_yaml import evaluated, read_yaml, refused

#: Keys whose strings the zoo evaluates.
EVALUATED = ("normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "monitor_kwargs")
#: Keys whose names the zoo imports: to play, and to train.
IMPORTED_TO_PLAY = ("env_wrapper", "vec_env_wrapper")
IMPORTED_TO_TRAIN = (*IMPORTED_TO_PLAY, "callback", "policy", "replay_buffer_class")
#: Keys whose classes are called with arguments of the file.
_CALLED = (*IMPORTED_TO_PLAY, "callback")

#: Keys of a training whose arguments may be paths that are written to, and the names of such arguments.
_WRITING = (*_CALLED, "monitor_kwargs")
_PATHS = frozenset(
    {
        *("folder", "save_path", "log_path", "path", "filename", "video_folder", "log_dir", "monitor_dir"),
        *("best_model_save_path", "tensorboard_log"),
    }
)

#: Attributes of a model that the scripts replace.
_REPLACED = dict.fromkeys(("learning_rate", "lr_schedule", "clip_range"))

#: Arguments of an environment that name a program.
_PROGRAMS = ("browser",)


def read_config(path: Path, trust: bool | None = None, imported: tuple[str, ...] = IMPORTED_TO_PLAY) -> dict[str, Any]:
    """
    :param path: of a ``config.yml``
    :param trust: read it as the zoo does, which runs what it says; None: as SB3_ATARI_DQN_TRUST says
    :param imported: keys whose names will be imported
    :return: the hyperparameters; strings that the zoo evaluates are checked, and stay strings
    :raises UnsafeFile: if it would run something outside of the allow-list, with the line
    :raises ValueError: if it is damaged
    """
    config, lines = _read(path, trust)
    if trusts(trust):
        return config
    for key in EVALUATED:
        if isinstance(config.get(key), str):
            evaluated(config[key], _place(path, lines, key))
    for key in imported:
        for name in _names(config.get(key)):
            _check_import(key, name, _place(path, lines, key))
    _check_programs(config.get("env_kwargs"), _place(path, lines, "env_kwargs"))
    if "callback" in imported:
        for key in _WRITING:
            value = evaluated(config[key], key) if key in EVALUATED and isinstance(config.get(key), str) else None
            _check_paths(config.get(key) if value is None else value, "", path.parent.parent, _place(path, lines, key))
    return config


def read_args(path: Path, trust: bool | None = None) -> dict[str, Any]:
    """
    :param path: of an ``args.yml``
    :return: the command line of the run; parameters and errors: see :func:`read_config`
    """
    args, lines = _read(path, trust)
    if trusts(trust):
        return args
    if isinstance(args.get("env"), str) and ":" in args["env"]:
        raise refused(_place(path, lines, "env"), f"{args['env'].partition(':')[0]} (env: {args['env']})")
    for key in ("env_kwargs", "eval_env_kwargs"):
        _check_programs(args.get(key), _place(path, lines, key))
    return args


def check_environment(settings: Mapping[str, Any], env_id: str, env_kwargs: Mapping[str, Any], path: Path) -> None:
    """
    :param settings: that name wrappers, as a ``config.yml`` does
    :param env_id: of the environment
    :param env_kwargs: of its constructor
    :param path: of the file, for the message
    :raises UnsafeFile: if building the environment would import or run something outside of the allow-list
    """
    if ":" in env_id:
        raise refused(f"{path}, env,", f"{env_id.partition(':')[0]} (env: {env_id})")
    for key in IMPORTED_TO_PLAY:
        for name in _names(settings.get(key)):
            _check_import(key, name, f"{path}, {key},")
    _check_programs(env_kwargs, f"{path}, env_kwargs,")


def evaluated_normalize(config: Mapping[str, Any], path: Path, trust: bool | None = None) -> Any:
    """
    :param config: from :func:`read_config`
    :param path: of its file
    :return: value of the key ``normalize``, evaluated if it is a string
    """
    value = config.get("normalize", False)
    if not isinstance(value, str):
        return value
    return eval(value) if trusts(trust) else evaluated(value, f"{path}, normalize,")


def check_run(settings: Path, trust: bool | None = None) -> None:
    """
    Check what the zoo's scripts will read, before they do.

    :param settings: folder of ``config.yml``, ``args.yml`` and ``vecnormalize.pkl``; they may be missing
    :raises UnsafeFile: if one of them would run something outside of the allow-list
    :raises ValueError: if one of them is damaged
    """
    if trusts(trust):
        return
    config, args, statistics = (settings / name for name in ("config.yml", "args.yml", "vecnormalize.pkl"))
    if config.is_file():
        read_config(config, trust=False)
    if args.is_file():
        read_args(args, trust=False)
    if statistics.is_file():
        check_statistics(statistics)


def get_model_path(
    upstream: Callable[..., tuple[str, str, str]],
    exp_id: int,
    folder: str,
    algo: str,
    env_name: str,
    *args: Any,
    **kwargs: Any,
) -> tuple[str, str, str]:
    """Find a model as the zoo does; if it is one of our algorithms, check the files of its run, and the model.

    :param upstream: ``rl_zoo3.utils.get_model_path``
    :raises SystemExit: with one sentence, if the run would execute something outside of the allow-list. ``enjoy`` takes
        a ValueError for a missing model, and downloads another
    """
    name_prefix, model_path, log_path = upstream(exp_id, folder, algo, env_name, *args, **kwargs)
    if algo in ALGORITHMS and not trusts(None):
        try:
            check_run(Path(log_path, env_name))
            read_attributes(model_path, _REPLACED)  # by `load` again; here it can be refused in one sentence
        except ValueError as error:
            raise SystemExit(" ".join(str(error).split())) from error
    return name_prefix, model_path, log_path


def _read(path: Path, trust: bool | None) -> tuple[dict[str, Any], dict[str, int]]:
    lines: dict[str, int] = {}
    if trusts(trust):
        found = yaml.load(path.read_text(), Loader=yaml.UnsafeLoader)
    else:
        try:
            found, lines = read_yaml(path)
        except UnsafeFile:
            raise
        except Exception as error:  # what damage leads to depends on the tag
            raise ValueError(f"{path} is not a YAML file that can be read ({type(error).__name__}: {error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__} instead of a mapping")
    return dict(found), lines


def _place(path: Path, lines: Mapping[str, int], key: str) -> str:
    return f"{path}, line {lines[key]}," if key in lines else f"{path}, {key},"


def _names(value: Any) -> list[Any]:
    """:return: classes or their names, from any form that the zoo accepts"""
    entries = value if isinstance(value, list | tuple) else [value]
    return [next(iter(entry)) if isinstance(entry, dict) and entry else entry for entry in entries if entry is not None]


def _check_import(key: str, name: Any, place: str) -> None:
    """
    :param key: of the configuration
    :param name: a class, or its name; short names, such as CnnPolicy, import nothing
    """
    text = name_of(name) if isinstance(name, type) else name
    if not isinstance(text, str) or ("." not in text and not isinstance(name, type)) or is_importable(text):
        return
    try:
        if key in _CALLED:
            raise NotAllowed(text)
        lookup(text)
    except NotAllowed as error:
        raise refused(place, text) from error
    except ImportError as error:
        raise ValueError(f"{place} names {text}, which cannot be imported: {error}") from error


def _check_paths(value: Any, name: str, run_folder: Path, place: str) -> None:
    """
    :param value: an argument of a callback or a wrapper, or several
    :param name: of the argument; other names than those of paths may have values that are taken for a part of one
    :raises UnsafeFile: if it leads out of the folder of the run
    """
    if isinstance(value, dict):
        for key, each in value.items():
            _check_paths(each, str(key), run_folder, place)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_paths(each, name, run_folder, place)
    elif isinstance(value, str) and (name in _PATHS or re.search(r"[/\\:]|^~|\.\.", value)):
        target = Path(value).resolve()
        if not target.is_relative_to(run_folder.resolve()):
            what = f"{value!r:.200} ({name})"
            raise UnsafeFile(f"{place} is refused: it would write to {what}, outside of the run's folder. {WAY_OUT}")


def _check_programs(env_kwargs: Any, place: str) -> None:
    for key in _PROGRAMS:
        if isinstance(env_kwargs, dict) and env_kwargs.get(key):
            raise refused(place, f"{env_kwargs[key]} (env_kwargs: {key})")
