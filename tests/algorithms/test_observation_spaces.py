"""Every space that SB3's buffers take, in ours: uniform and prioritized, stacked along any axis, in RAM and on disk."""

import io
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from sb3_atari_dqn import ClassicDQN, DuelingDQN, FrameReplayBuffer, PrioritizedFrameReplayBuffer
from sb3_atari_dqn.algorithms.env_stacking import frame_stacking
from sb3_atari_dqn.replay.files import read, write
from sb3_atari_dqn.replay.samplers import SB3Sampler
from sb3_atari_dqn.replay.sb3_buffers import SEEDED

SPACES: dict[str, spaces.Space] = {
    "vector": spaces.Box(-1, 1, (3,), np.float64),
    "matrix": spaces.Box(-1, 1, (2, 3), np.float32),
    "image": spaces.Box(0, 255, (40, 36, 1), np.uint8),
    "discrete": spaces.Discrete(7),
    "multi discrete": spaces.MultiDiscrete([3, 5]),
    "multi binary": spaces.MultiBinary(4),
    "grid": spaces.MultiBinary((2, 3)),
}
SPACES["dict"] = spaces.Dict({name: SPACES[name] for name in ("vector", "image", "discrete", "multi binary")})


class RandomEnv(gym.Env):
    """Random observations of any space; episodes of 3 to 8 steps, every other one truncated."""

    action_space = spaces.Discrete(3)

    def __init__(self, space: spaces.Space, seed: int = 0) -> None:
        self.observation_space = space
        space.seed(seed)
        self.rng = np.random.default_rng(seed)
        self.episodes = 0

    def reset(self, *, seed=None, options=None):
        self.left, self.episodes = int(self.rng.integers(3, 9)), self.episodes + 1
        return self.observation_space.sample(), {}

    def step(self, action):
        self.left -= 1
        over = self.left == 0
        return (
            self.observation_space.sample(),
            self.rng.normal(),
            over and self.episodes % 2 == 0,
            over and (self.episodes % 2 == 1),
            {},
        )


def envs_of(space: spaces.Space, n_envs: int = 2) -> DummyVecEnv:
    return DummyVecEnv([partial(RandomEnv, type(space)(**_arguments(space)), i) for i in range(n_envs)])


def _arguments(space: Any) -> dict[str, Any]:
    """A space of its own for each environment, whose generators are then their own too."""
    return {
        spaces.Box: lambda: dict(low=space.low, high=space.high, dtype=space.dtype),
        spaces.Discrete: lambda: dict(n=space.n),
        spaces.MultiDiscrete: lambda: dict(nvec=space.nvec),
        spaces.MultiBinary: lambda: dict(n=space.n if np.ndim(space.n) == 0 else tuple(space.n)),
        spaces.Dict: lambda: dict(spaces={k: type(v)(**_arguments(v)) for k, v in space.spaces.items()}),
    }[type(space)]()


def transitions(env: Any, length: int) -> Iterator[tuple[Any, ...]]:
    """What SB3's algorithms hand to a buffer: observations of the end in place of those of the next beginning."""
    rng, obs = np.random.default_rng(0), env.reset()
    for _ in range(length):
        actions = rng.integers(3, size=env.num_envs)
        new_obs, rewards, dones, infos = env.step(actions)
        reached = _copied(new_obs)
        for i in np.flatnonzero(dones):
            final = infos[i]["terminal_observation"]
            if isinstance(reached, dict):
                for key in reached:
                    reached[key][i] = final[key]
            else:
                reached[i] = final
        yield _copied(obs), reached, actions, rewards, dones, infos
        obs = _copied(new_obs)


def _copied(obs: Any) -> Any:
    return {key: value.copy() for key, value in obs.items()} if isinstance(obs, dict) else obs.copy()


