"""What an actor sends: a block of vector steps, every frame once, and what a replacement of the actor would need.

k: vector steps of a block, G: games of a group, C: channels of a frame, K: frames in a stack, H W: size of a frame,
E: episodes that ended in the block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import zstandard

#: Quick; frames of games are mostly background
_LEVEL = 1


class Order(NamedTuple):
    """
    A block to be played.

    :param round: of blocks, before which it was ordered
    :param version: of the weights
    :param epsilons: probability of a random action, float64 [k, G]
    """

    round: int
    version: int
    epsilons: np.ndarray


@dataclass(frozen=True)
class Block:
    """
    :param actions: int64 [k, G]
    :param rewards: float32 [k, G]
    :param dones: bool [k, G]
    :param truncated: by a time limit, bool [k, G]
    :param frames: the newest frame after each step, before a reset, uint8 [k, G, C, H, W]; or compressed, uint8 [any]
    :param first_frames: of the episodes that began after the E dones, in the order of `dones`, uint8 [E, C, H, W]
    :param counts: lives, raw frames of the game and raw frames since its ROM was loaded, int64 [k, G, 3]
    :param td_errors: by the actor's values, float32 [k, G]; [0, 0] unless they were asked for
    :param scores: of finished games: step, game, raw return, raw frames, float64 [any, 4]
    """

    actions: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray
    truncated: np.ndarray
    frames: np.ndarray
    first_frames: np.ndarray
    counts: np.ndarray
    td_errors: np.ndarray
    scores: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """k and G"""
        return self.rewards.shape

    @property
    def nbytes(self) -> int:
        """As it travels"""
        return sum(getattr(self, each.name).nbytes for each in fields(self))

    def compressed(self) -> "Block":
        """:return: with its frames compressed"""
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(np.ascontiguousarray(self.frames).data)
        return replace(self, frames=np.frombuffer(packed, np.uint8))

    def uncompressed(self, frame_shape: tuple[int, ...]) -> "Block":
        """
        :param frame_shape: C, H, W
        :return: with its frames as pixels
        """
        if self.frames.ndim > 1:
            return self
        shape = (*self.shape, *frame_shape)
        whole = zstandard.ZstdDecompressor().decompress(self.frames.tobytes(), int(np.prod(shape)))
        return replace(self, frames=np.frombuffer(whole, np.uint8).reshape(shape))

    def state_dict(self) -> dict[str, Any]:
        """:return: plain"""
        return {each.name: np.array(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Block":
        """:param state: from `state_dict`"""
        return cls(**{each.name: np.asarray(state[each.name]) for each in fields(cls)})


class Reply(NamedTuple):
    """
    :param order: that it answers; None after a reset
    :param block: None after a reset
    :param stacks: first observations after a reset, uint8 [G, K * C, H, W]; None after a block
    :param memo: from :meth:`GameGroup.memo`
    """

    order: Order | None
    block: Block | None
    stacks: np.ndarray | None
    memo: dict[str, Any]


def advance(stacks: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """
    :param stacks: uint8 [G, K * C, H, W]
    :param frames: uint8 [G, C, H, W]
    :return: new stacks with these frames at their ends
    """
    channels = frames.shape[1]
    moved = np.empty_like(stacks)
    moved[:, :-channels] = stacks[:, channels:]
    moved[:, -channels:] = frames
    return moved


def restart(stacks: np.ndarray, dones: np.ndarray, first_frames: np.ndarray) -> None:
    """
    Begin episodes: zeros, and a first frame.

    :param stacks: changed in place
    :param dones: bool [G]
    :param first_frames: of those that are done, uint8 [any, C, H, W]
    """
    for game, frame in zip(np.flatnonzero(dones), first_frames, strict=True):
        stacks[game] = 0
        stacks[game, -len(frame) :] = frame


def stacks_after(block: Block, stacks: np.ndarray) -> np.ndarray:
    """
    :param block: uncompressed
    :param stacks: before it
    :return: after it; frames older than a stack are not looked at
    """
    steps, _ = block.shape
    n_stack = stacks.shape[1] // block.frames.shape[2]
    begun = np.cumsum(np.concatenate([[0], block.dones.sum(axis=1)]))
    for step in range(max(steps - n_stack, 0), steps):
        stacks = advance(stacks, block.frames[step])
        restart(stacks, block.dones[step], block.first_frames[begun[step] : begun[step + 1]])
    return stacks


def side_by_side(blocks: Sequence[Block]) -> Block:
    """
    :param blocks: of the groups, uncompressed, each of k steps
    :return: one block of all games
    """
    starts = np.cumsum([0, *(block.shape[1] for block in blocks)])
    scores = [
        block.scores + np.array([0, start, 0, 0], np.float64) for block, start in zip(blocks, starts, strict=False)
    ]
    joined = {
        name: np.concatenate([getattr(block, name) for block in blocks], axis=1)
        for name in ("actions", "rewards", "dones", "truncated", "frames", "counts", "td_errors")
    }
    return Block(**joined, first_frames=_first_frames(blocks), scores=np.concatenate(scores))


def _first_frames(blocks: Sequence[Block]) -> np.ndarray:
    """:return: those of all games, in the order of steps and then of games"""
    steps = np.concatenate([np.nonzero(block.dones)[0] for block in blocks])
    order = np.argsort(steps, kind="stable")
    return np.concatenate([block.first_frames for block in blocks])[order]
