"""One run of the zoo with one of our algorithms: its configuration, its environments, its folder.

Each function stands in for the method of the same name of the zoo's ``ExperimentManager`` and calls it as
``upstream(manager, ...)``; :mod:`sb3_atari_dqn.zoo.patches` says why.
"""

import difflib
import inspect
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym

import sb3_atari_dqn
from sb3_atari_dqn.atari import AtariPresetWrapper, env_kwargs_for
from sb3_atari_dqn.zoo.names import ALGORITHMS, config_path

Upstream = Callable[..., Any]
Hyperparams = dict[str, Any]

#: Constructor arguments that the zoo fills in itself, from the command line.
_SET_BY_THE_ZOO = {"self", "env", "tensorboard_log", "seed", "verbose", "device", "_init_setup_model"}


class TrialNumber(int):
    """A trial number that is true even when it is 0: upstream asks ``if self.trial_id``."""

    def __bool__(self) -> bool:
        return True


def read_hyperparameters(upstream: Upstream, manager: Any) -> tuple[Hyperparams, Hyperparams]:
    """Use our packaged configuration where the user named none, and honour ``--trial-id 0``.

    :raises ValueError: if a trial is asked for without the study it belongs to
    """
    if manager.trial_id is not None:
        if not (manager.storage and manager.study_name):
            raise ValueError(
                f"--trial-id {manager.trial_id} needs the study it belongs to: add --storage and --study-name"
            )
        manager.trial_id = TrialNumber(manager.trial_id)
    if not Path(manager.config).exists() and Path(manager.config).name == f"{manager.algo}.yml":
        manager.config = str(config_path(manager.algo))
    return upstream(manager)


def load_trial(
    upstream: Upstream, manager: Any, storage: str, study_name: str, trial_id: int | None = None, convert: bool = True
) -> Hyperparams:
    """:raises ValueError: if the storage, the study or the trial does not exist"""
    from sb3_atari_dqn.zoo import tuning

    tuning.check_trial(storage, study_name, trial_id)
    return upstream(manager, storage, study_name, trial_id, convert)


def preprocess_hyperparams(upstream: Upstream, manager: Any, hyperparams: Hyperparams) -> tuple[Any, ...]:
    """Check the configuration before anything is built, and fit the environment to the preset.

    :raises ValueError: on an unknown or missing key, or a preset that the environment cannot carry
    """
    if "n_timesteps" not in hyperparams or "policy" not in hyperparams:
        raise ValueError(f"{manager.config}: {manager.env_name.gym_id} needs the keys n_timesteps and policy")
    preset_env_kwargs = _preset_env_kwargs(manager.env_name.gym_id, hyperparams.get("env_wrapper"))
    processed = upstream(manager, hyperparams)
    _check_keys(manager.algo, manager.config, processed[0])
    manager.env_kwargs = {**preset_env_kwargs, **manager.env_kwargs}
    manager.eval_env_kwargs = {**manager.env_kwargs, **(manager._eval_env_kwargs_args or {})}
    return processed


def setup_experiment(upstream: Upstream, manager: Any) -> Any:
    """Leave no run folder behind where no run came to be: ``enjoy`` would take it for the latest."""
    with _folder_of_a_real_run(manager):
        results = upstream(manager)
    if results is None:  # tuning writes a report beside the runs, nothing into its own folder
        _remove_run_folder(manager)
    return results


def save_config(upstream: Upstream, manager: Any, saved_hyperparams: Hyperparams) -> None:
    """Write the environment arguments that were really used to ``args.yml``, where every later script looks."""
    manager.args.env_kwargs = manager.env_kwargs or None
    upstream(manager, saved_hyperparams)


def learn(upstream: Upstream, manager: Any, model: Any) -> None:
    """Leave no run folder behind where training died before its first step."""
    try:
        upstream(manager, model)
    except Exception:
        if model.num_timesteps == 0:
            _remove_run_folder(manager)
        raise


def hyperparameters_optimization(upstream: Upstream, manager: Any) -> None:
    """Choose the search space by the policy, and have Optuna's tables ready whoever else starts at this moment."""
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

    from sb3_atari_dqn.zoo import tuning

    policy = manager._hyperparams["policy"]
    pixels = "Cnn" in getattr(policy, "__name__", policy)
    HYPERPARAMS_SAMPLER[manager.algo] = partial(tuning.sample, pixels=pixels)
    if manager.storage is not None:
        tuning.prepare_storage(manager.storage)
    upstream(manager)


@contextmanager
def _folder_of_a_real_run(manager: Any) -> Iterator[None]:
    existed = Path(manager.save_path).exists()
    try:
        yield
    except BaseException:
        if not existed:
            _remove_run_folder(manager)
        raise


def _remove_run_folder(manager: Any) -> None:
    """Remove the run folder and the folders above it that were made for it and are empty now."""
    run = Path(manager.save_path)
    shutil.rmtree(run, ignore_errors=True)
    for folder in (run.parent, run.parent.parent):
        try:
            folder.rmdir()
        except OSError:  # holds other runs, or is gone
            return


def _check_keys(algo: str, config: str, hyperparams: Hyperparams) -> None:
    signature = inspect.signature(getattr(sb3_atari_dqn, ALGORITHMS[algo]).__init__)
    known = set(signature.parameters) - _SET_BY_THE_ZOO
    for key in hyperparams:
        if key in known:
            continue
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"{algo} knows: {', '.join(sorted(known))}"
        raise ValueError(f"Unknown hyperparameter {key!r} for {algo} (from {config} or -params); {hint}")


def _preset_env_kwargs(env_id: str, env_wrapper: Any) -> dict[str, Any]:
    """What the presets named in ``env_wrapper`` ask of the environment's constructor.

    :raises ValueError: if a preset stands in front of an environment that is not an Atari game
    """
    wanted: dict[str, Any] = {}
    for wrapper_class, overrides in _wrapper_classes(env_wrapper):
        if not issubclass(wrapper_class, AtariPresetWrapper):
            continue
        spec = gym.spec(env_id)
        if "AtariEnv" not in str(spec.entry_point):
            raise ValueError(
                f"env_wrapper names the Atari preset {wrapper_class.__name__}, but {env_id} is no Atari game "
                f"({spec.entry_point}): remove the preset, or choose an Atari environment such as PongNoFrameskip-v4"
            )
        wanted |= env_kwargs_for(wrapper_class, overrides, spec.kwargs)
    return wanted


def _wrapper_classes(env_wrapper: Any) -> list[tuple[type, dict[str, Any]]]:
    """Resolve the zoo's ``env_wrapper`` (a dotted name, a class, a one-key mapping, or a list of these)."""
    from rl_zoo3.utils import get_class_by_name

    if env_wrapper is None:
        return []
    entries = env_wrapper if isinstance(env_wrapper, list) else [env_wrapper]
    resolved = []
    for entry in entries:
        wrapper, overrides = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
        wrapper_class = get_class_by_name(wrapper) if isinstance(wrapper, str) else wrapper
        if isinstance(wrapper_class, type):
            resolved.append((wrapper_class, overrides or {}))
    return resolved
