"""What may replace the values and the bootstrap rule of a saved model, and what goes on from its options."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from sb3_atari_dqn.objectives.names import BOOTSTRAPS, VALUES, resolve_values
from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.validation import check_options

_KNOWN = {"values": VALUES, "bootstrap": BOOTSTRAPS}
_OPTIONS = ("values_kwargs", "bootstrap_kwargs")

#: Options that change neither the networks nor the meaning of their outputs
_FREE: dict[type, tuple[str, ...]] = {
    ScalarValues: ("error",),
    ImplicitQuantileValues: ("predicted", "targets", "acting"),
}

Choice = tuple[Any, dict[str, Any] | None]


def choice(argument: str, given: Mapping[str, Any], own: Mapping[str, Any]) -> Choice:
    """
    :param argument: "values" or "bootstrap"
    :param given: by the user; None leaves an argument out
    :param own: of the class or the file, whose options are kept as long as the choice stays the same
    :return: values or rule, and its options
    """
    options = given.get(f"{argument}_kwargs") or {}
    chosen, own_chosen = given.get(argument), own[argument]
    if chosen is None and not options:
        return own_chosen, own.get(f"{argument}_kwargs")
    name, own_options = own_chosen, own.get(f"{argument}_kwargs") or {}
    if not isinstance(own_chosen, str):
        name = next((name for name, kind in _KNOWN[argument].items() if type(own_chosen) is kind), own_chosen)
        own_options = (
            {} if name is own_chosen else {each.name: getattr(own_chosen, each.name) for each in fields(own_chosen)}
        )
    if chosen is None or (isinstance(chosen, str) and isinstance(name, str) and chosen == name):
        return name, {**own_options, **options} or None
    return chosen, dict(options) or None


def with_saved_objective(source: Any, saved: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param source: of a saved model, for the message
    :param saved: its arguments
    :param given: by the user, to replace some of them; None leaves one out
    :return: the latter, completed by the options in the file that they leave as they are
    :raises ValueError: on other values than the networks were built for, or options that are not a mapping
    """
    names = (*_KNOWN, *_OPTIONS)
    kept = {name: value for name, value in given.items() if value is not None or name not in names}
    for name in _OPTIONS:
        check_options(name, kept.get(name, {}))
    for argument in _KNOWN:
        if {argument, f"{argument}_kwargs"} & kept.keys():
            chosen = choice(argument, kept, saved)
            if argument == "values":
                _check_same_networks(source, saved, kept, chosen)
            kept[argument], kept[f"{argument}_kwargs"] = chosen
    return kept


def _check_same_networks(source: Any, saved: Mapping[str, Any], given: Mapping[str, Any], chosen: Choice) -> None:
    """:raises ValueError: on values that are not those of the networks"""
    loss = saved.get("loss", "huber")
    before = resolve_values(saved["values"], saved.get("values_kwargs"), loss)
    after = resolve_values(*chosen, given.get("loss", loss))
    if not have_same_networks(before, after):
        is_option = type(before) is type(after) and "values_kwargs" in given
        name = "values_kwargs" if is_option or "values" not in given else "values"
        raise ValueError(
            f"{source} was saved with {name}={saved.get(name)!r}, not {given[name]!r}: the networks of a saved model "
            f"are fixed, omit {name}."
        )


def have_same_networks(one: Values, other: Values) -> bool:
    """:return: whether a network for one of them has the same outputs, with the same meaning, for the other"""
    if type(one) is not type(other):
        return False
    free = {name: getattr(other, name) for name in _FREE.get(type(one), ())}
    return bool((replace(one, **free) if free else one) == other)  # type: ignore[type-var]
