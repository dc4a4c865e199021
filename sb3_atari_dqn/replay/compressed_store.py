"""Frames compressed in host memory, for machines that cannot hold them as they are.

N: environments, M: frames asked for, F: numbers in a frame, L: steps of a block.

The ring is cut into blocks of L consecutive steps of one environment, whose frames differ in little. All blocks are
compressed but one of each environment, the open one, in which it writes; entering a block brings back the frames of
the last turn of the ring that stand in it and are still needed:

    environment 0   [zstd] [zstd] [ open: new new old old ] [zstd] [zst]     the last block may be shorter
    environment 1   [zstd] [zstd] [ open: new new old old ] [zstd] [zst]
"""

import warnings
from typing import Any

import numpy as np
import torch
import zstandard

from sb3_atari_dqn.replay.frame_store import FrameLayout, FrameStore
from sb3_atari_dqn.replay.memory_check import available_bytes

_LEVEL = 3

# How much of their size the frames are expected to need; what they really need is compared while the ring fills.
EXPECTED_SHARE = 0.1
_FIRST_COMPARISON_BLOCKS = 256

_OBJECT_BYTES = 64  # of each compressed block: Python's header, the place in the list, the allocator's


class CompressedFrameStore(FrameStore):
    """
    Frames in host memory, in blocks that are compressed when they are complete.

    Any frames come back as they were; how much memory they take depends on what they show.

    :param layout: sizes
    :param device: that of the batches
    """

    # L. Measured on Pong, Breakout and Ms. Pac-Man at 84x84: blocks twice as long save 8 to 19 % of the memory and
    # take a third longer to sample from, blocks half as long need 19 to 39 % more. Differences between
    # neighbouring frames, or pixels in the order of time, gain nothing: zstd finds what repeats by itself.
    block_steps = 16

    def __init__(self, layout: FrameLayout, device: torch.device | str = "cpu") -> None:
        self._make_compressors()
        self._raw = np.zeros((layout.n_envs, self.block_steps, layout.frame_size), layout.dtype)  # the open blocks
        super().__init__(layout, device)

    def _make_compressors(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_compressor", "_decompressor")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_compressors()

    @classmethod
    def host_nbytes(cls, layout: FrameLayout, device: torch.device) -> int:
        return int(EXPECTED_SHARE * layout.nbytes) + layout.n_envs * cls.block_steps * layout.frame_bytes

    @property
    def nbytes(self) -> int:
        """Memory of the ring as it is filled now."""
        return self._compressed_nbytes + self._raw.nbytes

    def reset(self) -> None:
        super().reset()
        self._blocks: list[bytes | None] = [None] * (self._n_blocks() * self.layout.n_envs)
        self._open = [-1] * self.layout.n_envs  # number of the open block
        self._compressed_nbytes = self._n_compressed = 0
        self._next_comparison_blocks = _FIRST_COMPARISON_BLOCKS

    def _n_blocks(self) -> int:
        """:return: of one environment"""
        return -(-self.layout.ring_steps // self.block_steps)

    def _key(self, block: Any, env: Any) -> Any:
        """:return: place in the list of compressed blocks; of one, or of an array of them"""
        return block * self.layout.n_envs + env

    # --- writing

    def write_step(self, step: int, frames: np.ndarray) -> None:
        block, place = divmod(step % self.layout.ring_steps, self.block_steps)
        for env, block_open in enumerate(self._open):
            if block_open != block:
                self._enter(block, env)
        self._raw[:, place] = frames.reshape(self.layout.n_envs, -1)

    def write(self, steps: np.ndarray, env: int, frames: np.ndarray) -> None:
        for block, places, members in self._by_block(steps):
            if self._open[env] != block:
                self._enter(block, env)
            self._raw[env, places] = frames[members]

    def _enter(self, block: int, env: int) -> None:
        """Compress the block that is open and open another one."""
        if self._open[env] >= 0:
            self._close(env)
        key = self._key(block, env)
        content = self._blocks[key]
        if content is not None:  # else the block was never written, and its content is undefined
            frames = self._decompressed(content)
            self._raw[env, : len(frames)] = frames
            self._compressed_nbytes -= len(content) + _OBJECT_BYTES
            self._n_compressed -= 1
        self._blocks[key], self._open[env] = None, block

    def _close(self, env: int) -> None:
        block = self._open[env]
        length = min(self.block_steps, self.layout.ring_steps - block * self.block_steps)
        # zstandard cuts what it returns from a larger piece of memory: only a copy takes no more than it needs.
        content = bytes(memoryview(self._compressor.compress(self._raw[env, :length].data)))
        self._blocks[self._key(block, env)] = content
        self._compressed_nbytes += len(content) + _OBJECT_BYTES
        self._n_compressed += 1
        self._compare_with_memory()

    def _compare_with_memory(self) -> None:
        """Warn, at first after some thousands of frames and then at each doubling, if the rest will not fit."""
        count = self._n_compressed
        if count < self._next_comparison_blocks:
            return
        self._next_comparison_blocks *= 2
        missing = (len(self._blocks) - count) * self._compressed_nbytes / count
        available = available_bytes()
        if missing <= available:
            return
        share = self._compressed_nbytes / (count * self.block_steps * self.layout.frame_bytes)
        fitting = (count + available * count / self._compressed_nbytes) / len(self._blocks)
        warnings.warn(
            f"The frames in the replay buffer compress to {share:.0%} of their size: the rest of it will take "
            f"{missing / 1e9:.2f} GB, and {available / 1e9:.2f} GB are left. Set buffer_size to {fitting:.0%} of what "
            "it is now, or the training may run out of memory.",
            stacklevel=2,
        )

    # --- reading

    def read(self, steps: np.ndarray, env: int) -> np.ndarray:
        frames = np.empty((len(steps), self.layout.frame_size), self.layout.dtype)
        for block, places, members in self._by_block(steps):
            frames[members] = self._block(self._key(block, env))[places]
        return frames

    def gather(self, rows: np.ndarray) -> torch.Tensor:
        flat = rows.ravel()
        frames = np.empty((len(flat), self.layout.frame_size), self.layout.dtype)
        in_ring = np.flatnonzero(flat < self.layout.zero_row)
        frames[flat == self.layout.zero_row] = 0
        overflow = flat > self.layout.zero_row
        if overflow.any():
            frames[overflow] = self._overflow(flat[overflow])
        steps, envs = np.divmod(flat[in_ring], self.layout.n_envs)
        blocks, places = np.divmod(steps, self.block_steps)
        for key, members in _groups(self._key(blocks, envs)):
            frames[in_ring[members]] = self._block(key)[places[members]]
        return torch.from_numpy(frames.reshape(*rows.shape, self.layout.frame_size))

    def _by_block(self, steps: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """:return: numbers of the blocks of these steps, which places of each, and which of the steps that are"""
        blocks, places = np.divmod(steps % self.layout.ring_steps, self.block_steps)
        return [(block, places[members], members) for block, members in _groups(blocks)]

    def _block(self, key: int) -> np.ndarray:
        """:return: the frames of a block, to read, [at most L, F]"""
        block, env = divmod(key, self.layout.n_envs)
        if self._open[env] == block:
            return self._raw[env]
        content = self._blocks[key]
        if content is None:
            raise IndexError(f"Block {block} of environment {env} holds no frames yet.")
        return self._decompressed(content)

    def _decompressed(self, content: bytes) -> np.ndarray:
        frames = np.frombuffer(self._decompressor.decompress(content), self.layout.dtype)
        return frames.reshape(-1, self.layout.frame_size)


def _groups(keys: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """
    :param keys: int64 [M]
    :return: each key there is, ascending, and where it stands
    """
    if not len(keys):
        return []
    order = np.argsort(keys, kind="stable")
    ascending = keys[order]
    begins = [0, *(np.flatnonzero(ascending[1:] != ascending[:-1]) + 1).tolist()]
    return [(int(ascending[begin]), order[begin:end]) for begin, end in zip(begins, [*begins[1:], None], strict=True)]
