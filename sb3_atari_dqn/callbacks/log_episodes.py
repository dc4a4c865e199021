"""One row per episode: return, length, mean loss and epsilon, as CSV and in TensorBoard."""

import time
import warnings
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import TensorBoardOutputFormat

from sb3_atari_dqn.callbacks import episode_log
from sb3_atari_dqn.callbacks.run import Episode, RunCallback


class LogEpisodes(RunCallback):
    """
    Log every training episode: ``episodes.csv`` in the run folder, and with ``--tensorboard-log`` the scalars
    ``episode/return``, ``episode/length``, ``episode/mean_loss`` and ``episode/epsilon`` over environment steps.

    The mean loss is taken over the updates since the previous episode ended, in any environment. Values that the
    algorithm does not have (PPO has no epsilon), or not yet (before the first update), stay empty. A continued training
    appends to the existing rows; it renames a ``games.csv`` of version 0.1.0.

    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    outputs = (episode_log.FILE_NAME, episode_log.OLD_FILE_NAME)

    def __init__(self, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self._unwritten: list[list[Any]] = []
        self._begun = False
        self._losses = Losses()
        self._started = 0.0

    @property
    def _path(self) -> Path:
        return self.folder / episode_log.FILE_NAME

    def _take_over(self) -> None:
        super()._take_over()
        episode_log.adopt_old_file(self.folder)
        self._begun = self._path.is_file()
        if self._begun:
            self._started = time.time() - episode_log.resume(self._path)

    def _on_training_start(self) -> None:
        self._started = self._started or time.time()
        self._write_rows()
        if not self._continues:
            self._losses = Losses()
            self._losses.mean_since_last(self.model)

    def _on_rollout_start(self) -> None:
        self._losses.record(self.model)

    def _on_episode(self, episode: Episode) -> None:
        values = {
            "return": episode.score,
            "length": episode.length,
            "mean_loss": self._losses.mean_since_last(self.model),
            "epsilon": getattr(self.model, "exploration_rate", None),
        }
        seconds = round(time.time() - self._started, 3)
        self._write_rows([episode.number, episode.env, episode.env_steps, seconds, *values.values()])
        for writer in self._tensorboards():
            with self._writing(Path(writer.log_dir)):
                for name, value in values.items():
                    if value is not None:
                        writer.add_scalar(f"episode/{name}", value, episode.env_steps)

    def _write_rows(self, *rows: list[Any]) -> None:
        """:param rows: to append; rows that cannot be written now are written with later ones"""
        self._unwritten += rows
        with self._writing(self._path):
            is_new = episode_log.append(self._path, self._unwritten)
            self._unwritten = []
            if is_new and self._begun:
                warnings.warn(f"{self._path} was removed during training: LogEpisodes started a new one", stacklevel=2)
            elif is_new:
                self._say(f"Logging episodes to {self._path}")
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
        self._begun = True

    def _tensorboards(self) -> list[Any]:
        """:return: the TensorBoard writers: SB3's logger would hold the values back until its next dump"""
        formats = self.logger.output_formats
        return [out.writer for out in formats if isinstance(out, TensorBoardOutputFormat) and out.writer is not None]


class Losses:
    """
    The mean loss between the ends of two episodes.

    Our algorithms keep a running sum. Of other algorithms we average the ``train/loss`` that they record after each
    training phase.
    """

    def __init__(self) -> None:
        self._recorded: list[float] = []
        self._totals = 0, 0.0

    def record(self, model: Any) -> None:
        """Call this before each rollout: SB3 has just trained then, if it trains at all."""
        if not hasattr(model, "loss_totals") and model.logger.name_to_value.get("train/loss") is not None:
            self._recorded.append(float(model.logger.name_to_value["train/loss"]))

    def mean_since_last(self, model: Any) -> float | None:
        """:return: None if there was no update"""
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
