"""All monkey patches of upstream. Each docstring describes upstream's behaviour and why a patch is necessary.

Tested with rl_zoo3 2.9 and sb3-team-hf-integration 3.2 (:data:`SUPPORTED`); with other versions of the zoo we patch
nothing and issue one warning. ``tests/zoo/test_patches.py`` reproduces each defect on the unpatched zoo, and fails once
a patch is no longer needed.

The patched methods of ``ExperimentManager``, and the check of run folders, affect our algorithms only; all others run
upstream's code. The exception are our callbacks, which work with any algorithm: they get the run folder, and rendering
environments to record.
"""

import functools
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.zoo import experiment, recorders, run_files, run_folder

#: Version prefix of the supported zoo.
SUPPORTED = "2.9."


@functools.cache  # called for every patched module, warns once
def _supported() -> bool:
    found = version("rl_zoo3")
    if found.startswith(SUPPORTED):
        return True
    warnings.warn(
        f"sb3_atari_dqn supports rl_zoo3 {SUPPORTED}x, found {found}: it registers its algorithms, but does not patch "
        "the zoo. Install compatible versions with `pip install -U sb3-atari-dqn`.",
        stacklevel=2,
    )
    return False


def _replace(cls: type, name: str, ours: Callable[..., Any], everywhere: bool = False) -> None:
    """Replace a method by ``ours(upstream, manager, ...)``, for our algorithms only or everywhere."""
    upstream = getattr(cls, name)
    if getattr(upstream, "replaced_by_sb3_atari_dqn", False):
        return

    @functools.wraps(upstream)
    def method(manager: Any, *args: Any, **kwargs: Any) -> Any:
        if not everywhere and manager.algo not in ALGORITHMS:
            return upstream(manager, *args, **kwargs)
        return ours(upstream, manager, *args, **kwargs)

    method.replaced_by_sb3_atari_dqn = True  # type: ignore[attr-defined]
    setattr(cls, name, method)


def extend_experiment_manager(manager_class: type) -> None:
    """Patch the zoo's ``ExperimentManager``. Upstream's behaviour (rl_zoo3/exp_manager.py):

    - ``read_hyperparameters``: looks for the default configuration in upstream's own package only;
      ``if ... and self.trial_id`` ignores trial 0; ``--env-kwargs`` drops all ``env_kwargs`` of the configuration,
      whereas ``-params`` changes single values; modifies the ``hyperparams`` of a Python module in place.
    - ``load_trial``: raises a bare KeyError for an unknown study and an IndexError for an unknown trial, counts
      negative trial ids from the end, and creates a missing SQLite file.
    - ``_preprocess_hyperparams``: unknown keys reach the constructor after the run folder was created; ``env_kwargs``
      of the YAML file do not reach the evaluation environment; there is no hook to adapt ``env_kwargs`` to a preset.
    - ``create_log_folder``, ``setup_experiment``: create the run folder before the configuration is validated, so that
      ``enjoy`` opens an empty one as the latest run; tuning also leaves an empty one; two runs that start at the same
      time share one.
    - ``create_envs``: there is no key for a VecEnv class, and the manager's class attribute applies to all algorithms;
      a ``render_mode`` for training only would be saved, after which ``enjoy`` would not open a window.
    - ``create_callbacks``: passes neither the run folder nor the environment to callbacks of the configuration.
    - ``_save_config``: does not write ``env_kwargs`` of the YAML file to ``args.yml``, the only file that
      ``record_video`` and ``push_to_hub`` read.
    - ``learn``: a run that fails before its first step also leaves an empty folder.
    - ``hyperparameters_optimization``: if two processes create Optuna's tables at the same time, one of them fails;
      if a study is resumed with the same seed, its sampler proposes the same trials again.
    """
    if not _supported():
        return
    _replace(manager_class, "read_hyperparameters", experiment.read_hyperparameters)
    _replace(manager_class, "load_trial", experiment.load_trial)
    _replace(manager_class, "_preprocess_hyperparams", experiment.preprocess_hyperparams)
    _replace(manager_class, "setup_experiment", experiment.setup_experiment)
    _replace(manager_class, "create_log_folder", run_folder.create)
    _replace(manager_class, "create_callbacks", recorders.create_callbacks, everywhere=True)
    _replace(manager_class, "create_envs", experiment.create_envs, everywhere=True)
    _replace(manager_class, "_save_config", experiment.save_config)
    _replace(manager_class, "learn", experiment.learn)
    _replace(manager_class, "hyperparameters_optimization", experiment.hyperparameters_optimization)


