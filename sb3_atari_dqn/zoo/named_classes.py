"""Imports classes named in a configuration: ``module.Class``, a one-key mapping from it to options, or a list of these.

As in the zoo, factory functions work as well as classes, except in ``env_wrapper``.
"""

import difflib
import importlib
import inspect
from typing import Any

from sb3_atari_dqn.validation import check_options

#: Keys that name classes, with an example and the number of positional arguments that the zoo passes.
_EXAMPLES = {
    "env_wrapper": ("sb3_atari_dqn.atari.NatureAtari", 1),
    "vec_env_wrapper": ("sb3_atari_dqn.atari.VecRepeatFirstStack", 1),
    "callback": ("sb3_atari_dqn.callbacks.LogEpisodes", 0),
    "policy": ("sb3_atari_dqn.policies.CnnPolicy", 0),
}


def named_classes(key: str, value: Any) -> list[tuple[Any, dict[str, Any]]]:
    """
    :param key: of the configuration: env_wrapper, vec_env_wrapper or callback
    :param value: of the key
    :return: classes with their options
    :raises ValueError: on an entry that is not a class, or options that it does not accept
    """
    entries = value if isinstance(value, list) else [value]
    return [_named_class(key, entry) for entry in entries if entry is not None]


def class_of(key: str, name: Any) -> Any:
    """
    :param name: of a class, or the class itself
    :raises ValueError: if it does not exist; suggests a similar name
    """
    example, _ = _EXAMPLES[key]
    found = _imported(key, name) if isinstance(name, str) and "." in name.strip(".") else name
    if not (isinstance(found, type) or (callable(found) and key != "env_wrapper")):
        raise ValueError(f"{key}: {name!r} is not a class; use module and class, such as {example}")
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
    except Exception as error:  # importing a user's module may raise anything
        raise ValueError(f"{key}: {name} cannot be imported ({error}); use module and class") from error
    if not hasattr(module, class_name):
        close = difflib.get_close_matches(class_name, [each for each in dir(module) if each[0].isupper()], n=1)
        hint = f"did you mean {module_name}.{close[0]}?" if close else "use module and class"
        raise ValueError(f"{key}: {name} does not exist; {hint}")
    return getattr(module, class_name)


def _check_call(key: str, found: Any, options: dict[str, Any]) -> None:
    """:raises ValueError: on options that the class does not accept"""
    try:
        signature = inspect.signature(found)
    except ValueError:  # some classes written in C have no signature
        return
    try:
        signature.bind(*[None] * _EXAMPLES[key][1], **options)
    except TypeError as error:
        taken = ", ".join([*signature.parameters][_EXAMPLES[key][1] :]) or "none"
        raise ValueError(f"{key}: invalid options for {found.__name__} ({error}); known: {taken}") from error
