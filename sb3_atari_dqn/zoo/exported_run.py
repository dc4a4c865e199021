"""An exported model as a run to play: its environment is built from what config.json says about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.checkpoints import export_files
from sb3_atari_dqn.checkpoints.allowed_names import trusts
from sb3_atari_dqn.checkpoints.export_files import CONFIG
from sb3_atari_dqn.validation import as_int
from sb3_atari_dqn.zoo import played_envs
from sb3_atari_dqn.zoo.exports import PREPROCESSING, class_of
from sb3_atari_dqn.zoo.run_files import check_environment
from sb3_atari_dqn.zoo.run_settings import reading
from sb3_atari_dqn.zoo.saved_run import SavedRun


@dataclass(frozen=True)
class ExportedRun(SavedRun):
    """See :class:`SavedRun`; the folder is the exported model."""

    @property
    def model_name(self) -> str:
        return "exported model"

    def load_model(self, env: VecEnv, seed: int, device: str) -> BaseAlgorithm:
        algorithm = class_of(ALGORITHMS[self.algo].class_name, self.folder)
        kwargs: dict[str, Any] = {"buffer_size": 1} if issubclass(algorithm, OffPolicyAlgorithm) else {}
        # Without the environment: some algorithms need as many as they were trained with.
        model = algorithm.import_(self.folder, device=device, seed=seed, **kwargs)
        seen = algorithm._wrap_env(env, verbose=0, monitor_wrapper=False)
        with reading(f"{self.folder / CONFIG} describes another environment than the model's"):
            check_for_correct_spaces(seen, model.observation_space, model.action_space)
        return model


def find_exported(folder: Path, trust: bool | None = None) -> ExportedRun:
    """
    :param folder: of an exported model
    :param trust: import whatever its configuration names; None: as SB3_ATARI_DQN_TRUST says
    :raises UnsafeFile: if it is not trusted and names something outside of the allow-list
    :raises ValueError: if it is damaged, does not say which environment it is for, or needs files that it does not have
    """
    config, path = export_files.read_config(folder), folder / CONFIG
    names = {algorithm.class_name: name for name, algorithm in ALGORITHMS.items()}
    class_of(config.get("algorithm"), folder)
    about = config.get("about")
    if not isinstance(about, dict) or not isinstance(about.get("env"), str):
        raise ValueError(
            f"{path} does not say which environment the model is for: export the run folder instead of a model alone"
        )
    if about.get("normalize"):
        raise ValueError(
            f"{folder} was trained with VecNormalize, whose statistics an export does not have: play the run folder"
        )
    env_kwargs = about.get("env_kwargs") or {}
    if not isinstance(env_kwargs, dict):
        raise ValueError(f"{path} is damaged: env_kwargs is a {type(env_kwargs).__name__}")
    if (stack := about.get("frame_stack")) is not None:
        as_int("frame_stack", stack, 1)
    if not trusts(trust):
        check_environment(about, about["env"], env_kwargs, path)
    played_envs.check_env_id(about["env"])
    hyperparams = {name: about[name] for name in PREPROCESSING if about.get(name)}
    return ExportedRun(
        folder=folder,
        model_path=folder / export_files.MODEL,
        algo=names[config["algorithm"]],
        env_id=about["env"],
        hyperparams={"env_kwargs": None, "monitor_kwargs": None, "normalize": False, **hyperparams},
        stats_path=str(folder),
        env_kwargs=env_kwargs,
        trust=trusts(trust),
    )