def check_runs(utils: ModuleType) -> None:
    """Check the files of a run of ours before ``enjoy``, ``record_video`` or ``push_to_hub`` read them.

    Upstream: ``config.yml`` and ``args.yml`` are read with ``yaml.UnsafeLoader``, their ``normalize`` is passed to
    ``eval``, wrappers are imported by any name, and ``vecnormalize.pkl`` is unpickled. Every script first asks
    ``get_model_path`` for the run. The scripts have no option for trust: ``SB3_ATARI_DQN_TRUST=1`` skips the check.
    """
    if not _supported():
        return
    _replace_function(utils, "get_model_path", run_files.get_model_path)


def postpone_missing_plots(plots: ModuleType, error: ImportError) -> None:
    """Let the ``rl_zoo3`` command start without the plotting libraries.

    Upstream: rl_zoo3/cli.py imports the plots, which need the ``plots`` extra, before it parses its arguments. With
    this patch, the plot scripts raise an ImportError when they are called.
    """

    def missing() -> None:
        raise ImportError(
            f"The zoo's plots need {error.name}, which is not installed: pip install 'rl_zoo3[plots]'"
        ) from error

    for script in ("all_plots", "plot_from_file", "plot_train"):
        setattr(plots, script, missing)


def repair_upload() -> None:
    """Make ``push_to_hub`` work with the installed client, and write our model card for our models.

    The script runs as ``__main__``, so we can only replace the functions that it imports, before it imports them.
    Upstream (rl_zoo3 2.9, sb3-team-hf-integration 3.2):

    - ``huggingface_sb3.push_to_hub.generate_metadata`` was renamed, and no longer returns a dictionary.
    - ``_generate_replay`` calls a system ffmpeg and ignores its exit status.
    - ``_evaluate_agent`` does not save the evaluation protocol, and the card that ``metadata_save`` completes only
      installs the zoo. We extend both for our algorithms; the others keep upstream's.
    """
    if not _supported():
        return
    from sb3_atari_dqn.zoo import hub

    push = sys.modules["huggingface_sb3.push_to_hub"]  # the package has a function of the same name
    if not hasattr(push, "generate_metadata"):
        push.generate_metadata = push._generate_metadata  # type: ignore[attr-defined]
        _replace_function(push, "generate_metadata", hub.generate_metadata)
    _replace_function(push, "_evaluate_agent", hub.evaluate_agent)
    _replace_function(push, "_generate_replay", hub.generate_replay)
    _replace_function(hub.repocard, "metadata_save", hub.save_metadata)


def repair_download(script: ModuleType | None) -> None:
    """Make ``load_from_hub`` work for models without ``vec_normalize.pkl``, and look into zips before it unpacks them.

    Upstream: for a missing file, ``huggingface_sb3.load_from_hub`` now raises an error that the zoo does not catch. The
    zoo unpacks ``train_eval_metrics.zip`` whatever its size.

    :param script: the zoo's module, as imported by ``enjoy``, or None if it is about to run as ``__main__``
    """
    if not _supported():
        return
    import huggingface_sb3

    from sb3_atari_dqn.zoo import hub

    _replace_function(script or huggingface_sb3, "load_from_hub", hub.load_from_hub)


def _replace_function(module: ModuleType, name: str, ours: Callable[..., Any]) -> None:
    """Replace a function by ``ours(upstream, ...)``, once."""
    upstream = getattr(module, name)
    if getattr(upstream, "replaced_by_sb3_atari_dqn", False):
        return

    @functools.wraps(upstream)
    def function(*args: Any, **kwargs: Any) -> Any:
        return ours(upstream, *args, **kwargs)

    function.replaced_by_sb3_atari_dqn = True  # type: ignore[attr-defined]
    setattr(module, name, function)
