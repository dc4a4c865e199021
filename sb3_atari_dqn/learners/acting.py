"""Greedy actions of all environments at once on a GPU: one copy there, one launch, one copy back.

N: environments, C: channels, H W: height and width.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sb3_atari_dqn.learners.cuda_graph import GraphCapture, Replayed


class GraphedActing:
    """
    One graph for each number of environments. The parameters it reads may change between two calls, their addresses may
    not.

    The host synchronizes once per call, for the actions; all work queued before is then complete.

    :param act: from images, uint8 [N, C, H, W], to actions, int64 [N], on the device
    :param device: of both
    :param capture: of that device
    """

    def __init__(self, act: Callable[[Tensor], Tensor], device: torch.device, capture: GraphCapture) -> None:
        self._act, self._device, self._capture = act, device, capture
        self._inputs: dict[tuple[int, ...], _FixedInput] = {}

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """
        :param observations: uint8 [N, C, H, W]
        :return: int64 [N]
        """
        shape = observations.shape
        if shape not in self._inputs:
            self._inputs[shape] = _FixedInput(self._act, observations, self._device, self._capture)
        return self._inputs[shape](observations)


class _FixedInput:
    """Memory for observations of one shape: pinned on the host, for an asynchronous copy, and on the device."""

    def __init__(
        self, act: Callable[[Tensor], Tensor], like: np.ndarray, device: torch.device, capture: GraphCapture
    ) -> None:
        staged = torch.empty(like.shape, dtype=torch.from_numpy(like[:0]).dtype, pin_memory=device.type == "cuda")
        self._on_device = torch.empty_like(staged, device=device)
        self._staged, self._numbers = staged, staged.numpy()
        self._act = Replayed(lambda: act(self._on_device), capture)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        np.copyto(self._numbers, observations)  # the last call synchronized: the copy from here is complete
        self._on_device.copy_(self._staged, non_blocking=True)
        return self._act().to("cpu", copy=True).numpy()
