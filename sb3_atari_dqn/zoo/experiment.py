"""One run of the zoo with one of our algorithms: its configuration, its environments, its folder.

Each function stands in for the method of the same name of the zoo's ``ExperimentManager`` and calls it as
``upstream(manager, ...)``; :mod:`sb3_atari_dqn.zoo.patches` says why.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import rl_zoo3
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.atari import SKIPPING_WRAPPERS, AtariPresetWrapper, env_kwargs_for
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.validation import check_device
from sb3_atari_dqn.zoo import native_envs, recorders, run_folder
from sb3_atari_dqn.zoo.configuration import check_command_line, check_file, check_keys, check_mappings, check_values
from sb3_atari_dqn.zoo.named_classes import named_classes
from sb3_atari_dqn.zoo.packaged_configs import config_path, profiles

Upstream = Callable[..., Any]
Hyperparams = dict[str, Any]


class TrialNumber(int):
    """A trial number that is true even when it is 0: upstream asks ``if self.trial_id``."""

    def __bool__(self) -> bool:
        return True


def read_hyperparameters(upstream: Upstream, manager: Any) -> tuple[Hyperparams, Hyperparams]:
    """Use our packaged configuration where the user named none, and honour ``--trial-id 0``.

    ``--env-kwargs`` changes what it names and leaves the rest of the configuration's, where upstream drops all of them.

    :raises ValueError: if a trial is asked for without the study it belongs to, the command line or the device makes
        no sense, or the file holds no configuration
    :raises FileNotFoundError: if there is no such file
    """
    check_command_line(manager.args)
    check_device(manager.device)
    if manager.trial_id is not None:
        if not (manager.storage and manager.study_name):
            raise ValueError(
                f"--trial-id {manager.trial_id} needs the study it belongs to: add --storage and --study-name"
            )
        manager.trial_id = TrialNumber(manager.trial_id)
    if Path(manager.config) == Path(rl_zoo3.__file__).parent / "hyperparams" / f"{manager.algo}.yml":
        manager.config = str(config_path(manager.algo))
    manager.config = _file_of_profile(manager.config)
    check_file(manager.config, manager.env_name.gym_id, manager._is_atari)
    given, manager.env_kwargs = manager.env_kwargs, {}
    with _module_left_alone(manager.config):
        try:
            hyperparams, saved = upstream(manager)
        except KeyError as error:  # of a Python file
            raise ValueError(
                f"{manager.config} holds no {error}: it needs a dictionary hyperparams with a key for "
                f"{manager.env_name.gym_id}, or atari for Atari games, or default"
            ) from error
    check_mappings(manager.config, hyperparams)
    if given:
        manager.env_kwargs = {**hyperparams.get("env_kwargs", {}), **given}
        hyperparams["env_kwargs"] = saved["env_kwargs"] = dict(manager.env_kwargs)
    return hyperparams, saved


def _file_of_profile(config: str) -> str:
    """
    :param config: as given to ``-conf``: the name of a profile, a file, or a Python module
    :return: the file of the profile, else the same
    :raises ValueError: on a bare name that is neither a profile nor a module
    """
    known = profiles()
    if config in known:
        return str(known[config])
    if config.isidentifier() and find_spec(config) is None:
        raise ValueError(
            f"-conf {config}: there is no profile of that name (there is {', '.join(known)}) and no Python module; "
            "a file is named with its .yml, .yaml or .py"
        )
    return config


@contextmanager
def _module_left_alone(config: str) -> Iterator[None]:
    """The zoo takes keys out of the ``hyperparams`` of a Python module and writes ``-params`` into them."""
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
    """Check the configuration before anything is built, and fit the environment to the preset.

    :raises ValueError: on an unknown or missing key, or a preset that the environment cannot carry
    """
    check_values(manager.config, manager.env_name.gym_id, hyperparams)
    wrappers = named_classes("env_wrapper", hyperparams.get("env_wrapper"))
    preset_env_kwargs = env_kwargs_of_presets(manager.env_name.gym_id, wrappers)
    manager.native_envs = native_envs.Choice(hyperparams.pop("native_envs", "auto"), wrappers)
    processed = upstream(manager, hyperparams)
    check_keys(manager.algo, manager.config, processed[0])
    if "info_keywords" in manager.monitor_kwargs:  # SB3 adds tuples, YAML gives lists
        manager.monitor_kwargs["info_keywords"] = tuple(manager.monitor_kwargs["info_keywords"])
    manager.env_kwargs = {**preset_env_kwargs, **manager.env_kwargs}
    manager.eval_env_kwargs = {**manager.env_kwargs, **(manager._eval_env_kwargs_args or {})}
    return processed


def setup_experiment(upstream: Upstream, manager: Any) -> Any:
    """Leave no run folder behind where no run came to be: ``enjoy`` would take it for the latest."""
    with run_folder.removed_on_failure(manager):
        results = upstream(manager)
    if results is None:  # tuning writes a report beside the runs, nothing into its own folder
        run_folder.remove(manager)
    return results


def create_envs(upstream: Upstream, manager: Any, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
    """Play Atari games in C++ where the configuration lets it, else in upstream's environments.

    Either with pictures where a callback of ours films them; so are the environments of the zoo's own algorithms.

    :raises ValueError: if ``native_envs: true`` asks for what C++ cannot play
    """
    filmed = not eval_env and recorders.training_is_filmed(manager)
    builder = recorders.rendering(manager) if filmed else manager
    if manager.algo in ALGORITHMS and native_envs.wanted(builder, eval_env):
        return native_envs.create(builder, n_envs, eval_env, no_log)
    return upstream(builder, n_envs, eval_env, no_log)


def save_config(upstream: Upstream, manager: Any, saved_hyperparams: Hyperparams) -> None:
    """Write the environment arguments that were really used to ``args.yml``, where every later script looks."""
    manager.args.env_kwargs = manager.env_kwargs or None
    upstream(manager, saved_hyperparams)


def learn(upstream: Upstream, manager: Any, model: Any) -> None:
    """Leave no run folder behind where training died before its first step."""
    before = model.num_timesteps
    try:
        upstream(manager, model)
    except Exception:
        if model.num_timesteps in (0, before):
            run_folder.remove(manager)
        raise


def hyperparameters_optimization(upstream: Upstream, manager: Any) -> None:
    """Choose the search space by the policy, and have Optuna's tables ready whoever else starts at this moment."""
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

    from sb3_atari_dqn.zoo import tuning

    recorders.leave_out(manager)
    policy = manager._hyperparams["policy"]
    pixels = "Cnn" in getattr(policy, "__name__", policy)
    options = manager._hyperparams
    n_step = not (options.get("optimize_memory_usage") and options.get("replay") == "sb3")  # one or the other
    HYPERPARAMS_SAMPLER[manager.algo] = tuning.sampler(ALGORITHMS[manager.algo], pixels, n_step)
    if manager.storage is not None:
        tuning.prepare_storage(manager.storage)
    upstream(manager)


