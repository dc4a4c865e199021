"""``--ray ADDRESS`` of ``python -m sb3_atari_dqn train``, as ``-params`` of the zoo, which has no such option."""

from collections.abc import Sequence

from sb3_atari_dqn.distributed.cluster import check_address_form

_OPTION = "--ray"
_PARAMS = ("-params", "--hyperparams")


def with_actors(command: str, arguments: Sequence[str]) -> list[str]:
    """
    :param command: of the zoo
    :param arguments: as typed after it
    :return: without ``--ray``, and with ``ray.address`` among the hyperparameters
    :raises ValueError: if the option has no address, a wrong or a second one, or the command does not train
    """
    rest, address = _without_option(arguments)
    if any(each.startswith("ray") and ("@" in each or "://" in each) for each in rest):
        check_address_form("://")  # before the zoo prints it
    if address is None:
        return rest
    check_address_form(address)
    if command != "train":
        raise ValueError(f"{_OPTION} {address}: only train has actors")
    if any(each.startswith("ray.address:") for each in rest):
        raise ValueError(f"{_OPTION} {address} and ray.address both give an address: leave one out")
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
