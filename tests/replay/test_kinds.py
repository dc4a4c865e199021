"""Which buffer with which arguments: known by their names, whatever their order, and under their old spelling."""

import json
import zipfile
from typing import Any

import pytest
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_dqn.algorithms.dqn import ClassicDQN
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.compressed_store import CompressedFrameStore
from sb3_atari_dqn.replay.frame_store import HostFrameStore
from sb3_atari_dqn.replay.kinds import known_arguments
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from tests.support.environments import Catch


class HandsOn(PrioritizedFrameReplayBuffer):
    """Adds an argument and hands all others on."""

    def __init__(self, *args: Any, bonus: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bonus = bonus


class OtherOrder(FrameReplayBuffer):
    """Names its arguments itself, its own one first."""

    def __init__(
        self, bonus, *, n_stack, buffer_size, action_space, observation_space, n_envs, device, **kwargs
    ) -> None:
        super().__init__(buffer_size, observation_space, action_space, device, n_envs, n_stack=n_stack, **kwargs)
        self.bonus = bonus


class Closed(FrameReplayBuffer):
    """Takes nothing but what it names."""

    def __init__(self, buffer_size, observation_space, action_space, device, n_envs, optimize_memory_usage, n_stack,
                 stack_axis, n_steps, gamma, bonus=0) -> None:  # fmt: skip
        super().__init__(buffer_size, observation_space, action_space, device, n_envs, n_stack=n_stack)
        self.bonus = bonus


OURS = {"handle_timeout_termination", "n_stack", "stack_axis", "n_steps", "gamma", "frame_storage", "sb3_sampling"}


@pytest.mark.parametrize(
    ("buffer_class", "known"),
    [
        (FrameReplayBuffer, OURS),
        (HandsOn, (OURS - {"sb3_sampling"}) | {"alpha", "beta", "final_beta", "epsilon", "bonus"}),
        (OtherOrder, OURS | {"bonus"}),
        (Closed, {"n_stack", "stack_axis", "n_steps", "gamma", "bonus"}),
    ],
)
def test_arguments_are_found_by_name_in_every_class_that_takes_them(buffer_class, known):
    assert known_arguments(buffer_class) == known


def model_with(env: str | type = Catch, **kwargs: Any) -> ClassicDQN:
    policy = "MlpPolicy" if env == "CartPole-v1" else "CnnPolicy"
    return ClassicDQN(policy, make_vec_env(env, 2), buffer_size=100, device="cpu", **kwargs)


@pytest.mark.parametrize("buffer_class", [HandsOn, Closed])
def test_a_class_with_one_more_argument_gets_it_and_refuses_others(buffer_class):
    buffer = model_with(replay_buffer_class=buffer_class, replay_buffer_kwargs={"bonus": 3}).replay_buffer
    assert buffer.bonus == 3  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"Unknown argument in replay_buffer_kwargs 'bonsu'; known: .*bonus"):
        model_with(replay_buffer_class=buffer_class, replay_buffer_kwargs={"bonsu": 3})


def test_sb3s_sampling_is_chosen_by_name_and_prioritized_replay_has_none():
    model = model_with(replay_buffer_kwargs={"sb3_sampling": True})
    assert model.replay_buffer.sampler.state_dict() == {}  # type: ignore[attr-defined]
    for replay, message in (("prioritized", "Unknown argument"), ("sb3", "sb3_sampling=True .* leave it out")):
        with pytest.raises(ValueError, match=message):
            model_with(replay=replay, replay_buffer_kwargs={"sb3_sampling": True})


@pytest.mark.parametrize("replay", ["uniform", "sb3"])
@pytest.mark.parametrize(("n_steps", "known"), [(1, "handle_timeout_termination"), (3, "gamma, .*n_steps")])
def test_sb3s_buffers_refuse_arguments_that_they_do_not_know_at_construction(n_steps, known, replay):
    with pytest.raises(ValueError, match=f"Unknown argument in replay_buffer_kwargs 'alpha'; known: .*{known}"):
        model_with("CartPole-v1", replay=replay, n_steps=n_steps, replay_buffer_kwargs={"alpha": 0.5})


@pytest.mark.parametrize("replay", ["uniform", "sb3"])
@pytest.mark.parametrize("unknown", [{"alpha": 0.5}, {"frame": "ram"}, {"n_stack": 4}, {"frames_storage": "ram"}])
def test_vectors_refuse_what_only_buffers_of_frames_know(unknown, replay):
    with pytest.raises(ValueError, match=f"Unknown argument in replay_buffer_kwargs '{next(iter(unknown))}'"):
        model_with("CartPole-v1", replay=replay, replay_buffer_kwargs=unknown)


@pytest.mark.parametrize("replay", ["uniform", "prioritized", "sb3"])
@pytest.mark.parametrize("env", [Catch, "CartPole-v1"])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_buffer_with_other_returns_than_the_algorithm_is_refused(n_steps, env, replay):
    for other in ({"gamma": 0.5}, {"n_steps": 2}, {"gamma": 0.5, "n_steps": n_steps}):
        name = next(iter(other))
        own, given = {"gamma": 0.99, "n_steps": n_steps}[name], other[name]
        message = f"{name}={own} and {name}={given} in replay_buffer_kwargs differ: give {name} to the algorithm only"
        with pytest.raises(ValueError, match=message):
            model_with(env, replay=replay, n_steps=n_steps, gamma=0.99, replay_buffer_kwargs=other)
    twice = {"gamma": 0.99, "n_steps": n_steps}
    buffer = model_with(env, replay=replay, **twice, replay_buffer_kwargs=twice).replay_buffer
    assert getattr(buffer, "n_steps", 1) == n_steps
    assert getattr(buffer, "gamma", 0.99) == 0.99