def equal(ours: Any, theirs: Any, where: torch.Tensor | None = None) -> bool:
    """:param where: compare these samples only"""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[key], theirs[key], where) for key in theirs)
    if where is not None:
        ours, theirs = ours[where], theirs[where]
    return ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def sb3_buffer(env: Any, n_slots: int, n_steps: int) -> Any:
    sizes = n_slots * env.num_envs, env.observation_space, env.action_space, "cpu", env.num_envs
    if isinstance(env.observation_space, spaces.Dict):
        return DictReplayBuffer(*sizes)
    return ReplayBuffer(*sizes) if n_steps == 1 else NStepReplayBuffer(*sizes, n_steps=n_steps, gamma=0.9)


def our_buffer(env: Any, n_slots: int, n_steps: int = 1, kind: Any = FrameReplayBuffer, **kwargs: Any) -> Any:
    stacking = frame_stacking(env)
    return kind(
        *(n_slots * env.num_envs, env.observation_space, env.action_space, "cpu", env.num_envs),
        n_stack={name: stacked.n_stack for name, stacked in stacking.items()},
        stack_axis={name: stacked.axis for name, stacked in stacking.items()},
        n_steps=n_steps,
        gamma=0.9,
        **kwargs,
    )


def compare(env: Any, n_steps: int, frame_storage: str) -> None:
    """Fill both twice over and compare every transition that they hold."""
    theirs = sb3_buffer(env, 20, n_steps)
    ours = our_buffer(env, 20, n_steps, frame_storage=frame_storage, sb3_sampling=True)
    for step in transitions(env, 45):
        theirs.add(*_copied_step(step))
        ours.add(*step)
    for seed in range(6):
        np.random.seed(seed)
        expected = theirs.sample(64)
        np.random.seed(seed)
        got = ours.sample(64)
        assert type(got) is type(expected)
        going_on = expected.dones.squeeze(1) == 0
        assert equal(got.observations, expected.observations)
        assert equal(got.next_observations, expected.next_observations, going_on)
        for name in ("actions", "dones", "rewards"):
            assert equal(getattr(got, name), getattr(expected, name)), name


def _copied_step(step: tuple[Any, ...]) -> tuple[Any, ...]:
    return _copied(step[0]), _copied(step[1]), *step[2:]


@pytest.mark.parametrize("frame_storage", ["ram", "compressed", "device"])
@pytest.mark.parametrize("name", SPACES)
def test_samples_of_every_space_equal_those_of_sb3(name, frame_storage):
    compare(envs_of(SPACES[name]), n_steps=1, frame_storage=frame_storage)


@pytest.mark.parametrize("name", [name for name in SPACES if name != "dict"])  # SB3 has no n-step dictionaries
def test_n_step_samples_of_every_space_equal_those_of_sb3(name):
    compare(envs_of(SPACES[name]), n_steps=3, frame_storage="ram")


@pytest.mark.parametrize("normalized", [False, True], ids=["as they are", "normalized"])
@pytest.mark.parametrize(("name", "n_steps"), [*((name, 1) for name in SPACES), ("vector", 3), ("discrete", 3)])
def test_sb3s_buffers_with_their_own_generator_give_the_same_samples(name, n_steps, normalized):
    env = envs_of(SPACES[name])
    theirs = sb3_buffer(env, 20, n_steps)
    kwargs = {"n_steps": n_steps, "gamma": 0.9} if n_steps > 1 else {}
    ours = SEEDED[type(theirs)](40, env.observation_space, env.action_space, "cpu", 2, **kwargs)
    ours.sampler = SB3Sampler(2)
    keys = ["vector"] if name == "dict" else None
    statistics = VecNormalize(env, norm_obs=name in ("vector", "dict"), norm_obs_keys=keys) if normalized else None
    for step in transitions(env if statistics is None else statistics, 30):
        theirs.add(*_copied_step(step))
        ours.add(*_copied_step(step))
    for seed in range(3):
        np.random.seed(seed)
        expected = theirs.sample(64, statistics)
        np.random.seed(seed)
        got = ours.sample(64, statistics)
        assert type(got) is type(expected)
        for one, other in zip(got, expected, strict=True):
            assert (one is None and other is None) or equal(one, other)


