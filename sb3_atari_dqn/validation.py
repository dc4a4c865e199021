"""Checks of what a user passed: the error names the argument, its value and the way out. Pure Python."""

import difflib
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any


def check_known(argument: str, name: Any, known: Collection[str]) -> None:
    """
    :param argument: what is being named, for the message ("loss", "torso")
    :param name: the short name that the user gave
    :param known: the short names there are
    :raises ValueError: listing the known names
    """
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"Unknown {argument} {name!r}; known: {', '.join(sorted(known))}.")


def check_keys(owner: str, keys: Iterable[str], known: Collection[str]) -> None:
    """
    :param owner: what the keys belong to, for the message ("policy_kwargs")
    :param keys: those the user gave
    :param known: those that mean something
    :raises ValueError: on the first unknown key, with the one that may be meant
    """
    for key in keys:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}."
            raise ValueError(f"Unknown key {key!r} in {owner}; {hint}")


def check_options(owner: str, options: Any) -> None:
    """
    :param owner: what the options belong to, for the message
    :param options: that should be a mapping of names to values
    :raises ValueError: if they are none
    """
    if not isinstance(options, dict):
        raise ValueError(f"{owner} are a mapping such as {{name: value}}, not {options!r}; leave them out for none.")
    for name in options:
        if not isinstance(name, str):
            raise ValueError(f"{owner} have names, {name!r} ({type(name).__name__}) is none.")


def renamed(
    owner: str,
    options: Mapping[str, Any],
    names: Mapping[str, str],
    values: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """
    Accept options under the names they had before; a FutureWarning gives the new spelling.

    :param owner: what the options belong to, for the message ("replay_buffer_kwargs")
    :param options: those the user gave
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
        _warn_of_old_spelling(owner, f"{old}={before!r}", f"{new}={given[new]!r}")
    for name in given.keys() & values.keys():
        given[name] = renamed_value(owner, name, given[name], values[name])
    return given


def renamed_value(owner: str, argument: str, value: Any, values: Mapping[str, str]) -> Any:
    """
    Accept the value of an option as it was spelled before; a FutureWarning gives the new spelling.

    :param owner: what the option belongs to, for the message
    :param argument: name of the option
    :param value: what the user gave
    :param values: old spelling -> new spelling
    :return: the value in its new spelling; any other value unchanged
    """
    if (new := _new_value(value, values)) is not value:
        _warn_of_old_spelling(owner, f"{argument}={value!r}", f"{argument}={new!r}")
    return new


def _new_value(value: Any, values: Mapping[str, str]) -> Any:
    return values.get(value, value) if isinstance(value, str) else value


def _warn_of_old_spelling(owner: str, old: str, new: str) -> None:
    """Python shows it once for each spelling; a FutureWarning is shown to users by default."""
    warnings.warn(
        f"{old} in {owner} is an old spelling that the next release no longer accepts; write {new}.",
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


def as_int(argument: str, value: Any, minimum: int) -> int:
    """
    :param value: an integer of any kind; 1e6 and 1000000.0 count as the whole number they are
    :return: the value as an int
    :raises ValueError: if it is not a whole number or lies below the minimum
    """
    try:
        is_whole = not isinstance(value, str | bool) and int(value) == value
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        # YAML reads 1e6 as a string: only 1.0e+6 is a number there
        hint = "; YAML takes this for text, write 1000000 or !!float 1e6" if isinstance(value, str) else ""
        raise ValueError(f"{argument} must be a whole number, got {value!r} ({type(value).__name__}){hint}.")
    if value < minimum:
        raise ValueError(f"{argument} must be at least {minimum}, got {value!r}.")
    return int(value)


def check_between(argument: str, value: Any, low: float, high: float, above_low: bool = False) -> None:
    """
    :param value: a real number in [low, high]
    :param above_low: the interval is (low, high] instead
    :raises ValueError: if it is not a number or lies outside; NaN lies outside
    """
    bracket = "(" if above_low else "["
    wanted = f"{argument} must be a number in {bracket}{low}, {high}]"
    try:
        inside = not isinstance(value, str | bool) and (low < value if above_low else low <= value) and value <= high
    except (TypeError, ValueError):  # arrays know no single answer
        inside = False
    if not inside:
        raise ValueError(f"{wanted}, got {value!r}.")


def check_device(device: Any) -> None:
    """
    SB3 replaces a "cuda" that is not there by the CPU; here the user is asked.

    :param device: "auto", or what PyTorch takes for a device
    :raises ValueError: if there is no such device, or PyTorch cannot use it on this machine
    """
    if device == "auto":
        return
    import torch

    way_out = "give 'cpu', or 'auto' for a GPU where there is one"
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r} is no device that PyTorch knows; {way_out}.") from error
    if wanted.type == "cpu":
        return
    try:
        torch.empty(1, device=wanted)
    except Exception as error:  # each kind of device has an exception of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise ValueError(f"device={str(device)!r} cannot be used on this machine ({reason}); {way_out}.") from error
