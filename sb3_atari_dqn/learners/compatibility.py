"""A trial of what the fast learner will do with a network, before anything depends on it.

B: batch, C: channels, H W: height and width.
"""

import torch
from torch import Tensor

from sb3_atari_dqn.learners.working_copy import WorkingCopy
from sb3_atari_dqn.networks.q_network import HeadedQNetwork

_BATCH = 2


def incompatibility(
    network: HeadedQNetwork, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> str | None:
    """
    Two forward passes and a backward one on random images; no generator of torch's is moved.

    :param network: of image observations
    :param shape: of an observation, (C, H, W)
    :param dtype: in which it would compute
    :param device: where it computes
    :return: None if it can, else what is wrong, to be read after "The network"
    """
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, (_BATCH, *shape), dtype=torch.uint8, generator=rng).to(device)
    copy = WorkingCopy(network, dtype)
    try:
        values, again, gradients = _try(copy, images)
    except (RuntimeError, TypeError) as error:
        return f"does not run in {dtype} and channels last ({' '.join(str(error).split())[:160]})"
    if not torch.allclose(values, again, rtol=1e-3, atol=1e-5):
        return "computes at random while it trains (dropout?)"
    idle = [name for (name, _), gradient in zip(network.named_parameters(), gradients, strict=True) if gradient is None]
    return f"has parameters that no value depends on ({', '.join(idle)})" if idle else None


def _try(copy: WorkingCopy, images: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        values, again = (copy(copy.preprocess(images)).per_action for _ in range(2))
    return values, again, torch.autograd.grad(values.sum(), copy.parameters, allow_unused=True)
