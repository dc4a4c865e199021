"""PrioritizedFrameReplayBuffer: probabilities, weights, and what the algorithms do with them."""

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import ClassicDQN, DuelingDQN
from sb3_atari_dqn.replay import priority_updates
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer, PrioritizedSamples
from sb3_atari_dqn.replay.samplers import ProportionalSampler, importance_weights
from tests.support.environments import Catch, ImageAndVector, Noise
from tests.support.streams import Stream


def filled(n_slots: int, n_added: int, n_envs: int = 1, **kwargs) -> PrioritizedFrameReplayBuffer:
    stream = Stream(n_stack=2, n_envs=n_envs, seed=3)
    buffer = PrioritizedFrameReplayBuffer(
        n_slots * n_envs, stream.observation_space, stream.action_space, "cpu", n_envs, n_stack=2, **kwargs
    )
    for step in stream.steps(n_added):
        buffer.add(*step)
    return buffer


def leaves(buffer) -> list[float]:
    return buffer.sampler.tree[np.arange(buffer.buffer_size * buffer.n_envs)].tolist()


def test_new_transitions_have_the_highest_priority_there_has_been_and_empty_slots_none():
    buffer = filled(5, 2, alpha=1.0, epsilon=0.5)
    assert leaves(buffer) == [1, 1, 0, 0, 0]
    buffer.update_priorities(np.array([0]), torch.tensor([-2.5]))
    buffer.update_priorities(np.array([0]), torch.tensor([0.25]))
    for step in Stream(n_stack=2).steps(1):
        buffer.add(*step)
    assert leaves(buffer) == [0.75, 1, 3, 0, 0]


def test_errors_on_their_way_arrive_before_the_next_transition_so_that_writing_a_file_changes_no_run(monkeypatch):
    """A file lets them arrive as well, and callbacks write files between two transitions."""
    monkeypatch.setattr(priority_updates, "fetched", lambda errors: lambda: np.full(errors.shape, 4.0))
    buffer = filled(5, 2, alpha=1.0)
    buffer.update_priorities(np.array([0]), torch.empty(1, device="meta"))  # stands for a tensor on a GPU
    assert leaves(buffer) == [1, 1, 0, 0, 0]
    for step in Stream(n_stack=2).steps(1):
        buffer.add(*step)
    assert leaves(buffer) == pytest.approx([4, 1, 4, 0, 0], abs=1e-5)


def test_overwritten_transitions_lose_their_priority():
    buffer = filled(3, 3, n_envs=2, alpha=1.0)
    buffer.update_priorities(np.arange(6), np.array([9.0, 8, 7, 6, 5, 4]))
    stream = Stream(n_stack=2, n_envs=2)
    for step in stream.steps(2):
        buffer.add(*step)
    assert leaves(buffer) == pytest.approx([9, 9, 9, 9, 5, 4], abs=1e-5)