@pytest.mark.parametrize("env", [Catch, "CartPole-v1"])
@pytest.mark.parametrize("bad", [{"gamma": "0.99"}, {"n_steps": None}, {"gamma": [0.99]}])
def test_returns_of_a_buffer_are_numbers(bad, env):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        model_with(env, replay_buffer_kwargs=bad)


@pytest.mark.parametrize("env", [Catch, "CartPole-v1"])
def test_sb3s_sampling_is_a_yes_or_no(env):
    with pytest.raises(ValueError, match="sb3_sampling must be True or False, got 'yes'"):
        model_with(env, replay_buffer_kwargs={"sb3_sampling": "yes"})


# --- as version 0.1.0 spelled it


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
@pytest.mark.parametrize("env", [Catch, "CartPole-v1"])
@pytest.mark.parametrize(
    ("old", "new", "store"), [("memory", "ram", HostFrameStore), ("compressed",) * 2 + (CompressedFrameStore,)]
)
def test_the_old_spelling_of_the_frame_storage_is_taken_and_the_new_one_given(old, new, store, env, replay):
    message = f"frames={old!r} in replay_buffer_kwargs .* use frame_storage={new!r}"
    with pytest.warns(FutureWarning, match=message):
        model = model_with(env, replay=replay, replay_buffer_kwargs={"frames": old})
    assert model.replay_buffer_kwargs == {"frame_storage": new}
    assert type(model.replay_buffer.memory.plain.store) is store  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [FrameReplayBuffer, PrioritizedFrameReplayBuffer])
def test_buffers_by_themselves_take_the_old_spelling_too(kind):
    space = model_with().observation_space, model_with().action_space
    with pytest.warns(FutureWarning, match="use frame_storage='ram'"):
        assert type(kind(9, *space, n_stack=1, frames="memory").memory.plain.store) is HostFrameStore
    with pytest.warns(FutureWarning, match=r"frame_storage='memory' .* use frame_storage='ram'"):
        kind(9, *space, n_stack=1, frame_storage="memory")
    for frames, storage in (("memory", "device"), ("compressed", "ram"), ("ram", "ram")):
        both = f"frames='{frames}' and frame_storage='{storage}' .* give frame_storage only"
        with pytest.raises(ValueError, match=both):
            kind(9, *space, n_stack=1, frames=frames, frame_storage=storage)
    assert type(kind(9, *space, n_stack=1).memory.plain.store) is HostFrameStore


def test_a_model_that_was_saved_with_the_old_spelling_loads_and_is_saved_with_the_new_one(tmp_path):
    model_with(replay_buffer_kwargs={"frame_storage": "compressed"}).save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip") as new, zipfile.ZipFile(tmp_path / "old.zip", "w") as old:
        for name in set(new.namelist()) - {"attributes.safetensors"}:  # which old files do not have
            content = new.read(name)
            if name == "data":
                values = json.loads(content)
                assert values["replay_buffer_kwargs"] == {"frame_storage": "compressed"}
                content = json.dumps({**values, "replay_buffer_kwargs": {"frames": "compressed"}}).encode()
            old.writestr(name, content)
    with pytest.warns(FutureWarning, match="use frame_storage='compressed'"):
        model = ClassicDQN.load(tmp_path / "old.zip", make_vec_env(Catch, 2), device="cpu")
    assert type(model.replay_buffer.memory.plain.store) is CompressedFrameStore  # type: ignore[attr-defined]
    model.save(tmp_path / "again")
    with zipfile.ZipFile(tmp_path / "again.zip") as again:
        assert json.loads(again.read("data"))["replay_buffer_kwargs"] == {"frame_storage": "compressed"}


# --- seeds


@pytest.mark.parametrize("env", [Catch, "CartPole-v1"])
def test_seeding_a_model_again_seeds_its_memory_too(env):
    model = model_with(env, seed=1, learning_starts=20).learn(40)
    drawn: list[Any] = []
    for seed in (5, 5, 6):
        model.set_random_seed(seed)
        drawn.append(model.replay_buffer.sample(16).actions.tolist())
        drawn.append(model.explorer.state_dict())
    assert drawn[:2] == drawn[2:4]
    assert drawn[:2] != drawn[4:]


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
@pytest.mark.parametrize("env", [Catch, "CartPole-v1"])
def test_a_seed_that_the_user_gives_wins_over_the_generator_in_a_file(env, replay, tmp_path):
    original = model_with(env, replay=replay, seed=1, learning_starts=20).learn(40)
    original.save(tmp_path / "model")
    original.save_replay_buffer(tmp_path / "memory")

    def draws(model: ClassicDQN) -> list[Any]:
        model.load_replay_buffer(tmp_path / "memory")
        return [model.replay_buffer.sample(16).actions.tolist() for _ in range(2)]

    def loaded(**kwargs: Any) -> ClassicDQN:
        return ClassicDQN.load(tmp_path / "model", make_vec_env(env, 2), device="cpu", **kwargs)

    one, same, other = (draws(loaded(seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    built, seeded = model_with(env, replay=replay, seed=2), loaded()
    seeded.set_random_seed(2)
    assert draws(built) == draws(seeded) == other
    continued = draws(loaded())
    assert continued == draws(loaded(seed=None)) == draws(model_with(env, replay=replay))
    assert continued == [original.replay_buffer.sample(16).actions.tolist() for _ in range(2)]
    assert continued not in (one, other)
    loaded(seed=2).save(tmp_path / "again")
    again = ClassicDQN.load(tmp_path / "again", make_vec_env(env, 2), device="cpu")
    assert draws(again) == continued
