"""Actors in this process: what is stored is what the games did, and a run depends on its settings alone."""

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

from sb3_atari_dqn import PQN, ActorVecEnv, DoubleDQN, NativeAtariVecEnv, RainbowDQN
from sb3_atari_dqn.distributed.behaviour import ladder
from tests.support.actors import GAME, IN_PROCESS, actor_env, assert_same, learner, results, trained
from tests.support.continuing import assert_equal, through_json

pytestmark = pytest.mark.slow


class Stream(BaseCallback):
    """Keeps what each vector step brought."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple] = []

    def _on_step(self) -> bool:
        infos = [dict(info) for info in self.locals["infos"]]
        names = ("actions", "new_obs", "rewards", "dones")
        self.steps.append((*(np.array(self.locals[name]) for name in names), infos))
        return True


@cache
def usual() -> dict[str, np.ndarray]:
    return trained()


def without_clock(info: dict) -> dict:
    episode = {key: value for key, value in info.get("episode", {}).items() if key != "t"}
    return dict(sorted({**info, "episode": episode}.items()))


@pytest.mark.parametrize("blocks_ahead", [0, 2])
def test_the_stream_is_that_of_the_same_games_in_one_environment(blocks_ahead):
    env, stream = actor_env(blocks_ahead=blocks_ahead), Stream()
    learner(env, replay_ratio=0.01).learn(600, callback=stream)
    env.close()
    native = NativeAtariVecEnv(GAME, 4, seed=5)
    native.reset()
    assert any(dones.any() for _, _, _, dones, _ in stream.steps)
    assert any("episode" in info for *_, infos in stream.steps for info in infos)
    for actions, observations, rewards, dones, infos in stream.steps:
        expected = native.step(actions)
        np.testing.assert_array_equal(observations, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2])
        for ours, theirs in zip(infos, expected[3], strict=True):
            assert_equal(without_clock(ours), without_clock(theirs))
    native.close()


@pytest.mark.parametrize("compress", [False, True])
def test_the_same_settings_give_the_same_run(compress):
    assert_same(usual(), trained(compress=compress))


@pytest.mark.parametrize(
    "settings", [{"block_steps": 4}, {"blocks_ahead": 0}, {"groups": 2}, {"exploration": "ladder"}]
)
def test_settings_that_change_results_do(settings):
    ours, theirs = usual(), trained(**settings)
    assert any(not np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (RainbowDQN, {}),  # its noise is drawn by the actors
        (RainbowDQN, {"learner": "reference"}),
        (DoubleDQN, {"replay_ratio": None, "train_freq": 4, "gradient_steps": 1}),  # SB3's own loop
        (DoubleDQN, {"overlap": True, "precision": "bf16"}),
    ],
)
def test_every_kind_of_training_depends_on_its_settings_alone(algorithm, options):
    assert_same(*(trained(160, algorithm=algorithm, options=options) for _ in range(2)))


def test_pqn_learns_from_actors():
    runs = []
    for _ in range(2):
        env, stream = actor_env(), Stream()
        model = PQN("CnnPolicy", env, seed=5, n_steps=16, batch_size=32)
        before = results(model)
        runs.append(results(model.learn(128, callback=stream)))
        env.close()
        assert len(stream.steps) == 32
        assert any(not np.array_equal(before[name], runs[-1][name]) for name in before)
    assert_same(*runs)


def test_actors_act_with_the_weights_that_the_learner_had():
    """All actions greedy and no learning after the start: they are those of the policy."""
    env, stream = actor_env(), Stream()
    model = learner(env, exploration=None, learning_starts=0, replay_ratio=1e-6, learner="reference")
    model.learn(100, callback=stream)
    first = actor_env()
    first.act_for(model)
    observations = first.reset()
    for actions, new_obs, *_ in stream.steps:
        np.testing.assert_array_equal(actions, model.predict(observations, deterministic=True)[0])
        observations = new_obs
    env.close()
    first.close()


def test_actions_are_random_before_learning_starts():
    env, stream = actor_env(n_envs=8), Stream()
    model = learner(env, exploration=None, learning_starts=400)
    model.learn(400, callback=stream)
    env.close()
    counts = np.bincount(np.concatenate([step[0] for step in stream.steps]), minlength=4)
    assert counts.min() > 60  # of 400, 4 actions


def test_apexs_ladder():
    epsilons = ladder(8)
    np.testing.assert_allclose(epsilons[[0, 7]], [0.4, 0.4**8])
    assert (np.diff(epsilons) < 0).all()
    np.testing.assert_allclose(ladder(1), [0.4])


def test_learning_goes_on_where_it_stopped_and_begins_anew_when_told():
    env = actor_env()
    model = learner(env)
    model.learn(160)
    assert_same(results(model.learn(80, reset_num_timesteps=False)), usual())
    steps = model.replay_buffer.size()
    model.learn(80)
    assert model.num_timesteps == 80
    assert model.replay_buffer.size() == steps + 20
    env.close()


@pytest.mark.parametrize("stop", [100, 128, 180])
def test_a_state_continues_exactly(stop):
    """In the middle of a block, between two, and after episodes."""
    env = actor_env()
    model = learner(env)
    model.learn(stop)
    state = {name: through_json(each) for name, each in model.state_dict().items()}
    chunks = [tuple(chunk) for chunk in model.replay_buffer.frames_since(0)]
    other_env = actor_env(seed=77)
    other = learner(other_env)
    other.load_state_dict(state, chunks)
    for each in (model, other):
        each.learn(320 - stop, reset_num_timesteps=False)
    assert_same(results(other), results(model))
    env.close()
    other_env.close()


def test_monitor_files_have_a_row_for_each_game(tmp_path):
    env = ActorVecEnv(GAME, 4, 5, str(tmp_path), ray={"block_steps": 8, **IN_PROCESS})
    stream = Stream()
    learner(env, replay_ratio=0.001).learn(800, callback=stream)
    env.close()
    games = [info["episode"] for *_, infos in stream.steps for info in infos if "episode" in info]
    rows = [row for path in tmp_path.glob("*.monitor.csv") for row in path.read_text().splitlines()[2:]]
    assert len(rows) == len(games) > 0
    assert len(list(tmp_path.glob("*.monitor.csv"))) == 4


# --- wrong use


def test_other_algorithms_and_users_cannot_step_the_games():
    env = actor_env()
    with pytest.raises(RuntimeError, match=r"follow no policy.*algorithm of sb3_atari_dqn"):
        env.reset()
    model = DQN("CnnPolicy", env, buffer_size=100)
    with pytest.raises(RuntimeError, match="actors choose their actions"):
        model.learn(10)
    env.act_for(learner(env))
    env.reset()
    with pytest.raises(RuntimeError, match="cannot be stepped"):
        env.step(np.zeros(4, np.int64))
    env.close()


@pytest.mark.parametrize("other", [{"algorithm": RainbowDQN}, {"gamma": 0.5, "n_steps": 2}])
def test_actors_follow_the_model_that_learns(other):
    """Of another network, and of other returns; then the first one again, which begins anew."""
    env: Any = actor_env(initial_priorities=True)
    first = learner(env)
    first.learn(80)
    second = learner(env, **other)
    second.learn(80)
    assert env._policy == env._behaviour.policy()
    assert env._policy.returns == (second.n_steps, second.gamma)
    actors = env._rounds.actors
    second.learn(40, reset_num_timesteps=False)
    assert env._rounds.actors is actors  # the same model goes on with its games
    first.learn(80, reset_num_timesteps=False)
    assert first.num_timesteps == 160
    env.close()


def test_a_closed_environment_says_so():
    env = actor_env()
    model = learner(env)
    model.learn(40)
    env.close()
    env.close()
    for wrong in (lambda: model.learn(40), lambda: model.learn(40, reset_num_timesteps=False), env.reset):
        with pytest.raises(RuntimeError, match="ActorVecEnv is closed: create another one"):
            wrong()


@pytest.mark.parametrize("seed", [-1, 1.5, float("nan"), "4", 2**40])
def test_a_bad_seed_is_named(seed):
    with pytest.raises(ValueError, match="seed must be"):
        actor_env(seed=seed)


def test_wrappers_that_actors_would_not_see_are_refused():
    env = VecMonitor(actor_env())
    with pytest.raises(ValueError, match="VecMonitor is wrapped around ActorVecEnv"):
        learner(env).learn(10)
    env.close()


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'sb3-atari-dqn\[ray\]'"):
        actor_env(address="local")


def test_games_that_do_not_exist_are_refused_before_ray_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="CartPole-v1 is not an Atari game"):
        ActorVecEnv("CartPole-v1", 4, ray="local")


def test_a_state_of_other_groups_is_refused():
    env = actor_env()
    model = learner(env)
    model.learn(40)
    state = env.state_dict()
    other = actor_env(groups=2)
    other.act_for(model)
    with pytest.raises(ValueError, match=r"4 groups.*does not fit 2 groups"):
        other.load_state_dict(state)
    env.close()
    other.close()
