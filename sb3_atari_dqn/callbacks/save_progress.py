"""What a stopped run needs to continue, saved in the run folder during training."""

from pathlib import Path
from typing import Any

from sb3_atari_dqn.callbacks.run import RunCallback
from sb3_atari_dqn.callbacks.save_models import save_model
from sb3_atari_dqn.files import replacing
from sb3_atari_dqn.validation import as_int


class SaveProgress(RunCallback):
    """
    Save the model as ``progress.zip`` and the replay buffer as ``replay_buffer.pkl``: the zoo's ``-i`` loads both, and
    the statistics of ``VecNormalize`` (see :func:`~sb3_atari_dqn.callbacks.save_models.save_model`).

    The zoo's checkpoints (``--save-freq``) do not contain the replay buffer; the zoo saves it at the end only.

    :param every_env_steps: environment steps between two saves, over all environments
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    """

    outputs = ("progress.zip", "replay_buffer.pkl")

    def __init__(self, every_env_steps: int = 10_000, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(folder, verbose)
        self.every_env_steps = as_int("every_env_steps", every_env_steps, 1)
        self._saved_at = 0

    def _on_training_start(self) -> None:
        if not self._continues:
            self._saved_at = self.num_timesteps

    def _on_step(self) -> bool:
        if self.num_timesteps - self._saved_at >= self.every_env_steps:
            self._save()
            self._saved_at = self.num_timesteps
        return super()._on_step()

    def state_dict(self) -> dict[str, Any]:
        """:return: when it saved last, too"""
        return {**super().state_dict(), "saved_at": self._saved_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._saved_at = state["saved_at"]

    def _save(self) -> None:
        with self._writing(self.folder / "progress.zip"):
            save_model(self.model, self.folder / "progress.zip", self.env_name)
            if hasattr(self.model, "save_replay_buffer"):
                with replacing(self.folder / "replay_buffer.pkl") as file:
                    self.model.save_replay_buffer(file)
            self._say(f"Saved model and replay buffer after {self.num_timesteps} environment steps in {self.folder}")
