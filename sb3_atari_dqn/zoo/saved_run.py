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
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.checkpoints.model_files import NO_MODEL, damage_of
from sb3_atari_dqn.validation import as_int, check_device, check_known
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
        kept = self.hyperparams.get("monitor_kwargs") or {}
        kept = kept if isinstance(kept, str) else kept.get("info_keywords", ())  # the zoo evaluates a text
        return "score" if "score" in kept else None

    def create_env(self, seed: int) -> VecEnv:
        """
        :param seed: of the environment
        :return: one ordinary environment that renders
        :raises ValueError: if it cannot be built, or renders no pictures
        """
        env_kwargs = {**self.env_kwargs, "render_mode": "rgb_array"}
        modes = _render_modes(self.env_id)
        if "rgb_array" not in modes:
            raise ValueError(
                f"{self.env_id} renders no pictures (it offers {modes or 'nothing'}), nothing can be filmed"
            )
        damage = f"{self.stats_path}: the environment of config.yml and args.yml cannot be built"
        with _reading(damage), self._normalization() as stats_path:
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
        check_device(device)
        algorithm = ALGOS[self.algo]
        kwargs: dict[str, Any] = dict(seed=seed)
        if issubclass(algorithm, OffPolicyAlgorithm):
            kwargs |= dict(buffer_size=1, env=env)
            if "optimize_memory_usage" in self.hyperparams:
                kwargs |= dict(optimize_memory_usage=False)  # it excludes the handling of timeouts, see enjoy
        never_learns = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
        with _reading(f"{self.model_path} does not open as a model of {self.algo}, which args.yml names"):
            model = algorithm.load(self.model_path, custom_objects=never_learns, device=device, **kwargs)
            seen = algorithm._wrap_env(env, verbose=0, monitor_wrapper=False)
            check_for_correct_spaces(seen, model.observation_space, model.action_space)  # not all look at them
            return model


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
    with _reading(f"{model} cannot be read"), model.open("rb") as file:
        damage = damage_of(file)
    if damage == NO_MODEL:
        raise ValueError(f"{model} is no model of SB3 (no zip file): {way_out}")
    if damage:
        raise ValueError(f"{model} {damage}")
    with zipfile.ZipFile(model) as archive:
        entries = archive.namelist()
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
    if not (settings / "config.yml").is_file():
        raise ValueError(f"{settings} has no config.yml, so its environment cannot be built: give another run")
    with _reading(f"{settings / 'config.yml'} is damaged, give another run"):
        hyperparams, stats_path = get_saved_hyperparams(str(settings), test_mode=True)
        hyperparams = {"env_kwargs": None, "monitor_kwargs": None, **hyperparams}
        _check_types(hyperparams, {"env_kwargs": dict | None, "monitor_kwargs": dict | str | None})
        env_kwargs = hyperparams.pop("env_kwargs") or {}
        monitor = hyperparams["monitor_kwargs"]
        if isinstance(monitor, dict):
            _check_types({"info_keywords": None, **monitor}, {"info_keywords": list | tuple | None})
        if (stack := hyperparams.get("frame_stack")) is not None:
            as_int("frame_stack", stack, 1)
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
        args = {"gym_packages": None, "env_kwargs": None, **args}
        _check_types(args, {"env": str, "algo": str, "gym_packages": list | None, "env_kwargs": dict | None})
        return args


def _check_types(settings: dict[str, Any], wanted: dict[str, Any]) -> None:
    """
    :param settings: that somebody may have edited
    :param wanted: type of each
    :raises ValueError: on another type, or where one is missing
    """
    for key, kind in wanted.items():
        if key not in settings:
            raise ValueError(f"it has no {key}")
        if not isinstance(settings[key], kind):
            name = "text" if kind is str else "a mapping" if kind in (dict | None, dict | str | None) else "a list"
            raise ValueError(f"{key} is {settings[key]!r}, not {name}")


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
    except (ValueError, AssertionError) as error:
        missing = f"{folder} has no such model"
        if not (best or last_checkpoint or checkpoint is not None):
            missing = (
                f"{folder} has no final model {env_name}.zip (its training still runs, or did not come to its end)"
            )
        raise ValueError(f"{missing}. It has {models_in(folder, env_name)}") from error
    return Path(path)


def models_in(folder: Path, env_name: str) -> str:
    """
    :param folder: of a run
    :param env_name: as files are named after it
    :return: all its models, each with what to type to play it
    """
    names = {path.relative_to(folder).as_posix() for path in folder.glob("**/*.zip")}
    found = ["the last model (without any of these options)"] if f"{env_name}.zip" in names else []
    if "best_model.zip" in names:
        found.append("the best model (--load-best)")
    steps = {int(match[1]): match[0] for name in names if (match := re.fullmatch(r"rl_model_(\d+)_steps.zip", name))}
    if numbers := sorted(steps):
        found.append(f"checkpoints after {', '.join(map(str, numbers))} steps (--load-checkpoint {numbers[-1]})")
    others = sorted(names - {f"{env_name}.zip", "best_model.zip", *steps.values()})
    if others:
        found.append(f"{', '.join(others)} (play {folder}/{others[-1]})")
    return "; ".join(found) or "no model at all: let its training run longer, or give another folder"


def _render_modes(env_id: str) -> list[str]:
    entry_point = gym.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    # What a function builds says it only when it is built; most environments can.
    return list(getattr(creator, "metadata", {"render_modes": ["rgb_array"]}).get("render_modes") or [])
