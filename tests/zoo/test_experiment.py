"""Configuration of a run: what is refused, with which words, and that nothing is left behind."""

import gymnasium as gym
import numpy as np
import pytest
import yaml
from rl_zoo3 import exp_manager
from stable_baselines3 import DQN, PPO

from sb3_atari_dqn import ClassicDQN, DuelingDQN
from tests.support.commands import TINY_ATARI, files, train

PONG = ("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v4", "--eval-freq", "-1")
CARTPOLE = ("--algo", "dqn_dueling", "--env", "CartPole-v1", "--eval-freq", "-1", "-n", "300")


def configuration(folder, **changes) -> str:
    """A YAML file for CartPole and Pong with some keys changed (None: left out)."""
    settings = {"policy": "MlpPolicy", "n_timesteps": 300, "buffer_size": 500} | changes
    settings = {key: value for key, value in settings.items() if value is not None}
    path = folder / "conf.yml"
    path.write_text(yaml.safe_dump({"default": settings, "atari": settings}, sort_keys=False))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"bufer_size": 5},
            "'bufer_size' .*dqn_dueling.*'buffer_size'",
        ),
        ({"seed": 3}, "Unknown key 'seed'"),
        ({"quantiles": 51}, "Unknown key 'quantiles'.*known: batch_size"),
        ({"policy_kwargs": {"net_arc": [8]}}, "Unknown key 'net_arc' in policy_kwargs.*net_arch"),
        ({"n_timesteps": None}, "n_timesteps and policy"),
        ({"policy": None}, "n_timesteps and policy"),
        ({"buffer_size": -1}, "buffer_size.*-1"),
        ({"buffer_size": 0}, "buffer_size.*0"),
        ({"n_timesteps": 0}, "n_timesteps.*0"),
        ({"n_timesteps": "1e3"}, "n_timesteps.*1e3"),
        ({"n_envs": 0}, "n_envs.*0"),
        ({"n_envs": "two"}, "n_envs.*two"),
        ({"frame_stack": 0}, "frame_stack.*0"),
        (
            {"frame_stack": 4, "vec_env_wrapper": {"sb3_atari_dqn.atari.VecRepeatFirstStack": {"n_stack": 4}}},
            "frame_stack and VecRepeatFirstStack",
        ),
        ({"learning_rate": "1e-3"}, "learning_rate.*!!float.*1e-3"),
        ({"learning_rate": -0.1}, r"learning_rate.*-0\.1"),
        ({"learning_rate": "lin_1.2.3"}, r"learning_rate.*'lin_1\.2\.3'"),
        ({"normalize": "foo"}, "normalize: 'foo' cannot be evaluated .NameError"),
        ({"normalize": "7"}, "normalize must be a mapping .*got 7"),
        ({"normalize": 7}, "normalize must be true, false or a mapping .*got 7"),
        ({"monitor_kwargs": "x"}, "monitor_kwargs: 'x' cannot be evaluated .NameError"),
        ({"policy_kwargs": "dict("}, "policy_kwargs: 'dict.' cannot be evaluated .SyntaxError"),
        ({"replay_buffer_kwargs": "[1]"}, r"replay_buffer_kwargs must be a mapping .*got \[1\]"),
        ({"monitor_kwargs": {"info_keywords": 3}}, "info_keywords must be a list .*got 3"),
        ({"monitor_kwargs": {"info_keywords": "score"}}, "info_keywords must be a list .*got 'score'"),
        ({"policy": 3}, "policy.*3"),
        ({"policy": "MultiInputPolicy"}, "MultiInput.*dictionary"),
        ({"stats_window_size": -1}, "stats_window_size.*-1"),
        ({"env_wrapper": "nope"}, "env_wrapper.*nope"),
        ({"env_wrapper": "sb3_atari_dqn.atari.NaturAtari"}, "env_wrapper.*NaturAtari"),
        ({"env_wrapper": {"sb3_atari_dqn.atari.NatureAtari": 3}}, "NatureAtari must be .*got 3"),
        ({"gamma": 1.5}, r"gamma.*1\.5"),
        ({"loss": "hubber"}, "hubber.*huber"),
        ({"exploration": "cosine"}, "cosine.*linear"),
        ({"replay": "priority"}, "priority.*uniform"),
        ({"policy_kwargs": {"head": "duelling"}}, "duelling.*dueling"),
        ({"policy": "CnnPolicy"}, "CnnPolicy|image"),
        ({"n_envs": 2, "train_freq": [1, "episode"]}, "train_freq.*episode"),
        ({"env_wrapper": "sb3_atari_dqn.atari.NatureAtari"}, "NatureAtari.*CartPole-v1.*Atari"),
        ({"policy": "nope.Nope"}, "policy: nope.Nope "),
        ({"vec_env_wrapper": 3}, "vec_env_wrapper: 3 .*sb3_atari_dqn.atari.VecRepeatFirstStack"),
        ({"vec_env_wrapper": "sb3_atari_dqn.atari.VecRepeatFirstStak"}, "did you mean .*VecRepeatFirstStack"),
        (
            {"vec_env_wrapper": {"sb3_atari_dqn.atari.VecRepeatFirstStack": {"stack": 4}}},
            "VecRepeatFirstStack .*n_stack",
        ),
        ({"env_wrapper": {"gymnasium.wrappers.TimeLimit": {3: 4}}}, "options of gymnasium.*TimeLimit must .*got 3"),
        ({"monitor_kwargs": 3}, "monitor_kwargs must be .*got 3; omit"),
        ({"policy_kwargs": 3}, "policy_kwargs must be .*got 3"),
        ({"env_kwargs": 3}, "env_kwargs must be .*got 3"),
        ({"env_kwargs": {3: 3}}, "env_kwargs must .*got 3"),
        ({"callback": 3}, "callback: 3 .*sb3_atari_dqn.callbacks.LogEpisodes"),
        ({"callback": "nope"}, "callback: 'nope' "),
        ({"callback": "."}, "callback: '.' "),
        ({"callback": "nope.Nope"}, "callback: nope.Nope "),
        (
            {"callback": "sb3_atari_dqn.callbacks.LogEpisode"},
            "callback: .*LogEpisode .*sb3_atari_dqn.callbacks.LogEpisodes",
        ),
        ({"callback": ["sb3_atari_dqn.callbacks.LogEpisodes", 7]}, "callback: 7 "),
        ({"callback": {"sb3_atari_dqn.callbacks.LogEpisodes": None}}, "LogEpisodes must be .*got None"),
        ({"callback": {"sb3_atari_dqn.callbacks.LogEpisodes": {3: 4}}}, "LogEpisodes must .*got 3"),
        ({"callback": {"sb3_atari_dqn.callbacks.LogEpisodes": {"foldr": "x"}}}, "'foldr'.*folder, verbose"),
        ({"callback": {"sb3_atari_dqn.callbacks.LogEpisodes": {"folder": ""}}}, "folder of LogEpisodes .*''"),
        ({"callback": {"sb3_atari_dqn.callbacks.LogEpisodes": {"verbose": "x"}}}, "verbose of LogEpisodes .*'x'"),
        ({"callback": "collections.OrderedDict"}, "callback: collections.OrderedDict "),
    ],
)
def test_a_bad_configuration_is_one_clear_error_and_leaves_no_run_folder(runs, changes, says):
    path = configuration(runs, **changes)
    with pytest.raises(ValueError, match=says):
        train(*CARTPOLE, "-conf", path, "-f", "new_logs")
    assert files(runs) == ["conf.yml"]


