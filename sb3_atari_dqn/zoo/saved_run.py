"""A run folder of the zoo, of any algorithm: found, checked and opened, with the zoo's own functions."""

from __future__ import annotations

import importlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import rl_zoo3.import_envs  # noqa: F401 (registers the games)
import yaml
from gymnasium.envs.registration import load_env_creator
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import get_model_path, get_saved_hyperparams
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.arguments import check_known
from sb3_atari_dqn.zoo import played_envs


@dataclass(frozen=True)
class SavedRun:
    """
    :param folder: of the run
    :param model_path: the model to open
    :param algo: zoo name of the algorithm
    :param env_id: environment
    :param hyperparams: as the zoo saved them, with its ``normalize_kwargs``
    :param stats_path: where the configuration and the normalization lie
    :param env_kwargs: that the environment was built with
    """

    folder: Path
    model_path: Path
    algo: str
    env_id: str
    hyperparams: dict[str, Any]
    stats_path: str
    env_kwargs: dict[str, Any]

    @property
    def model_name(self) -> str:
        """Which of the run's models, in a few words"""
        name = self.model_path.stem
        return "last model" if name == EnvironmentName(self.env_id) else name

    @property
    def plays_stochastically(self) -> bool:
        """Whether ``enjoy`` lets the model explore unless it is told otherwise: in Atari games and MiniGrid"""
        return ExperimentManager.is_atari(self.env_id) or ExperimentManager.is_minigrid(self.env_id)

    @property
    def score_key(self) -> str | None:
        """Under which the environment's info tells a score of its own, if the run's monitor was to keep it"""
        kept = (self.hyperparams.get("monitor_kwargs") or {}).get("info_keywords", ())
        return "score" if "score" in kept else None

    def create_env(self, seed: int) -> VecEnv:
        """
        :param seed: of the environment
        :return: one ordinary environment that renders
        :raises ValueError: if it renders no pictures
        """
        env_kwargs = {**self.env_kwargs, "render_mode": "rgb_array"}
        modes = _render_modes(self.env_id)
        if "rgb_array" not in modes:
            raise ValueError(
                f"{self.env_id} renders no pictures (it offers {modes or 'nothing'}), nothing can be filmed"
            )
        with self._normalization() as stats_path:
            return played_envs.create(self.env_id, self.hyperparams, env_kwargs, stats_path, seed)

    @contextmanager
    def _normalization(self) -> Iterator[str]:
        """:return: a folder with the model's own ``vecnormalize.pkl``, if there is one, else with that of the run"""
        own = self.model_path.with_name(f"{self.model_path.stem}_vecnormalize.pkl")
        if not own.is_file():
            yield self.stats_path
            return
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(own, Path(folder, "vecnormalize.pkl"))
            yield folder

    def load_model(self, env: VecEnv, seed: int, device: str) -> BaseAlgorithm:
        """
        :param env: of this run
        :param seed: of the model's generators
        :param device: "auto", "cpu", "cuda"
        :return: the model, with room for a single transition: none will be stored
        :raises ValueError: if the algorithm cannot open it
        """
        algorithm = ALGOS[self.algo]
        kwargs: dict[str, Any] = dict(seed=seed)
        if issubclass(algorithm, OffPolicyAlgorithm):
            kwargs |= dict(buffer_size=1, env=env)
            if "optimize_memory_usage" in self.hyperparams:
                kwargs |= dict(optimize_memory_usage=False)  # it excludes the handling of timeouts, see enjoy
        never_learns = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
        with _reading(f"{self.model_path} does not open as a model of {self.algo}, which args.yml names"):
            return algorithm.load(self.model_path, custom_objects=never_learns, device=device, **kwargs)


def find_run(place: Path, best: bool = False, checkpoint: int | None = None, last_checkpoint: bool = False) -> SavedRun:
    """
    :param place: a run folder, or a model inside one
    :param best: in a run folder, open the best model
    :param checkpoint: open the one after so many steps
    :param last_checkpoint: open the latest one; without any of these, the model that training ended with
    :raises ValueError: if there is no run or no model; the message names the way out
    """
    chosen = best or last_checkpoint or checkpoint is not None
    if not place.exists():
        raise ValueError(f"there is no {place}: give a run folder such as logs/dqn_dueling/PongNoFrameskip-v4_1")
    if place.is_file() and chosen:
        raise ValueError(f"{place} is a model already: leave out --load-best and --load-checkpoint, or give its folder")
    folder = _folder_around(place.absolute()) if place.is_file() else place.absolute()
    args = _read_args(folder)
    env_name = EnvironmentName(args["env"])
    model_path = place.absolute()
    if place.is_dir():
        model_path = _model_in(folder, env_name, best, checkpoint, last_checkpoint)
    _check_zip(model_path)
    return _described(folder, model_path, args, env_name)


