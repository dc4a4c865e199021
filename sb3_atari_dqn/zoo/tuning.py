"""Tuning our algorithms with the zoo: a search space made for pixels, and the care Optuna's databases need.

:func:`sampler` and :func:`convert` are registered together: what one proposes, the other turns into constructor
arguments, in a trial as well as when ``--trial-id`` loads one. How the search of one algorithm differs from the common
one, its entry in the catalogue says.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sb3_atari_dqn.catalogue import Algorithm, Choice, Range
from sb3_atari_dqn.validation import check_known

#: Torsos worth a trial: those whose cost on 84x84 frames stays within about ten times the Nature network's.
TORSOS = ("nature", "nature_stride2", "dqn2013", "impala")
#: Adam's, on pixels: as in the shipped configuration of dqn_dueling.
ADAM_EPSILON = 1.5e-4
#: Layers of a flat-observation network, under the zoo's own names.
NET_ARCHS = {"small": [64, 64], "medium": [256, 256], "big": [400, 300]}

#: What every algorithm searches unless its entry says otherwise, by the names of docs/tuning.md. The ranges bracket the
#: published settings: Nature DQN (Mnih et al. 2015), Rainbow (Hessel et al. 2018, table 1), SB3's Atari configuration.
COMMON: dict[str, Range | Choice] = {
    "gamma": Range("one_minus_gamma", 0.001, 0.1, log=True),
    "learning_rate": Range("learning_rate", 1e-5, 1e-3, log=True),
    "batch_size": Range("batch_size_pow", 4, 8),
    "target_update_interval": Range("target_update_interval", 10, 20_000, log=True),
    "exploration_fraction": Range("exploration_fraction", 0.02, 0.3),
    "exploration_final_eps": Range("exploration_final_eps", 0.001, 0.1, log=True),
    "n_steps": Choice("n_steps", (1, 3, 5)),
    "torso": Choice("torso", TORSOS),
    "net_arch": Choice("net_arch", tuple(NET_ARCHS)),
}

# Two processes meet while one creates the tables: the loser fails within milliseconds of the winner's commit.
_ATTEMPTS = 20
_PAUSE_S = 0.5


def search_space(algorithm: Algorithm, pixels: bool = True, n_step: bool = True) -> list[Range | Choice]:
    """
    :param algorithm: whose
    :param pixels: whether the policy sees images; otherwise layers are proposed instead of a torso
    :param n_step: whether the replay memory can hold returns of several steps
    :return: dimensions under the names that the study stores
    :raises ValueError: if the entry leaves out a dimension that does not exist
    """
    for name in algorithm.not_tuned:
        check_known(f"not_tuned of {algorithm.name}", name, COMMON)
    unwanted = {*algorithm.not_tuned, "net_arch" if pixels else "torso", *([] if n_step else ["n_steps"])}
    common = [dimension for name, dimension in COMMON.items() if name not in unwanted]
    return [*common, *algorithm.also_tuned]


def sampler(algorithm: Algorithm, pixels: bool = True, n_step: bool = True) -> Callable[..., dict[str, Any]]:
    """
    :param algorithm: see :func:`search_space`, as the others
    :return: what the zoo calls with a trial and three arguments for algorithms that are not ours
    """
    dimensions = search_space(algorithm, pixels, n_step)

    def sample(trial: optuna.Trial, *_: Any) -> dict[str, Any]:
        return convert({dimension.name: _suggest(trial, dimension) for dimension in dimensions})

    return sample


def _suggest(trial: optuna.Trial, dimension: Range | Choice) -> Any:
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(dimension.name, dimension.options)
    name, low, high = dimension.name, dimension.low, dimension.high
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=dimension.log)
    return trial.suggest_float(name, low, high, log=dimension.log)


def convert(params: dict[str, Any]) -> dict[str, Any]:
    """Turn a trial's parameters into constructor arguments.

    :param params: as stored in the study
    :return: constructor arguments, as the configuration would name them
    """
    hyperparams = dict(params)
    if "one_minus_gamma" in hyperparams:
        hyperparams["gamma"] = 1 - hyperparams.pop("one_minus_gamma")
    if "exploration_fraction" in hyperparams:  # those of the configuration would win over it
        hyperparams["exploration_steps"], hyperparams["exploration_delay"] = None, 0
    if "batch_size_pow" in hyperparams:
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
