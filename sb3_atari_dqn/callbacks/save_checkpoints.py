"""Checkpoints of a whole training, from which it continues exactly."""

from __future__ import annotations

import os
import time
import warnings
import weakref
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

from stable_baselines3.common.callbacks import CallbackList, EvalCallback

from sb3_atari_dqn.callbacks.run import RunCallback
from sb3_atari_dqn.callbacks.stop_signals import StopSignals
from sb3_atari_dqn.callbacks.tolerant_writing import tolerate
from sb3_atari_dqn.checkpoints import training
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder, CheckpointNotWritten
from sb3_atari_dqn.checkpoints.callback_states import all_callbacks, why_lost
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, all_in
from sb3_atari_dqn.checkpoints.disk_forecast import forecast_in
from sb3_atari_dqn.checkpoints.env_state import record_actions
from sb3_atari_dqn.checkpoints.frequency import Frequency
from sb3_atari_dqn.validation import as_int


class SaveCheckpoints(RunCallback):
    """
    Save everything that the training needs to go on: after some steps or minutes, at its end, and when it is told to
    stop (SIGTERM, Ctrl-C). ``python -m sb3_atari_dqn resume RUN_FOLDER`` continues a run of the zoo,
    :meth:`ClassicDQN.resume` any other, as if nothing had happened. See docs/checkpoints.md.

    It comes first among the callbacks, and works with the algorithms of this package. If a checkpoint cannot be written
    (a full disk), a warning says so; training goes on, and the next one is tried.

    :param checkpoint_freq: environment steps over all environments, or a time like "30s", "5min", "2h"
    :param keep: number of checkpoints; older ones are removed
    :param folder: of the run, see :class:`RunCallback`; they go into its folder ``checkpoints``
    :param verbose: 1 prints a line per checkpoint
    :param required: False: a model that cannot be saved is trained without checkpoints, with a warning
    """

    def __init__(
        self,
        checkpoint_freq: int | str = "5min",
        keep: int = 2,
        folder: str | Path | None = None,
        verbose: int = 0,
        required: bool = True,
    ) -> None:
        super().__init__(folder, verbose)
        self.required = required
        self.frequency = Frequency.parse(checkpoint_freq)
        self.keep = as_int("keep", keep, 1)
        self._archive: CheckpointFolder | None = None
        self._continuation: training.Continuation | None = None
        self._signals: StopSignals | None = None
        self._at_the_end = ExitStack()
        self._watched: weakref.ref[Any] | None = None  # the model whose checkpoints are in the folder
        self._saved_at: tuple[int, float] = (0, 0.0)  # environment steps, seconds
        self._last_written: int | None = None  # environment steps
        self._failed = False
        self._disabled = False
        self._size_then: tuple[int, int] | None = None  # environment steps, bytes in the run folder
        self._disk_is_short = False

    # --- around a training

    def prepare(self, model: Any, callback: Any) -> None:
        """
        Called by learn() before the environments are reset.

        :param model: that is about to be trained
        :param callback: as given to learn()
        :raises ValueError: if it cannot be saved, and checkpoints are required
        """
        self._disabled = False
        callbacks = [each for each in all_callbacks(callback) if not isinstance(each, CallbackList)]
        if callbacks[0] is not self:
            raise ValueError("SaveCheckpoints must come first among the callbacks: put it at the start of the list")
        if reason := model.why_not_saved():
            if self.required:
                raise ValueError(f"SaveCheckpoints: {reason}, or leave SaveCheckpoints out")
            self._disabled = True
            warnings.warn(f"There will be no checkpoints: {reason}", stacklevel=2)
            return
        if reason := record_actions(model.env):
            warnings.warn(f"A continued training will start new episodes: {reason}", stacklevel=2)
        for each in callbacks:
            if isinstance(each, EvalCallback) and (reason := record_actions(each.eval_env)):
                warnings.warn(f"Evaluations of a continued training will be other ones: {reason}", stacklevel=2)
        self._signals = StopSignals()
        self._at_the_end.callback(self._signals.restore)

    def finish(self) -> None:
        """Called when learn() is left, however it is."""
        self._at_the_end.close()
        self._signals = None
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def _init_callback(self) -> None:
        if self._disabled:
            return
        if self._signals is None:
            raise ValueError(
                f"SaveCheckpoints works with the algorithms of sb3_atari_dqn; {type(self.model).__name__} gives no "
                "state: use SB3's CheckpointCallback"
            )
        super()._init_callback()
        self._continuation = cast(Any, self.model).continuation
        if self._continuation is not None:
            self._archive = self._continuation.archive
            self._archive.keep = self.keep
            self._last_written = self.model.num_timesteps
        else:
            self._archive = self._begin()
            self._last_written = self._size_then = None  # another training may count its steps anew
        self._watched = weakref.ref(self.model)

    def _begin(self) -> CheckpointFolder:
        """:return: for a new training, or one that this callback has watched before"""
        folder = self.folder / training.FOLDER
        if self._watched is not None and self._watched() is self.model and folder.is_dir() and all_in(folder):
            return training.open_archive(folder, self.keep)
        return CheckpointFolder(folder, self.keep)

    def _on_training_start(self) -> None:
        if self._disabled:
            return
        callbacks = self.locals["callback"]
        self._saved_at = self.model.num_timesteps, time.monotonic()
        if self._continuation is not None:
            self._continuation.load_callbacks(callbacks)
        tolerate(self.model, callbacks, self._at_the_end)
        if reason := why_lost(callbacks):
            warnings.warn(f"A continued training will count anew: {reason}", stacklevel=2)

    def _on_rollout_start(self) -> None:
        """No step is on its way now: the state of everything is complete."""
        if self._archive is None:
            return
        if self._continuation is not None:
            self._continuation.load_generators()
            self._continuation = None
        stop = self._signals.received if self._signals is not None else None
        if stop or self.frequency.is_over(*self._saved_at, self.model.num_timesteps, time.monotonic()):
            self._save()
        if stop:
            self._say_how_to_continue()
            self._signals.stop()  # type: ignore[union-attr]

    def _on_training_end(self) -> None:
        """The zoo calls this again after learn(), even after an interruption; the archive is closed by then."""
        if self._archive is None or self._signals is None:
            return
        if self.model.num_timesteps != self._last_written:
            self._save()
        if self._signals.received:  # in the last rollout
            self._say_how_to_continue()
            self._signals.stop()

    # --- one checkpoint

    def _save(self) -> Checkpoint | None:
        steps = self.model.num_timesteps
        self._saved_at = steps, time.monotonic()
        assert self._archive is not None
        try:
            checkpoint = training.write(
                self._archive, cast(Any, self.model), self.locals["callback"], self.folder, self._text_files()
            )
        except Exception as error:  # a class of the user's that gives its state may raise anything: training goes on
            self._failed = True
            said = str(error).rstrip(".")
            if not isinstance(error, CheckpointNotWritten):
                said = f"The checkpoint of step {steps} was not written: {said}"
            warnings.warn(f"{said}. Training goes on.", stacklevel=2)
            return None
        self._last_written = steps
        self.model.last_checkpoint = checkpoint.path  # type: ignore[attr-defined]
        with suppress(OSError):  # files come and go while they are counted
            self._warn_of_full_disk(steps)
        if self._failed:
            print(f"Checkpoints are written again: {checkpoint.path}")
            self._failed = False
        self._say(f"Saved {checkpoint.path}")
        return checkpoint

    def _warn_of_full_disk(self, steps: int) -> None:
        """The folder grows with the replay memory until that is full; the first checkpoint brings all the rest."""
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        if self._size_then is None:
            self._size_then = steps, size
            return
        grown, since = size - self._size_then[1], steps - self._size_then[0]
        model = cast(Any, self.model)
        until_full = min(model._total_timesteps, model.transitions_kept) - steps
        forecast = forecast_in(self.folder, grown, since, max(until_full, 0))
        if not forecast.suffices and not self._disk_is_short:
            warnings.warn(forecast.message(self.folder, steps), stacklevel=2)
        self._disk_is_short = not forecast.suffices

    def _text_files(self) -> list[Path]:
        """:return: that grow with the run: those of monitors in other processes, and those of callbacks"""
        return [*self.folder.glob("*.monitor.csv"), *self.folder.glob("episodes.csv")]

    def _say_how_to_continue(self) -> None:
        if self._last_written == self.model.num_timesteps:
            folder = os.path.relpath(self.folder)
            way = f"python -m sb3_atari_dqn resume {folder}"
            if self.run is None:
                way = f"{type(self.model).__name__}.resume({folder!r}, env, callback=...)"
            print(f"Stopped at step {self.model.num_timesteps:,}. To continue: {way}", flush=True)
