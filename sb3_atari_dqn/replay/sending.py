"""From host memory to a device, without waiting for what the device still computes. Pure: numpy and torch only."""

import numpy as np
import torch


def sent(data: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """
    From pageable memory, CUDA copies only after the device has done everything that it was given before: one such copy
    per update and the host never gets ahead. Pinned memory has no such wait; torch keeps a pool of it, and gives a
    block out again only when its copy is done.

    :param data: in host memory, contiguous, or on the device already; may be written to afterwards unless `device` is
        the CPU, where the result shares its memory
    :param device: where it is needed
    """
    tensor = torch.as_tensor(data)
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
