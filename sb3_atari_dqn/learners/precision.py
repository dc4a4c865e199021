"""In which precision a network computes fastest here: asked once, by trying both.

B: batch, C: channels, H W: height and width.
"""

import time
from collections.abc import Callable

import torch

from sb3_atari_dqn.learners.compatibility import incompatibility
from sb3_atari_dqn.learners.cuda_graph import WARM_UP_UPDATES, CudaGraphCapture, Replayed
from sb3_atari_dqn.learners.working_copy import WorkingCopy
from sb3_atari_dqn.networks.q_network import HeadedQNetwork

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

# bfloat16 gives up accuracy: it must be worth it.
_WORTH_IT = 0.9
_WARM_UP, _TRIES = 2, 7


def choose_precision(network: HeadedQNetwork, shape: tuple[int, ...], device: torch.device) -> tuple[str, str]:
    """
    Time forward and backward in both; the network stays as it is and no random number is drawn.

    :param network: of image observations
    :param shape: of a batch, (B, C, H, W)
    :param device: where it computes
    :return: short name of the precision, and the reason in words
    """
    if trouble := incompatibility(network, shape[1:], torch.bfloat16, device):
        return "fp32", f"the network {trouble}"
    copies = {name: WorkingCopy(network, dtype) for name, dtype in PRECISIONS.items()}
    turns = 1 if device.type == "cuda" else _WARM_UP + _TRIES  # a recording is tried several times by itself
    tries = [{name: _time(each, shape, device) for name, each in copies.items()} for _ in range(turns)]
    # The quickest of each: whatever else the machine does only slows them down, and they take turns.
    milliseconds = {name: min(each[name] for each in tries[-_TRIES:]) for name in copies}
    chosen = "bf16" if milliseconds["bf16"] < _WORTH_IT * milliseconds["fp32"] else "fp32"
    times = " and ".join(f"{name} {took:.1f} ms" for name, took in milliseconds.items())
    return chosen, f"forward and backward take {times}"


def _time(network: WorkingCopy, shape: tuple[int, ...], device: torch.device) -> float:
    """:return: milliseconds of one run"""
    images = torch.zeros(shape, dtype=torch.uint8, device=device)

    def once() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(network(network.preprocess(images)).per_action.sum(), network.parameters)

    if device.type == "cuda":
        return _time_recorded(once, device)
    started = time.perf_counter()
    once()
    return 1000 * (time.perf_counter() - started)


def _time_recorded(once: Callable[[], tuple[torch.Tensor, ...]], device: torch.device) -> float:
    """:return: milliseconds of a run as updates are run on CUDA; launched one by one, the launches would take most"""
    replayed, times = Replayed(once, CudaGraphCapture(device)), []
    for _ in range(WARM_UP_UPDATES + 1 + _TRIES):
        started = time.perf_counter()
        replayed()
        torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - started))
    return min(times[-_TRIES:])