def test_n_step_samples_of_a_dictionary_equal_those_of_its_parts():
    env = envs_of(SPACES["dict"])
    whole = our_buffer(env, 20, n_steps=3)
    one_by_one = {
        name: FrameReplayBuffer(40, space, env.action_space, "cpu", 2, n_stack=1, n_steps=3, gamma=0.9)
        for name, space in SPACES["dict"].spaces.items()  # type: ignore[attr-defined]
    }
    for obs, reached, *rest in transitions(env, 45):
        whole.add(obs, reached, *rest)
        for name, buffer in one_by_one.items():
            buffer.add(obs[name], reached[name], *rest)
    slots, of_envs = np.arange(40) % 20, np.arange(40) // 20
    got = whole.samples_at(slots, of_envs)
    for name, buffer in one_by_one.items():
        alone = buffer.samples_at(slots, of_envs)
        assert equal(got.observations[name], alone.observations)
        assert equal(got.next_observations[name], alone.next_observations)
        assert equal(got.rewards, alone.rewards)
        assert equal(got.discounts, alone.discounts)


# --- stacks along any axis


def stacked(space: spaces.Space, n_stack: int, order: Any) -> VecFrameStack:
    return VecFrameStack(envs_of(space), n_stack, channels_order=order)


MIXED = spaces.Dict({"camera": SPACES["image"], "joints": spaces.Box(-1, 1, (1, 4), np.float32)})
STACKS = {
    "a row, along the first axis": lambda: stacked(spaces.Box(-1, 1, (1, 4), np.float32), 3, "first"),
    "a row, along the last axis": lambda: stacked(spaces.Box(-1, 1, (1, 4), np.float32), 3, "last"),
    "four axes, along the first": lambda: stacked(spaces.Box(0, 1, (2, 3, 1, 2), np.float32), 2, "first"),
    "an image, transposed": lambda: VecTransposeImage(stacked(SPACES["image"], 4, None)),
    "an image, transposed before": lambda: VecFrameStack(VecTransposeImage(envs_of(SPACES["image"])), 4),
    "an image, along its height": lambda: stacked(SPACES["image"], 2, "first"),
    "a dictionary": lambda: stacked(MIXED, 3, None),
    "a dictionary, axes by key": lambda: stacked(MIXED, 3, {"camera": "last", "joints": "first"}),
    "a dictionary, transposed": lambda: VecTransposeImage(stacked(MIXED, 3, {"camera": "last", "joints": "first"})),
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_along_any_axis_are_stored_frame_by_frame_and_equal_sb3s(name):
    env = STACKS[name]()
    compare(env, n_steps=1, frame_storage="ram")
    buffer = our_buffer(env, 20)
    assert all(part.shape.n_stack > 1 for part in buffer.memory.parts.values()), "each frame once"


def test_the_axis_is_read_from_the_wrappers_and_not_guessed():
    assert frame_stacking(STACKS["a row, along the first axis"]()) == {"": (3, 0)}
    assert frame_stacking(STACKS["a row, along the last axis"]()) == {"": (3, 1)}
    assert frame_stacking(STACKS["an image, transposed"]()) == {"": (4, 0)}
    by_key = STACKS["a dictionary, transposed"]()
    assert frame_stacking(by_key) == {"camera": (3, 0), "joints": (3, 0)}
    assert frame_stacking(VecExtractDictObs(by_key, "joints")) == {"": (3, 0)}
    assert frame_stacking(VecNormalize(STACKS["a row, along the first axis"]())) == {"": (3, 0)}
    assert frame_stacking(envs_of(SPACES["dict"])) == {}


class Flat(VecEnvWrapper):
    """Reshapes the observations, so that nothing is known of the frames in them."""

    def __init__(self, venv: Any) -> None:
        size = int(np.prod(venv.observation_space.shape))
        super().__init__(venv, observation_space=spaces.Box(-1, 1, (size,), np.float32))

    def reset(self) -> Any:
        return np.reshape(self.venv.reset(), (self.num_envs, -1))  # type: ignore[arg-type]

    def step_wait(self) -> Any:
        obs, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                info["terminal_observation"] = info["terminal_observation"].ravel()
        return np.reshape(obs, (self.num_envs, -1)), rewards, dones, infos  # type: ignore[arg-type]


def test_observations_that_a_wrapper_has_reshaped_are_stored_whole():
    env = Flat(STACKS["a row, along the first axis"]())
    assert frame_stacking(env) == {}
    compare(env, n_steps=1, frame_storage="ram")


# --- in the algorithms


@pytest.mark.slow
@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
@pytest.mark.parametrize("name", [*SPACES, "transposed dictionary"])
def test_every_space_trains_with_every_kind_of_replay(name, replay):
    env = STACKS["a dictionary, transposed"]() if name == "transposed dictionary" else envs_of(SPACES[name])
    is_dict = isinstance(env.observation_space, spaces.Dict)
    policy = "MultiInputPolicy" if is_dict else "CnnPolicy" if name == "image" else "MlpPolicy"
    small: dict[str, Any] = dict(buffer_size=60, learning_starts=20, batch_size=8, n_steps=3 if is_dict else 1, seed=0)
    model = DuelingDQN(policy, env, replay=replay, **small)
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(80)
    assert any(not torch.equal(*pair) for pair in zip(before, model.policy.parameters(), strict=True))
    stores_once = isinstance(model.replay_buffer, FrameReplayBuffer)
    assert stores_once == (replay == "prioritized" or is_dict or name == "image")


def test_a_prioritized_dictionary_learns_the_priorities_of_what_it_drew():
    env = envs_of(SPACES["dict"])
    buffer = our_buffer(env, 20, kind=PrioritizedFrameReplayBuffer, alpha=1.0, epsilon=1e-9)
    for step in transitions(env, 20):
        buffer.add(*step)
    buffer.update_priorities(np.arange(40), np.where(np.arange(40) == 13, 5.0, 0.0))
    samples = buffer.sample(16)
    assert set(samples.indices) == {13}
    alone = buffer.samples_at(np.array([13 // 2]), np.array([13 % 2]))
    assert equal(samples.observations["image"][:1], alone.observations["image"])


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
@pytest.mark.parametrize("name", ["vector", "dict", "image"])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_optimize_memory_usage_means_the_same_for_every_kind_of_replay(name, replay, n_steps):
    policy = {"vector": "MlpPolicy", "dict": "MultiInputPolicy", "image": "CnnPolicy"}[name]
    kwargs: dict[str, Any] = dict(buffer_size=60, learning_starts=20, batch_size=8, n_steps=n_steps)
    model = ClassicDQN(policy, envs_of(SPACES[name]), replay=replay, optimize_memory_usage=True, **kwargs)
    model.learn(60)
    buffer = model.replay_buffer
    assert isinstance(buffer, FrameReplayBuffer)
    once = sum(part.frame_size * part.dtype.itemsize for part in (p.layout for p in buffer.memory.parts.values()))
    stored = sum(part.layout.nbytes for part in buffer.memory.parts.values())
    assert stored == (30 + 1) * 2 * once + once, "one row per observation, one for the newest, one of zeros"


# --- what is refused, and files


def test_a_space_without_frames_is_refused_by_its_name():
    nested = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})})
    with pytest.raises(ValueError, match=r"Dict\('b': Discrete\(2\)\) under 'a'"):
        FrameReplayBuffer(10, nested, spaces.Discrete(2), n_stack=1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_stack": {"wheels": 2}}, "n_stack names 'wheels'"),
        ({"n_stack": 1, "stack_axis": {"wheels": 0}}, "stack_axis names 'wheels'"),
        ({"n_stack": {"vector": 2}}, "'vector': n_stack=2 does not fit"),
        ({"n_stack": 1, "stack_axis": 5}, "stack_axis=5 does not fit"),
        ({"n_stack": 1, "stack_axis": -5}, "stack_axis must be at least"),
        ({"n_stack": {"vector": "two"}}, "n_stack must be .*got 'two'"),
    ],
)
def test_stacks_that_a_dictionary_does_not_have_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FrameReplayBuffer(10, SPACES["dict"], spaces.Discrete(2), **kwargs)


