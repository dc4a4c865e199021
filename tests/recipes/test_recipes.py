"""The published systems by name: every script builds the same environment, the settings are the authors'."""

import contextlib
import io
import math
import runpy
import subprocess
import sys
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import DummyVecEnv

import sb3_atari_dqn
from sb3_atari_dqn.atari import VecRepeatFirstStack
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.networks.heads import HEADS
from sb3_atari_dqn.networks.torsos import PrintedEluTorso
from sb3_atari_dqn.objectives.bootstrap import Double
from sb3_atari_dqn.objectives.outputs import Outputs
from sb3_atari_dqn.recipes import NAMES, Recipe, find
from sb3_atari_dqn.zoo.packaged_configs import profiles
from sb3_atari_dqn.zoo.training_env import training_env
from tests.support.commands import train
from tests.support.environments import Noise

IMPROVED = [name for name in NAMES if name.endswith("_improved")]
#: chrome_dino in test_zoo_dino.py; the improved recipes have the environments of these
ATARI = [name for name in NAMES if name != "chrome_dino" and name not in IMPROVED]

TINY = ("learning_starts:40", "buffer_size:500", "batch_size:8")


def settings(name: str) -> dict:
    recipe = find(name)
    return sys.modules[recipe.module].hyperparams[recipe.env_id]


def given(name: str, *, env, cls=None, **changes):
    """:return: the algorithm of a recipe (or another) with its settings, on another environment"""
    cls = cls or ALGORITHMS[find(name).algos[0]].import_class()
    of_the_zoo = (
        "env_kwargs",
        "env_wrapper",
        "vec_env_wrapper",
        "frame_stack",
        "native_envs",
        "n_envs",
        "n_timesteps",
        "callback",
    )
    own = {key: value for key, value in settings(name).items() if key not in of_the_zoo}
    return cls(env=env, **{**own, "learner": "reference", "buffer_size": 500, "seed": 0, **changes})


class Shape(gym.Env):
    """Nothing but spaces."""

    def __init__(self, space: spaces.Box) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(3)


@pytest.fixture
def pixels():
    """:return: makes an environment of random pictures with so many channels"""
    return lambda channels: Noise(shape=(36, 36, channels))


class Diary(gym.Env):
    """
    Frames that are numbered (modulo 256), and a diary of what was done in each; episodes of seven steps.

    `episode_of` and `answers` (action, reward, next frame) know the latest frame of each number.
    """

    observation_space = spaces.Box(0, 255, (24, 20, 1), np.uint8)

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(5)
        self.frame = self.episode = 0
        self.episode_of: dict[int, int] = {}
        self.answers: dict[int, tuple[int, float, int]] = {}

    def stacked(self, n_stack: int) -> VecRepeatFirstStack:
        return VecRepeatFirstStack(DummyVecEnv([lambda: self]), n_stack)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self._picture(), {}

    def step(self, action):
        self.steps += 1
        before = self.frame
        picture = self._picture()
        self.answers[before] = int(action), float(before + action), self.frame
        return picture, float(before + action), self.steps == 7, False, {}

    def _picture(self) -> np.ndarray:
        self.frame = (self.frame + 1) % 256
        self.episode_of[self.frame] = self.episode
        return np.full(self.observation_space.shape, self.frame, np.uint8)


class Seen(Exception):
    """The script has built its environment; the rest of it is not asked for."""


def environment_of(script: str, recipe: Recipe) -> tuple[np.ndarray, dict]:
    """Run a script of the zoo until its environment stands; :return: first stack (channel first) and what plays it"""
    import rl_zoo3.utils

    make, seen = rl_zoo3.utils.create_test_env, []

    def recording(*args, **kwargs):
        seen.append(described(make(*args, **kwargs)))
        raise Seen

    arguments = ["--algo", recipe.algos[0], "--env", recipe.env_id, "-f", "logs", "--seed", "7", "--no-render"]
    arguments += ["-orga", "nobody"] if script == "push_to_hub" else []
    with (
        mock.patch.object(sys, "argv", [script, *arguments]),
        mock.patch("rl_zoo3.utils.create_test_env", recording),
        mock.patch("rl_zoo3.create_test_env", recording),
        contextlib.redirect_stdout(io.StringIO()),
        pytest.raises(Seen),
    ):
        runpy.run_module(f"rl_zoo3.{script}", run_name="__main__", alter_sys=True)
    return seen[0]


