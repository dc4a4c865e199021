"""Short names of representations and bootstrap rules, as constructor arguments and configurations give them."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from sb3_atari_dqn.objectives.bootstrap import Bootstrap, Double, Greedy, Minto, Munchausen
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues, QuantileValues
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.validation import check_keys, check_known, check_options

VALUES: dict[str, type[Any]] = {
    "scalar": ScalarValues,
    "categorical": CategoricalValues,
    "quantile": QuantileValues,
    "implicit": ImplicitQuantileValues,
}

BOOTSTRAPS: dict[str, type[Any]] = {
    "greedy": Greedy,
    "double": Double,
    "minto": Minto,
    "munchausen": Munchausen,
}


def resolve_values(values: Any, options: Mapping[str, Any] | None, loss: str | None) -> Values:
    """
    :param values: short name, or the object itself
    :param options: of the named kind
    :param loss: of scalar values, "huber" or "mse"; None: the option `error`, or else "mse"
    :raises ValueError: on an unknown name or option, a bad number, or a loss that the kind does not have
    """
    options = _options("values_kwargs", options)
    if isinstance(values, str) and values == "scalar":
        loss = options.get("error", "mse") if loss is None else loss
        if loss not in ("huber", options.get("error", loss)):
            raise ValueError(f"loss={loss!r} and values_kwargs={options!r} both choose a loss; give one.")
        options = {"error": loss, **options}
    elif loss not in (None, "huber"):
        raise ValueError(f"loss={loss!r} is one of values='scalar'; values={values!r} has its own, leave it out.")
    if not isinstance(values, str | Values) or isinstance(values, type):
        raise ValueError(
            f"values must be one of {', '.join(VALUES)}, or an object such as QuantileValues(), got {values!r}."
        )
    return _resolved("values", values, options, VALUES)


def resolve_bootstrap(bootstrap: Any, options: Mapping[str, Any] | None) -> Bootstrap:
    """
    :param bootstrap: short name, or the object itself
    :param options: of the named rule
    :raises ValueError: on an unknown name or option, or a bad number
    """
    return _resolved("bootstrap", bootstrap, _options("bootstrap_kwargs", options), BOOTSTRAPS)


def _resolved(argument: str, given: Any, options: dict[str, Any], known: Mapping[str, Any]) -> Any:
    if not isinstance(given, str):
        if options:
            raise ValueError(f"{argument}_kwargs={options!r} belong to a short name, but {argument}={given!r} is none.")
        # From a file, an object comes without its constructor: that checks the numbers.
        return replace(given) if type(given) in known.values() else given
    check_known(argument, given, known)
    kind = known[given]
    names = {each.name for each in fields(kind)}
    if options and not names:
        raise ValueError(f"{argument}={given!r} has no options, got {argument}_kwargs={options!r}; leave them out.")
    check_keys(f"{argument}_kwargs of {given!r}", options, names)
    try:
        return kind(**options)
    except ValueError as error:
        raise ValueError(f"{argument}_kwargs of {given!r}: {error}") from error


def _options(argument: str, options: Any) -> dict[str, Any]:
    """:raises ValueError: if they are not a mapping of names to values"""
    check_options(argument, {} if options is None else options)
    return dict(options or {})