def env_kwargs_of_presets(env_id: str, wrappers: list[tuple[type, dict[str, Any]]]) -> dict[str, Any]:
    """What the presets named in ``env_wrapper`` ask of the environment's constructor.

    :raises ValueError: if a preset stands in front of an environment that is not an Atari game, or skips frames
        beneath a wrapper that skips again
    """
    wanted: dict[str, Any] = {}
    skipping: str | None = None
    for wrapper_class, overrides in wrappers:
        name = wrapper_class.__name__
        if skipping and name in SKIPPING_WRAPPERS:
            raise ValueError(f"env_wrapper: {name} around {skipping} would skip frames twice; leave one of them out")
        if issubclass(wrapper_class, AtariPresetWrapper):
            wanted |= env_kwargs_for(wrapper_class, overrides, _atari_spec_kwargs(env_id, name))
            skipping = name if wrapper_class.preset.with_overrides(overrides).frame_skip > 1 else skipping
    return wanted


def is_atari_game(env_id: str) -> bool:
    """:param env_id: known to gymnasium"""
    return "AtariEnv" in str(gym.spec(env_id).entry_point)


def _atari_spec_kwargs(env_id: str, preset: str) -> dict[str, Any]:
    spec = gym.spec(env_id)
    if not is_atari_game(env_id):
        raise ValueError(
            f"env_wrapper names the Atari preset {preset}, but {env_id} is no Atari game ({spec.entry_point}): "
            "remove the preset, or choose an Atari environment such as PongNoFrameskip-v4"
        )
    return spec.kwargs
