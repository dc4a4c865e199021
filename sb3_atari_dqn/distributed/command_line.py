"""``--ray ADDRESS`` of ``python -m sb3_atari_dqn train``, as ``-params`` of the zoo, which has no such option."""

from collections.abc import Sequence

_OPTION = "--ray"
_PARAMS = ("-params", "--hyperparams")


def with_actors(command: str, arguments: Sequence[str]) -> list[str]:
    """
    :param command: of the zoo
    :param arguments: as typed after it
    :return: without ``--ray``, and with ``ray.address`` among the hyperparameters
    :raises ValueError: if the option has no address, or the command does not train
    """
    rest, address = _without_option(arguments)
    if address is None:
        return rest
    if command != "train":
        raise ValueError(f"{_OPTION} {address}: only train has actors")
    given = f"ray.address:{address!r}"
    for name in _PARAMS:
        if name in rest:  # the zoo takes the last -params alone
            place = len(rest) - rest[::-1].index(name)
            return [*rest[:place], given, *rest[place:]]
    return [*rest, _PARAMS[0], given]


def _without_option(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    rest, address, given = [], None, iter(arguments)
    for argument in given:
        name, equals, value = argument.partition("=")
        if name != _OPTION:
            rest.append(argument)
            continue
        address = value if equals else next(given, "")
        if not address or address.startswith("-"):
            raise ValueError(f"{_OPTION} needs an address: local, auto, in-process or HOST:PORT")
    return rest, address