def test_a_missing_or_misshapen_part_stores_nothing():
    env = envs_of(SPACES["dict"])
    buffer = our_buffer(env, 20)
    obs, reached, *rest = next(transitions(env, 1))
    with pytest.raises(ValueError, match=r"next_obs .*\['discrete', .*\['image'\]"):
        buffer.add(obs, {"image": reached["image"]}, *rest)
    with pytest.raises(ValueError, match=r"next_obs\['vector'\] has shape \(2, 2\)"):
        buffer.add(obs, {**reached, "vector": reached["vector"][:, :2]}, *rest)
    assert buffer.size() == 0
    assert {part.steps for part in buffer.memory.parts.values()} == {0}


def test_a_stack_that_breaks_in_one_part_stores_nothing_in_any():
    env = stacked(MIXED, 3, None)
    buffer = our_buffer(env, 20)
    steps = list(transitions(env, 70))
    for step in steps[:64]:
        buffer.add(*step)
    obs, reached, *rest = steps[64]
    broken = {**reached, "joints": reached["joints"] + 1}
    with pytest.raises(ValueError, match="'joints' of environment 0"):
        buffer.add(obs, broken, *rest)
    assert {part.steps for part in buffer.memory.parts.values()} == {64}
    buffer.add(*steps[64])


@pytest.mark.parametrize("larger", [False, True])
@pytest.mark.parametrize("kind", [FrameReplayBuffer, PrioritizedFrameReplayBuffer])
def test_dictionaries_go_to_disk_and_back(kind, larger):
    env = STACKS["a dictionary, transposed"]()
    buffer = our_buffer(env, 20, n_steps=2, kind=kind)
    for step in transitions(env, 47):
        buffer.add(*step)
    file = io.BytesIO()
    write(buffer, file)
    again = our_buffer(env, 35 if larger else 20, n_steps=2, kind=kind)
    read(again, file, "memory")
    steps = np.arange(27, 47)
    for of_env in (0, 1):
        slots = [(each.memory.steps - 47 + steps) % each.buffer_size for each in (buffer, again)]
        was, now = (each.samples_at(at, np.full(20, of_env)) for each, at in zip((buffer, again), slots, strict=True))
        for name in ("observations", "next_observations", "rewards", "dones", "discounts", "actions"):
            assert equal(getattr(now, name), getattr(was, name)), name


