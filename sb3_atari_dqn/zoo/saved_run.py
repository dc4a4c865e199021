"""Finds, validates and opens run folders of the zoo, for any algorithm, with the zoo's own functions."""

from __future__ import annotations

import pickle
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import rl_zoo3.import_envs  # noqa: F401 (registers the games)
from gymnasium.envs.registration import load_env_creator
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import get_model_path
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.algorithms.saved_models import SavedModels
from sb3_atari_dqn.checkpoints import training
from sb3_atari_dqn.checkpoints.allowed_names import trusts
from sb3_atari_dqn.checkpoints.checkpoint import all_in
from sb3_atari_dqn.checkpoints.model_files import NO_MODEL, damage_of, read_model
from sb3_atari_dqn.checkpoints.model_zip import check_limits
from sb3_atari_dqn.checkpoints.statistics_files import read_statistics
from sb3_atari_dqn.validation import check_device, check_known
from sb3_atari_dqn.zoo import played_envs
from sb3_atari_dqn.zoo.run_settings import import_packages, read_command_line, read_hyperparams, reading


@dataclass(frozen=True)
class SavedRun:
    """
    :param folder: of the run
    :param model_path: of the model to load
    :param algo: zoo name of the algorithm
    :param env_id: environment
    :param hyperparams: as saved by the zoo, with its ``normalize_kwargs``
    :param stats_path: folder of the configuration and the normalization statistics
    :param env_kwargs: of the training environment
    :param trust: let its files run code
    """

    folder: Path
    model_path: Path
    algo: str
    env_id: str
    hyperparams: dict[str, Any]
    stats_path: str
    env_kwargs: dict[str, Any]
    trust: bool = False

    @property
    def model_name(self) -> str:
        """Short description of the model"""
        name = self.model_path.stem
        return "last model" if name == EnvironmentName(self.env_id) else name

    @property
    def plays_stochastically(self) -> bool:
        """Whether ``enjoy`` uses a stochastic policy by default: in Atari games and MiniGrid"""
        return ExperimentManager.is_atari(self.env_id) or ExperimentManager.is_minigrid(self.env_id)

    @property
    def score_key(self) -> str | None:
        """Key of the environment's own score in ``info``, if the run's monitor logs it"""
        kept = self.hyperparams.get("monitor_kwargs") or {}
        kept = kept if isinstance(kept, str) else kept.get("info_keywords", ())  # the zoo evaluates strings
        return "score" if "score" in kept else None

    def create_env(self, seed: int) -> VecEnv:
        """
        :param seed: of the environment
        :return: one regular environment with ``render_mode="rgb_array"``
        :raises ValueError: if it cannot be created, or does not support this render mode
        """
        env_kwargs = {**self.env_kwargs, "render_mode": "rgb_array"}
        modes = _render_modes(self.env_id)
        if "rgb_array" not in modes:
            raise ValueError(
                f"{self.env_id} cannot be recorded: it has no render_mode 'rgb_array' (render_modes: {modes or 'none'})"
            )
        damage = f"{self.stats_path}: the environment of config.yml and args.yml cannot be created"
        with reading(damage), self._normalization() as stats_path:
            return played_envs.create(self.env_id, self.hyperparams, env_kwargs, stats_path, seed)

    @contextmanager
    def _normalization(self) -> Iterator[str]:
        """:return: a folder with the model's own statistics if it has them, else with those of the run"""
        own = self.model_path.with_name(f"{self.model_path.stem}_vecnormalize.pkl")
        source = own if own.is_file() else Path(self.stats_path, "vecnormalize.pkl")
        if not source.is_file():
            yield self.stats_path
            return
        with tempfile.TemporaryDirectory() as folder:  # the zoo unpickles what we have read safely
            Path(folder, "vecnormalize.pkl").write_bytes(pickle.dumps(read_statistics(source, self.trust)))
            yield folder

    def load_model(self, env: VecEnv, seed: int, device: str) -> BaseAlgorithm:
        """
        :param env: of this run
        :param seed: of the model's generators
        :param device: "auto", "cpu", "cuda"
        :return: the model, with a replay buffer of size 1, since it will not be trained
        :raises ValueError: if the algorithm cannot load it
        """
        check_device(device)
        algorithm = ALGOS[self.algo]
        kwargs: dict[str, Any] = dict(seed=seed)
        if issubclass(algorithm, OffPolicyAlgorithm):
            kwargs |= dict(buffer_size=1, env=env)
            if "optimize_memory_usage" in self.hyperparams:
                kwargs |= dict(optimize_memory_usage=False)  # incompatible with handle_timeout_termination, see enjoy
        never_learns = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
        with reading(f"{self.model_path} cannot be loaded as a model of {self.algo} (see args.yml)"):
            source: Any = self.model_path
            if issubclass(algorithm, SavedModels):
                kwargs |= dict(trust=self.trust)
            else:
                saved = read_model(self.model_path, never_learns, self.trust)
                source, never_learns = saved.archive, {**saved.attributes, **never_learns}
            model = algorithm.load(source, custom_objects=never_learns, device=device, **kwargs)
            seen = algorithm._wrap_env(env, verbose=0, monitor_wrapper=False)
            check_for_correct_spaces(seen, model.observation_space, model.action_space)  # not all algorithms check them
            return model


