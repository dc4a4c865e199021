"""Whether a network computes in the fast learner as it does in the policy; tried before training starts.

B: batch, C: channels, H W: height and width.
"""

import copy

import torch
from torch import Tensor

from sb3_atari_dqn.learners.working_copy import WorkingCopy
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.networks.q_network import HeadedQNetwork

_BATCH, _SEED = 2, 0


def incompatibility(
    network: HeadedQNetwork, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> str | None:
    """
    Two passes while training and one while acting, on random images. Neither the network nor a generator changes.

    Noisy layers and dropout are fine: reseeding torch's generators, and those that layers keep, repeats what they draw.

    :param network: of image observations
    :param shape: of an observation, (C, H, W)
    :param dtype: in which it would compute
    :param device: where it computes
    :return: None if it computes alike, else what is wrong, to be read after "The network"
    """
    for generator in generators(network):
        if generator.device.type != device.type:
            return f"keeps a random generator on {generator.device}, but computes on {device}"
    rng = torch.Generator().manual_seed(_SEED)
    images = torch.randint(256, (_BATCH, *shape), dtype=torch.uint8, generator=rng).to(device)
    try:
        trial = _Trial(network, dtype)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            (values, gradients), (again, _) = (trial.train_on(images) for _ in range(2))
            trial.act_on(images)
    except (RuntimeError, TypeError) as error:
        return f"does not run in {dtype} and channels last ({' '.join(str(error).split())[:160]})"
    if replaced := trial.replaced_buffers():
        return f"replaces its buffers ({', '.join(replaced)}) instead of writing into them"
    if not torch.allclose(values, again, rtol=1e-3, atol=1e-5):
        return "computes at random while it trains, and seeding torch's generators does not repeat it"
    names = (name for name, _ in network.named_parameters())
    idle = [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]
    return f"has parameters that no value depends on ({', '.join(idle)})" if idle else None


class _Trial:
    """A working copy of a copy: passes in training mode write into buffers."""

    def __init__(self, network: HeadedQNetwork, dtype: torch.dtype) -> None:
        self._master = copy.deepcopy(network).train()
        self._buffers = dict(self._master.named_buffers())
        self._begin = [buffer.clone() for buffer in self._buffers.values()]
        self._copy = WorkingCopy(self._master, dtype)

    def train_on(self, images: Tensor) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """:return: outputs, and the gradients of their sum; the same at every call, if the network allows"""
        torch.manual_seed(_SEED)
        for generator in self._copy.generators():
            generator.manual_seed(_SEED)
        for buffer, begin in zip(self._buffers.values(), self._begin, strict=True):
            buffer.copy_(begin)
        values = self._copy(self._copy.preprocess(images)).per_action
        return values.detach(), torch.autograd.grad(values.sum(), self._copy.parameters, allow_unused=True)

    @torch.no_grad()
    def act_on(self, images: Tensor) -> None:
        self._copy.train(False)
        self._copy(self._copy.preprocess(images))

    def replaced_buffers(self) -> list[str]:
        """:return: names of those that the passes did not write into, but put others in their place"""
        return [name for name, buffer in self._copy.named_buffers() if self._buffers.get(name) is not buffer]
