"""Tuning through the zoo: the search space, resumed studies, a shared database, loading a trial."""

import multiprocessing
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import optuna
import pytest
import sqlalchemy.exc
import torch
import yaml
from gymnasium import spaces
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_dqn.catalogue import ALGORITHMS, Algorithm, Choice, Range
from sb3_atari_dqn.networks import resolve_torso
from sb3_atari_dqn.networks.noisy import noisy_layers
from sb3_atari_dqn.zoo import tuning
from sb3_atari_dqn.zoo.configuration import nest
from tests.support import postgres
from tests.support.commands import TINY_ATARI, train, zoo

TINY_CARTPOLE = ("--algo", "dqn_dueling", "--env", "CartPole-v1", "-n", "600", "--eval-episodes", "1")
SEARCH = ("-optimize", "--n-evaluations", "1", "--no-optim-plots", "--study-name", "pixels")


@pytest.fixture(scope="module")
def empty_database():
    with postgres.server() as url:
        yield url


def study(storage: str) -> optuna.Study:
    opened = JournalStorage(JournalFileBackend(storage)) if storage.endswith(".log") else storage
    return optuna.load_study(study_name="pixels", storage=opened)


def propose(params: dict, pixels: bool) -> dict:
    return sampled(cast(optuna.Trial, optuna.trial.FixedTrial(params)), pixels=pixels)


def sampled(trial: optuna.Trial, algorithm: Algorithm = ALGORITHMS["dqn_dueling"], **options) -> dict:
    """Call a sampler as the zoo does: with the numbers of actions and environments, and further arguments."""
    return tuning.sampler(algorithm, **options)(trial, 0, 1, {})


PIXEL_PARAMS = {
    "one_minus_gamma": 0.01,
    "learning_rate": 1e-4,
    "batch_size_pow": 5,
    "target_update_interval": 1000,
    "exploration_fraction": 0.1,
    "exploration_final_eps": 0.01,
    "n_steps": 3,
    "torso": "impala",
}
FLAT_PARAMS = {key: value for key, value in PIXEL_PARAMS.items() if key != "torso"} | {"net_arch": "medium"}


def test_a_trial_on_pixels_names_a_torso():
    hyperparams = propose(PIXEL_PARAMS, pixels=True)
    assert hyperparams == {
        "gamma": 0.99,
        "learning_rate": 1e-4,
        "batch_size": 32,
        "target_update_interval": 1000,
        "exploration_fraction": 0.1,
        "exploration_final_eps": 0.01,
        "n_steps": 3,
        "exploration_steps": None,
        "exploration_delay": 0,
        "policy_kwargs": {"features_extractor_class": "impala", "optimizer_kwargs": {"eps": 1.5e-4}},
    }


def test_a_trial_on_flat_observations_names_layers():
    assert propose(FLAT_PARAMS, pixels=False)["policy_kwargs"] == {"net_arch": [256, 256]}


@pytest.mark.parametrize("pixels", [True, False])
def test_the_converter_makes_of_a_stored_trial_what_the_sampler_proposed(pixels):
    search = optuna.create_study()
    for _ in range(20):
        trial = search.ask()
        proposed = sampled(trial, pixels=pixels)
        assert tuning.convert(trial.params) == proposed


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_trial_sets_single_keys_of_mappings_and_keeps_the_others(algorithm, pixels):
    config = {name: {"kept": 1} for name in ("values_kwargs", "bootstrap_kwargs", "policy_kwargs")}
    trial = optuna.create_study().ask()
    proposed = sampled(trial, algorithm, pixels=pixels, config=config)
    loaded = nest({**config, **tuning.convert(trial.params)})  # as --trial-id does
    assert proposed == {name: loaded[name] for name in proposed}
    for dimension in algorithm.also_tuned:
        mapping, _, key = dimension.name.rpartition(".")
        chosen = proposed[mapping] if mapping else proposed
        assert chosen[key] == trial.params[dimension.name]
        if mapping in ("values_kwargs", "bootstrap_kwargs"):
            assert chosen["kept"] == 1
    sets_all = not {"torso", "net_arch"}.isdisjoint(trial.params)  # of policy_kwargs
    assert ("kept" in proposed.get("policy_kwargs", {"kept": 1})) is not sets_all


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_the_algorithm_takes_what_a_trial_proposes(algorithm):
    search = optuna.create_study()
    for _ in range(3):
        proposed = sampled(search.ask(), algorithm, pixels=False)
        env, of_replay = make_vec_env("CartPole-v1", 8), {} if algorithm.name == "dqn_pqn" else {"buffer_size": 100}
        model = algorithm.import_class()("MlpPolicy", env, **of_replay, **proposed)
        for name, value in proposed.get("values_kwargs", {}).items():
            assert getattr(model.objective.values, name) == value
        for name, value in proposed.get("bootstrap_kwargs", {}).items():
            assert getattr(model.objective.bootstrap, name) == value
        stds = [layer.weight_std[0, 0] * layer.in_features**0.5 for layer in noisy_layers(model.q_net)]
        assert np.allclose([std.item() for std in stds], proposed["policy_kwargs"].get("noisy_std", np.nan))


