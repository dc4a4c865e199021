"""Hyperparameter tuning with the zoo: search spaces for pixel observations, and safe access to Optuna's storages.

:func:`sampler` and :func:`convert` are registered together: :func:`convert` turns sampled parameters into constructor
arguments, both during a trial and when ``--trial-id`` loads one. An algorithm's entry in the catalogue defines how its
search space differs from the common one.
"""

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sb3_atari_dqn.catalogue import Algorithm, Choice, Range
from sb3_atari_dqn.validation import check_known
from sb3_atari_dqn.zoo.configuration import nest

#: Torsos to search: those that cost at most about ten times as much as the Nature network on 84x84 frames.
TORSOS = ("nature", "nature_stride2", "dqn2013", "impala")
#: Adam's epsilon for pixel observations, as in the packaged configuration of dqn_dueling.
ADAM_EPSILON = 1.5e-4
#: Hidden layers for flat observations, by the zoo's names.
NET_ARCHS = {"small": [64, 64], "medium": [256, 256], "big": [400, 300]}

#: The common search space, with the names of docs/tuning.md; an algorithm's entry may change it. The ranges include the
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

# If two processes create the tables at once, the loser fails within milliseconds of the winner's commit.
_ATTEMPTS = 20
_PAUSE_S = 0.5
#: In a text that may not be a URL
_PASSWORD = re.compile(r":[^:/]*@")


def search_space(algorithm: Algorithm, pixels: bool = True, n_step: bool = True) -> list[Range | Choice]:
    """
    :param algorithm: its search space
    :param pixels: whether observations are images; otherwise search over net_arch instead of torsos
    :param n_step: whether the replay buffer supports n-step returns
    :return: dimensions, with the parameter names of the study
    :raises ValueError: if ``not_tuned`` contains an unknown dimension
    """
    for name in algorithm.not_tuned:
        check_known(f"not_tuned of {algorithm.name}", name, COMMON)
    unwanted = {*algorithm.not_tuned, "net_arch" if pixels else "torso", *([] if n_step else ["n_steps"])}
    common = [dimension for name, dimension in COMMON.items() if name not in unwanted]
    return [*common, *algorithm.also_tuned]


