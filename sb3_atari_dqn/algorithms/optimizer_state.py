"""The state of a torch optimizer as plain values and arrays."""

from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """:return: a plain copy of torch's `state_dict`, parameters numbered by strings"""
    state = optimizer.state_dict()
    of_parameters = {str(number): _copied(values) for number, values in state["state"].items()}
    groups = [{name: _copied(value) for name, value in group.items()} for group in state["param_groups"]]
    return {"state": of_parameters, "param_groups": groups}


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """
    :param optimizer: of the same class, over parameters of the same sizes
    :param state: from `optimizer_state`
    :raises ValueError: if it has other groups of parameters
    """
    groups = [
        {name: tuple(value) if isinstance(own.get(name), tuple) else value for name, value in group.items()}
        for group, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    of_parameters = {int(number): values for number, values in state["state"].items()}
    optimizer.load_state_dict({"state": of_parameters, "param_groups": groups})


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_copied(each) for each in value]
    return value.detach().clone() if isinstance(value, Tensor) else value
