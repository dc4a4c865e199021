"""Between host memory and a device, without waiting for what the device still computes. Pure: numpy and torch only."""

from collections.abc import Callable

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


def fetched(tensor: torch.Tensor) -> Callable[[], np.ndarray]:
    """
    Start the way back to the host; the memory of the tensor may be written to by what the device does next.

    :param tensor: on any device
    :return: waits for the copy that has been started, and gives it
    """
    if tensor.device.type == "cpu":
        copied = tensor.detach().numpy().copy()
        return lambda: copied
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor.detach(), non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(tensor.device))

    def arrived() -> np.ndarray:
        done.synchronize()
        return host.numpy()

    return arrived