def test_texts_are_evaluated_with_the_names_of_the_zoo(runs):
    path = configuration(
        runs,
        policy_kwargs="dict(net_arch=[np.int64(8).item()])",
        normalize="dict(norm_obs=True, norm_reward=False)",
        monitor_kwargs="dict(info_keywords=())",
    )
    train(*CARTPOLE, "-conf", path, "-n", "40", "--eval-freq", "-1")
    model = DuelingDQN.load(runs / "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip")
    assert model.policy_kwargs["net_arch"] == [8]
    assert (runs / "logs/dqn_dueling/CartPole-v1_1/CartPole-v1/vecnormalize.pkl").is_file()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("default: {7: 3}", "the hyperparameters of default .*got 7 .int."),
        ("a: [1,", "conf.yml .*YAML"),
        ("atari: {policy: MlpPolicy}", "conf.yml .*atari.*CartPole-v1: or default:"),
        ("", "conf.yml must map"),
        ("- a\n- b\n", "conf.yml must map"),
        ("CartPole-v1:\n", "CartPole-v1 must be .*got None"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(runs, content, says):
    (runs / "conf.yml").write_text(content)
    with pytest.raises(ValueError, match=says):
        train(*CARTPOLE, "-conf", "conf.yml")
    assert files(runs) == ["conf.yml"]


def test_a_mistyped_configuration_file_is_not_replaced_by_ours(runs):
    with pytest.raises(FileNotFoundError, match=r"my/dqn_dueling\.yml"):
        train(*CARTPOLE, "-conf", "my/dqn_dueling.yml")
    assert files(runs) == []


@pytest.mark.parametrize("key", ["env_kwargs", "monitor_kwargs"])
def test_a_key_without_its_value_is_refused(runs, key):
    with pytest.raises(ValueError, match=f"{key} must be .*got None; omit"):
        train(*CARTPOLE, "-params", f"{key}:None")
    assert files(runs) == []


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ("nope.yml", FileNotFoundError, r"-conf nope\.yml"),
        ("nope.py", FileNotFoundError, r"-conf nope\.py"),
        ("no_such.module", FileNotFoundError, r"-conf no_such\.module"),
        ("os", ValueError, "-conf os: .*hyperparams"),
        ("mine.py", ValueError, r"mine\.py .*'hyperparams'"),
        (".yml", FileNotFoundError, r"-conf \.yml"),
    ],
)
def test_a_configuration_that_is_none_is_named(runs, config, error, says):
    (runs / "mine.py").write_text("settings = {}\n")
    with pytest.raises(error, match=says):
        train(*CARTPOLE, "-conf", config)
    assert files(runs) == ["mine.py"]


