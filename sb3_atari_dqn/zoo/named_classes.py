"""Classes that a configuration names: ``module.Class``, or a one-key mapping of it to options, or a list of these.

Functions that build an object do as well as classes, as in the zoo, but for ``env_wrapper``.
"""

import difflib
import importlib
import inspect
from typing import Any

from sb3_atari_dqn.validation import check_options

#: An example of each key that names classes, and how many arguments the zoo adds to the options.
_EXAMPLES = {
    "env_wrapper": ("sb3_atari_dqn.atari.NatureAtari", 1),
    "vec_env_wrapper": ("sb3_atari_dqn.atari.VecRepeatFirstStack", 1),
    "callback": ("sb3_atari_dqn.callbacks.LogEpisodes", 0),
    "policy": ("sb3_atari_dqn.policies.CnnPolicy", 0),
}


def named_classes(key: str, value: Any) -> list[tuple[Any, dict[str, Any]]]:
    """
    :param key: of the configuration: env_wrapper, vec_env_wrapper or callback
    :param value: what stands there
    :return: classes with their options
    :raises ValueError: on an entry that names no class, or options that it does not take
    """
    entries = value if isinstance(value, list) else [value]
    return [_named_class(key, entry) for entry in entries if entry is not None]


def class_of(key: str, name: Any) -> Any:
    """
    :param name: of a class, or the class itself
    :raises ValueError: if there is none of this name, with the one that may be meant
    """
    example, _ = _EXAMPLES[key]
    found = _imported(key, name) if isinstance(name, str) and "." in name.strip(".") else name
    if not (isinstance(found, type) or (callable(found) and key != "env_wrapper")):
        raise ValueError(f"{key}: {name!r} names no class; write {example}, for instance")
    return found


def _named_class(key: str, entry: Any) -> tuple[Any, dict[str, Any]]:
    has_options = isinstance(entry, dict) and len(entry) == 1
    name, options = next(iter(entry.items())) if has_options else (entry, {})
    check_options(f"{key}: the options of {name}", options)
    found = class_of(key, name)
    _check_call(key, found, options)
    return found, options


def _imported(key: str, name: str) -> Any:
    module_name, _, class_name = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of the user's may fail in any way
        raise ValueError(f"{key}: there is no {name} ({error}); give module and class") from error
    if not hasattr(module, class_name):
        close = difflib.get_close_matches(class_name, [each for each in dir(module) if each[0].isupper()], n=1)
        hint = f"did you mean {module_name}.{close[0]}?" if close else "give module and class"
        raise ValueError(f"{key}: there is no {name}; {hint}")
    return getattr(module, class_name)


def _check_call(key: str, found: Any, options: dict[str, Any]) -> None:
    """:raises ValueError: on options that the class does not take"""
    try:
        signature = inspect.signature(found)
    except ValueError:  # one that is written in C does not say
        return
    try:
        signature.bind(*[None] * _EXAMPLES[key][1], **options)
    except TypeError as error:
        taken = ", ".join([*signature.parameters][_EXAMPLES[key][1] :]) or "none"
        raise ValueError(f"{key}: {found.__name__} does not take these options ({error}); it has {taken}") from error
