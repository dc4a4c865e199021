"""Free-running actors: what is stored is what each game did, wherever it stands, and nobody waits for the slowest."""

from typing import Any

import numpy as np
import pytest

from sb3_atari_dqn import PQN, ActorVecEnv, RainbowDQN
from sb3_atari_dqn.distributed.actors import LocalActors
from tests.support.actors import (
    BLOCK_STEPS,
    GAME,
    SEED,
    GameStreams,
    actor_env,
    assert_games_were_played,
    assert_same,
    learner,
    trained,
)
from tests.support.continuing import through_json

pytestmark = pytest.mark.slow

N_ENVS = 4
FREE: dict[str, Any] = {"mode": "free-running", "block_steps": BLOCK_STEPS}


class SlowGroup(LocalActors):
    """Group 0 answers every `pause`-th time that it is asked whether it is ready, or if nobody else is asked."""

    pause = 3
    asked = 0

    def ready(self, groups: Any) -> list[int]:
        if 0 not in groups or list(groups) == [0]:
            return list(groups)
        self.asked += 1
        return [group for group in groups if group or self.asked % self.pause == 0]


class SlowEnv(ActorVecEnv):
    """One group of one game is slow."""

    def _make_actors(self, policy: Any, recall: Any) -> Any:
        return SlowGroup(self._specs, policy)


def slow_env(seed: int = SEED, **ray: Any) -> SlowEnv:
    return SlowEnv(GAME, N_ENVS, seed, ray={"address": "in-process", **FREE, **ray})


def test_with_equal_actors_it_is_lock_step():
    assert_same(trained(**FREE), trained())


def test_a_slow_group_holds_nobody_up_and_nothing_is_lost_or_joined():
    env, seen = slow_env(), GameStreams()
    model = learner(env)
    model.learn(960, callback=seen)
    lengths = [len(stream) for stream in seen.streams]
    assert lengths[0] < min(lengths[1:])
    assert sum(lengths) == 960
    assert_games_were_played(seen.streams)
    assert any(done for stream in seen.streams for _, _, done, *_ in stream)

    # The replay memory breaks off exactly where a place got another game.
    buffer: Any = model.replay_buffer
    dones = np.array([[seen.at(step, place)[2] for place in range(N_ENVS)] for step in range(240)])
    expected = dones.copy()
    expected[:-1] |= ~seen.goes_on
    expected[-1] = True  # nothing follows yet
    assert (~seen.goes_on).sum() > 5
    np.testing.assert_array_equal(buffer.memory.stops(np.arange(240)[:, None], np.arange(N_ENVS)), expected)
    env.close()


def test_observations_around_a_change_are_those_of_their_games():
    env, seen = slow_env(), GameStreams()
    model = learner(env, n_steps=1, replay="uniform")
    model.learn(480, callback=seen)
    changes = [
        (step, place) for step, place in np.argwhere(~seen.goes_on).tolist() if seen.places[step + 1][place][1] > 0
    ]
    assert len(changes) > 3
    for step, place in changes:
        _, _, done, new_obs, _ = seen.at(step, place)
        samples = model.replay_buffer.samples_at(np.array([step, step + 1]), np.array([place, place]))
        np.testing.assert_array_equal(samples.observations[1].numpy(), seen.before(step + 1, place))
        if not done:
            np.testing.assert_array_equal(samples.next_observations[0].numpy(), new_obs)
    env.close()


@pytest.mark.parametrize("max_staleness", [2, 5])
def test_the_learner_waits_for_a_group_that_stays_behind(max_staleness):
    env = slow_env(max_staleness=max_staleness)
    SlowGroup.pause, pause = 10**9, SlowGroup.pause  # it never comes by itself
    try:
        learner(env).learn(1280, log_interval=10**6)  # logs would take the numbers
    finally:
        SlowGroup.pause = pause
    found = env.statistics()
    assert found["max_staleness"] == max_staleness
    assert 0 < found["staleness"] < max_staleness
    env.close()


def test_a_state_continues_with_the_same_games():
    """Streams of both halves together are those of the games."""
    env, seen = slow_env(), GameStreams()
    model = learner(env)
    model.learn(500, callback=seen)
    state = {name: through_json(each) for name, each in model.state_dict().items()}
    chunks = [tuple(chunk) for chunk in model.replay_buffer.frames_since(0)]
    env.close()
    other_env = slow_env(seed=77)
    other = learner(other_env)
    other.load_state_dict(state, chunks)
    assert list(other_env.playing) == [game for game, _ in seen.places[-1]]
    rest = GameStreams()
    other.learn(460, reset_num_timesteps=False, callback=rest)
    other_env.close()
    for which, steps in rest.blocks.items():
        seen.blocks.setdefault(which, []).extend(steps)  # the stop was in the middle of blocks
    assert_games_were_played(seen.streams)


def test_every_replay_that_sees_resets_will_do():
    env = slow_env()
    learner(env, RainbowDQN, overlap=True).learn(320)
    env.reset()  # blocks on their way are thrown away
    env.close()


def test_what_would_join_the_steps_of_two_games_is_refused():
    env = actor_env(**FREE)
    with pytest.raises(ValueError, match=r"which NStepReplayBuffer of this DoubleDQN would join: set mode to 'lock-"):
        learner(env, replay="sb3").learn(10)
    with pytest.raises(ValueError, match=r"which PQN would join"):
        PQN("CnnPolicy", env, n_steps=16, batch_size=32).learn(10)
    env.close()
