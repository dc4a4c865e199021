"""What the algorithms tell a buffer and ask of it, whatever class the buffer is."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.hooks import hooks_of
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.stack_rows import StackRows
from tests.support.streams import Stream


class Annealed(ReplayBuffer):
    """A user's buffer with two of the hooks."""

    progress = None

    def anneal(self, progress_remaining: float) -> None:
        self.progress = progress_remaining

    def statistics(self) -> dict[str, float]:
        return {"mean_reward": float(self.rewards[: self.size()].mean())}


def filled(buffer_class, **kwargs):
    stream = Stream(n_stack=2, end=0.0)
    buffer = buffer_class(30, stream.observation_space, stream.action_space, "cpu", **kwargs)
    for step in stream.steps(20):
        buffer.add(*step)
    return buffer


@pytest.mark.parametrize(
    ("buffer_class", "kwargs"), [(ReplayBuffer, {}), (FrameReplayBuffer, {"n_stack": 2})], ids=["SB3's", "uniform"]
)
def test_hooks_of_a_uniform_buffer_change_nothing(buffer_class, kwargs):
    hooks = hooks_of(filled(buffer_class, **kwargs))
    hooks.learning_starts(normalizes_observations=False)
    hooks.anneal(0.5)
    batch = hooks.sample(4, env=None, learner_gathers=True)
    hooks.learned_from(batch, torch.ones(4))
    assert isinstance(batch.observations, torch.Tensor)
    assert hooks.statistics() == {}
    assert hooks.sees_resets == (buffer_class is FrameReplayBuffer)


def test_a_prioritized_buffer_anneals_beta_and_takes_priorities_back():
    buffer = filled(PrioritizedFrameReplayBuffer, n_stack=2, alpha=1.0, beta=0.4, final_beta=0.8)
    hooks = hooks_of(buffer)
    hooks.anneal(0.5)
    assert hooks.statistics() == {"beta": pytest.approx(0.6)}
    batch = hooks.sample(1, env=None, learner_gathers=False)
    hooks.learned_from(batch, torch.tensor([-7.0]))
    assert buffer.sampler.tree[batch.indices] == pytest.approx(7.0)


def test_a_buffer_of_the_users_is_told_what_it_asks_for():
    buffer = filled(Annealed)
    hooks = hooks_of(buffer)
    hooks.anneal(0.25)
    hooks.learned_from(hooks.sample(2, env=None, learner_gathers=True), torch.ones(2))
    assert buffer.progress == 0.25
    assert hooks.statistics().keys() == {"mean_reward"}


@pytest.mark.parametrize("gathers", [True, False])
def test_a_learner_that_gathers_by_itself_gets_rows_and_another_one_images(gathers):
    buffer = filled(FrameReplayBuffer, n_stack=2, frame_storage="device")
    batch = hooks_of(buffer).sample(4, env=None, learner_gathers=gathers)
    assert isinstance(batch.observations, StackRows) == gathers
    assert isinstance(buffer.sample(4).observations, torch.Tensor)


@pytest.mark.parametrize("normalizes", [True, False])
def test_final_observations_are_only_compared_where_no_normalization_rounds_them(normalizes):
    buffer = filled(FrameReplayBuffer, n_stack=2)
    hooks_of(buffer).learning_starts(normalizes)
    obs = buffer.memory.plain.expected
    final = np.full_like(obs, 3) - obs
    with nullcontext() if normalizes else pytest.raises(ValueError, match="moved by one frame"):
        buffer.add(obs, final, np.array([0]), np.zeros(1), np.array([True]), [{"TimeLimit.truncated": True}])
