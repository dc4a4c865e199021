"""One run of the zoo with one of our algorithms: configuration, environments, run folder.

Each function replaces the method of the same name of the zoo's ``ExperimentManager`` and calls it as
``upstream(manager, ...)``; :mod:`sb3_atari_dqn.zoo.patches` explains why.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import rl_zoo3
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.algorithms.arguments import under_new_names
from sb3_atari_dqn.atari import SKIPPING_WRAPPERS, AtariPresetWrapper, env_kwargs_for
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.checkpoints.allowed_names import trusts
from sb3_atari_dqn.checkpoints.model_files import ForeignModel
from sb3_atari_dqn.checkpoints.statistics_files import check_statistics
from sb3_atari_dqn.validation import check_device
from sb3_atari_dqn.zoo import checkpointing, continued_run, native_envs, recorders, run_folder
from sb3_atari_dqn.zoo.configuration import (
    check_command_line,
    check_file,
    check_keys,
    check_mappings,
    check_monitor_kwargs,
    check_values,
    evaluate_texts,
    nest,
)
from sb3_atari_dqn.zoo.named_classes import named_classes
from sb3_atari_dqn.zoo.packaged_configs import config_path, profiles
from sb3_atari_dqn.zoo.profiles import check_profile, profile_of, replaced_parts, without_replaced_parts

Upstream = Callable[..., Any]
Hyperparams = dict[str, Any]


class TrialNumber(int):
    """A trial number that is truthy even if it is 0: upstream tests ``if self.trial_id``."""

    def __bool__(self) -> bool:
        return True


def read_hyperparameters(upstream: Upstream, manager: Any) -> tuple[Hyperparams, Hyperparams]:
    """Default to our packaged configuration, and support ``--trial-id 0``.

    ``--env-kwargs`` overrides single values of the configuration's ``env_kwargs``; upstream drops all of them.

    :raises ValueError: if ``--trial-id`` is given without a study, or the command line, device or configuration is
        invalid
    :raises FileNotFoundError: if the configuration does not exist
    """
    check_command_line(manager.args)
    check_device(manager.device)
    manager.continued = continued_run.wanted(manager)
    if manager.continued is not None:
        saved = OrderedDict(sorted(manager.continued.hyperparams.items()))
        return deepcopy(manager.continued.hyperparams), saved
    _check_pickle(Path(manager.trained_agent).parent / manager.env_name / "vecnormalize.pkl")
    if manager.trial_id is not None:
        if not (manager.storage and manager.study_name):
            raise ValueError(
                f"--trial-id {manager.trial_id} needs the study of the trial: add --storage and --study-name"
            )
        manager.trial_id = TrialNumber(manager.trial_id)
    if Path(manager.config) == Path(rl_zoo3.__file__).parent / "hyperparams" / f"{manager.algo}.yml":
        manager.config = str(config_path(manager.algo))
    manager.config = _file_of_profile(manager.config)
    check_file(manager.config, manager.env_name.gym_id, manager._is_atari)
    if manager.custom_hyperparams:  # before they meet the configuration, which has the new names
        manager.custom_hyperparams = under_new_names("-params", manager.custom_hyperparams)
    if profile := profile_of(manager.config):
        check_profile(profile, manager.algo, manager.custom_hyperparams or ())
    given, manager.env_kwargs = manager.env_kwargs, {}
    with _module_unchanged(manager.config):
        try:
            hyperparams, saved = upstream(manager)
        except KeyError as error:  # of a Python file
            raise ValueError(
                f"{manager.config} has no {error}: it needs a dictionary hyperparams with the key "
                f"{manager.env_name.gym_id}, default, or atari (for Atari games)"
            ) from error
    hyperparams, saved = nest(hyperparams), OrderedDict(sorted(nest(saved).items()))
    check_mappings(manager.config, hyperparams)
    hyperparams, saved = _with_own_parts(manager, profile, hyperparams, saved)
    if given:
        manager.env_kwargs = {**hyperparams.get("env_kwargs", {}), **given}
        hyperparams["env_kwargs"] = saved["env_kwargs"] = dict(manager.env_kwargs)
    return hyperparams, saved


def _with_own_parts(
    manager: Any, profile: str | None, hyperparams: Hyperparams, saved: OrderedDict[str, Any]
) -> tuple[Hyperparams, OrderedDict[str, Any]]:
    """:return: both without what the profile would replace of the algorithm; prints what is replaced or not"""
    lines: list[str] = []
    if profile:
        given = manager.custom_hyperparams or ()
        hyperparams, lines = without_replaced_parts(profile, manager.algo, hyperparams, given)
        saved = OrderedDict(without_replaced_parts(profile, manager.algo, saved, given)[0])
    for line in (*lines, *replaced_parts(manager.algo, hyperparams)):
        print(line)
    return hyperparams, saved


def _check_pickle(path: Path) -> None:
    """:raises UnsafeFile: if the pickle that upstream loads beside ``-i MODEL`` would run something"""
    if path.is_file() and not trusts(None):
        check_statistics(path)


def _file_of_profile(config: str) -> str:
    """
    :param config: value of ``-conf``: the name of a profile, a file, or a Python module
    :return: the file of the profile; any other value unchanged
    :raises ValueError: on a name that is neither a profile nor a module
    """
    known = profiles()
    if config in known:
        return str(known[config])
    if config.isidentifier() and find_spec(config) is None:
        raise ValueError(
            f"-conf {config} is neither a profile (known: {', '.join(known)}) nor a Python module; for a file, include "
            "its .yml, .yaml or .py"
        )
    return config


@contextmanager
def _module_unchanged(config: str) -> Iterator[None]:
    """Restore the ``hyperparams`` of a Python module, from which the zoo removes keys and into which it writes."""
    if config.endswith((".yml", ".yaml", ".py")):
        yield
        return
    module = import_module(config)
    untouched = deepcopy(module.hyperparams)
    yield
    module.hyperparams = untouched  # type: ignore[attr-defined]


def load_trial(
    upstream: Upstream, manager: Any, storage: str, study_name: str, trial_id: int | None = None, convert: bool = True
) -> Hyperparams:
    """:raises ValueError: if the storage, the study or the trial does not exist"""
    from sb3_atari_dqn.zoo import tuning

    tuning.check_trial(storage, study_name, trial_id)
    return upstream(manager, storage, study_name, trial_id, convert)


def preprocess_hyperparams(upstream: Upstream, manager: Any, hyperparams: Hyperparams) -> tuple[Any, ...]:
    """Validate the configuration before anything is created, and adapt ``env_kwargs`` to the preset.

    :raises ValueError: on an unknown or missing key, or a preset that does not fit the environment
    """
    check_values(manager.config, manager.env_name.gym_id, hyperparams)
    evaluate_texts(manager.config, hyperparams, vars(import_module("rl_zoo3.exp_manager")))
    wrappers = named_classes("env_wrapper", hyperparams.get("env_wrapper"))
    preset_env_kwargs = env_kwargs_of_presets(manager.env_name.gym_id, wrappers)
    native, ray = hyperparams.pop("native_envs", "auto"), hyperparams.pop("ray", None)
    manager.native_envs = native_envs.Choice(native, wrappers, ray)
    manager.checkpoint_freq = hyperparams.pop("checkpoint_freq", checkpointing.DEFAULT)
    processed = upstream(manager, hyperparams)
    check_keys(manager.algo, manager.config, processed[0])
    check_monitor_kwargs(manager.monitor_kwargs)
    if "info_keywords" in manager.monitor_kwargs:  # SB3 expects a tuple, YAML gives a list
        manager.monitor_kwargs["info_keywords"] = tuple(manager.monitor_kwargs["info_keywords"])
    manager.env_kwargs = {**preset_env_kwargs, **manager.env_kwargs}
    manager.eval_env_kwargs = {**manager.env_kwargs, **(manager._eval_env_kwargs_args or {})}
    return processed


def setup_experiment(upstream: Upstream, manager: Any) -> Any:
    """Remove the run folder if the set-up fails: ``enjoy`` would open it as the latest run."""
    with run_folder.removed_on_failure(manager), continued_run.restored_on_failure(manager):
        with _foreign_model_named():
            results = upstream(manager)
        if results is not None and manager.continued is not None:
            continued_run.load(manager, results[0])
    if results is None:  # tuning writes its report elsewhere and leaves its run folder empty
        run_folder.remove(manager)
    return results


@contextmanager
def _foreign_model_named() -> Iterator[None]:
    """:raises ValueError: where ``-i`` names a model of another algorithm of ours, with the option that fits it"""
    try:
        yield
    except ForeignModel as error:
        names = [name for name, algorithm in ALGORITHMS.items() if algorithm.class_name == error.saved_by]
        if not names:
            raise
        raise ValueError(f"{error.holds}: continue it with --algo {names[0]}") from error


def create_envs(upstream: Upstream, manager: Any, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
    """Create native (C++) Atari environments if the configuration allows it, else upstream's environments.

    Enables rendering if one of our callbacks records them, with any algorithm of the zoo.

    :raises ValueError: if ``native_envs: true`` is set but not supported
    """
    recorded = not eval_env and recorders.records_training(manager)
    builder = recorders.rendering(manager) if recorded else manager
    if not (eval_env or no_log):
        builder = continued_run.appending(builder)
    if manager.algo in ALGORITHMS and native_envs.wanted(builder, eval_env):
        return native_envs.create(builder, n_envs, eval_env, no_log)
    return upstream(builder, n_envs, eval_env, no_log)


def save_config(upstream: Upstream, manager: Any, saved_hyperparams: Hyperparams) -> None:
    """Write the effective ``env_kwargs`` to ``args.yml``, which all later scripts read; a continued run has it."""
    if manager.continued is not None:
        print(f"Log path: {manager.save_path}")
        return
    manager.args.env_kwargs = manager.env_kwargs or None
    upstream(manager, saved_hyperparams)


def learn(upstream: Upstream, manager: Any, model: Any) -> None:
    """Train, or train on; remove the folder of a new run if training fails before its first step."""
    before = model.num_timesteps
    try:
        with checkpointing.closing_progress_bars(manager):
            upstream(manager, model if manager.continued is None else continued_run.StepsLeft(model))
    except Exception:
        if model.num_timesteps in (0, before):
            run_folder.remove(manager)
        raise


def hyperparameters_optimization(upstream: Upstream, manager: Any) -> None:
    """
    Select the search space by policy, create Optuna's tables safely when several processes start at once, and propose
    other trials than before where a study is resumed with the same seed.
    """
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

    from sb3_atari_dqn.zoo import tuning

    recorders.disable(manager)
    policy = manager._hyperparams["policy"]
    pixels = "Cnn" in getattr(policy, "__name__", policy)
    options = manager._hyperparams
    n_step = not (
        options.get("optimize_memory_usage") and options.get("replay") == "sb3"
    )  # SB3's buffer supports only one of them
    HYPERPARAMS_SAMPLER[manager.algo] = tuning.sampler(ALGORITHMS[manager.algo], pixels, n_step, options)
    if manager.storage is not None:
        tuning.prepare_storage(manager.storage)
        sampling = copy(manager)
        sampling.seed = tuning.sampler_seed(manager.seed, manager.storage, manager.study_name)
        manager._create_sampler = sampling._create_sampler
    upstream(manager)


def env_kwargs_of_presets(env_id: str, wrappers: list[tuple[type, dict[str, Any]]]) -> dict[str, Any]:
    """Environment arguments required by the presets in ``env_wrapper``.

    :raises ValueError: if a preset wraps an environment that is not an Atari game, or skips frames inside another
        frame-skipping wrapper
    """
    wanted: dict[str, Any] = {}
    skipping: str | None = None
    for wrapper_class, overrides in wrappers:
        name = wrapper_class.__name__
        if skipping and name in SKIPPING_WRAPPERS:
            raise ValueError(f"env_wrapper: {name} around {skipping} would skip frames twice; remove one of them")
        if issubclass(wrapper_class, AtariPresetWrapper):
            wanted |= env_kwargs_for(wrapper_class, overrides, _atari_spec_kwargs(env_id, name))
            skipping = name if wrapper_class.preset.with_overrides(overrides).frame_skip > 1 else skipping
    return wanted


def is_atari_game(env_id: str) -> bool:
    """:param env_id: registered with gymnasium"""
    return "AtariEnv" in str(gym.spec(env_id).entry_point)


def _atari_spec_kwargs(env_id: str, preset: str) -> dict[str, Any]:
    spec = gym.spec(env_id)
    if not is_atari_game(env_id):
        raise ValueError(
            f"env_wrapper names the Atari preset {preset}, but {env_id} is not an Atari game ({spec.entry_point}): "
            "remove the preset, or choose an Atari environment such as PongNoFrameskip-v4"
        )
    return spec.kwargs
