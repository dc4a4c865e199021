"""Frames on a torch device, from where the batches need not be sent.

F: numbers in a frame.
"""

import numpy as np
import torch

from sb3_atari_dqn.replay.frame_store import FrameLayout, FrameStore
from sb3_atari_dqn.transfers import sent


class DeviceFrameStore(FrameStore):
    """
    Frames in the memory of a device. What is sent there for a batch are row numbers, and the few overflow frames.

    :param layout: sizes
    :param device: where the frames lie
    :raises ValueError: if torch has no such type of numbers
    :raises MemoryError: if the device refuses the memory
    """

    def __init__(self, layout: FrameLayout, device: torch.device | str = "cpu") -> None:
        super().__init__(layout, device)
        self._dtype = _torch_dtype(layout.dtype)
        try:  # as bytes: torch can copy by number what it can hardly do anything else with, such as uint16
            self._ring = torch.empty((layout.zero_row + 1, layout.frame_bytes), dtype=torch.uint8, device=self.device)
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"The frames of the replay buffer take {layout.nbytes / 1e9:.2f} GB and do not fit on {self.device}; "
                "make buffer_size smaller or set frame_storage='ram'."
            ) from error
        self._ring[layout.zero_row] = 0

    @classmethod
    def host_nbytes(cls, layout: FrameLayout, device: torch.device) -> int:
        return layout.nbytes if device.type == "cpu" else 0

    @classmethod
    def device_nbytes(cls, layout: FrameLayout, device: torch.device) -> int:
        return 0 if device.type == "cpu" else layout.nbytes

    def read(self, steps: np.ndarray, env: int) -> np.ndarray:
        frames = self._ring.index_select(0, self._sent(self.rows(steps, np.int64(env))))
        return frames.view(self._dtype).cpu().numpy()

    def write(self, steps: np.ndarray, env: int, frames: np.ndarray) -> None:
        self._ring.index_copy_(0, self._sent(self.rows(steps, np.int64(env))), self._sent(_as_bytes(frames)))

    def write_step(self, step: int, frames: np.ndarray) -> None:
        n_envs = self.layout.n_envs
        first = step % self.layout.ring_steps * n_envs
        self._ring[first : first + n_envs] = self._sent(_as_bytes(frames.reshape(n_envs, -1)))

    def gather(self, rows: np.ndarray) -> torch.Tensor:
        flat = rows.ravel()
        frames = self._ring.index_select(0, self._sent(np.minimum(flat, self.layout.zero_row)))
        overflow = np.flatnonzero(flat > self.layout.zero_row)
        if len(overflow):
            frames.index_copy_(0, self._sent(overflow), self._sent(_as_bytes(self._overflow(flat[overflow]))))
        return frames.view(self._dtype).view(*rows.shape, self.layout.frame_size)

    def send(self, rows: np.ndarray, to: torch.Tensor, guests: torch.Tensor) -> None:
        """
        Prepare :meth:`gather_on_device`.

        :param rows: int64 [M]
        :param to: receives them, int64 [M], on the device
        :param guests: receives, in the place of each row of an overflow frame, that frame; bytes [M, frame], likewise
        """
        to.copy_(self._sent(rows))
        overflow = np.flatnonzero(rows > self.layout.zero_row)
        if len(overflow):
            guests.index_copy_(0, self._sent(overflow), self._sent(_as_bytes(self._overflow(rows[overflow]))))

    def gather_on_device(self, rows: torch.Tensor, guests: torch.Tensor) -> torch.Tensor:
        """
        Needs nothing from the host, and the same work whatever the rows are: it can be recorded.

        :param rows: as sent, int64 [M]
        :param guests: as sent, bytes [M, frame]
        :return: a copy of the frames, [M, F]
        """
        frames = self._ring.index_select(0, rows.clamp(max=self.layout.zero_row))
        is_guest = (rows > self.layout.zero_row).unsqueeze(1)
        return torch.where(is_guest, guests, frames).view(self._dtype)

    def _sent(self, array: np.ndarray) -> torch.Tensor:
        return sent(array, self.device)


def _as_bytes(frames: np.ndarray) -> np.ndarray:
    """
    :param frames: [any, F]
    :return: a view, or a copy where the frames do not lie in order, uint8 [any, bytes of a frame]
    """
    return np.ascontiguousarray(frames).view(np.uint8)


def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    """:raises ValueError: if torch has no such type"""
    try:
        return torch.from_numpy(np.empty(0, dtype)).dtype
    except TypeError as error:
        raise ValueError(
            f"Observations of type {dtype} cannot be stored on a device; set frame_storage='ram'."
        ) from error
