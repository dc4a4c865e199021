"""In which precision a network computes fastest here: both are timed once.

B: batch, C: channels, H W: height and width.
"""

import copy
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
# Seconds after which no further try is begun: a difference of a tenth of that much needs no repetition.
_PATIENCE = 3.0


def choose_precision(network: HeadedQNetwork, shape: tuple[int, ...], device: torch.device) -> tuple[str, str]:
    """
    Time forward and backward in both. Neither the network nor torch's generators change.

    :param network: of image observations
    :param shape: of a batch, (B, C, H, W)
    :param device: where it computes
    :return: short name of the precision, and the reason in words
    """
    if trouble := incompatibility(network, shape[1:], torch.bfloat16, device):
        return "fp32", f"the network {trouble}"
    masters = {name: copy.deepcopy(network).train() for name in PRECISIONS}  # training writes into buffers
    copies = {name: WorkingCopy(masters[name], dtype) for name, dtype in PRECISIONS.items()}
    turns = 1 if device.type == "cuda" else _WARM_UP + _TRIES  # a graph is replayed several times each turn
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        tries: list[dict[str, float]] = []
        while len(tries) < turns and sum(map(_seconds, tries)) < _PATIENCE:
            tries.append({name: _time(each, shape, device) for name, each in copies.items()})
    # The minimum of each: other load on the machine only slows them down, and they take turns.
    milliseconds = {name: min(each[name] for each in tries[-_TRIES:]) for name in copies}
    chosen = "bf16" if milliseconds["bf16"] < _WORTH_IT * milliseconds["fp32"] else "fp32"
    times = " and ".join(f"{name} {took:.1f} ms" for name, took in milliseconds.items())
    return chosen, f"forward and backward take {times}"


def _seconds(milliseconds: dict[str, float]) -> float:
    return sum(milliseconds.values()) / 1000


def _time(network: WorkingCopy, shape: tuple[int, ...], device: torch.device) -> float:
    """:return: milliseconds of one run"""
    images = torch.zeros(shape, dtype=torch.uint8, device=device)

    def once() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(network(network.preprocess(images)).per_action.sum(), network.parameters)

    if device.type == "cuda":
        return _time_captured(once, device, network.generators())
    started = time.perf_counter()
    once()
    return 1000 * (time.perf_counter() - started)


def _time_captured(
    once: Callable[[], tuple[torch.Tensor, ...]], device: torch.device, generators: list[torch.Generator]
) -> float:
    """:return: milliseconds of a run as updates are run on CUDA; launched one by one, the launches would take most"""
    replayed, times = Replayed(once, CudaGraphCapture(device, generators)), []
    for _ in range(WARM_UP_UPDATES + 1 + _TRIES):
        started = time.perf_counter()
        replayed()
        torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - started))
    return min(times[-_TRIES:])
