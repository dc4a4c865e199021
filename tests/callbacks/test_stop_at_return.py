"""StopAtReturn ends a training where the mean of the last episodes says so, and not before."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import StopAtReturn


class Improving(gym.Env):
    """Episodes of two steps whose return is their number: 1, 2, 3, ..."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    finished = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        reward = (self.finished + 1) / 2
        self.finished += self.steps == 2
        return np.zeros(1, np.float32), reward, self.steps == 2, False, {}


def trained(callback: StopAtReturn, **kwargs: Any) -> ClassicDQN:
    model = ClassicDQN(
        "MlpPolicy", make_vec_env(Improving), learning_starts=1000, buffer_size=100, device="cpu", **kwargs
    )
    return model.learn(60, callback=callback)


@pytest.mark.parametrize("pace", [{}, {"replay_ratio": 0.25}])
@pytest.mark.parametrize(
    ("goal", "episodes", "steps"),
    [
        (5, 1, 10),  # the fifth episode
        (5, 3, 12),  # the mean of 4, 5, 6
        (1, 4, 8),  # not before there are four episodes, though each reaches it
        (99, 1, 60),
    ],
)
def test_it_stops_at_the_end_of_the_episode_that_reaches_the_goal(goal, episodes, steps, pace):
    assert trained(StopAtReturn(goal, episodes), **pace).num_timesteps == steps


def test_it_says_so_if_asked(capsys):
    trained(StopAtReturn(5, 1, verbose=1))
    assert "Stopped at 10 steps: a mean return of 5 over 1 episodes" in capsys.readouterr().out


def test_bad_goals_are_named():
    with pytest.raises(ValueError, match="mean_return must be a finite number, got nan"):
        StopAtReturn(float("nan"))
    with pytest.raises(ValueError, match="episodes must be at least 1, got 0"):
        StopAtReturn(5, episodes=0)


def test_it_goes_on_with_the_returns_of_a_checkpoint():
    before = StopAtReturn(99, 3)
    trained(before)
    after = StopAtReturn(99, 3)
    after.load_state_dict(before.state_dict())
    assert after.state_dict() == before.state_dict() == {"n_calls": 60, "returns": [28.0, 29.0, 30.0]}