@contextmanager
def _reading(complaint: str) -> Iterator[None]:
    """
    Put around a reader of one file: what damage makes it raise can be anything.

    :param complaint: beginning of the message
    :raises ValueError: instead of any other error
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f"{complaint} ({type(error).__name__}: {error})") from error


def _check_zip(model: Path) -> None:
    """:raises ValueError: if SB3 did not write this, or it is damaged"""
    way_out = "give a run folder, or a .zip inside one"
    if not zipfile.is_zipfile(model):
        raise ValueError(f"{model} is no model of SB3 (no zip file): {way_out}")
    with _reading(f"{model} is damaged, give another model"), zipfile.ZipFile(model) as archive:
        entries = archive.namelist()
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
    if "data" not in entries:
        raise ValueError(f"{model} is no model of SB3 (a zip without an entry 'data'): {way_out}")


def _folder_around(model: Path) -> Path:
    """:return: the run folder of a model, which may lie in a folder of the run's folder, too"""
    near = model.parents[:2]
    return next((folder for folder in near if any(folder.glob("*/args.yml"))), near[0])


def _described(folder: Path, model_path: Path, args: dict[str, Any], env_name: EnvironmentName) -> SavedRun:
    _import_packages(args.get("gym_packages") or [])
    check_known(f"algorithm of {folder}", args["algo"], ALGOS)
    played_envs.check_env_id(env_name.gym_id)
    settings = folder / env_name
    with _reading(f"{settings / 'config.yml'} is damaged, give another run"):
        hyperparams, stats_path = get_saved_hyperparams(str(settings), test_mode=True)
        env_kwargs = hyperparams.pop("env_kwargs", None) or {}
    return SavedRun(
        folder=folder,
        model_path=model_path,
        algo=args["algo"],
        env_id=env_name.gym_id,
        hyperparams=hyperparams,
        stats_path=str(stats_path),
        env_kwargs=args.get("env_kwargs") or env_kwargs,
    )


def _import_packages(names: list[str]) -> None:
    """:raises ValueError: if one of those that the run was trained with is not installed"""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(f"the run was trained with --gym-packages {name}: install that ({error})") from error


def _read_args(folder: Path) -> dict[str, Any]:
    """
    :return: what the run was trained with; env and algo are among it
    :raises ValueError: if this is no run folder, or a damaged one
    """
    found = sorted(folder.glob("*/args.yml"))
    if len(found) != 1:
        runs = sorted(str(path.parent.parent.relative_to(folder)) for path in folder.glob("*/*/args.yml"))
        inside = f"its folders {', '.join(runs)} are: give one of them" if runs else "it holds no ENVIRONMENT/args.yml"
        raise ValueError(f"{folder} is no run folder of the zoo, {inside}")
    # The zoo's own files hold Python objects; like its models, they are to be trusted or left alone.
    with _reading(f"{found[0]} is damaged, give another run"):
        args = dict(yaml.load(found[0].read_text(), Loader=yaml.UnsafeLoader))
        return {**args, "env": args["env"], "algo": args["algo"]}


def _model_in(
    folder: Path, env_name: EnvironmentName, best: bool, checkpoint: int | None, last_checkpoint: bool
) -> Path:
    """:raises ValueError: if there is no such model, with those that there are"""
    try:
        _, path, _ = get_model_path(
            -1,  # the folder itself, whatever its name
            str(folder.parent),
            folder.name,
            env_name,
            load_best=best,
            load_checkpoint=None if checkpoint is None else str(checkpoint),
            load_last_checkpoint=last_checkpoint,
        )
    except ValueError as error:
        raise ValueError(f"{error}. The folder has {_models(folder, env_name)}") from error
    return Path(path)


def _models(folder: Path, env_name: EnvironmentName) -> str:
    """:return: models and the options that open them"""
    found = ["the last model (without any of these options)"] if (folder / f"{env_name}.zip").is_file() else []
    if (folder / "best_model.zip").is_file():
        found.append("the best model (--load-best)")
    steps = [re.fullmatch(r"rl_model_(\d+)_steps.zip", path.name) for path in folder.iterdir()]
    if numbers := sorted(int(match[1]) for match in steps if match):
        found.append(f"checkpoints after {', '.join(map(str, numbers))} steps (--load-checkpoint {numbers[-1]})")
    return "; ".join(found) or "no model at all: let its training run longer, or give another folder"


def _render_modes(env_id: str) -> list[str]:
    entry_point = gym.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    # What a function builds says it only when it is built; most environments can.
    return list(getattr(creator, "metadata", {"render_modes": ["rgb_array"]}).get("render_modes") or [])
