"""One row per game: return, length, mean loss and epsilon, for TensorBoard and for the eye."""

import time
import warnings
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import TensorBoardOutputFormat

from sb3_atari_dqn.callbacks import games_log
from sb3_atari_dqn.callbacks.run import Game, RunCallback


class LogEpisodes(RunCallback):
    """
    Log every game: ``games.csv`` in the run folder, and with ``--tensorboard-log`` the curves ``game/return``,
    ``game/length``, ``game/mean_loss`` and ``game/epsilon`` over environment steps.

    The mean loss goes over the updates since the game that ended before, of whatever environment. What an algorithm
    does not have (PPO has no epsilon), or what has not happened (no update yet), stays empty. A training that goes on
    adds its rows to those there are.

    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    outputs = ("games.csv",)

    def __init__(self, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self._unwritten: list[list[Any]] = []
        self._begun = False
        self._losses = Losses()
        self._started = 0.0
        self._continues = False

    def _take_over(self) -> None:
        super()._take_over()
        path = self.folder / "games.csv"
        self._begun = path.is_file()
        if self._begun:
            self._started = time.time() - games_log.resume(path)

    def _on_training_start(self) -> None:
        self._started = self._started or time.time()
        self._write_rows()
        if not self._continues:
            self._losses = Losses()
            self._losses.mean_since_last(self.model)
        self._continues = False

    def _on_rollout_start(self) -> None:
        self._losses.look(self.model)

    def _on_game(self, game: Game) -> None:
        seen = {
            "return": game.score,
            "length": game.length,
            "mean_loss": self._losses.mean_since_last(self.model),
            "epsilon": getattr(self.model, "exploration_rate", None),
        }
        seconds = round(time.time() - self._started, 3)
        self._write_rows([game.number, game.env, game.env_steps, seconds, *seen.values()])
        for writer in self._tensorboards():
            for name, value in seen.items():
                if value is not None:
                    writer.add_scalar(f"game/{name}", value, game.env_steps)

    def _write_rows(self, *rows: list[Any]) -> None:
        """:param rows: what cannot be written is written with a later row"""
        path = self.folder / "games.csv"
        self._unwritten += rows
        with self._writing(path):
            is_new = games_log.append(path, self._unwritten)
            self._unwritten = []
            if is_new and self._begun:
                warnings.warn(f"{path} was removed during training: LogEpisodes has begun a new one", stacklevel=2)
            elif is_new:
                self._say(f"Logging games to {path}")
            self._begun = True

    def state_dict(self) -> dict[str, Any]:
        """:return: seconds of training, the losses since the last game, rows that are not in the file yet"""
        seconds = time.time() - self._started if self._started else 0.0
        own = {
            "seconds": seconds,
            "losses": self._losses.state_dict(),
            "unwritten": [list(row) for row in self._unwritten],
        }
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._started = time.time() - state["seconds"]
        self._losses.load_state_dict(state["losses"])
        self._unwritten = [list(row) for row in state["unwritten"]]
        self._begun = self._continues = True

    def _tensorboards(self) -> list[Any]:
        """:return: the writers themselves: SB3's logger would write all that it gathers for its next dump"""
        formats = self.logger.output_formats
        return [out.writer for out in formats if isinstance(out, TensorBoardOutputFormat) and out.writer is not None]


class Losses:
    """
    The mean loss between two games.

    Our algorithms keep a running sum; of others, what they record as ``train/loss`` after each training is taken.
    """

    def __init__(self) -> None:
        self._recorded: list[float] = []
        self._totals = 0, 0.0

    def look(self, model: Any) -> None:
        """Called before each rollout: SB3 has just trained, or never will."""
        if not hasattr(model, "loss_totals") and model.logger.name_to_value.get("train/loss") is not None:
            self._recorded.append(float(model.logger.name_to_value["train/loss"]))

    def mean_since_last(self, model: Any) -> float | None:
        """:return: None where there was no update"""
        if hasattr(model, "loss_totals"):
            before, self._totals = self._totals, model.loss_totals()
            updates = self._totals[0] - before[0]
            return (self._totals[1] - before[1]) / updates if updates else None
        recorded, self._recorded = self._recorded, []
        return sum(recorded) / len(recorded) if recorded else None

    def state_dict(self) -> dict[str, Any]:
        """:return: the running sum of the algorithm as it was at the last game, or what others have recorded since"""
        return {"recorded": list(self._recorded), "totals": list(self._totals)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: of a model whose own sum goes on too"""
        self._recorded = list(state["recorded"])
        updates, loss = state["totals"]
        self._totals = updates, loss