@pytest.mark.parametrize(("options", "wanted"), [(PONG, "PongNoFrameskip-v4: or atari:"), (CARTPOLE, "or default:")])
def test_a_module_for_another_game_says_what_it_holds(runs, options, wanted):
    with pytest.raises(ValueError, match=f"chrome_dino .*ChromeDino-v0.*{wanted}, .*--env"):
        train(*options, "-conf", "sb3_atari_dqn.recipes.chrome_dino")
    assert files(runs) == []


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("-n", "0"), "-n 0: .*at least 1"),
        (("-n", "-1"), "-n -1: "),
        (("--n-timesteps=-1",), "-n -1: "),
        (("--n-ti", "-5"), "-n -5: "),
        (("--eval-episodes", "0"), "--eval-episodes must be at least 1, got 0"),
        (("--n-eval-envs", "0"), "--n-eval-envs must be at least 1, got 0"),
        (("--log-interval", "0"), "--log-interval 0: .*at least 1, or -2"),
        (("--device", "cdua"), "device='cdua' "),
    ],
)
def test_a_number_or_a_device_that_leads_to_nothing_is_refused_before_anything(runs, typed, says):
    with pytest.raises(ValueError, match=says):
        train(*CARTPOLE[:6], *typed)
    assert files(runs) == []


@pytest.mark.slow
def test_without_n_the_configured_budget_is_trained(runs):
    train(*CARTPOLE[:6], "-conf", configuration(runs, n_timesteps=10, learning_starts=5))
    assert saved_args(runs, "CartPole-v1")["n_timesteps"] == -1


def test_cuda_without_cuda_is_refused_before_anything(runs, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="device='cuda' "):
        train(*CARTPOLE, "--device", "cuda")
    assert files(runs) == []


def test_an_unknown_option_of_a_torso_is_named(runs):
    options = "dict(features_extractor_class='impala', features_extractor_kwargs=dict(with_=2))"
    with pytest.raises(ValueError, match=r"'with_' .*features_extractor_kwargs .*ImpalaTorso.*width"):
        train(*PONG, "-n", "100", "-params", f"policy_kwargs:{options}")
    assert files(runs) == []


@pytest.mark.parametrize(
    "outside",
    ["stable_baselines3.common.atari_wrappers.MaxAndSkipEnv", "stable_baselines3.common.atari_wrappers.AtariWrapper"],
)
def test_a_skip_around_a_preset_that_skips_is_refused(runs, outside):
    path = configuration(runs, policy="CnnPolicy", env_wrapper=["sb3_atari_dqn.atari.NatureAtari", outside])
    with pytest.raises(ValueError, match=r"env_wrapper: .* around NatureAtari "):
        train(*PONG, "-conf", path)
    assert files(runs) == ["conf.yml"]


def test_a_bad_parameter_on_the_command_line_is_refused_too(runs):
    with pytest.raises(ValueError, match=r"'gama'.*'gamma'"):
        train(*CARTPOLE, "-params", "gama:0.9")
    assert files(runs) == []


