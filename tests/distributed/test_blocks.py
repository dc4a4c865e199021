"""Blocks, side by side and compressed, against the slow obvious twin."""

import numpy as np
import pytest

from sb3_atari_dqn.distributed.blocks import Block, advance, restart, side_by_side, stacks_after

FRAME = (1, 5, 6)


def random_block(rng: np.random.Generator, steps: int, games: int, ends: float) -> Block:
    dones = rng.random((steps, games)) < ends
    ended = [(step, game, 7.0 * game, 100.0) for step, game in np.argwhere(dones)]
    return Block(
        rng.integers(6, size=(steps, games)),
        rng.random((steps, games)).astype(np.float32),
        dones,
        dones & (rng.random(dones.shape) < 0.5),
        rng.integers(256, size=(steps, games, *FRAME)).astype(np.uint8),
        rng.integers(256, size=(int(dones.sum()), *FRAME)).astype(np.uint8),
        rng.integers(1000, size=(steps, games, 3)),
        rng.normal(size=(steps, games)).astype(np.float32),
        np.array(ended, np.float64).reshape(-1, 4),
    )


def pushed(block: Block, stacks: np.ndarray) -> np.ndarray:
    """Every step, one after another."""
    begun = 0
    for step, dones in enumerate(block.dones):
        stacks = advance(stacks, block.frames[step])
        restart(stacks, dones, block.first_frames[begun : begun + dones.sum()])
        begun += dones.sum()
    return stacks


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 20])
@pytest.mark.parametrize("ends", [0.0, 0.3, 1.0])
def test_the_last_stacks_need_the_last_frames_only(steps, ends):
    rng = np.random.default_rng(steps)
    block = random_block(rng, steps, 3, ends)
    before = rng.integers(256, size=(3, 4, *FRAME[1:])).astype(np.uint8)
    untouched = before.copy()
    np.testing.assert_array_equal(stacks_after(block, before), pushed(block, before))
    np.testing.assert_array_equal(before, untouched)


@pytest.mark.parametrize("ends", [0.0, 0.2, 1.0])
def test_groups_side_by_side_are_the_games_in_their_order(ends):
    rng = np.random.default_rng(1)
    blocks = [random_block(rng, 6, games, ends) for games in (2, 2, 3)]
    both = side_by_side(blocks)
    stacks = [rng.integers(256, size=(block.shape[1], 4, *FRAME[1:])).astype(np.uint8) for block in blocks]
    apart = np.concatenate([pushed(block, stack) for block, stack in zip(blocks, stacks, strict=True)])
    np.testing.assert_array_equal(pushed(both, np.concatenate(stacks)), apart)
    assert both.shape == (6, 7)
    steps_and_games = np.argwhere(both.dones)
    assert {tuple(row) for row in both.scores[:, :2]} == {tuple(row) for row in steps_and_games}


def test_compressed_blocks_are_smaller_and_come_back_whole():
    block = random_block(np.random.default_rng(0), 8, 2, 0.2)
    flat = Block(**{**vars(block), "frames": np.zeros_like(block.frames)})
    small = flat.compressed()
    assert small.frames.nbytes < flat.frames.nbytes / 2
    assert small.nbytes == flat.nbytes - flat.frames.nbytes + small.frames.nbytes
    np.testing.assert_array_equal(small.uncompressed(FRAME).frames, flat.frames)
    np.testing.assert_array_equal(block.compressed().uncompressed(FRAME).frames, block.frames)
    assert block.uncompressed(FRAME) is block


def test_the_state_of_a_block_is_a_copy():
    block = random_block(np.random.default_rng(0), 2, 2, 0.5)
    state = block.state_dict()
    block.actions[:] = 99
    assert 99 not in Block.from_state(state).actions
