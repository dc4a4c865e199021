"""A training that goes on in another process: built again with the arguments that its checkpoint holds."""

import json
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback

from sb3_atari_dqn.algorithms.exported_models import ExportedModels
from sb3_atari_dqn.algorithms.training_state import TrainingState
from sb3_atari_dqn.algorithms.vocabulary import VOCABULARY
from sb3_atari_dqn.checkpoints import training
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.callback_states import all_callbacks
from sb3_atari_dqn.checkpoints.state import State
from sb3_atari_dqn.validation import as_int, check_device, check_keys

_Self = TypeVar("_Self", bound="ResumedTraining")


class ResumedTraining(TrainingState, ExportedModels):
    """A mixin: one call that continues a training which `SaveCheckpoints` has watched."""

    def built_with(self) -> State:
        """
        :return: the arguments of the constructor, each as JSON, since a state has a spelling of its own for infinity;
            those that can only be saved as code are named instead
        """
        given = {"policy": self.policy_class, **self._kept_arguments()}
        plain: State = {}
        code = sorted(self._argument_names() - given.keys())
        for name, value in given.items():
            try:
                plain[name] = json.dumps(VOCABULARY.encode(value, name))
            except ValueError:
                code.append(name)
        return {"arguments": plain, "code": code}

    @classmethod
    def resume(
        cls: type[_Self],
        folder: str | Path,
        env: GymEnv,
        callback: MaybeCallback = None,
        total_timesteps: int | None = None,
        log_interval: int | str | None = "default",
        device: torch.device | str = "auto",
        **arguments: Any,
    ) -> _Self:
        """
        Continue a training from its newest checkpoint, to its end, exactly as if it had not been stopped.

        :param folder: given to :class:`~sb3_atari_dqn.callbacks.SaveCheckpoints`, or one of the checkpoints in it
        :param env: built as the environments of the training were, and not yet reset
        :param callback: those of the training, `SaveCheckpoints` among them, built anew
        :param total_timesteps: environment steps in all, None: as many as planned
        :param log_interval: as it was given to learn(); "default": as if none was
        :param device: "auto", "cpu", "cuda", ...
        :param arguments: of the constructor that a checkpoint cannot hold, as they would have to be executed: functions
            and classes of the user's; a policy is one of them. `verbose` and `tensorboard_log` are not, as logs go
            on where they were written
        :return: the trained model
        :raises ValueError: if the checkpoint is damaged, the environment, algorithm or an argument does not fit, or
            another process continues this training
        :raises FileNotFoundError: if there is no checkpoint
        """
        check_device(device)
        if total_timesteps is not None:
            total_timesteps = as_int("total_timesteps", total_timesteps, 1)
        folder, at = training.place_of(Path(folder))
        archive = training.open_archive(folder / training.FOLDER, keep=_keep_of(callback), at=at)
        try:
            with training.monitor_files_restored_on_failure(archive, folder):
                model, left = cls._continued(archive, folder, env, total_timesteps, device, arguments)
            if log_interval == "default":
                log_interval = signature(cast(Any, cls).learn).parameters["log_interval"].default
            return cast(Any, model).learn(left, callback=callback, log_interval=log_interval, reset_num_timesteps=False)
        except BaseException:
            archive.close()
            raise

    @classmethod
    def _continued(
        cls: type[_Self],
        archive: CheckpointFolder,
        folder: Path,
        env: GymEnv,
        total_timesteps: int | None,
        device: torch.device | str,
        arguments: dict[str, Any],
    ) -> tuple[_Self, int]:
        """:return: the model as it was at the checkpoint, and the environment steps that are left"""
        checkpoint = archive.after
        assert checkpoint is not None
        built = cls._decoded_arguments(checkpoint.state("built"), arguments, checkpoint.meta["algorithm"])
        total = total_timesteps or int(checkpoint.state("loop")["_total_timesteps"])
        if total <= checkpoint.step:
            raise ValueError(
                f"{folder} is at step {checkpoint.step:,} already: give a higher total_timesteps than {total:,}."
            )
        model = cls(built.pop("policy"), env, device=device, **built)
        model.continue_from(archive, folder)
        return model, total - model.num_timesteps

    @classmethod
    def _decoded_arguments(cls, built: State, given: dict[str, Any], algorithm: str) -> dict[str, Any]:
        if algorithm != cls.__name__:
            raise ValueError(f"The training is one of {algorithm}, not of {cls.__name__}: use {algorithm}.resume().")
        check_keys(f"{cls.__name__}.resume()", given, {*cls._argument_names(), "policy"})
        if missing := [name for name in built["code"] if name not in given]:
            raise ValueError(
                f"The checkpoint cannot hold {missing[0]}, which would have to be executed: give {missing[0]}= again."
            )
        saved = {name: VOCABULARY.decode(json.loads(value), name) for name, value in built["arguments"].items()}
        return {**saved, **given}


def _keep_of(callback: Any) -> int:
    """
    :return: how many checkpoints are kept, as the callback that takes the folder over says
    :raises ValueError: if there is none
    """
    for each in all_callbacks(callback):
        if hasattr(each, "prepare") and hasattr(each, "keep"):
            return each.keep
    raise ValueError("resume() needs the callbacks of the training: callback=[SaveCheckpoints(...), ...]")