def test_a_torso_that_needs_larger_images_names_both_sizes(runs):
    path = configuration(
        runs,
        policy="CnnPolicy",
        env_wrapper=[{"sb3_atari_dqn.atari.NatureAtari": {"size": [20, 24]}}],
        policy_kwargs={"features_extractor_class": "nature"},
    )
    with pytest.raises(ValueError, match=r"20.*24"):
        train(*PONG, "-conf", path)
    assert files(runs) == ["conf.yml"]


def test_earlier_runs_survive_a_failed_one(runs):
    train(*CARTPOLE)
    before = files(runs)
    with pytest.raises(ValueError, match="buffer_size"):
        train(*CARTPOLE, "-params", "buffer_size:-5")
    assert files(runs) == before


def test_folders_of_the_user_survive_a_failed_run_and_those_made_for_it_do_not(runs):
    (runs / "mine").mkdir()
    with pytest.raises(ValueError, match="buffer_size"):
        train(*CARTPOLE, "-params", "buffer_size:-5", "-f", "mine/made/for/it")
    assert files(runs) == ["mine"]


def test_a_run_takes_the_next_number_when_another_took_its_own_in_the_meantime(runs, monkeypatch):
    """Two processes started together see the same latest run."""
    (runs / "logs/dqn_dueling/CartPole-v1_1").mkdir(parents=True)
    (runs / "logs/dqn_dueling/CartPole-v1_1/theirs").touch()
    latest = exp_manager.get_latest_run_id
    monkeypatch.setattr(exp_manager, "get_latest_run_id", lambda *args: latest(*args) - 1)
    train(*CARTPOLE)
    assert (runs / "logs/dqn_dueling/CartPole-v1_2/CartPole-v1.zip").is_file()
    with pytest.raises(ValueError, match="buffer_size"):
        train(*CARTPOLE, "-params", "buffer_size:-5")
    assert (runs / "logs/dqn_dueling/CartPole-v1_1/theirs").is_file()
    assert not (runs / "logs/dqn_dueling/CartPole-v1_3").exists()


def test_a_run_that_dies_before_its_first_step_leaves_no_folder(runs, monkeypatch):
    from sb3_atari_dqn import DuelingDQN

    def no_memory(*args, **kwargs):
        raise MemoryError("a million transitions need 56 GB")

    monkeypatch.setattr(DuelingDQN, "learn", no_memory)
    with pytest.raises(MemoryError):
        train(*CARTPOLE)
    assert files(runs) == []


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_continuing_from_another_algorithm_is_refused(runs, algorithm):
    algorithm("MlpPolicy", "CartPole-v1").save(runs / "other.zip")
    with pytest.raises(ValueError, match=r"other\.zip.*DuelingDQN"):
        train(*CARTPOLE, "-i", "other.zip")
    assert files(runs) == ["other.zip"]


def test_continuing_from_another_algorithm_of_ours_names_the_option(runs):
    ClassicDQN("MlpPolicy", "CartPole-v1", buffer_size=100).save(runs / "other.zip")
    with pytest.raises(ValueError, match=r"other\.zip holds a ClassicDQN, .*: continue it with --algo dqn_classic$"):
        train(*CARTPOLE, "-i", "other.zip")
    assert files(runs) == ["other.zip"]


def test_a_new_run_begins_with_the_model_of_a_run_without_checkpoints(runs):
    train(*CARTPOLE, "-params", "checkpoint_freq:0")
    assert not (runs / "logs/dqn_dueling/CartPole-v1_1/checkpoints").exists()
    train(*CARTPOLE, "-i", "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip")
    assert (runs / "logs/dqn_dueling/CartPole-v1_2/CartPole-v1.zip").is_file()


def test_a_continued_run_that_dies_before_its_first_step_leaves_no_folder(runs):
    train(*CARTPOLE, "-params", "checkpoint_freq:0")
    before = files(runs)
    model = "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip"
    with pytest.raises(MemoryError, match="buffer_size=1,000,000,000,000 transitions do not fit"):
        train(*CARTPOLE, "-i", model, "-params", "buffer_size:10**12")
    assert files(runs) == before


def test_a_damaged_model_is_not_trained_on(runs):
    train(*CARTPOLE, "-params", "checkpoint_freq:0")
    model = runs / "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    before = files(runs)
    with pytest.raises(ValueError, match=r"CartPole-v1\.zip is damaged: .*'policy\.pth'"):
        train(*CARTPOLE, "-i", str(model))
    assert files(runs) == before


