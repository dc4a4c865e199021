"""Environments continue in other objects exactly as they would have continued in their own."""

import os
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from sb3_atari_dqn.atari import NativeAtariVecEnv, NatureAtari
from sb3_atari_dqn.atari.stacking import VecRepeatFirstStack
from sb3_atari_dqn.checkpoints import env_journal
from sb3_atari_dqn.checkpoints.env_emulator import emulator_state, load_emulator_state
from sb3_atari_dqn.checkpoints.env_state import env_state, load_env_state, record_actions
from tests.support.continuing import assert_continues, assert_equal, continue_elsewhere, play, through_json
from tests.support.environments import Catch, ImageAndVector, Noise

pytestmark = pytest.mark.slow

PONG, BREAKOUT = "PongNoFrameskip-v4", "BreakoutNoFrameskip-v4"
STICKY: dict[str, Any] = {"repeat_action_probability": 0.25}


def atari(env_id: str, n_envs: int = 1, env_kwargs: Any = None) -> VecEnv:
    env = make_vec_env(env_id, n_envs, wrapper_class=NatureAtari, env_kwargs=env_kwargs)
    return VecTransposeImage(VecFrameStack(env, 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "n_envs", "at_an_end", "steps"),
    [(PONG, 1, False, 150), (PONG, 3, False, 60), (BREAKOUT, 1, True, 100), (BREAKOUT, 3, False, 60)],
)
def test_atari_games_continue(env_id, n_envs, at_an_end, steps):
    assert_continues(lambda: atari(env_id, n_envs), before=57, at_an_end=at_an_end, steps=steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "n_envs", "at_an_end", "steps"),
    [(PONG, 1, False, 60), (BREAKOUT, 1, True, 100), (BREAKOUT, 3, False, 60)],
)
def test_sticky_games_continue(env_id, n_envs, at_an_end, steps):
    assert_continues(lambda: atari(env_id, n_envs, STICKY), before=84, at_an_end=at_an_end, steps=steps)


def native() -> VecEnv:
    return NativeAtariVecEnv(BREAKOUT, 2, env_kwargs=STICKY)


@pytest.mark.slow
@pytest.mark.parametrize("make", [native, partial(atari, BREAKOUT, 2), partial(atari, BREAKOUT, 1, STICKY)])
def test_games_continue_in_another_process(make):
    env = make()
    record_actions(env)
    env.seed(2)
    env.reset()
    play(env, np.random.default_rng(0), 70)
    state = through_json(env_state(env))
    assert_equal(continue_elsewhere(make, state, 1, 60), play(env, np.random.default_rng(1), 60))


def divergence(seed: int) -> bool:
    """:return: whether a sticky emulator, restored in another one, takes another course within a few frames"""
    original, other = (gym.make(BREAKOUT, **STICKY) for _ in range(2))
    rng = np.random.default_rng(seed)
    original.reset(seed=seed), original.step(1), other.reset(seed=99)
    for _ in range(60):
        original.step(rng.integers(4))
    emulators: list[Any] = [env.unwrapped.ale for env in (original, other)]  # type: ignore[attr-defined]
    load_emulator_state(emulators[1], emulator_state(emulators[0]))
    for action in rng.integers(4, size=10):
        if not np.array_equal(*(env.step(action)[0] for env in (original, other))):
            return True
    return False


@pytest.mark.slow
def test_the_emulator_still_forgets_the_action_that_sticks():
    # If this fails, ALE's state holds the last action: sticky games need no replay any more (is_restorable).
    assert any(divergence(seed) for seed in range(20))


@pytest.mark.slow
def test_a_whole_game_ends_with_the_score_and_length_it_would_have_had():
    results = assert_continues(lambda: atari(BREAKOUT), before=57)
    episodes = [info["episode"] for *_, infos in results for info in infos if "episode" in info]
    assert episodes
    assert episodes[0]["l"] > 400


@pytest.mark.slow
def test_sb3_s_wrappers_and_sticky_actions_of_the_wrapper_continue():
    def make() -> VecEnv:
        kwargs = dict(action_repeat_probability=0.25)
        env = make_vec_env(BREAKOUT, 2, wrapper_class=AtariWrapper, wrapper_kwargs=kwargs)
        return VecRepeatFirstStack(env, 4)

    assert_continues(make, before=61)


