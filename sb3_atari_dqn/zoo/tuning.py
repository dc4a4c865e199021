"""Tuning our algorithms with the zoo: a search space made for pixels, and the care Optuna's databases need.

:func:`sample` and :func:`convert` are registered together: what one proposes, the other turns into constructor
arguments, in a trial as well as when ``--trial-id`` loads one.
"""

import time
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

#: Torsos worth a trial: those whose cost on 84x84 frames stays within about ten times the Nature network's.
TORSOS = ("nature", "nature_stride2", "dqn2013", "impala")
#: Adam's, on pixels: as in the shipped configuration of dqn_dueling.
ADAM_EPSILON = 1.5e-4
#: Layers of a flat-observation network, under the zoo's own names.
NET_ARCHS = {"small": [64, 64], "medium": [256, 256], "big": [400, 300]}

# Two processes meet while one creates the tables: the loser fails within milliseconds of the winner's commit.
_ATTEMPTS = 20
_PAUSE_S = 0.5


def sample(
    trial: optuna.Trial,
    n_actions: int,
    n_envs: int,
    additional_args: dict[str, Any],
    pixels: bool = True,
    n_step: bool = True,
) -> dict[str, Any]:
    """Propose hyperparameters for one trial.

    Ranges bracket the published settings: Nature DQN (Mnih et al. 2015), Rainbow (Hessel et al. 2018, table 1) and
    SB3's Atari configuration.

    :param trial: the trial
    :param n_actions: unused, our action spaces are discrete
    :param n_envs: unused
    :param additional_args: unused, hindsight replay does not apply
    :param pixels: whether the policy sees images; otherwise layers are proposed instead of a torso
    :param n_step: whether the replay memory can hold returns of several steps
    :return: constructor arguments
    """
    params: dict[str, Any] = {
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.001, 0.1, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True),
        "batch_size_pow": trial.suggest_int("batch_size_pow", 4, 8),
        "target_update_interval": trial.suggest_int("target_update_interval", 10, 20_000, log=True),
        "exploration_fraction": trial.suggest_float("exploration_fraction", 0.02, 0.3),
        "exploration_final_eps": trial.suggest_float("exploration_final_eps", 0.001, 0.1, log=True),
    }
    if n_step:
        params["n_steps"] = trial.suggest_categorical("n_steps", [1, 3, 5])
    if pixels:
        params["torso"] = trial.suggest_categorical("torso", TORSOS)
    else:
        params["net_arch"] = trial.suggest_categorical("net_arch", list(NET_ARCHS))
    return convert(params)


def convert(params: dict[str, Any]) -> dict[str, Any]:
    """Turn a trial's parameters into constructor arguments.

    :param params: as stored in the study
    :return: constructor arguments, as the configuration would name them
    """
    hyperparams = dict(params)
    hyperparams["gamma"] = 1 - hyperparams.pop("one_minus_gamma")
    # Those of the configuration go: trials tune the fraction.
    hyperparams["exploration_steps"], hyperparams["exploration_delay"] = None, 0
    hyperparams["batch_size"] = 2 ** hyperparams.pop("batch_size_pow")
    if "torso" in hyperparams:
        # policy_kwargs replace the configuration's: the epsilon that keeps its first convolution alive comes along
        optimizer_kwargs = {"eps": ADAM_EPSILON}
        torso = hyperparams.pop("torso")
        hyperparams["policy_kwargs"] = {"features_extractor_class": torso, "optimizer_kwargs": optimizer_kwargs}
    if "net_arch" in hyperparams:
        hyperparams["policy_kwargs"] = {"net_arch": NET_ARCHS[hyperparams.pop("net_arch")]}
    return hyperparams


def prepare_storage(storage: str) -> None:
    """Create Optuna's tables, however many processes do so at this moment.

    Optuna creates tables and version rows without a lock (optuna/storages/_rdb/storage.py), so of two processes that
    meet in an empty database one dies with an IntegrityError; trying again finds the winner's tables.

    :param storage: the zoo's ``--storage``
    :raises ValueError: if the database cannot be opened or its driver is missing
    """
    if storage.endswith(".log"):
        if Path(storage).exists():
            _open_journal(storage)
        return
    for attempt in range(_ATTEMPTS):
        try:
            RDBStorage(storage).remove_session()
            return
        except SQLAlchemyError as error:
            if attempt == _ATTEMPTS - 1 or not _is_a_race(error):
                raise ValueError(f"--storage {_shown(storage)} cannot be used as a database: {error}") from error
            time.sleep(_PAUSE_S)
        except ImportError as error:
            raise ValueError(
                f"--storage {_shown(storage)} needs a database driver that is not installed ({error}); "
                "for PostgreSQL: pip install 'sb3-atari-dqn[postgres]'"
            ) from error


def check_trial(storage: str, study_name: str, trial_id: int | None) -> None:
    """Make sure that a trial is there to be loaded; upstream creates missing files and counts from the end.

    :param storage: the zoo's ``--storage``
    :param study_name: the zoo's ``--study-name``
    :param trial_id: the zoo's ``--trial-id``; None stands for the best trial
    :raises ValueError: naming what does not exist, and what does
    """
    opened = _open_existing(storage)
    names = [study.study_name for study in optuna.get_all_study_summaries(opened, include_best_trial=False)]
    if study_name not in names:
        raise ValueError(f"No study {study_name!r} in {_shown(storage)}; it holds: {', '.join(names) or 'none'}")
    trials = optuna.load_study(study_name=study_name, storage=opened).trials
    usable = [trial.number for trial in trials if trial.params]
    if trial_id is not None and trial_id not in usable:
        raise ValueError(
            f"No trial {int(trial_id)} with parameters in study {study_name!r}; it holds: "
            f"{', '.join(map(str, usable)) or 'none'}"
        )


def _open_existing(storage: str) -> BaseStorage:
    if storage.endswith(".log"):
        if not Path(storage).is_file():
            raise ValueError(f"No journal file {storage}: --storage names the file that the tuning wrote")
        return _open_journal(storage)
    url = _url(storage)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise ValueError(f"No database file {url.database}: --storage names the file that the tuning wrote")
    prepare_storage(storage)
    return RDBStorage(storage)


def _open_journal(path: str) -> BaseStorage:
    try:
        return JournalStorage(JournalFileBackend(path))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"--storage {path} is not a journal that a tuning wrote: {error!r}") from error


def _url(storage: str) -> URL:
    try:
        return make_url(storage)
    except SQLAlchemyError as error:
        raise ValueError(
            f"--storage {storage!r} is neither a journal file (name.log) nor a database such as sqlite:///name.db"
        ) from error


def _is_a_race(error: Exception) -> bool:
    """Whether another process was creating the same tables: an existing table, type, or row."""
    text = str(error).lower()
    return isinstance(error, IntegrityError) or any(sign in text for sign in ("already exists", "locked", "duplicate"))


def _shown(storage: str) -> str:
    """The storage without its password, for messages."""
    return storage if storage.endswith(".log") else _url(storage).render_as_string(hide_password=True)