def described(env) -> tuple[np.ndarray, dict]:
    first = env.reset()[0]
    game = env.get_attr("unwrapped")[0]
    chance = game.ale.getFloat("repeat_action_probability")
    facts = {"frameskip": game._frameskip, "obs_type": game._obs_type, "sticky": chance, "actions": env.action_space.n}
    return (np.moveaxis(first, -1, 0) if first.ndim == 3 and first.shape[-1] < 5 else first), facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fps"),
    [("pong_elu", 20), ("mspacman_skip16", 3.75), ("mspacman_ram", 3.75), ("space_invaders_dueling", 20)],
)
def test_recorders_are_told_the_speed_of_the_game(name, fps):
    env = training_env(find(name), seed=0)
    assert env.get_attr("metadata")[0]["render_fps"] == fps
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ATARI)
def test_every_script_of_the_zoo_builds_the_environment_that_was_trained_in(name, runs):
    from rl_zoo3.exp_manager import ExperimentManager

    recipe, built = find(name), []
    make = ExperimentManager.create_envs

    def recording(manager, *args, **kwargs):
        env = make(manager, *args, **kwargs)
        built.append(described(env))
        return env

    command = ("--algo", recipe.algos[0], "--env", recipe.env_id, "-conf", recipe.module)
    with mock.patch.object(ExperimentManager, "create_envs", recording):
        train(*command, "-n", "60", "--seed", "7", "--eval-freq", "10000", "-params", *TINY)
    built += [environment_of(script, recipe) for script in ("enjoy", "record_video", "push_to_hub")]
    stack, facts = built[0]
    shape = {"pong_elu": (4, 105, 80), "mspacman_skip16": (4, 84, 84), "space_invaders_dueling": (3, 105, 80)}
    assert stack.shape == shape.get(name, (128,))
    assert facts["frameskip"] == {"mspacman_skip16": 1, "mspacman_ram": 16}.get(name, (2, 5))
    assert facts["obs_type"] == ("ram" if name == "mspacman_ram" else "rgb")
    for other_stack, other_facts in built:
        assert other_facts == facts
        assert (other_stack == stack).all()
    assert len(built) == 5


@pytest.mark.slow
def test_recipes_are_data_that_cost_nothing_to_list():
    code = (
        "import sys; from sb3_atari_dqn.recipes import NAMES, find; [find(n) for n in NAMES];"
        "print({'torch', 'numpy', 'gymnasium', 'ale_py', 'rl_zoo3'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name):
    recipe = find(name)
    assert recipe.name == name
    assert set(recipe.algos) <= set(ALGORITHMS)
    assert list(sys.modules[recipe.module].hyperparams) == [recipe.env_id]


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    known = (
        "chrome_dino, mspacman_ram, mspacman_skip16, mspacman_skip16_improved, pong_elu, pong_elu_improved, "
        "space_invaders_dueling, space_invaders_dueling_improved"
    )
    with pytest.raises(ValueError, match=f"'pong'.*{known}"):
        find("pong")


def test_a_training_leaves_the_settings_of_the_recipe_as_they_are(runs):
    before = repr(settings("mspacman_ram"))
    command = ("--algo", "dqn_classic", "--env", "MsPacman-v0", "-conf", find("mspacman_ram").module)
    train(*command, "-n", "50", "-params", *TINY)
    assert repr(settings("mspacman_ram")) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps", "written"),
    [
        ("pong_elu", "1900", ["videos/training_episode_000001.mp4", "models/episode_000001.zip", "episodes.csv"]),
        ("space_invaders_dueling", "1500", ["videos/training_episode_000001.gif", "episodes.csv"]),
    ],
)
def test_games_are_filmed_saved_and_logged_as_the_author_does(name, steps, written, runs):
    recipe = find(name)
    command = ("--algo", recipe.algos[0], "--env", recipe.env_id, "-conf", recipe.module, "--seed", "7")
    train(*command, "-n", steps, "--eval-freq", "-1", "-params", "learning_starts:5000", "buffer_size:500")
    run = runs / f"logs/{recipe.algos[0]}/{recipe.env_id}_1"
    for path in written:
        assert (run / path).stat().st_size > 100


def test_the_best_mean_of_100_games_of_ms_pacman_is_kept():
    for name in ("mspacman_skip16", "mspacman_ram"):
        assert {"sb3_atari_dqn.callbacks.SaveOnBestTrainingMean": {"window": 100}} in settings(name)["callback"]


# --- The improved recipes


@pytest.mark.parametrize("name", IMPROVED)
def test_an_improved_recipe_has_the_environment_of_its_author_but_for_the_unit_of_its_rewards(name):
    own, author = settings(name), settings(name.removesuffix("_improved"))
    for key in ("env_kwargs", "vec_env_wrapper", "frame_stack", "native_envs"):
        assert own.get(key) == author.get(key)
    wrappers = [each if isinstance(each, dict) else {each: {}} for each in own["env_wrapper"]]
    assert [name for each in wrappers for name in each] == author["env_wrapper"]
    assert {key for each in wrappers for options in each.values() for key in options} <= {"reward_scale"}


