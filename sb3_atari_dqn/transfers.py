"""Asynchronous copies between host and device. Depends on numpy and torch only."""

from collections.abc import Callable

import numpy as np
import torch


def sent(data: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """
    Copy to a device without waiting. A CUDA copy from pageable memory waits for all work queued on the device, so one
    such copy per update would keep the host from running ahead. Copies from pinned memory do not wait; torch caches
    pinned blocks, and reuses one only after its copy has finished.

    :param data: contiguous in host memory, or already on the device; may be overwritten afterwards unless `device` is
        the CPU, where the result shares its memory
    :param device: target device
    """
    tensor = torch.as_tensor(data)
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def fetched(tensor: torch.Tensor) -> Callable[[], np.ndarray]:
    """
    Start a copy to the host. Later work on the device may overwrite the tensor.

    :param tensor: on any device
    :return: function that waits for the copy and returns it
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