def test_returns_of_several_steps_are_not_proposed_where_the_memory_cannot_hold_them():
    search = optuna.create_study()
    proposed = [sampled(search.ask(), n_step=False) for _ in range(5)]
    assert all("n_steps" not in hyperparams for hyperparams in proposed)


def greedy_by_noise(**tunes) -> Algorithm:
    """An entry whose class explores without an epsilon, with a search space of its own."""
    return Algorithm("dqn_noisy", "NoisyDQN", "an example", (), not_tuned=tunes.pop("not_tuned"), **tunes)


def test_an_algorithm_searches_what_its_entry_adds_and_not_what_it_leaves_out():
    noisy = greedy_by_noise(
        not_tuned=("exploration_fraction", "exploration_final_eps", "gamma", "batch_size"),
        also_tuned=(Range("tau", 0.1, 1.0), Range("train_freq", 1, 8, log=True), Choice("loss", ("huber", "mse"))),
    )
    trial = optuna.create_study().ask()
    proposed = sampled(trial, noisy)
    assert set(proposed) == {
        *("learning_rate", "target_update_interval", "n_steps", "policy_kwargs"),
        *("tau", "train_freq", "loss"),
    }
    assert 0.1 <= proposed["tau"] <= 1
    assert proposed["train_freq"] in range(1, 9)
    assert proposed["loss"] in ("huber", "mse")
    assert tuning.convert(trial.params) == proposed


def test_an_entry_that_leaves_out_an_unknown_dimension_is_named():
    with pytest.raises(ValueError, match=r"not_tuned of dqn_noisy 'gama'; known: .*gamma"):
        tuning.sampler(greedy_by_noise(not_tuned=("gama",)))


def test_the_page_lists_every_dimension_of_the_search():
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text()
    table = page.split("| parameter |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `?(\w+)`?.*\|$", table, re.MULTILINE) == list(tuning.COMMON)


def test_the_page_lists_what_each_algorithm_adds_and_leaves_out():
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text()
    table = page.split("| algorithm |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*\|.*)\|$", table, re.MULTILINE))
    special = {name: entry for name, entry in ALGORITHMS.items() if entry.also_tuned or entry.not_tuned}
    assert list(rows) == list(special)
    for name, entry in special.items():
        adds, lacks = rows[name].split("|")
        assert re.findall(r"`([\w.]+)`", adds) == [dimension.name for dimension in entry.also_tuned]
        assert re.findall(r"`(\w+)`", lacks) == list(entry.not_tuned)


@pytest.mark.parametrize("torso", tuning.TORSOS)
def test_every_torso_of_the_search_space_builds(torso):
    built = resolve_torso(torso)(spaces.Box(0, 255, (4, 84, 84), np.uint8))
    assert built(torch.zeros(2, 4, 84, 84)).shape == (2, {"dqn2013": 256, "impala": 256}.get(torso, 512))


@pytest.mark.slow
def test_tuning_on_real_pong_tries_torsos(runs):
    printed = train(
        *("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v4", "-n", "200", "--eval-episodes", "1"),
        *("--n-trials", "1", "--storage", "sqlite:///study.db", *SEARCH),
        *("--env-kwargs", "max_num_frames_per_episode:600", "-params", *TINY_ATARI),
    )
    assert "Best trial" in printed
    assert "torso" in study("sqlite:///study.db").best_trial.params
    assert not list((runs / "logs" / "dqn_dueling").glob("Pong*")), "tuning left a run folder that enjoy would open"