@pytest.mark.parametrize("name", IMPROVED)
def test_an_improved_recipe_learns_as_the_profile_short(name, pixels):
    short = yaml.safe_load(profiles()["short"].read_text(encoding="utf-8"))["atari"]
    of_the_recipe = {"env_wrapper", "frame_stack", "n_timesteps", "policy_kwargs", "bootstrap"}
    own = settings(name)
    assert {key: own.get(key) for key in short if key not in of_the_recipe} == {
        key: value for key, value in short.items() if key not in of_the_recipe
    }
    torso, short_torso = (each["policy_kwargs"]["features_extractor_kwargs"] for each in (own, short))
    assert short_torso.items() <= torso.items()
    assert own["policy_kwargs"]["optimizer_kwargs"] == short["policy_kwargs"]["optimizer_kwargs"]
    assert isinstance(given(name, env=pixels(4)).objective.bootstrap, Double)


@pytest.mark.parametrize("name", IMPROVED)
def test_an_improved_recipe_keeps_the_torso_of_its_author(name, pixels):
    def layers(recipe: str) -> list[tuple[int, ...]]:
        policy = given(recipe, env=pixels(4)).policy
        kinds = torch.nn.Conv2d | torch.nn.Linear
        return [tuple(layer.weight.shape) for layer in policy.q_net.modules() if isinstance(layer, kinds)]

    assert layers(name) == layers(name.removesuffix("_improved"))


# --- Pong


@pytest.mark.parametrize("step", [0, 1, 1_000, 23_105, 100_000])
def test_epsilon_of_pong_is_the_formula_of_the_text(step, pixels):
    model = given("pong_elu", env=pixels(4))
    assert model.exploration_schedule(0.5, step) == pytest.approx(0.01 + 0.99 * math.exp(-0.00003 * step))


def test_the_torso_of_pong_is_small_with_strides_and_has_231_million_weights_as_printed():
    space = spaces.Box(0, 255, (4, 105, 80), np.uint8)
    with torch.device("meta"):
        printed: Any = PrintedEluTorso(space).linear
    assert printed[0].weight.numel() == 94 * 75 * 64 * 512 == 231_014_400
    policy = given("pong_elu", env=Shape(space)).policy
    convolutions = [layer for layer in policy.q_net.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in convolutions] == [
        (32, (8, 8), (4, 4)),
        (64, (3, 3), (2, 2)),
        (64, (3, 3), (2, 2)),
    ]
    dense = [layer for layer in policy.q_net.modules() if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(64 * 5 * 4, 512), (512, 3)]
    assert not [layer for layer in policy.q_net.modules() if isinstance(layer, torch.nn.MaxPool2d | torch.nn.Softmax)]


def test_pong_bootstraps_from_the_network_that_learns(pixels):
    model = given("pong_elu", env=pixels(4), batch_size=8)
    same = []
    update = model._get_learner().update

    def spying(batch, rule):
        pairs = zip(model.q_net.parameters(), model.q_net_target.parameters(), strict=True)
        same.append(all(torch.equal(one, other) for one, other in pairs))
        return update(batch, rule)

    model._learner.update = spying
    model.learn(90)
    assert same == [True] * (90 - 64)


# --- Ms. Pac-Man


@pytest.mark.parametrize("name", ["mspacman_skip16", "mspacman_ram"])
@pytest.mark.parametrize("step", [0, 10_000, 125_000, 247_499, 247_501, 250_000, 2_000_000])
def test_epsilon_of_ms_pacman_is_the_formula_of_the_text(name, step, pixels):
    network = dict(policy="CnnPolicy", policy_kwargs={"features_extractor_class": "nature_stride2"})
    model = given(name, env=pixels(4), **network)
    assert model.exploration_schedule(0.5, step) == pytest.approx(max(1 - step / 250_000, 0.01))


def test_the_ram_variant_is_the_same_recipe_but_for_what_it_sees():
    pixels, ram = settings("mspacman_skip16"), settings("mspacman_ram")
    differ = {key for key in {*pixels, *ram} if pixels.get(key) != ram.get(key)}
    assert differ == {"env_wrapper", "env_kwargs", "frame_stack", "policy", "policy_kwargs"}


# --- Space Invaders: what the tutorial gets wrong


def author_epsilon(step: int) -> float:
    """As the tutorial's script computes it."""
    if step < 50_000:
        return 1.0
    return 1.0 - 0.9 / 500_000 * (step - 50_000) if step < 500_000 else 0.1