def sampler(
    algorithm: Algorithm, pixels: bool = True, n_step: bool = True, config: Mapping[str, Any] | None = None
) -> Callable[..., dict[str, Any]]:
    """
    :param algorithm: see :func:`search_space`, as for the other arguments
    :param config: the configuration, from which mappings keep what the search does not name
    :return: function that the zoo calls with a trial and three arguments, which our algorithms ignore
    """
    dimensions = search_space(algorithm, pixels, n_step)

    def sample(trial: optuna.Trial, *_: Any) -> dict[str, Any]:
        sampled = convert({dimension.name: _suggest(trial, dimension) for dimension in dimensions})
        changed = {name.partition(".")[0] for name in sampled}
        return {name: value for name, value in nest({**(config or {}), **sampled}).items() if name in changed}

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
    :return: constructor arguments, as in a configuration; names of keys in one ("values_kwargs.atoms") stay as they are
    """
    hyperparams = dict(params)
    if "one_minus_gamma" in hyperparams:
        hyperparams["gamma"] = 1 - hyperparams.pop("one_minus_gamma")
    if "exploration_fraction" in hyperparams:  # these take precedence over it in a configuration
        hyperparams["exploration_steps"], hyperparams["exploration_delay"] = None, 0
    if "batch_size_pow" in hyperparams:
        hyperparams["batch_size"] = 2 ** hyperparams.pop("batch_size_pow")
    if "torso" in hyperparams:
        # Replaces the configuration's policy_kwargs, so include its Adam epsilon, without which the first convolution
        # can die
        optimizer_kwargs = {"eps": ADAM_EPSILON}
        torso = hyperparams.pop("torso")
        hyperparams["policy_kwargs"] = {"features_extractor_class": torso, "optimizer_kwargs": optimizer_kwargs}
    if "net_arch" in hyperparams:
        hyperparams["policy_kwargs"] = {"net_arch": NET_ARCHS[hyperparams.pop("net_arch")]}
    return hyperparams


def prepare_storage(storage: str) -> None:
    """Create Optuna's tables, even if several processes do so at the same time.

    Optuna creates tables and version rows without a lock (optuna/storages/_rdb/storage.py): if two processes open an
    empty database, one fails with an IntegrityError. A retry finds the other's tables.

    :param storage: the zoo's ``--storage``
    :raises ValueError: if the journal or the database cannot be opened or created, or its driver is missing
    """
    if storage.endswith(".log"):
        if Path(storage).exists():
            _open_journal(storage)
        else:
            _check_creatable(storage)
        return
    for attempt in range(_ATTEMPTS):
        try:
            RDBStorage(storage).remove_session()
            return
        except SQLAlchemyError as error:
            if attempt == _ATTEMPTS - 1 or not _is_a_race(error):
                raise ValueError(f"--storage {_redacted(storage)} cannot be used as a database: {error}") from error
            time.sleep(_PAUSE_S)
        except ImportError as error:
            raise ValueError(
                f"--storage {_redacted(storage)} needs a database driver that is not installed ({error}); "
                "for PostgreSQL: pip install 'sb3-atari-dqn[postgres]'"
            ) from error


def sampler_seed(seed: int, storage: str, study_name: str | None) -> int:
    """
    :param seed: of the worker
    :param storage: the zoo's ``--storage``, prepared
    :param study_name: the zoo's ``--study-name``; None: a new study
    :return: the seed itself for a new study, and another one for each number of trials that the study has: a sampler
        that begins again with the same seed proposes the same parameters again
    """
    if storage.endswith(".log") and not Path(storage).exists():
        return seed
    opened = _open_journal(storage) if storage.endswith(".log") else RDBStorage(storage)
    studies = optuna.get_all_study_summaries(opened, include_best_trial=False)
    trials = next((study.n_trials for study in studies if study.study_name == study_name), 0)
    return int(np.random.SeedSequence([seed, trials]).generate_state(1)[0]) if trials else seed


def check_trial(storage: str, study_name: str, trial_id: int | None) -> None:
    """Check that a trial exists. Upstream creates missing files, and counts negative trial ids from the end.

    :param storage: the zoo's ``--storage``
    :param study_name: the zoo's ``--study-name``
    :param trial_id: the zoo's ``--trial-id``; None selects the best trial
    :raises ValueError: if it does not exist; the message lists existing studies or trials
    """
    opened = _open_existing(storage)
    names = [study.study_name for study in optuna.get_all_study_summaries(opened, include_best_trial=False)]
    if study_name not in names:
        raise ValueError(
            f"--study-name {study_name!r} does not exist in {_redacted(storage)}; known: {', '.join(names) or 'none'}"
        )
    trials = optuna.load_study(study_name=study_name, storage=opened).trials
    usable = [trial.number for trial in trials if trial.params]
    if trial_id is not None and trial_id not in usable:
        raise ValueError(
            f"--trial-id {int(trial_id)}: study {study_name!r} does not have this trial, or the trial has no "
            f"parameters; known: {', '.join(map(str, usable)) or 'none'}"
        )


def without_password(storage: str) -> tuple[str, str | None]:
    """
    :param storage: the zoo's ``--storage``
    :return: without the password of a PostgreSQL URL, for a command line, and that password, for PGPASSWORD
    :raises ValueError: if it is no storage
    """
    if storage.endswith(".log"):
        return storage, None
    url = _url(storage)
    if url.get_backend_name() != "postgresql":
        return storage, None
    if "password" in url.query:
        raise ValueError("--storage has its password behind the ?: write user:password@host, or set PGPASSWORD")
    if url.password is None:
        return storage, None
    return URL.create(**{**url._asdict(), "password": None}).render_as_string(hide_password=False), str(url.password)


def file_of(storage: str) -> Path | None:
    """
    :param storage: the zoo's ``--storage``
    :return: its file, None: it is on a server
    :raises ValueError: if it is no storage, or in the memory of one process
    """
    if storage.endswith(".log"):
        return Path(storage)
    url = _url(storage)
    if url.get_backend_name() != "sqlite":
        return None
    if url.database in (None, "", ":memory:"):
        raise ValueError(f"--storage {storage} is in the memory of one process: give a file, or PostgreSQL")
    return Path(str(url.database))


def with_file(storage: str, file: Path) -> str:
    """:return: the storage with its file at another path"""
    return str(file) if storage.endswith(".log") else _url(storage).set(database=str(file)).render_as_string()


def problem_with(storage: str) -> str:
    """:return: why this machine cannot use a storage, empty if it can"""
    try:
        prepare_storage(storage)
    except ValueError as error:
        return " ".join(str(error).split())[:400]
    return ""


def summary(storage: str, study_name: str) -> str:
    """:return: what a study has come to, for the user"""
    opened = _open_journal(storage) if storage.endswith(".log") else RDBStorage(storage)
    try:
        study = optuna.load_study(study_name=study_name, storage=opened)
    except KeyError:
        return f"Study {study_name}: not there yet, since no worker came as far as its first trial"
    counts = Counter(trial.state.name.lower() for trial in study.trials)
    lines = [f"Study {study_name}: {', '.join(f'{n} {state}' for state, n in counts.items()) or 'no trials'}"]
    if counts["complete"]:
        best = study.best_trial
        lines += [f"Best: trial {best.number}, value {best.value:g}"]
        lines += [f"  {name}: {value}" for name, value in best.params.items()]
    return "\n".join(lines)


def _open_existing(storage: str) -> BaseStorage:
    if storage.endswith(".log"):
        if not Path(storage).is_file():
            raise ValueError(f"--storage {storage} does not exist: pass the journal file of the tuning run")
        return _open_journal(storage)
    url = _url(storage)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise ValueError(f"--storage {storage}: {url.database} does not exist, pass the database of the tuning run")
    prepare_storage(storage)
    return RDBStorage(storage)


def _open_journal(path: str) -> BaseStorage:
    try:
        return JournalStorage(JournalFileBackend(path))
    except OSError as error:
        raise _not_writable(path, error) from error
    except (ValueError, KeyError) as error:
        raise ValueError(f"--storage {path} is not an Optuna journal: {error!r}") from error


def _check_creatable(path: str) -> None:
    """:raises ValueError: if a new journal, which the zoo creates with its folder, could not be written"""
    folder = next(each for each in Path(path).absolute().parents if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_writable(path, error) from error


def _not_writable(path: str, error: OSError) -> ValueError:
    return ValueError(f"--storage {path} cannot be written ({error.strerror or error}): give another path")


def _url(storage: str) -> URL:
    try:
        return make_url(storage)
    except (SQLAlchemyError, ValueError):
        shown = _PASSWORD.sub(":***@", storage)
        raise ValueError(
            f"--storage {shown!r} is neither a journal file (name.log) nor a database URL such as sqlite:///name.db"
        ) from None


def _is_a_race(error: Exception) -> bool:
    """Whether another process was creating the same tables (existing table, type or row)."""
    text = str(error).lower()
    return isinstance(error, IntegrityError) or any(sign in text for sign in ("already exists", "locked", "duplicate"))


def _redacted(storage: str) -> str:
    """The storage URL for messages, without its password."""
    if storage.endswith(".log"):
        return storage
    url = _url(storage)
    if "password" in url.query:
        url = url.update_query_dict({"password": "***"})
    return url.render_as_string(hide_password=True)
