"""The rollout buffer: stacks as the environment gave them, minibatches, what stays while the next rollout grows, state.

T: vector steps of a rollout, N: environments, K: frames in a stack, B: transitions in a minibatch.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_atari_dqn.checkpoints.state import joined, split
from sb3_atari_dqn.replay.frame_store import HostFrameStore
from sb3_atari_dqn.replay.rollout_buffer import Minibatch, RolloutBuffer
from tests.support.streams import SIZE, STREAMS, Stream

T = 6
VECTORS = spaces.Box(-1, 1, (3,), np.float32)


class Recorded:
    """
    A rollout buffer beside whole observations in a list.

    The targets of a rollout are the numbers of its transitions, which tells them apart in a minibatch.

    :param source: of observations and actions, with `n_envs`, `observation_space` and `steps`
    """

    def __init__(self, source: Any, n_stack: Any, length: int = T, seed: int | None = 0) -> None:
        self.n_envs, self.length = source.n_envs, length
        self.buffer = RolloutBuffer(
            length, source.observation_space, spaces.Discrete(5), "cpu", source.n_envs, n_stack=n_stack, seed=seed
        )
        self.observations: list[Any] = []
        self.actions: list[np.ndarray] = []
        self.first = 0  # step of the rollout that is learned from

    def add(self, step: tuple[Any, ...]) -> None:
        obs, _, actions, *_ = step
        self.buffer.add(*step)
        self.observations.append({key: each.copy() for key, each in parts(obs).items()})
        self.actions.append(actions.copy())

    def begin_epochs(self, n_epochs: int = 2, batch_size: int = T) -> None:
        self.first = len(self.actions) - self.length
        self.buffer.begin_epochs(numbered(self.length, self.n_envs), n_epochs, batch_size)

    def check(self, batch: Minibatch) -> list[int]:
        """:return: numbers of the transitions; each is as it came from the environment"""
        found = parts(batch.observations)
        numbers = batch.targets[:, 0].int().tolist()
        assert batch.actions.shape == (len(numbers), 1)
        assert batch.actions.dtype == torch.int64
        assert batch.next_observations is None
        for place, number in enumerate(numbers):
            step, env = divmod(number, self.n_envs)
            assert batch.actions[place].item() == self.actions[self.first + step][env]
            expected = self.observations[self.first + step]
            assert found.keys() == expected.keys()
            for key, each in expected.items():
                assert found[key].dtype == torch.from_numpy(each).dtype
                assert found[key][place].numpy().tobytes() == each[env].tobytes()
        return numbers

    def learn(self, n: int) -> list[int]:
        """:return: numbers of the transitions in the next n minibatches, all of them as they came"""
        numbers = []
        for _ in range(n):
            numbers += self.check(self.buffer.minibatch())
            self.buffer.learned()
        return numbers


def parts(observations: Any) -> dict[str, Any]:
    return observations if isinstance(observations, dict) else {"": observations}


def numbered(length: int, n_envs: int) -> torch.Tensor:
    return torch.arange(length * n_envs, dtype=torch.float32).view(length, n_envs, 1)


class ImageAndNumbers:
    """Stacks of images with vectors and a choice beside them, and the ends of their episodes."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.n_envs = stream, stream.n_envs
        self.observation_space = spaces.Dict(
            {"image": stream.observation_space, "numbers": VECTORS, "choice": spaces.Discrete(7)}
        )

    def steps(self, n: int) -> Iterator[tuple[Any, ...]]:
        for obs, next_obs, *others in self.stream.steps(n):
            yield self._with_numbers(obs), self._with_numbers(next_obs), *others

    def _with_numbers(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers go with the images, so that what follows an observation is one observation."""
        sums = images.reshape(len(images), -1).astype(np.int64).sum(axis=1)
        numbers = np.sin(sums[:, None] * np.arange(1, 4)).astype(np.float32)
        return {"image": images, "numbers": numbers, "choice": (sums % 7)[:, None]}


# --- observations


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.integers(2, 7), st.integers(1, 5))
def test_observations_are_those_of_the_environment_byte_for_byte(stream, length, n_rollouts):
    recorded = Recorded(stream, stream.n_stack, length)
    steps = stream.steps(length * n_rollouts)
    for _ in range(n_rollouts):
        for _ in range(length):
            recorded.add(next(steps))
        recorded.begin_epochs(1, length)
        assert sorted(recorded.learn(stream.n_envs)) == list(range(length * stream.n_envs))


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.integers(2, 7), st.integers(1, 4))
def test_a_rollout_stays_whole_while_the_next_one_grows(stream, length, n_rollouts):
    """The minibatches are spread over all steps of the next rollout, and one more is taken when it is complete."""
    recorded = Recorded(stream, stream.n_stack, length)
    for _ in range(n_rollouts):
        for step in stream.steps(length):
            recorded.add(step)
        recorded.begin_epochs(2, stream.n_envs)  # 2 T minibatches
        for step in stream.steps(length):
            recorded.learn(1)
            recorded.add(step)
        recorded.learn(length)
        assert recorded.buffer.pending_updates == 0
        recorded.begin_epochs(1, stream.n_envs)
        recorded.learn(length)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("end", [0.0, 0.4])
def test_dictionaries_have_stacked_parts_and_parts_stored_whole(end, n_envs):
    source = ImageAndNumbers(Stream(n_stack=3, n_envs=n_envs, seed=5, end=end))
    recorded = Recorded(source, {"image": 3})
    for _ in range(4):
        for step in source.steps(T):
            recorded.add(step)
        recorded.begin_epochs(2, n_envs)
        for step in source.steps(T):
            recorded.learn(2)
            recorded.add(step)
        recorded.begin_epochs()
        recorded.learn(2 * n_envs)


def test_vectors_are_stored_whole():
    source = Stream(n_envs=2, seed=6, end=0.3)
    buffer = RolloutBuffer(T, VECTORS, spaces.Discrete(5), "cpu", 2, n_stack=1, seed=0)
    rng, seen = np.random.default_rng(0), []
    for _, _, actions, rewards, dones, infos in source.steps(2 * T):
        obs, next_obs = rng.normal(size=(2, 2, 3)).astype(np.float32)
        buffer.add(obs, next_obs, actions, rewards, dones, infos)
        seen.append(obs)
    buffer.begin_epochs(numbered(T, 2), 1, 2 * T)
    batch = buffer.minibatch()
    expected = np.concatenate(seen[T:])[batch.targets[:, 0].int().numpy()]
    assert np.array_equal(batch.observations.numpy(), expected)
    buffer.learned()


def test_images_with_the_channel_last_are_stacked_along_it():
    stream = Stream(n_stack=4, n_envs=2, seed=7, channels=3, channels_last=True)
    recorded = Recorded(stream, 4)
    for step in stream.steps(3 * T):
        recorded.add(step)
    recorded.begin_epochs()
    assert recorded.buffer.minibatch().observations.shape == (T, SIZE, SIZE, 12)
    recorded.learn(4)


def test_each_frame_is_stored_once():
    stream = Stream(n_stack=4, n_envs=3, end=0.0)
    recorded = Recorded(stream, 4)
    for step in stream.steps(5 * T):
        recorded.add(step)
    buffer = recorded.buffer
    store, frame = buffer.memory.plain.store, SIZE * SIZE
    assert isinstance(store, HostFrameStore)
    # Of both rollouts, what the oldest stack begins with, what the last step led to, and the row of zeros.
    n_frames = (2 * T + 3 + 1) * 3 + 1
    assert store._ring.nbytes == n_frames * frame
    assert store.overflow_rows == 0
    beside = buffer.rewards.nbytes + buffer.actions.nbytes + sum(each.nbytes for each in memory_of_flags(buffer))
    assert beside == 2 * T * 3 * (4 + 1 + 2)  # a reward, an action, depth and flags
    assert buffer.full_nbytes() == n_frames * frame + beside
    assert n_frames * frame < 2 * T * 3 * 4 * frame / 2  # whole stacks


def memory_of_flags(buffer: RolloutBuffer) -> tuple[np.ndarray, np.ndarray]:
    return buffer.memory.plain.depths, buffer.memory.plain.flags


def test_final_frames_of_truncated_episodes_are_given_back():
    stream = Stream(n_stack=2, n_envs=2, end=0.7, starts=("zeros",))
    recorded, most = Recorded(stream, 2), 0
    for step in stream.steps(30 * T):
        recorded.add(step)
        most = max(most, recorded.buffer.memory.plain.store.overflow_rows)
    assert 0 < most <= 2 * T * 2


# --- minibatches


def filled(seed: int | None = 0, n_envs: int = 2, end: float = 0.2) -> tuple[Recorded, Stream]:
    stream = Stream(n_stack=3, n_envs=n_envs, seed=1, end=end)
    recorded = Recorded(stream, 3, seed=seed)
    for step in stream.steps(2 * T):
        recorded.add(step)
    return recorded, stream


@pytest.mark.parametrize("batch_size", [1, 4, 12])
@pytest.mark.parametrize("n_epochs", [1, 3])
def test_each_transition_is_in_as_many_minibatches_as_there_are_epochs(n_epochs, batch_size):
    recorded, _ = filled()
    recorded.begin_epochs(n_epochs, batch_size)
    per_epoch = 12 // batch_size
    assert recorded.buffer.pending_updates == n_epochs * per_epoch
    epochs = []
    for epoch in range(n_epochs):
        epochs.append(recorded.learn(per_epoch))
        assert sorted(epochs[-1]) == list(range(12))
        assert recorded.buffer.pending_updates == (n_epochs - epoch - 1) * per_epoch
    assert len({tuple(each) for each in epochs}) == n_epochs  # each is shuffled anew
    assert epochs[0] != sorted(epochs[0])


def order(recorded: Recorded) -> list[int]:
    recorded.begin_epochs()
    return recorded.learn(4)


def test_the_order_depends_on_the_seed_alone():
    one, other = order(filled(seed=3)[0]), order(filled(seed=4)[0])
    assert order(filled(seed=3)[0]) == one
    assert one != other
    recorded, _ = filled(seed=3)
    again = [order(recorded), order(recorded)]
    assert again[0] == one != again[1]  # another one for each rollout
    recorded.buffer.seed(4)
    assert order(recorded) == other


def test_the_order_takes_nothing_from_the_global_generators():
    np.random.seed(1)
    torch.manual_seed(1)
    expected = np.random.randint(1000), torch.rand(()).item()
    np.random.seed(1)
    torch.manual_seed(1)
    order(filled(seed=None)[0])
    assert (np.random.randint(1000), torch.rand(()).item()) == expected


def test_a_minibatch_stays_the_next_one_until_an_update_was_made_with_it():
    recorded, _ = filled()
    recorded.begin_epochs(batch_size=4)
    one, again = recorded.buffer.minibatch(), recorded.buffer.minibatch()
    assert torch.equal(one.targets, again.targets)
    assert torch.equal(one.observations, again.observations)
    assert recorded.buffer.pending_updates == 6
    recorded.buffer.learned()
    assert recorded.buffer.pending_updates == 5
    assert not torch.equal(recorded.buffer.minibatch().targets, one.targets)


def test_a_minibatch_is_a_copy():
    recorded, stream = filled()
    recorded.begin_epochs(batch_size=12)
    batch = recorded.buffer.minibatch()
    for step in stream.steps(3 * T):
        recorded.add(step)
    recorded.check(batch)


def test_targets_may_have_several_numbers():
    recorded, _ = filled()
    targets = torch.rand(T, 2, 5)
    recorded.buffer.begin_epochs(targets, 1, 12)
    expected = targets.view(12, 5)[recorded.buffer._minibatches[0]]
    assert torch.equal(recorded.buffer.minibatch().targets, expected)


def test_a_reset_forgets_what_was_to_be_learned_from():
    recorded, stream = filled()
    recorded.begin_epochs()
    recorded.buffer.reset()
    assert (recorded.buffer.pending_updates, recorded.buffer.size()) == (0, 0)
    recorded.observations, recorded.actions = [], []
    stream.stacks = Stream(n_stack=3, n_envs=2, seed=9).stacks
    for step in stream.steps(T):
        recorded.add(step)
    recorded.begin_epochs()
    recorded.learn(4)


# --- state


def through_json(state: Any) -> Any:
    values, arrays = split(state)
    return joined(json.loads(json.dumps(values)), arrays)


def assert_equal_states(one: Any, other: Any) -> None:
    (values, arrays), (other_values, other_arrays) = split(one), split(other)
    assert values == other_values
    assert arrays.keys() == other_arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(array, other_arrays[name]), name


@settings(max_examples=30, deadline=None)
@given(STREAMS, st.integers(0, T), st.integers(0, T), st.integers(0, 5))
def test_another_buffer_goes_on_with_the_minibatches_that_were_left(stream, n_grown, n_learned, since):
    """Midway through the next rollout; its frames come in two pieces, as from two checkpoints."""
    recorded = Recorded(stream, stream.n_stack)
    pieces, read = [], 0
    for number, step in enumerate(stream.steps(3 * T)):
        if number == since:
            pieces, read = list(recorded.buffer.frames_since()), recorded.buffer.memory.steps
        recorded.add(step)
    recorded.begin_epochs(2, stream.n_envs)
    recorded.learn(n_learned)
    for step in stream.steps(n_grown):
        recorded.add(step)
    state = through_json(recorded.buffer.state_dict())
    pieces += recorded.buffer.frames_since(read)

    other = Recorded(stream, stream.n_stack, seed=77)
    other.buffer.load_state_dict(state)
    for chunk in pieces:
        other.buffer.load_frames(chunk)
    assert_equal_states(other.buffer.state_dict(), recorded.buffer.state_dict())
    other.observations, other.actions = list(recorded.observations), list(recorded.actions)
    other.first = recorded.first
    assert other.buffer.pending_updates == 2 * T - n_learned
    later = list(stream.steps(T - n_grown))
    left = []
    for each in (recorded, other):
        numbers = each.learn(T - n_learned)
        for step in later:
            each.add(step)
        numbers += each.learn(T)
        each.begin_epochs()  # the generator goes on too
        left.append(numbers + each.learn(2 * stream.n_envs))
    assert left[0] == left[1]
    assert_equal_states(other.buffer.state_dict(), recorded.buffer.state_dict())


def test_a_state_is_a_copy():
    recorded, stream = filled()
    recorded.begin_epochs()
    state = recorded.buffer.state_dict()
    kept = through_json({key: value.copy() if isinstance(value, np.ndarray) else value for key, value in state.items()})
    recorded.learn(2)
    for step in stream.steps(T):
        recorded.add(step)
    recorded.begin_epochs()
    assert_equal_states(state, kept)


def midway() -> Recorded:
    recorded, stream = filled()
    recorded.begin_epochs(batch_size=4)
    recorded.learn(1)
    for step in stream.steps(2):
        recorded.add(step)
    return recorded


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != name}


DAMAGES = {
    "no first step": lambda state: without(state, "first_step"),
    "no targets": lambda state: without(state, "targets"),
    "no minibatches": lambda state: without(state, "minibatches"),
    "something more": lambda state: {**state, "surplus": 1},
    "a word for a step": lambda state: {**state, "first_step": "6"},
    "half a step": lambda state: {**state, "first_step": 6.5},
    "a step before the first": lambda state: {**state, "first_step": -1},
    "a step overwritten since": lambda state: {**state, "first_step": 1},
    "a rollout that is not complete": lambda state: {**state, "first_step": 9},
    "targets of another rollout": lambda state: {**state, "targets": state["targets"][:11]},
    "targets in rows and columns": lambda state: {**state, "targets": state["targets"].reshape(6, 2, 1)},
    "targets of another type": lambda state: {**state, "targets": state["targets"].astype(np.float64)},
    "words for targets": lambda state: {**state, "targets": "?"},
    "a transition too many": lambda state: {**state, "minibatches": state["minibatches"] + 8},
    "a transition before the first": lambda state: {**state, "minibatches": state["minibatches"] - 8},
    "halves of transitions": lambda state: {**state, "minibatches": state["minibatches"] / 2},
    "minibatches in one row": lambda state: {**state, "minibatches": state["minibatches"].ravel()},
    "no generator": lambda state: {**state, "sampler": {}},
    "another generator": lambda state: {**state, "sampler": {"generator": {"kind": "python"}}},
    "fewer rewards": lambda state: {**state, "rewards": state["rewards"][:-1]},
    "no memory": lambda state: {**state, "memory": {}},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_refused_and_nothing_changes(damage):
    recorded, other = midway(), filled(seed=5)[0]
    other.begin_epochs()
    before = through_json(other.buffer.state_dict())
    with pytest.raises(ValueError, match=r"[Tt]he state |is not the state of"):
        other.buffer.load_state_dict(DAMAGES[damage](recorded.buffer.state_dict()))
    assert_equal_states(other.buffer.state_dict(), before)
    other.learn(4)


@pytest.mark.parametrize(
    ("length", "n_envs", "n_stack"),
    [(T + 1, 2, 3), (T, 1, 3), (T, 2, 2)],
)
def test_a_state_of_other_sizes_is_refused(length, n_envs, n_stack):
    other = Recorded(Stream(n_stack=n_stack, n_envs=n_envs), n_stack, length)
    with pytest.raises(ValueError, match="The state has"):
        other.buffer.load_state_dict(midway().buffer.state_dict())


def test_the_state_of_an_unused_buffer_loads():
    recorded, _ = filled()
    recorded.begin_epochs()
    recorded.buffer.load_state_dict(through_json(Recorded(Stream(n_stack=3, n_envs=2), 3).buffer.state_dict()))
    assert (recorded.buffer.pending_updates, recorded.buffer.size()) == (0, 0)