@pytest.mark.parametrize("storage", ["sqlite:///study.db", "journal.log"])
def test_the_seed_of_the_sampler_depends_on_the_trials_of_the_study(runs, storage):
    seeds = [tuning.sampler_seed(3, storage, "pixels")]
    opened = JournalStorage(JournalFileBackend(storage)) if storage.endswith(".log") else storage
    begun = optuna.create_study(storage=opened, study_name="pixels")
    for _ in range(3):
        seeds.append(tuning.sampler_seed(3, storage, "pixels"))
        begun.add_trial(optuna.create_trial(value=1.0))
    assert seeds[0] == seeds[1] == 3
    assert len(set(seeds)) == 3
    assert tuning.sampler_seed(3, storage, "another") == tuning.sampler_seed(3, storage, None) == 3


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite:///study.db", "journal.log"])
def test_a_study_is_resumed_and_each_of_its_trials_can_be_loaded(runs, storage):
    for finished in (1, 2):
        train(*TINY_CARTPOLE, "--seed", "3", "--n-trials", "1", "--storage", storage, *SEARCH)
        assert len(study(storage).trials) == finished
    first, second = (trial.params for trial in study(storage).trials)
    assert first["learning_rate"] != second["learning_rate"]  # although the command is the same
    for number in (0, 1):
        train(
            *TINY_CARTPOLE,
            "--eval-freq",
            "-1",
            "--storage",
            storage,
            "--study-name",
            "pixels",
            "--trial-id",
            str(number),
        )
        saved = yaml.unsafe_load(
            (runs / f"logs/dqn_dueling/CartPole-v1_{number + 1}/CartPole-v1/config.yml").read_text()
        )
        expected = tuning.convert(study(storage).trials[number].params)
        assert {key: saved[key] for key in expected} == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--storage", "sqlite:///study.db", "--study-name", "pixels", "--trial-id", "7"], "--trial-id 7: "),
        (["--storage", "sqlite:///study.db", "--study-name", "pixels", "--trial-id", "-1"], "--trial-id -1: "),
        (
            ["--storage", "sqlite:///study.db", "--study-name", "pixel", "--trial-id", "0"],
            "--study-name 'pixel' .*pixels",
        ),
        (
            ["--storage", "sqlite:///other.db", "--study-name", "pixels", "--trial-id", "0"],
            "--storage sqlite:///other.db",
        ),
        (["--storage", "other.log", "--study-name", "pixels", "--trial-id", "0"], "--storage other.log"),
        (["--trial-id", "0"], "--trial-id 0 needs the study"),
    ],
)
def test_an_unknown_trial_is_an_error_that_creates_nothing(runs, arguments, says):
    optuna.create_study(storage="sqlite:///study.db", study_name="pixels").enqueue_trial(FLAT_PARAMS)
    with pytest.raises(ValueError, match=says):
        train(*TINY_CARTPOLE, *arguments)
    assert [path.name for path in runs.iterdir()] == ["study.db"]


def test_a_storage_that_cannot_be_opened_is_named_without_its_password(runs):
    with pytest.raises(ValueError, match=r"postgresql://zoo:\*\*\*@127.0.0.1:1/none") as error:
        tuning.prepare_storage("postgresql://zoo:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("storage", ["junk", "nodb://x", "sqlite:///text.db", "folder.log", "text.log"])
def test_a_storage_that_is_none_is_named(runs, storage):
    (runs / "folder.log").mkdir()
    for name in ("text.db", "text.log"):
        (runs / name).write_text("no database\n" * 100)
    with pytest.raises(ValueError, match="--storage"):
        tuning.prepare_storage(storage)


@pytest.mark.parametrize("storage", ["folder.log", "file/study.log", "/proc/none/study.log"])
def test_a_journal_that_cannot_be_written_is_named_with_a_way_out(runs, storage):
    (runs / "folder.log").mkdir()
    (runs / "file").touch()
    with pytest.raises(ValueError, match=rf"--storage {storage} cannot be written \(\w.*\): give another path"):
        tuning.prepare_storage(storage)


def test_a_journal_that_does_not_exist_is_not_created_by_the_check(runs):
    tuning.prepare_storage("new/study.log")
    assert list(runs.iterdir()) == []


def _open(url: str, prepare: bool) -> str:
    try:
        (tuning.prepare_storage if prepare else optuna.storages.RDBStorage)(url)
    except sqlalchemy.exc.SQLAlchemyError as error:
        return type(error).__name__
    return "opened"


def _empty(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()


def _meet(url: str, prepare: bool, n_processes: int = 4) -> list[str]:
    """Let several processes open an empty database at the same moment."""
    _empty(url)
    with ProcessPoolExecutor(n_processes, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(_open, [url] * n_processes, [prepare] * n_processes))


@pytest.mark.postgres
def test_processes_that_meet_in_an_empty_database_all_find_it_ready(empty_database):
    for _ in range(5):
        assert _meet(empty_database, prepare=True) == ["opened"] * 4


@pytest.mark.postgres
def test_upstream_still_dies_when_processes_meet_in_an_empty_database(empty_database):
    outcomes = [outcome for _ in range(10) for outcome in _meet(empty_database, prepare=False)]
    assert set(outcomes) - {"opened"}, "Optuna creates its tables safely now: prepare_storage can go"


@pytest.mark.slow
@pytest.mark.postgres
def test_two_processes_started_together_share_one_study_on_postgres(empty_database, runs):
    _empty(empty_database)
    command = [
        *(sys.executable, "-m", "rl_zoo3.train", *TINY_CARTPOLE, "--n-trials", "2"),
        *("--storage", empty_database, *SEARCH),
    ]
    started = [
        subprocess.Popen(command, cwd=runs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    for process in started:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
    assert len(study(empty_database).trials) == 4


@pytest.mark.slow
def test_an_unknown_study_is_an_error_as_a_user_meets_it(runs):
    optuna.create_study(storage="sqlite:///study.db", study_name="pixels")
    result = zoo(
        "train", *TINY_CARTPOLE, "--storage", "sqlite:///study.db", "--study-name", "other", "--trial-id", "0", cwd=runs
    )
    assert result.returncode == 1
    assert "--study-name 'other' does not exist in sqlite:///study.db; known: pixels" in result.stdout.splitlines()[-1]


def test_every_algorithm_has_sampler_and_converter():
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

    for algo in ALGORITHMS:
        assert algo in HYPERPARAMS_SAMPLER
        assert algo in HYPERPARAMS_CONVERTER
