"""Validation of user input: errors name the argument, its value and the way out. Pure Python."""

import difflib
import math
import warnings
from collections.abc import Collection, Iterable, Mapping
from numbers import Real
from typing import Any


def check_known(argument: str, name: Any, known: Collection[str]) -> None:
    """
    :param argument: name of the argument, for the message ("loss", "torso")
    :param name: short name passed by the user
    :param known: valid short names
    :raises ValueError: if the name is unknown; the message lists the valid ones
    """
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"Unknown {argument} {name!r}; known: {', '.join(sorted(known))}{_hint(name, known)}.")


def _hint(name: Any, known: Collection[str]) -> str:
    """:return: a similar name as a question, if there is one"""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def counted(n: int, noun: str) -> str:
    """:return: "1 environment", "2 environments" """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def check_keys(owner: str, keys: Iterable[str], known: Collection[str]) -> None:
    """
    :param owner: what the keys belong to, for the message ("policy_kwargs")
    :param keys: passed by the user
    :param known: valid keys
    :raises ValueError: on the first unknown key; the message suggests a similar one
    """
    for key in keys:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}."
            raise ValueError(f"Unknown key {key!r} in {owner}; {hint}")


def check_options(owner: str, options: Any) -> None:
    """
    :param owner: what the options belong to, for the message
    :param options: mapping of names to values
    :raises ValueError: if it is not a dictionary with string keys
    """
    if not isinstance(options, dict):
        raise ValueError(f"{owner} must be a mapping such as {{name: value}}, got {options!r}; omit it for none.")
    for name in options:
        if not isinstance(name, str):
            raise ValueError(f"{owner} must have strings as keys, got {name!r} ({type(name).__name__}).")


def renamed(
    owner: str,
    options: Mapping[str, Any],
    names: Mapping[str, str],
    values: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """
    Accept options under their deprecated names; a FutureWarning names the new ones.

    :param owner: what the options belong to, for the message ("replay_buffer_kwargs")
    :param options: passed by the user
    :param names: old name -> new name
    :param values: new name -> {old value -> new value}, where these changed too
    :return: a copy of the options in their new spelling
    :raises ValueError: if an option is given under both of its names
    """
    given, values = dict(options), values or {}
    for old, new in names.items():
        if old not in given:
            continue
        before = given.pop(old)
        if new in given:
            raise ValueError(
                f"{old}={before!r} and {new}={given[new]!r} in {owner} are the same option; give {new} only."
            )
        given[new] = _new_value(before, values.get(new, {}))
        _warn_deprecated(owner, f"{old}={before!r}", f"{new}={given[new]!r}")
    for name in given.keys() & values.keys():
        given[name] = renamed_value(owner, name, given[name], values[name])
    return given


def renamed_value(owner: str, argument: str, value: Any, values: Mapping[str, str]) -> Any:
    """
    Accept the deprecated value of an option; a FutureWarning names the new one.

    :param owner: what the option belongs to, for the message
    :param argument: name of the option
    :param value: passed by the user
    :param values: old value -> new value
    :return: the new value; any other value unchanged
    """
    if (new := _new_value(value, values)) is not value:
        _warn_deprecated(owner, f"{argument}={value!r}", f"{argument}={new!r}")
    return new


def _new_value(value: Any, values: Mapping[str, str]) -> Any:
    return values.get(value, value) if isinstance(value, str) else value


def _warn_deprecated(owner: str, old: str, new: str) -> None:
    """Python shows each warning once; unlike a DeprecationWarning, a FutureWarning is shown to users by default."""
    warnings.warn(
        f"{old} in {owner} is deprecated and will be removed in the next release; use {new}.",
        FutureWarning,
        stacklevel=3,
    )


def checked_flag(argument: str, value: Any) -> bool:
    """
    :return: the value
    :raises ValueError: if it is neither True nor False
    """
    if not isinstance(value, bool):
        raise ValueError(f"{argument} must be True or False, got {value!r}.")
    return value


def as_int(argument: str, value: Any, minimum: int, maximum: int | None = None) -> int:
    """
    :param value: an integer of any type, or a float with an integer value such as 1e6
    :return: the value as an int
    :raises ValueError: if it is not an integer, below the minimum or above the maximum
    """
    try:
        is_flag = isinstance(value, bool) or getattr(value, "dtype", None) == "bool"  # numpy's too
        is_whole = not isinstance(value, str) and not is_flag and int(value) == value
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        # YAML 1.1 reads 1e6 as a string; the float syntax is 1.0e+6
        hint = "; YAML reads this as a string, write 1000000 or !!float 1e6" if isinstance(value, str) else ""
        raise ValueError(f"{argument} must be an integer, got {value!r} ({type(value).__name__}){hint}.")
    if value < minimum:
        raise ValueError(f"{argument} must be at least {minimum}, got {value!r}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{argument} must be at most {maximum}, got {value!r}.")
    return int(value)


def check_between(argument: str, value: Any, low: float, high: float, above_low: bool = False) -> None:
    """
    :param value: a real number in [low, high]
    :param above_low: the interval is (low, high] instead
    :raises ValueError: if it is not a number, outside the interval, or NaN
    """
    bracket = "(" if above_low else "["
    wanted = f"{argument} must be a number in {bracket}{low}, {high}]"
    is_number = isinstance(value, Real) and not isinstance(value, bool)  # numpy's scalars too, its arrays not
    if not (is_number and (low < value if above_low else low <= value) and value <= high):
        raise ValueError(f"{wanted}, got {value!r}.")


def as_float(argument: str, value: Any, low: float, high: float, above_low: bool = False) -> float:
    """
    :return: the value, as a Python number if it is of another type; parameters and errors: see :func:`check_between`
    """
    check_between(argument, value, low, high, above_low)
    return value if type(value) in (int, float) else float(value)


def check_finite(argument: str, value: Any) -> None:
    """
    :raises ValueError: if it is not a finite number
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{argument} must be a finite number, got {value!r}.")


def check_device(device: Any) -> None:
    """
    Unlike SB3, which silently falls back to the CPU, raise if the device is unavailable.

    :param device: "auto", or a PyTorch device
    :raises ValueError: if PyTorch does not know the device, or cannot use it on this machine
    """
    if device == "auto":
        return
    import torch

    way_out = "use 'cpu', or 'auto' for a GPU if available"
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r} is not a PyTorch device; {way_out}.") from error
    if wanted.type == "cpu":
        return
    try:
        torch.empty(1, device=wanted)
    except Exception as error:  # the exception type depends on the device type
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise ValueError(f"device={str(device)!r} cannot be used on this machine ({reason}); {way_out}.") from error