@pytest.mark.slow
def test_games_that_ale_cannot_restore_are_replayed():
    def make() -> VecEnv:
        made.append(atari("QbertNoFrameskip-v4"))
        return made[-1]

    made: list[VecEnv] = []
    assert_continues(make, before=150, steps=200)
    assert env_journal._without_files(made[0].unwrapped.envs[0])  # type: ignore[attr-defined]


# --- small environments


def vectorized(*wrappers: Any) -> VecEnv:
    env: VecEnv = make_vec_env("CartPole-v1", 3)
    for wrapper in wrappers:
        env = wrapper(env)
    return env


@pytest.mark.parametrize("wrappers", [(), (VecNormalize,), (lambda env: VecFrameStack(env, 3), VecNormalize)])
def test_cartpole_and_the_statistics_of_vec_normalize_continue(wrappers):
    assert_continues(lambda: vectorized(*wrappers), before=33)


@pytest.mark.filterwarnings("ignore:The environment is already wrapped")
def test_vec_monitor_goes_on_with_its_scores():
    results = assert_continues(lambda: vectorized(VecMonitor), before=33)
    assert any(info["episode"]["l"] > 10 for *_, infos in results for info in infos if "episode" in info)


@pytest.mark.parametrize("env_id", ["Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "Taxi-v4"])
def test_gymnasium_s_own_environments_continue(env_id):
    assert_continues(lambda: make_vec_env(env_id, 2), before=230)


def test_a_time_limit_counts_on():
    results = assert_continues(lambda: make_vec_env("MountainCar-v0", 1), before=150)
    assert [int(step) for step, (_, _, dones, _) in enumerate(results) if dones[0]] == [49, 249]


class Unknown(gym.Wrapper):
    """A wrapper from elsewhere: with its own count in a place that nobody can look into."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.count = iter(range(10**9))

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward) + next(self.count), terminated, truncated, info


@pytest.mark.parametrize("kind", [Catch, Noise, ImageAndVector])
def test_environments_without_a_state_are_replayed(kind):
    wrappers = (lambda env: VecFrameStack(env, 2),) if kind is not ImageAndVector else ()

    def make() -> VecEnv:
        env: VecEnv = DummyVecEnv([lambda: Monitor(kind())] * 2)
        for wrapper in wrappers:
            env = wrapper(env)
        return env

    assert_continues(make, before=25, steps=50)


def test_unknown_wrappers_are_replayed_with_all_that_is_inside():
    assert_continues(lambda: make_vec_env("CartPole-v1", 2, wrapper_class=Unknown), before=45)


def test_a_replay_writes_no_row_twice(tmp_path):
    def make(name: str) -> VecEnv:
        env = make_vec_env("CartPole-v1", 1, monitor_dir=str(tmp_path / name), wrapper_class=Unknown)
        record_actions(env)
        return env

    original = make("original")
    original.seed(1)
    original.reset()
    play(original, np.random.default_rng(0), 120)
    other = make("other")
    load_env_state(other, env_state(original))
    assert len((tmp_path / "original" / "0.monitor.csv").read_text().splitlines()) > 3
    assert len((tmp_path / "other" / "0.monitor.csv").read_text().splitlines()) == 2
    play(other, np.random.default_rng(1), 60)
    rows = (tmp_path / "other" / "0.monitor.csv").read_text().splitlines()[2:]
    play(original, np.random.default_rng(1), 60)
    theirs = (tmp_path / "original" / "0.monitor.csv").read_text().splitlines()
    assert [row.rsplit(",", 1)[0] for row in rows] == [row.rsplit(",", 1)[0] for row in theirs[-len(rows) :]]


def test_the_journal_begins_anew_from_a_seed_of_its_own(monkeypatch):
    monkeypatch.setattr(env_journal, "RESEED_AFTER", 20)
    states = []

    def make() -> VecEnv:
        return DummyVecEnv([Catch])

    env = make()
    record_actions(env)
    env.seed(3)
    env.reset()
    play(env, np.random.default_rng(0), 100)
    states.append(env_state(env)["envs"][0]["journal"])
    assert len(states[0]["entries"]) < 30
    assert states[0]["seed"] != 3
    assert_continues(make, before=100, steps=40)


# --- what cannot continue


class Dice(gym.Env):
    """Random numbers from the operating system: no two runs are the same."""

    observation_space = spaces.Box(0, 255, (4,), np.uint8)

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(2)
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.resets += 1
        return self._see(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return self._see(), 1.0, False, False, {}

    def _see(self) -> np.ndarray:
        return np.frombuffer(os.urandom(4), np.uint8)


def loaded(make: Any, says: str, record: bool = True, before: int = 20) -> tuple[VecEnv, Any]:
    """:return: an environment that was loaded with a warning, and its first observations"""
    original, other = make(), make()
    if record:
        record_actions(original), record_actions(other)
    original.reset()
    play(original, np.random.default_rng(0), before)
    state = through_json(env_state(original))
    with pytest.warns(UserWarning, match=f"new episodes.*{says}"):
        return other, load_env_state(other, state)


def test_an_environment_that_is_not_deterministic_starts_a_new_episode_with_a_warning():
    env, observations = loaded(lambda: DummyVecEnv([Dice]), r"not give the same results in Dice \(after 1 of 21")
    assert observations.shape == (1, 4)
    assert len(play(env, np.random.default_rng(0), 5)) == 5


def test_an_environment_whose_actions_were_not_recorded_says_so():
    loaded(lambda: DummyVecEnv([Catch]), r"Catch gives no state.*not recorded \(record_actions\)", record=False)


def test_normalization_survives_where_episodes_do_not():
    def make() -> VecEnv:
        return VecNormalize(DummyVecEnv([Dice]), training=True)

    env, _ = loaded(make, "Dice")
    assert env.obs_rms.count > 20  # type: ignore[attr-defined]


class Continuous(Catch):
    def __init__(self) -> None:
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)


def test_what_cannot_continue_is_said_before_training():
    assert "actions of Box" in str(record_actions(DummyVecEnv([Continuous])))
    assert "the state of Stranger is unknown" in str(record_actions(Stranger(vectorized())))
    assert record_actions(vectorized()) is None


class Stranger(VecEnvWrapper):
    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step_wait()


class Counting(Stranger):
    """It gives its own state."""

    steps = 0

    def step_wait(self) -> Any:
        self.steps += 1
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, rewards + self.steps, dones, infos

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


def test_a_wrapper_with_a_state_of_its_own_continues():
    assert_continues(lambda: vectorized(Counting), before=12, steps=20)


@pytest.mark.slow
def test_environments_in_other_processes_start_new_episodes_with_the_way_out():
    env, _ = loaded(lambda: make_vec_env("CartPole-v1", 2, vec_env_cls=SubprocVecEnv), "SubprocVecEnv.*use DummyVecEnv")
    env.close()


def test_a_state_of_other_layers_is_refused():
    state = env_state(vectorized())
    with pytest.raises(ValueError, match="DummyVecEnv does not fit VecNormalize around DummyVecEnv"):
        load_env_state(vectorized(VecNormalize), state)
    with pytest.raises(ValueError, match="state of 3 environments does not fit 2"):
        load_env_state(make_vec_env("CartPole-v1", 2), state)


def test_taking_a_state_changes_nothing():
    def played(take: bool) -> list[Any]:
        env = vectorized(VecNormalize)
        env.seed(1)
        env.reset()
        rng = np.random.default_rng(0)
        results = []
        for _ in range(10):
            results += play(env, rng, 7)
            if take:
                env_state(env)
        return results

    assert_equal(played(True), played(False))


def test_the_action_space_goes_on_sampling():
    original, other = vectorized(), vectorized()
    original.seed(1)
    original.reset()
    original.action_space.seed(4)
    original.action_space.sample()
    load_env_state(other, through_json(env_state(original)))
    draws = [[env.action_space.sample() for _ in range(20)] for env in (original, other)]
    assert draws[0] == draws[1]