def test_a_file_of_other_parts_is_refused():
    file = io.BytesIO()
    write(our_buffer(envs_of(SPACES["dict"]), 20), file)
    with pytest.raises(ValueError, match="was saved with observation shape"):
        read(our_buffer(envs_of(SPACES["image"]), 20), file, "it")


# --- what else a training does with a buffer


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_learning_again_with_optimize_memory_usage_cuts_nothing_off(replay, recwarn):
    model = ClassicDQN(
        "MlpPolicy", "CartPole-v1", replay=replay, optimize_memory_usage=True, learning_starts=10, buffer_size=200
    )
    model.learn(52)  # whole trainings of SB3's loop
    model.learn(52)
    assert model.replay_buffer.size() == 104
    assert model.optimize_memory_usage
    assert not [warning for warning in recwarn if "trajectory" in str(warning.message)]


def test_sb3s_own_dqn_learns_again_with_our_buffer_and_optimize_memory_usage():
    kwargs: dict[str, Any] = dict(replay_buffer_class=FrameReplayBuffer, replay_buffer_kwargs={"n_stack": 1})
    model = DQN("MlpPolicy", "CartPole-v1", optimize_memory_usage=True, learning_starts=10, buffer_size=200, **kwargs)
    model.learn(52)
    model.learn(52)
    assert model.replay_buffer.size() == 104  # type: ignore[union-attr]