def test_a_replay_buffer_that_was_cut_off_is_damaged(runs):
    train(*CARTPOLE, "--save-replay-buffer", "-params", "buffer_size:500", "checkpoint_freq:0")
    buffer = runs / "logs/dqn_dueling/CartPole-v1_1/replay_buffer.pkl"
    buffer.write_bytes(buffer.read_bytes()[:3000])
    before = files(runs)
    with pytest.raises(ValueError, match=r"replay_buffer\.pkl is damaged"):
        train(*CARTPOLE, "-i", "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip")
    assert files(runs) == before


@pytest.mark.slow
def test_a_replay_buffer_of_another_number_of_environments_is_refused(runs):
    train(*CARTPOLE, "--save-replay-buffer", "-params", "checkpoint_freq:0")
    before = files(runs)
    model = "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip"
    with pytest.raises(ValueError, match=r"replay_buffer\.pkl .*n_envs=1.* 2\b"):
        train(*CARTPOLE, "-i", model, "-params", "n_envs:2", "train_freq:8")
    assert files(runs) == before


def test_an_unknown_environment_is_named_with_the_closest_one(runs):
    with pytest.raises(ValueError, match=r"PongNoFrameskip-v9.*PongNoFrameskip-v4"):
        train("--algo", "dqn_dueling", "--env", "PongNoFrameskip-v9")
    assert files(runs) == []


def test_an_unknown_algorithm_is_refused_with_the_known_ones(runs, capsys):
    with pytest.raises(SystemExit):
        train("--algo", "dqn_duelling", "--env", "CartPole-v1")
    assert "dqn_dueling" in capsys.readouterr().err
    assert files(runs) == []


def saved_args(runs, env: str) -> dict:
    return yaml.unsafe_load((runs / f"logs/dqn_dueling/{env}_1/{env}/args.yml").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("env", ["ALE/Pong-v5", "Pong-v4"])
def test_an_environment_that_skips_is_built_without_its_skip_under_a_preset_that_skips(runs, env):
    train("--algo", "dqn_dueling", "--env", env, "-n", "160", "--eval-freq", "-1", "-params", *TINY_ATARI)
    assert saved_args(runs, env.replace("/", "-"))["env_kwargs"] == {"frameskip": 1}


def test_a_skip_that_the_user_asks_for_beneath_a_preset_that_skips_is_refused(runs):
    with pytest.raises(ValueError, match=r"frame.?skip"):
        train("--algo", "dqn_dueling", "--env", "ALE/Pong-v5", "-n", "160", "--env-kwargs", "frameskip:4")
    assert files(runs) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command_line", "expected"),
    [
        ((), {"difficulty": 1, "repeat_action_probability": 0.25}),
        (
            ("--env-kwargs", "repeat_action_probability:0.5"),
            {"difficulty": 1, "repeat_action_probability": 0.5},
        ),
    ],
)
def test_training_evaluation_and_every_later_script_get_the_same_env_kwargs(runs, monkeypatch, command_line, expected):
    built = []
    make = gym.envs.registration.EnvSpec.make

    def recording(spec, **kwargs):
        built.append(kwargs)
        return make(spec, **kwargs)

    monkeypatch.setattr(gym.envs.registration.EnvSpec, "make", recording)
    path = configuration(
        runs,
        policy="CnnPolicy",
        env_wrapper=["sb3_atari_dqn.atari.NatureAtari"],
        frame_stack=4,
        env_kwargs={"difficulty": 1, "repeat_action_probability": 0.25},
        native_envs=False,
        learning_starts=150,
    )
    train(*PONG[:4], "-n", "160", "-conf", path, *command_line, "--eval-freq", "100000")
    args = saved_args(runs, "PongNoFrameskip-v4")
    assert args["env_kwargs"] == expected
    assert len(built) == 2
    assert all(expected.items() <= kwargs.items() for kwargs in built)


@pytest.mark.slow
def test_scores_in_the_monitor_file_are_raw_scores_of_whole_games(runs):
    train(
        *("--algo", "dqn_classic", "--env", "BreakoutNoFrameskip-v4", "-n", "1500", "--eval-freq", "-1"),
        *("-params", "n_envs:1", "learning_starts:5000", "buffer_size:100"),
    )
    lines = (runs / "logs/dqn_classic/BreakoutNoFrameskip-v4_1/0.monitor.csv").read_text().splitlines()[2:]
    lengths = np.array([float(line.split(",")[1]) for line in lines])
    assert len(lines) >= 2
    assert lengths.min() > 400, "a game of five lives lasts longer than one of its lives, in raw frames"