def test_of_a_transition_drawn_twice_the_larger_error_counts():
    buffer = filled(3, 3, alpha=1.0)
    buffer.update_priorities(np.array([1, 1, 2]), np.array([-3.0, 2.0, 0.5]))
    assert leaves(buffer) == pytest.approx([1, 3, 0.5], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_transitions_are_drawn_as_often_as_the_formula_says(alpha):
    buffer = filled(6, 6, n_envs=2, alpha=alpha)
    errors = np.array([0.0, 0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 6, 7, 8])
    buffer.update_priorities(np.arange(12), errors)
    drawn = np.concatenate([buffer.sample(32).indices for _ in range(2_000)])
    wanted = (errors + 1e-6) ** alpha
    assert np.bincount(drawn, minlength=12) / len(drawn) == pytest.approx(wanted / wanted.sum(), abs=0.004)


def test_draws_are_stratified_over_the_line_of_priorities():
    sampler = ProportionalSampler(64, 1.0, 1e-6, seed=0)
    sampler.insert(np.arange(64))
    for _ in range(50):
        assert (sampler.draw(32)[0] // 2).tolist() == list(range(32))  # one out of every two neighbours


def test_weights_are_those_of_the_paper_divided_by_the_largest_of_the_batch():
    probabilities = np.array([0.5, 0.25, 0.125])
    assert importance_weights(probabilities, 8, 1.0) == pytest.approx([0.25, 0.5, 1.0])
    assert importance_weights(probabilities, 8, 0.5) == pytest.approx([0.5, 0.5**0.5, 1.0])
    assert importance_weights(probabilities, 8, 0.0).tolist() == [1, 1, 1]


def test_samples_are_those_of_the_uniform_buffer_at_the_same_places_with_weights():
    buffer = filled(20, 50, n_envs=3, n_steps=3)
    buffer.update_priorities(np.arange(60), np.linspace(0, 2, 60))
    buffer.anneal(0.5)
    assert buffer.beta == pytest.approx(0.7)
    batch = buffer.sample(16)
    plain = buffer.samples_at(batch.indices // 3, batch.indices % 3)
    assert all(torch.equal(getattr(batch, name), getattr(plain, name)) for name in plain._fields)
    probabilities = buffer.sampler.tree[batch.indices] / buffer.sampler.tree.total
    wanted = (60 * probabilities) ** -0.7
    assert batch.weights.squeeze(1).numpy() == pytest.approx(wanted / wanted.max(), rel=1e-5)


def test_draws_follow_the_seed_of_numpys_global_generator():
    def draws():
        np.random.seed(5)
        return filled(20, 20).sample(16).indices.tolist()

    assert draws() == draws()


def test_an_error_that_is_not_finite_is_refused_and_changes_no_priority():
    buffer = filled(3, 3)
    before = leaves(buffer)
    with pytest.raises(ValueError, match="the training diverged"):
        buffer.update_priorities(np.array([0, 1]), np.array([1.0, np.nan]))
    assert leaves(buffer) == before


def test_an_empty_buffer_cannot_be_sampled():
    with pytest.raises(ValueError, match="the replay buffer is empty"):
        filled(3, 0).sample(2)


@pytest.mark.parametrize("kwargs", [{"alpha": -0.1}, {"epsilon": 0.0}, {"beta": 1.5}, {"alpha": float("nan")}])
def test_bad_arguments_are_refused(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        filled(3, 0, **kwargs)


def test_reset_forgets_the_priorities():
    buffer = filled(3, 3)
    buffer.update_priorities(np.array([0]), np.array([50.0]))
    buffer.reset()
    assert leaves(buffer) == [0, 0, 0]
    assert buffer.sampler.max_priority == 1


# --- in the algorithms


def model_with(replay: str = "prioritized", env=Noise, n_envs: int = 1, algorithm=ClassicDQN, **kwargs):
    venv = VecFrameStack(make_vec_env(env, n_envs, seed=2), 4)
    settings = dict(buffer_size=300, batch_size=8, learning_starts=20, seed=5, device="cpu") | kwargs
    return algorithm("CnnPolicy", venv, replay=replay, **settings)


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("n_envs", [1, 2])
def test_dueling_dqn_trains_with_prioritized_replay_and_its_errors_become_priorities(n_envs, n_steps):
    model = model_with(env=Catch, algorithm=DuelingDQN, n_envs=n_envs, n_steps=n_steps)
    model.learn(80)
    buffer = model.replay_buffer
    assert (buffer.memory.plain.shape.n_stack, buffer.n_steps, buffer.gamma) == (4, n_steps, model.gamma)
    priorities = buffer.sampler.tree[np.arange(buffer.size() * n_envs)]
    assert len(np.unique(priorities)) > 5
    assert 0.9 < buffer.beta <= 1


class Spy:
    """Hands out one batch and writes down the errors that come back."""

    def __init__(self, buffer):
        self.batch = buffer.sample(8)
        weights = torch.tensor([[1.0], [0.5], [0.0], [0.25], [1.0], [0.5], [0.0], [0.125]])
        self.batch = self.batch._replace(weights=weights)

    def sample(self, batch_size, env=None):
        return self.batch

    def learned_from(self, batch, priorities):
        self.learned, self.priorities = batch, priorities


def test_weights_multiply_the_losses_and_priorities_are_the_td_errors_before_the_update():
    model = model_with(loss="mse")
    model.set_logger(Logger(folder=None, output_formats=[]))
    model.learn(20)
    model.replay_buffer = spy = Spy(model.replay_buffer)
    assert isinstance(spy.batch, PrioritizedSamples)
    with torch.no_grad():
        q = model.q_net(spy.batch.observations).gather(1, spy.batch.actions).squeeze(1)
        after = model.q_net_target(spy.batch.next_observations).max(dim=1).values
        target = spy.batch.rewards.squeeze(1) + (1 - spy.batch.dones.squeeze(1)) * model.gamma * after
    model.train(gradient_steps=1, batch_size=8)
    loss = model.logger.name_to_value["train/loss"]
    assert loss == pytest.approx(((q - target) ** 2 * spy.batch.weights.squeeze(1)).mean().item(), rel=1e-4)
    assert torch.allclose(spy.priorities, (target - q).abs(), atol=1e-5)
    assert spy.learned is spy.batch


def test_images_and_stacks_are_stored_once_by_default_and_other_observations_as_sb3_does():
    kinds: dict[str, tuple[Any, str]] = {
        "CnnPolicy": (Noise, "FrameReplayBuffer"),
        "MlpPolicy": ("CartPole-v1", "SeededReplayBuffer"),
        "MultiInputPolicy": (ImageAndVector, "FrameReplayBuffer"),
    }
    for policy, (env, name) in kinds.items():
        model = ClassicDQN(policy, make_vec_env(env, 1), buffer_size=100, device="cpu")
        assert type(model.replay_buffer).__name__ == name
    stacked = model_with("uniform").replay_buffer
    assert isinstance(stacked, FrameReplayBuffer)
    assert stacked.memory.plain.shape.n_stack == 4
    assert type(model_with("sb3").replay_buffer).__name__ == "ReplayBuffer"


def test_a_model_loaded_without_its_environment_still_knows_its_stack(tmp_path):
    model_with("uniform").save(tmp_path / "model")
    loaded = ClassicDQN.load(tmp_path / "model", device="cpu")
    assert isinstance(loaded.replay_buffer, FrameReplayBuffer)
    assert loaded.replay_buffer.memory.plain.shape.n_stack == 4


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alhpa": 0.5}, "replay_buffer_kwargs .*'alhpa'.*alpha, beta"),
        ({"n_stack": 3}, "n_stack=3 does not fit observations"),
        ({"n_stack": "four"}, "n_stack must be .*'four'"),
    ],
)
def test_bad_arguments_of_the_buffer_are_refused_when_the_model_is_built(kwargs, message):
    with pytest.raises(ValueError, match=message):
        model_with(replay_buffer_kwargs=kwargs)


def test_our_buffers_given_by_class_get_stack_steps_and_discount_from_the_algorithm():
    venv = VecFrameStack(make_vec_env(Noise, 1), 4)
    model = ClassicDQN(
        "CnnPolicy", venv, buffer_size=100, n_steps=2, gamma=0.8, replay_buffer_class=PrioritizedFrameReplayBuffer
    )
    buffer = model.replay_buffer
    assert isinstance(buffer, PrioritizedFrameReplayBuffer)
    assert (buffer.memory.plain.shape.n_stack, buffer.n_steps, buffer.gamma) == (4, 2, 0.8)


def test_sb3s_own_dqn_trains_with_our_buffer():
    venv = VecFrameStack(make_vec_env(Noise, 2), 4)
    kwargs = {"n_stack": 4, "n_steps": 3}
    model = DQN(
        "CnnPolicy",
        venv,
        buffer_size=200,
        learning_starts=10,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs=kwargs,
        device="cpu",
    )
    before = model.policy.state_dict()["q_net.q_net.0.bias"].clone()
    model.learn(40)
    assert not torch.equal(before, model.policy.state_dict()["q_net.q_net.0.bias"])


def filled_buffer() -> PrioritizedFrameReplayBuffer:
    stream = Stream(n_stack=2)
    buffer = PrioritizedFrameReplayBuffer(20, stream.observation_space, stream.action_space, "cpu", n_stack=2)
    for step in stream.steps(20):
        buffer.add(*step)
    return buffer


def test_an_algorithm_that_gives_no_errors_back_is_told():
    buffer = filled_buffer()
    for _ in range(99):
        buffer.sample(4)
    with pytest.warns(UserWarning, match=r"update_priorities\(\) was never called"):
        buffer.sample(4)


def test_an_algorithm_that_does_is_not(recwarn):
    buffer = filled_buffer()
    for _ in range(150):
        buffer.update_priorities(buffer.sample(4).indices, np.ones(4))
    assert not len(recwarn)