def test_dones_are_those_that_sb3_stores_without_truncations():
    env = envs_of(SPACES["vector"])
    theirs, ours = sb3_buffer(env, 20, 1), our_buffer(env, 20)
    for step in transitions(env, 15):
        theirs.add(*_copied_step(step))
        ours.add(*step)
    assert np.array_equal(ours.dones[:15], (theirs.dones * (1 - theirs.timeouts))[:15])
    ours.dones[3] = 1
    assert np.array_equal(ours.dones[:15], (theirs.dones * (1 - theirs.timeouts))[:15]), "a copy"


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_normalized_stacks_are_stored_across_timeouts(replay):
    """VecNormalize gives terminal observations back rounded, and clipped where they lie far out."""
    inner = VecFrameStack(envs_of(SPACES["dict"].spaces["vector"]), 3)  # type: ignore[attr-defined]
    env = VecNormalize(inner, clip_obs=0.5)
    model = ClassicDQN(
        "MlpPolicy", env, replay=replay, optimize_memory_usage=True, buffer_size=300, learning_starts=20, n_steps=2
    )
    model.learn(200)
    buffer = model.replay_buffer
    assert isinstance(buffer, FrameReplayBuffer)
    assert buffer.memory.plain.shape.n_stack == 3
    assert (buffer.memory.plain.flags & 2).any(), "episodes were truncated"


def test_a_file_goes_by_the_keys_of_the_parts_not_by_their_order():
    box = spaces.Box(-10, 10, (2,), np.float32)
    one, other = spaces.Dict(OrderedDict(b=box, a=box)), spaces.Dict(OrderedDict(a=box, b=box))
    assert one == other
    buffers = [FrameReplayBuffer(10, space, spaces.Discrete(2), "cpu", n_stack=1) for space in (one, other)]
    for step in range(6):
        obs, reached = ({"a": np.full((1, 2), 1.0 + t), "b": np.full((1, 2), -1.0 - t)} for t in (step, step + 1))
        buffers[0].add(obs, reached, np.zeros(1), np.zeros(1), np.zeros(1), [{}])
    file = io.BytesIO()
    write(buffers[0], file)
    read(buffers[1], file, "it")
    was, now = (buffer.samples_at(np.arange(6), np.zeros(6, int)) for buffer in buffers)
    assert equal(now.observations, was.observations)
    assert equal(now.next_observations, was.next_observations)


def test_a_file_of_a_larger_discrete_space_is_refused():
    nine, four = (FrameReplayBuffer(10, spaces.Discrete(n), spaces.Discrete(2), "cpu", n_stack=1) for n in (9, 4))
    file = io.BytesIO()
    write(nine, file)
    with pytest.raises(ValueError, match=r"observation space Discrete\(9\).* Discrete"):
        read(four, file, "it")


@pytest.mark.parametrize("frame_storage", ["ram", "compressed", "device"])
def test_buffers_can_be_pickled_as_sb3s_algorithms_save_them(frame_storage):
    env = envs_of(SPACES["image"])
    buffer = our_buffer(env, 20, frame_storage=frame_storage)
    for step in transitions(env, 45):
        buffer.add(*step)
    again = pickle.loads(pickle.dumps(buffer))
    slots, of_envs = np.arange(40) % 20, np.arange(40) // 20
    assert equal(again.samples_at(slots, of_envs).observations, buffer.samples_at(slots, of_envs).observations)


def test_n_steps_that_do_not_reach_a_buffer_of_the_users_own_are_told():
    with pytest.warns(UserWarning, match="n_steps=3 does not reach replay_buffer_class=ReplayBuffer"):
        ClassicDQN("MlpPolicy", "CartPole-v1", n_steps=3, replay_buffer_class=ReplayBuffer, buffer_size=10)


@pytest.mark.parametrize("n_stack", [None, "four", 4, 1.5])
def test_an_attribute_of_that_name_means_nothing_elsewhere(n_stack):
    env = envs_of(SPACES["vector"])
    env.n_stack = n_stack  # type: ignore[attr-defined]
    assert frame_stacking(env) == {}
