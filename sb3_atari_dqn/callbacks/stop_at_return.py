"""Ends a training that has reached its goal."""

from collections import deque
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn.validation import as_int, check_finite


class StopAtReturn(BaseCallback):
    """
    Ends the training once the mean return of the last training episodes reaches a goal.

    Returns are those that Monitor records: of Atari games the unclipped score of the whole game, with the exploration
    of the training. SB3's `StopTrainingOnRewardThreshold` looks at evaluations instead.

    :param mean_return: the goal
    :param episodes: number of last episodes in the mean
    :param verbose: 1: say when it stops
    :raises ValueError: on a goal that is not a number, or fewer than one episode
    """

    def __init__(self, mean_return: float, episodes: int = 10, verbose: int = 0) -> None:
        super().__init__(verbose)
        check_finite("mean_return", mean_return)
        self.mean_return = mean_return
        self._returns: deque[float] = deque(maxlen=as_int("episodes", episodes, minimum=1))

    def _on_step(self) -> bool:
        # Of the infos, not the model's `ep_info_buffer`: SB3's loop fills that after this call, ours before.
        ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self._returns.extend(float(each) for each in ended)
        if not ended or len(self._returns) < (self._returns.maxlen or 0):
            return True
        mean = sum(self._returns) / len(self._returns)
        if mean >= self.mean_return and self.verbose:
            print(
                f"Stopped at {self.num_timesteps} steps: a mean return of {mean:g} over {len(self._returns)} episodes"
            )
        return mean < self.mean_return

    def state_dict(self) -> dict[str, Any]:
        """:return: the last returns"""
        return {"n_calls": self.n_calls, "returns": list(self._returns)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""
        self.n_calls = state["n_calls"]
        self._returns = deque(state["returns"], maxlen=self._returns.maxlen)