def test_epsilon_of_space_invaders_does_not_jump(pixels):
    epsilon = given("space_invaders_dueling", env=pixels(3)).exploration_schedule
    ours = [epsilon(0.5, step) for step in (0, 50_000, 300_000, 500_000, 550_000, 10**7)]
    assert ours == pytest.approx([1, 1, 0.55, 0.19, 0.1, 0.1])
    assert author_epsilon(499_999) - author_epsilon(500_000) == pytest.approx(0.09, abs=1e-5)
    steps = np.arange(499_000, 551_000)
    assert np.abs(np.diff([epsilon(0.5, int(step)) for step in steps])).max() < 2e-6


def test_advantages_of_space_invaders_are_centred_in_each_state_by_itself(pixels):
    policy = given("space_invaders_dueling", env=pixels(3)).policy
    states = torch.randint(0, 256, (5, *policy.observation_space.shape), dtype=torch.uint8)
    with torch.no_grad():
        together = policy.q_net(states)
        alone = torch.cat([policy.q_net(state[None]) for state in states])
        features = policy.q_net.extract_features(states, policy.q_net.features_extractor)
        value, advantage = policy.q_net.q_net.value(features), policy.q_net.q_net.advantage(features)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.mean(dim=1), value[:, 0], atol=1e-5)
    over_the_batch = value + advantage - advantage.mean()  # the tutorial's
    assert not torch.allclose(together, over_the_batch, atol=1e-4)


def test_the_streams_of_space_invaders_are_those_of_the_text():
    policy = given("space_invaders_dueling", env=Shape(spaces.Box(0, 255, (3, 105, 80), np.uint8))).policy
    convolutions = [layer for layer in policy.q_net.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in convolutions] == [
        (16, (8, 8), (4, 4)),
        (32, (4, 4), (2, 2)),
    ]
    for stream, n_outputs in ((policy.q_net.q_net.value, 1), (policy.q_net.q_net.advantage, 3)):
        dense = [layer for layer in stream if isinstance(layer, torch.nn.Linear)]
        assert [(layer.in_features, layer.out_features) for layer in dense] == [(32 * 11 * 8, 256), (256, n_outputs)]


@pytest.fixture(scope="module")
def sampled():
    """Everything in the memory after it has wrapped, as the recipe samples it from an environment of known frames."""
    env = Diary()
    model = given("space_invaders_dueling", env=env.stacked(3), buffer_size=150, learning_starts=10_000)
    model.learn(400)
    np.random.seed(0)
    return env, model.replay_buffer.sample(5_000)


def test_sampled_states_belong_to_their_actions(sampled):
    env, batch = sampled
    newest = batch.observations[:, -1, 0, 0].tolist()
    actions = batch.actions[:, 0].tolist()
    assert [env.answers[frame][0] for frame in newest] == actions
    assert [env.answers[frame][1] for frame in newest] == pytest.approx(batch.rewards[:, 0].tolist())
    followers = [env.answers[frame][2] for frame in newest]
    goes_on = (batch.dones[:, 0] == 0).tolist()
    reached = batch.next_observations[:, -1, 0, 0].tolist()
    assert [b for b, on in zip(followers, goes_on, strict=True) if on] == [
        r for r, on in zip(reached, goes_on, strict=True) if on
    ]


def test_stacks_never_cross_the_end_of_an_episode(sampled):
    env, batch = sampled
    episodes = [{env.episode_of[frame] for frame in stack} for stack in batch.observations[:, :, 0, 0].tolist()]
    assert {len(met) for met in episodes} == {1}


def test_everything_in_the_memory_is_sampled_after_it_has_wrapped(sampled):
    _, batch = sampled
    newest = {int(frame) for frame in batch.observations[:, -1, 0, 0]}
    assert len(newest) == 150


@pytest.mark.parametrize(
    ("cls", "bootstrap", "head"),
    [("ClassicDQN", 3.0, "linear"), ("DoubleDQN", 1.0, "linear"), ("DuelingDQN", 1.0, "dueling")],
)
def test_space_invaders_switches_between_vanilla_double_and_dueling(cls, bootstrap, head, pixels):
    model = given("space_invaders_dueling", env=pixels(3), cls=getattr(sb3_atari_dqn, cls))
    policy = model.policy
    assert policy.q_net.head is HEADS[head]
    hidden = next(layer for layer in policy.q_net.modules() if isinstance(layer, torch.nn.Linear))
    assert hidden.out_features == 256
    online, target = (Outputs(torch.tensor([values]).unsqueeze(2)) for values in ([9.0, 1.0], [1.0, 3.0]))
    batch = ReplayBufferSamples(*[torch.zeros(1, 1)] * 5)
    targets = model.objective.targets(lambda _, n=None: online, lambda _, n=None: target, batch)
    assert targets.tolist() == [[pytest.approx(bootstrap * model.gamma)]]
