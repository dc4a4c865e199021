"""Numbers that are not finite stop a training before they reach its memory or its parameters.

Pure: numpy and torch only. N: environments.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from sb3_atari_dqn.transfers import fetched

# Numbers below it fit into float32, and so do those whose squares add up to less than its square.
_LARGEST = 1e38

# In the middle of a training, where nothing of numpy is in the processor's caches, a few numbers are looked at sooner
# one by one than by one call of numpy: 10 against 45 microseconds.
_FEW = 256


class NonFiniteUpdate(ArithmeticError):
    """An update whose loss or gradient is NaN or infinite; the parameters are as they were before it."""


def check_update(loss: Tensor, grad_norm: Tensor) -> None:
    """
    Called between the gradient and the optimizer's step; reads one number from the device.

    :param loss: scalar
    :param grad_norm: norm of the whole gradient before it is clipped, scalar
    :raises NonFiniteUpdate: naming the one that is not finite
    """
    if math.isfinite((loss.detach() + grad_norm).item()):
        return
    if not math.isfinite(loss.item()):
        raise NonFiniteUpdate(f"a loss of {loss.item()}")
    raise NonFiniteUpdate(f"a gradient of norm {grad_norm.item()}")


def skip_on_device(optimizer: Optimizer, loss: Tensor, grad_norm: Tensor) -> None:
    """
    Let the optimizer's next step leave the parameters alone if loss or gradient are not finite, without asking the
    device: with a fused kernel by what mixed precision tells it, otherwise by a learning rate of 0.

    :param optimizer: its learning rates are tensors unless it is fused
    :param loss: scalar
    :param grad_norm: norm of the whole gradient before it is clipped, scalar
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
    Looks at what updates on a device report, one update late: the host waits for nothing that is still to be computed.
    """

    def __init__(self) -> None:
        self._arrived: Callable[[], np.ndarray] | None = None

    def push(self, statistics: Tensor) -> None:
        """
        :param statistics: of the update that was just made, the loss first, the norm of the gradient last
        :raises NonFiniteUpdate: because of the update before
        """
        arrived, self._arrived = self._arrived, fetched(statistics)
        if arrived is not None:
            loss, *_, grad_norm = torch.from_numpy(arrived())
            check_update(loss, grad_norm)


def non_finite(numbers: Any) -> tuple[int, float] | None:
    """
    :param numbers: rewards or observations, [N, ...]; integers are finite whatever they are
    :return: the first environment with a NaN or an infinity, and that number; None where all are finite
    """
    array = np.asarray(numbers)
    if array.dtype.kind != "f":
        return None
    if _is_surely_finite(array):
        return None
    if array.dtype == np.float64:  # the memory or the network makes float32 of it, where 1e39 is infinite
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(array))
    if not len(bad):  # they are only large
        return None
    return int(bad[0][0]), float(array[tuple(bad[0])])


def _is_surely_finite(array: np.ndarray) -> bool:
    """:return: False where a closer look is needed; comparisons with NaN are false"""
    if array.size <= _FEW:
        return all(-_LARGEST < number < _LARGEST for number in array.ravel().tolist())
    flat = array.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(flat.dot(flat) < _LARGEST**2)


def parts(observations: Any) -> Iterator[tuple[str, Any]]:
    """:return: the arrays of an observation, each with its name for a message: "observation", "observation['key']" """
    if isinstance(observations, dict):
        for key, array in observations.items():
            yield f"observation[{key!r}]", array
    else:
        yield "observation", observations


def check_observations(observations: Any, step: int) -> None:
    """
    :param observations: of N environments, [N, ...] or a dictionary of such
    :param step: environment steps so far, for the message
    :raises ValueError: naming environment, step and number
    """
    for name, array in parts(observations):
        found = non_finite(array)
        if found:
            raise ValueError(_told(found, name, step))


def check_transition(rewards: np.ndarray, observations: Any, infos: list[dict[str, Any]], step: int) -> None:
    """
    :param rewards: [N]
    :param observations: those reached, or the first of the next episodes, [N, ...] or a dictionary of such
    :param infos: whose `terminal_observation` is the last of an episode that has ended
    :param step: environment steps so far, for the message
    :raises ValueError: naming environment, step and number
    """
    found = non_finite(rewards)
    if found:
        raise ValueError(_told(found, "reward", step))
    check_observations(observations, step)
    for env, info in enumerate(infos):
        if "terminal_observation" not in info:
            continue
        for name, array in parts(info["terminal_observation"]):
            found = non_finite(np.asarray(array)[None])
            if found:
                raise ValueError(_told((env, found[1]), f"terminal {name}", step))


def _told(found: tuple[int, float], what: str, step: int) -> str:
    env, number = found
    article = "an" if what.startswith("o") else "a"
    return (
        f"Environment {env} returned {article} {what} of {number} at step {step}; nothing of that step was stored. "
        "Mend the environment, or wrap it in one that clips or replaces such numbers."
    )