def find_run(
    place: Path,
    best: bool = False,
    checkpoint: int | None = None,
    last_checkpoint: bool = False,
    trust: bool | None = None,
) -> SavedRun:
    """
    :param place: a run folder, or a model inside one
    :param best: load the best model of the run
    :param checkpoint: load the checkpoint after this number of steps
    :param last_checkpoint: load the latest checkpoint; without any of these options, the final model
    :param trust: let the files of the run execute code; None: as SB3_ATARI_DQN_TRUST says
    :raises UnsafeFile: if it is not trusted and needs something outside of the allow-list
    :raises ValueError: if there is no run or no model; the message names the way out
    """
    chosen = best or last_checkpoint or checkpoint is not None
    if not place.exists():
        raise ValueError(f"{place} does not exist: pass a run folder such as logs/dqn_dueling/PongNoFrameskip-v4_1")
    if place.is_file() and chosen:
        raise ValueError(f"{place} is already a model: omit --load-best and --load-checkpoint, or pass its folder")
    folder = _run_folder_of(place.absolute()) if place.is_file() else place.absolute()
    trusted = trusts(trust)
    args = read_command_line(folder, trusted)
    env_name = EnvironmentName(args["env"])
    model_path = place.absolute()
    if place.is_dir():
        model_path = _model_in(folder, env_name, best, checkpoint, last_checkpoint)
    _check_zip(model_path, trusted)
    return _saved_run(folder, model_path, args, env_name, trusted)


def _check_zip(model: Path, trust: bool) -> None:
    """:raises ValueError: if SB3 did not save this file, or it is damaged, or unpacks to too much"""
    way_out = "pass a run folder, or a .zip inside one"
    with reading(f"{model} cannot be read"), model.open("rb") as file:
        if not trust:
            check_limits(file, str(model))
        damage = damage_of(file)
    if damage == NO_MODEL:
        raise ValueError(f"{model} is not an SB3 model (not a zip file): {way_out}")
    if damage:
        raise ValueError(f"{model} {damage}")
    with zipfile.ZipFile(model) as archive:
        entries = archive.namelist()
    if "data" not in entries:
        raise ValueError(f"{model} is not an SB3 model (a zip without an entry 'data'): {way_out}")


def _run_folder_of(model: Path) -> Path:
    """:return: the run folder of a model, which may be in a subfolder of it"""
    near = model.parents[:2]
    return next((folder for folder in near if any(folder.glob("*/args.yml"))), near[0])


def _saved_run(
    folder: Path, model_path: Path, args: dict[str, Any], env_name: EnvironmentName, trust: bool
) -> SavedRun:
    import_packages(folder, args["gym_packages"] or [], trust)
    check_known(f"algorithm of {folder}", args["algo"], ALGOS)
    played_envs.check_env_id(env_name.gym_id)
    settings = folder / env_name
    hyperparams, env_kwargs = read_hyperparams(settings, trust)
    return SavedRun(
        folder=folder,
        model_path=model_path,
        algo=args["algo"],
        env_id=env_name.gym_id,
        hyperparams=hyperparams,
        stats_path=str(settings),
        env_kwargs=args["env_kwargs"] or env_kwargs,
        trust=trust,
    )


def _model_in(
    folder: Path, env_name: EnvironmentName, best: bool, checkpoint: int | None, last_checkpoint: bool
) -> Path:
    """:raises ValueError: if the model does not exist; the message lists the existing ones"""
    try:
        _, path, _ = get_model_path(
            -1,  # use the folder itself, without a run number
            str(folder.parent),
            folder.name,
            env_name,
            load_best=best,
            load_checkpoint=None if checkpoint is None else str(checkpoint),
            load_last_checkpoint=last_checkpoint,
        )
    except (ValueError, AssertionError) as error:
        missing = f"{folder} does not have this model"
        if not (best or last_checkpoint or checkpoint is not None):
            missing = f"{folder} has no final model {env_name}.zip (training is still running, or was interrupted)"
        raise ValueError(f"{missing}. It has {models_in(folder, env_name)}{_checkpoint_hint(folder)}") from error
    return Path(path)


def _checkpoint_hint(folder: Path) -> str:
    """:return: how to get a model out of a run that can be continued, empty if it cannot be"""
    checkpoints = folder / training.FOLDER
    if not (checkpoints.is_dir() and (found := all_in(checkpoints))):
        return ""
    return (
        f". A checkpoint of step {max(found)[1]:,} is not a model, but `python -m sb3_atari_dqn resume {folder}` goes "
        "on from it (a complete run with a higher -n); Ctrl-C then saves a model"
    )


def models_in(folder: Path, env_name: str) -> str:
    """
    :param folder: of a run
    :param env_name: environment name in file names
    :return: all its models, each with the option that selects it
    """
    names = {path.relative_to(folder).as_posix() for path in folder.glob("**/*.zip")}
    found = ["the last model (no option)"] if f"{env_name}.zip" in names else []
    if "best_model.zip" in names:
        found.append("the best model (--load-best)")
    steps = {int(match[1]): match[0] for name in names if (match := re.fullmatch(r"rl_model_(\d+)_steps.zip", name))}
    if numbers := sorted(steps):
        found.append(f"checkpoints after {', '.join(map(str, numbers))} steps (--load-checkpoint {numbers[-1]})")
    others = sorted(names - {f"{env_name}.zip", "best_model.zip", *steps.values()})
    if others:
        found.append(f"{', '.join(others)} (play {folder}/{others[-1]})")
    return "; ".join(found) or "no models: train longer, or pass another folder"


def _render_modes(env_id: str) -> list[str]:
    entry_point = gym.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    # A factory function has no metadata before the environment is created; most environments support rgb_array.
    return list(getattr(creator, "metadata", {"render_modes": ["rgb_array"]}).get("render_modes") or [])
