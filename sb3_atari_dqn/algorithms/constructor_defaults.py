"""Algorithms that are others with other defaults."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature, unwrap
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)

# Two ways to say how often to learn: one that the user gives takes the place of a default of the other.
_PACES = ({"train_freq", "gradient_steps"}, {"replay_ratio", "updates_per_transition"})


def constructor_defaults(**defaults: Any) -> Callable[[_Class], _Class]:
    """
    Class decorator: the constructor of the parent, with other defaults; what the user passes goes before them, and
    before those that say the same in another way (`train_freq` and `replay_ratio`). None leaves an argument out where
    the constructor that is not decorated has it as its default.

    :param defaults: arguments of the constructor
    :raises TypeError: if the parent's constructor does not have one of them
    """

    def decorate(cls: _Class) -> _Class:
        inherited: Any = cls.__init__  # type: ignore[misc]
        parent = signature(inherited)
        if unknown := defaults.keys() - parent.parameters.keys():
            raise TypeError(f"The constructor of {cls.__name__} has no argument {', '.join(sorted(unknown))}.")

        first = signature(unwrap(inherited)).parameters
        optional = {name for name in defaults if name in first and first[name].default is None}

        @wraps(inherited)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            bound = parent.bind_partial(self, *args, **kwargs)
            bound.arguments = {
                name: value for name, value in bound.arguments.items() if value is not None or name not in optional
            }
            given = bound.arguments
            own = {name: value for name, value in defaults.items() if name not in {*given, *_replaced_by(given)}}
            inherited(*bound.args, **{**own, **bound.kwargs})

        parameters = [
            each.replace(default=defaults.get(name, each.default)) for name, each in parent.parameters.items()
        ]
        __init__.__signature__ = parent.replace(parameters=parameters)  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[misc]
        return cls

    return decorate


def _replaced_by(given: Mapping[str, Any]) -> set[str]:
    """:return: arguments whose defaults do not go with those given"""
    told = {name for name, value in given.items() if value is not None}
    first, second = _PACES
    return (second if told & first else set()) | (first if told & second else set())
