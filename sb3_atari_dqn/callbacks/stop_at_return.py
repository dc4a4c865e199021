"""Ends a training that has reached its goal."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.callbacks.evaluation_episode import check_fits, global_generators_restored, play_episodes
from sb3_atari_dqn.callbacks.monitors import check_monitored
from sb3_atari_dqn.callbacks.run import RunCallback
from sb3_atari_dqn.files import replacing
from sb3_atari_dqn.validation import as_int, check_between, check_finite

FILE = "goal_evaluations.npz"
#: Of the file, in the order of the fields of an evaluation; the first three are those of SB3's evaluations.npz.
_COLUMNS = ("timesteps", "results", "ep_lengths", "ended", "seconds")


@dataclass(frozen=True)
class GoalEvaluation:
    """
    :param step: environment steps of the training
    :param returns: raw, of each game
    :param lengths: as the monitor counts them
    :param ended: when it ended, seconds since the epoch
    :param seconds: that it took
    """

    step: int
    returns: list[float]
    lengths: list[int]
    ended: float
    seconds: float

    @property
    def mean(self) -> float:
        return sum(self.returns) / len(self.returns)


class StopAtReturn(RunCallback):
    """
    Ends the training once the mean return of the last training episodes reaches a goal, or once evaluation games do.

    Returns are those that Monitor records: of Atari games the unclipped score of the whole game. Those of the training
    include its exploration. With `evaluation_games`, a mean of training games that reaches `evaluate_from` starts an
    evaluation: so many whole games with the greedy policy (epsilon `evaluation_epsilon`), side by side in separate
    environments, while training waits. The training ends if their mean reaches the goal, and otherwise goes on without
    another evaluation for `evaluate_every` environment steps. The training itself is the same with and without
    evaluations, bit for bit. SB3's `StopTrainingOnRewardThreshold` looks at evaluations at fixed intervals instead.

    ``goal_evaluations.npz`` holds every evaluation as SB3's ``evaluations.npz`` does, and when it ended, how long it
    took, and epsilon; `report` reads it.

    :param mean_return: the goal
    :param episodes: number of last training episodes in the mean
    :param evaluation_games: games that confirm the goal; 0: none, the mean of training episodes is the goal
    :param evaluate_from: mean of training episodes from which on to evaluate; None: the goal
    :param evaluate_every: environment steps between two evaluations, at least
    :param evaluation_epsilon: probability of a random action; the default is the one that Dopamine evaluates with
    :param max_steps: limit of environment steps per evaluation game: a greedy policy may get stuck. An evaluation that
        reaches it confirms nothing and is not written
    :param seed: of the evaluation games, together with the step; None: the model's
    :param make_envs: builds n evaluation environments with a ``Monitor`` each; only needed outside the zoo's train
    :param folder: see :class:`RunCallback`; only with evaluation games
    :param verbose: 1: say when it evaluates and stops
    :raises ValueError: on a bad argument; before training starts, on environments that do not fit
    """

    outputs = (FILE,)

    def __init__(
        self,
        mean_return: float,
        episodes: int = 10,
        evaluation_games: int = 0,
        evaluate_from: float | None = None,
        evaluate_every: int = 10_000,
        evaluation_epsilon: float = 0.001,
        max_steps: int = 27_000,
        seed: int | None = None,
        make_envs: Callable[[int], VecEnv] | None = None,
        folder: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(folder, verbose)
        check_finite("mean_return", mean_return)
        self.mean_return = mean_return
        self._returns: deque[float] = deque(maxlen=as_int("episodes", episodes, minimum=1))
        self.evaluation_games = as_int("evaluation_games", evaluation_games, 0)
        self.evaluate_from = mean_return if evaluate_from is None else evaluate_from
        check_finite("evaluate_from", self.evaluate_from)
        if self.evaluate_from > mean_return:
            raise ValueError(
                f"evaluate_from is {evaluate_from}, above the goal, mean_return {mean_return}: training games that "
                "reach the goal would not be evaluated; give a smaller one, or leave it out"
            )
        self.evaluate_every = as_int("evaluate_every", evaluate_every, 1)
        check_between("evaluation_epsilon", evaluation_epsilon, 0, 1)
        self.evaluation_epsilon = float(evaluation_epsilon)
        self.max_steps = as_int("max_steps", max_steps, 1)
        self.seed = None if seed is None else as_int("seed", seed, 0)
        if make_envs is not None and not callable(make_envs):
            raise ValueError(f"make_envs must be a function of the number of environments, got {make_envs!r}")
        self._make_envs = make_envs
        self._evaluated_at: int | None = None
        self.evaluations: list[GoalEvaluation] = []

    @property
    def writes(self) -> bool:
        """Whether it evaluates, and so needs a folder"""
        return self.evaluation_games > 0

    def _init_callback(self) -> None:
        check_monitored(self.training_env, "StopAtReturn")
        if self.writes:
            self._check_envs()
        super()._init_callback()

    def _check_envs(self) -> None:
        """Build one and close it, so that errors appear before training and not in the middle of it."""
        with global_generators_restored():
            env = self._evaluation_envs(1)
        try:
            if not isinstance(env, VecEnv):
                raise ValueError(f"make_envs must build a VecEnv (make_vec_env does), got a {type(env).__name__}")
            check_monitored(env, "StopAtReturn(make_envs=)")
            check_fits(env, self.model)
        finally:
            env.close()

    def _evaluation_envs(self, n: int) -> VecEnv:
        build = self._make_envs or (self.run.make_evaluation_envs if self.run is not None else None)
        if build is None:
            raise ValueError("StopAtReturn(evaluation_games=) needs make_envs= outside the zoo's train")
        return build(n)

    def _forget(self) -> None:
        self._returns.clear()
        self._evaluated_at = None

    def _on_step(self) -> bool:
        super()._on_step()
        # Of the infos, not the model's `ep_info_buffer`: SB3's loop fills that after this call, ours before.
        ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self._returns.extend(float(each) for each in ended)
        if not ended or len(self._returns) < (self._returns.maxlen or 0):
            return True
        mean = sum(self._returns) / len(self._returns)
        if not self.writes:
            return not self._reached(mean, f"{len(self._returns)} episodes")
        if mean < self.evaluate_from or not self._may_evaluate():
            return True
        found = self._evaluate()
        return found is None or not self._reached(found.mean, f"{self.evaluation_games} evaluation games")

    def _reached(self, mean: float, games: str) -> bool:
        if mean >= self.mean_return:
            self._say(f"Stopped at {self.num_timesteps} steps: a mean return of {mean:g} over {games}")
        return mean >= self.mean_return

    def _may_evaluate(self) -> bool:
        return self._evaluated_at is None or self.num_timesteps - self._evaluated_at >= self.evaluate_every

    def _evaluate(self) -> GoalEvaluation | None:
        """:return: None if a game reached the limit of steps"""
        self._evaluated_at, begin = self.num_timesteps, time.monotonic()
        games, steps = self.evaluation_games, self.num_timesteps
        found = play_episodes(
            self.model, self._evaluation_envs, games, self._seed(), self.evaluation_epsilon, self.max_steps
        )
        seconds = time.monotonic() - begin
        self.logger.record("goal/seconds", seconds)
        if found is None:
            self._say(f"Evaluated at {steps} steps: not all of {games} games ended within {self.max_steps} steps")
            return None
        returns, lengths = found
        evaluation = GoalEvaluation(steps, returns.tolist(), lengths.tolist(), time.time(), round(seconds, 3))
        self.evaluations.append(evaluation)
        self.logger.record("goal/mean_return", evaluation.mean)
        self._say(f"Evaluated at {steps} steps: {evaluation.mean:g} over {games} games, {seconds:.1f} s")
        self._write()
        return evaluation

    def _seed(self) -> int:
        """:return: of this evaluation: it depends on the step alone, so a continued training evaluates alike"""
        own = self.seed if self.seed is not None else getattr(self.model, "seed", None) or 0
        (drawn,) = np.random.SeedSequence([own, self.num_timesteps]).generate_state(1)
        return int(drawn) % 2**30

    def _take_over(self) -> None:
        super()._take_over()
        path = self.folder / FILE
        if path.is_file() and not self.evaluations:
            self.evaluations = _read(path)
            self._evaluated_at = self.evaluations[-1].step

    def _write(self) -> None:
        if not self.evaluations:
            (self.folder / FILE).unlink(missing_ok=True)
            return
        columns = zip(*(asdict(each).values() for each in self.evaluations), strict=True)
        arrays: dict[str, Any] = {name: np.array(column) for name, column in zip(_COLUMNS, columns, strict=True)}
        with self._writing(self.folder / FILE), replacing(self.folder / FILE) as file:
            np.savez(file, epsilon=self.evaluation_epsilon, **arrays)

    def state_dict(self) -> dict[str, Any]:
        """:return: the last returns; and the evaluations, if there may be any"""
        state = {**super().state_dict(), "returns": list(self._returns)}
        if self.writes:
            state |= {"evaluated_at": self._evaluated_at, "evaluations": [asdict(each) for each in self.evaluations]}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        The file of evaluations becomes that of this state.

        :param state: from `state_dict`, also of a version without evaluations
        """
        super().load_state_dict({"n_episodes": 0, **state})
        self._returns = deque(state["returns"], maxlen=self._returns.maxlen)
        if self.writes:
            self._evaluated_at = state.get("evaluated_at")
            self.evaluations = [GoalEvaluation(**each) for each in state.get("evaluations", ())]
            self._write()


def _read(path: Path) -> list[GoalEvaluation]:
    """:raises ValueError: if it is damaged"""
    try:
        with np.load(path, allow_pickle=False) as data:
            columns = [data[name].tolist() for name in _COLUMNS]
        return [GoalEvaluation(*row) for row in zip(*columns, strict=True)]
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, or give another folder=") from error
