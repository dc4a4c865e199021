"""Ends a training that has reached its goal."""

from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn.validation import as_int, check_finite


class StopAtReturn(BaseCallback):
    """
    Ends the training once the mean return of the last training episodes reaches a goal.

    Returns are those that Monitor records: of Atari games the unclipped score of the whole game, with the exploration
    of the training. SB3's `StopTrainingOnRewardThreshold` looks at evaluations instead.

    :param mean_return: the goal
    :param episodes: number of last episodes in the mean, at most `stats_window_size` of the algorithm
    :param verbose: 1: say when it stops
    :raises ValueError: on a goal that is not a number, or fewer than one episode
    """

    def __init__(self, mean_return: float, episodes: int = 10, verbose: int = 0) -> None:
        super().__init__(verbose)
        check_finite("mean_return", mean_return)
        self.mean_return = mean_return
        self.episodes = as_int("episodes", episodes, minimum=1)

    def _init_callback(self) -> None:
        window = self.model._stats_window_size
        if self.episodes > window:
            raise ValueError(f"episodes={self.episodes} needs stats_window_size={self.episodes}, it is {window}.")

    def _on_step(self) -> bool:
        if not self.locals["dones"].any():
            return True
        last = list(self.model.ep_info_buffer or ())[-self.episodes :]
        if len(last) < self.episodes:
            return True
        mean = sum(episode["r"] for episode in last) / len(last)
        if mean < self.mean_return:
            return True
        if self.verbose:
            print(f"Stopped at {self.num_timesteps} steps: a mean return of {mean:g} over {self.episodes} episodes")
        return False
