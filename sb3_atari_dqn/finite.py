"""Detects NaN and infinity before they reach the replay buffer or the parameters.

Depends on numpy and torch only. N: environments.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from sb3_atari_dqn.transfers import fetched

# Smaller numbers fit into float32; so do numbers whose sum of squares is below its square.
_LARGEST = 1e38

# For a few numbers, a Python loop is faster than a numpy call during training, when numpy is not in the CPU caches:
# 10 instead of 45 microseconds.
_FEW = 256


class NonFiniteUpdate(ArithmeticError):
    """The loss or gradient of an update is NaN or infinite; the parameters are unchanged."""


class NonFiniteTransition(ValueError):
    """An environment returned NaN or infinity; nothing of that step was stored."""


class NonFiniteValues(ValueError):
    """
    The network gives an action value that is NaN or infinite.

    :param row: index of the observation, in training that of the environment
    :param value: the first such value; None if it stayed on the device
    """

    def __init__(self, row: int, value: float | None = None) -> None:
        self.row, self.what = row, "NaN or infinity" if value is None else str(value)
        super().__init__(
            f"The network gives an action value of {self.what} for observation {row}: its parameters or this "
            "observation are damaged, or the values overflow. Load another model."
        )


def check_values(q: Tensor) -> None:
    """
    Waits for the device.

    :param q: action values, float32 [B, A]
    :raises NonFiniteValues: naming the first that is NaN or infinite
    """
    if math.isfinite(q.sum().item()):  # one NaN or infinity makes the sum one
        return
    bad = (~torch.isfinite(q)).nonzero()
    if len(bad):  # otherwise only the sum overflows
        row, action = bad[0].tolist()
        raise NonFiniteValues(row, q[row, action].item())


def finite_argmax(q: Tensor) -> Tensor:
    """
    Does not wait for a device, and can be captured there; :func:`check_actions` then tells the host.

    :param q: action values, float32 [B, A]
    :return: greedy actions, -1 where an action value is not finite, int64 [B]
    :raises NonFiniteValues: at once, if the values are on the CPU
    """
    if q.device.type == "cpu":
        check_values(q)
        return q.argmax(dim=1)
    return torch.where(torch.isfinite(q).all(dim=1), q.argmax(dim=1), -1)


def check_actions(actions: np.ndarray) -> None:
    """
    :param actions: from :func:`finite_argmax`, int64 [B]
    :raises NonFiniteValues: if one of them is -1
    """
    if -1 in (chosen := actions.tolist()):
        raise NonFiniteValues(chosen.index(-1))


def check_update(loss: Tensor, grad_norm: Tensor) -> None:
    """
    Call between `backward()` and `optimizer.step()`; copies one number from the device.

    :param loss: scalar
    :param grad_norm: total gradient norm before clipping, scalar
    :raises NonFiniteUpdate: naming the one that is not finite
    """
    if math.isfinite((loss.detach() + grad_norm).item()):
        return
    if not math.isfinite(loss.item()):
        raise NonFiniteUpdate(f"a loss of {loss.item()}")
    raise NonFiniteUpdate(f"a gradient of norm {grad_norm.item()}")


def skip_on_device(optimizer: Optimizer, loss: Tensor, grad_norm: Tensor) -> None:
    """
    Make the next optimizer step a no-op if the loss or the gradient is not finite, without synchronizing with the
    device: through `found_inf` (from mixed precision) for a fused optimizer, otherwise with a learning rate of 0.

    :param optimizer: its learning rates are tensors unless it is fused
    :param loss: scalar
    :param grad_norm: total gradient norm before clipping, scalar
    """
    bad = ~torch.isfinite(loss.detach() + grad_norm)
    if optimizer.param_groups[0].get("fused"):
        optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        return
    for group in optimizer.param_groups:
        group["lr"].mul_(~bad)
        for parameter in group["params"]:
            torch.nan_to_num_(parameter.grad, 0, 0, 0)  # 0 times NaN would be NaN


class UpdateWatch:
    """
    Checks the statistics of updates on a device one update late, so that the host never waits for the device.
    """

    def __init__(self) -> None:
        self._arrived: Callable[[], np.ndarray] | None = None

    def push(self, statistics: Tensor) -> None:
        """
        :param statistics: of the latest update, the loss first, the gradient norm last
        :raises NonFiniteUpdate: because of the previous update
        """
        arrived, self._arrived = self._arrived, fetched(statistics)
        if arrived is not None:
            loss, *_, grad_norm = torch.from_numpy(arrived())
            check_update(loss, grad_norm)


def non_finite(numbers: Any) -> tuple[int, float] | None:
    """
    :param numbers: rewards or observations, [N, ...]; integers are always finite
    :return: index of the first environment with a NaN or an infinity, and that value; None if all are finite
    """
    array = np.asarray(numbers)
    if array.dtype.kind != "f":
        return None
    if _is_surely_finite(array):
        return None
    if array.dtype == np.float64:  # replay buffer and network convert to float32, where 1e39 is infinite
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(array))
    if not len(bad):  # only large
        return None
    return int(bad[0][0]), float(array[tuple(bad[0])])


def _is_surely_finite(array: np.ndarray) -> bool:
    """:return: False if a full check is needed; comparisons with NaN are false"""
    if array.size <= _FEW:
        return all(-_LARGEST < number < _LARGEST for number in array.ravel().tolist())
    flat = array.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(flat.dot(flat) < _LARGEST**2)


def parts(observations: Any) -> Iterator[tuple[str, Any]]:
    """:return: the arrays of an observation with their names for messages: "observation", "observation['key']" """
    if isinstance(observations, dict):
        for key, array in observations.items():
            yield f"observation[{key!r}]", array
    else:
        yield "observation", observations


def check_observations(observations: Any, step: int) -> None:
    """
    :param observations: of N environments, [N, ...] or a dictionary of such
    :param step: environment steps so far, for the message
    :raises NonFiniteTransition: naming environment, step and value
    """
    for name, array in parts(observations):
        found = non_finite(array)
        if found:
            raise NonFiniteTransition(_message(found, name, step))


def check_transition(rewards: np.ndarray, observations: Any, infos: list[dict[str, Any]], step: int) -> None:
    """
    :param rewards: [N]
    :param observations: next observations; after the end of an episode, the first of the next one, [N, ...] or a
        dictionary of such
    :param infos: `terminal_observation` is the last observation of a finished episode
    :param step: environment steps so far, for the message
    :raises NonFiniteTransition: naming environment, step and value
    """
    found = non_finite(rewards)
    if found:
        raise NonFiniteTransition(_message(found, "reward", step))
    check_observations(observations, step)
    for env, info in enumerate(infos):
        if "terminal_observation" not in info:
            continue
        for name, array in parts(info["terminal_observation"]):
            found = non_finite(np.asarray(array)[None])
            if found:
                raise NonFiniteTransition(_message((env, found[1]), f"terminal {name}", step))


def _message(found: tuple[int, float], what: str, step: int) -> str:
    env, number = found
    article = "an" if what.startswith("o") else "a"
    return (
        f"Environment {env} returned {article} {what} of {number} at step {step}; nothing of that step was stored. "
        "Fix the environment, or add a wrapper that clips or replaces such values."
    )
