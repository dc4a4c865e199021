"""Shapes of what the objects of a user's own return: a wrong one would broadcast and train something else.

Pure torch. B: batch, A: actions, D: outputs per action.
"""

from typing import Any

import torch
from torch import Tensor

from sb3_atari_dqn.objectives.outputs import Outputs, Values

_BATCH = 3  # in a rehearsal


def check_shape(owner: Any, what: str, given: Any, wanted: tuple[int | None, ...]) -> None:
    """
    :param owner: of the method, for the message
    :param what: is checked, likewise
    :param given: that should be a tensor
    :param wanted: its shape; None for a dimension of any size
    :raises ValueError: naming both shapes
    """
    expected = f"({', '.join('any' if size is None else str(size) for size in wanted)}{',' * (len(wanted) == 1)})"
    if not isinstance(given, Tensor):
        raise ValueError(f"{owner!r}: {what} must be a tensor of shape {expected}, got a {type(given).__name__}.")
    shape = tuple(given.shape)
    if len(shape) != len(wanted) or any(size not in (None, own) for own, size in zip(shape, wanted, strict=True)):
        raise ValueError(f"{owner!r}: {what} must have shape {expected}, got {shape}.")


def rehearse(values: Values, n_actions: int, device: torch.device) -> None:
    """
    Call each method once with random numbers, before anything else is built on it.

    :param values: of the user's own
    :param n_actions: A
    :param device: of the networks
    :raises ValueError: on a result that is not what an objective needs
    """
    n_outputs = values.online_fractions or values.n_outputs
    n_targets = values.target_fractions or values.n_outputs
    with torch.random.fork_rng(devices=[]), torch.enable_grad():

        def random(*shape: int) -> Tensor:
            return torch.rand(_BATCH, *shape).to(device)

        fractions = random(n_outputs) if values.online_fractions else None
        mean = values.mean(Outputs(random(n_actions, n_outputs), fractions))
        check_shape(values, f"mean() of {_BATCH} states and {n_actions} actions", mean, (_BATCH, n_actions))
        target = values.target(random(n_targets), random(), random())
        check_shape(values, f"target() of {_BATCH} samples", target, (_BATCH, None))
        losses = values.loss(random(n_outputs).requires_grad_(), fractions, target)
        check_losses(values, losses, _BATCH)
        if not losses[0].requires_grad:
            raise ValueError(
                f"{values!r}: the losses of loss() have no gradient with respect to chosen_tm1: compute them without "
                "detach() and torch.no_grad()."
            )


def check_losses(values: Values, given: Any, n: int) -> None:
    """
    :param given: by `loss()`
    :param n: B
    :raises ValueError: if they are not a loss and a priority for each sample
    """
    if not (isinstance(given, tuple) and len(given) == 2):
        raise ValueError(
            f"{values!r}: loss() must return two tensors, the losses and the priorities of {n} samples, got a "
            f"{type(given).__name__}."
        )
    check_shape(values, "the losses of loss()", given[0], (n,))
    check_shape(values, "the priorities of loss()", given[1], (n,))
