"""One row per game: return, length, mean loss and epsilon, for TensorBoard and for the eye."""

import csv
import time
from pathlib import Path
from typing import Any, TextIO

from stable_baselines3.common.logger import TensorBoardOutputFormat

from sb3_atari_dqn.callbacks.run import Game, RunCallback

COLUMNS = ("game", "env", "env_steps", "seconds", "return", "length", "mean_loss", "epsilon")


class LogEpisodes(RunCallback):
    """
    Log every game: ``games.csv`` in the run folder, and with ``--tensorboard-log`` the curves ``game/return``,
    ``game/length``, ``game/mean_loss`` and ``game/epsilon`` over environment steps.

    The mean loss goes over the updates since the game that ended before, of whatever environment. What an algorithm
    does not have (PPO has no epsilon), or what has not happened (no update yet), stays empty.

    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    def __init__(self, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self._file: TextIO | None = None
        self._losses = Losses()
        self._started = 0.0

    def _on_training_start(self) -> None:
        self._started = self._started or time.time()
        self._write_rows()
        self._losses = Losses()
        self._losses.mean_since_last(self.model)

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
        """:param rows: what a full disk keeps back is written with a later row; the head is the first"""
        path = self.folder / "games.csv"
        with self._writing(path):
            if self._file is None:
                self._file = path.open("w", newline="", encoding="utf-8")
                csv.writer(self._file).writerow(COLUMNS)
                self._say(f"Logging games to {path}")
            csv.writer(self._file).writerows(rows)
            self._file.flush()

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
