"""ObservationRecorder on the wrappers of a game: they show what was handed on, and change nothing."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor

from sb3_atari_dqn.atari import AtariPresetWrapper, NatureAtari
from sb3_atari_dqn.atari.frames import FramePipeline
from sb3_atari_dqn.atari.observation_recorder import ObservationRecorder
from sb3_atari_dqn.atari.summary import settings_of

PONG = "PongNoFrameskip-v4"


def played(env, n_steps=20):
    """:return: the last observation after a fixed game; every step was tapped by itself if the environment is"""
    env.reset(seed=1)
    for i in range(n_steps):
        observation, *_ = env.step(i % 6)
    return observation


def tapped(wrapper, env_id=PONG, **overrides):
    env = wrapper(gym.make(env_id), **overrides)
    taps = ObservationRecorder(env)
    env.reset(seed=1)
    for i in range(20):
        taps.clear()
        observation, *_ = env.step(i % 6)
    return taps.stages(), observation


@pytest.mark.parametrize("wrapper", [NatureAtari, AtariWrapper])
def test_the_last_stage_is_the_observation_and_the_game_is_the_same_as_without(wrapper):
    stages, observation = tapped(wrapper)
    assert np.array_equal(stages[-1].picture, observation)
    assert np.array_equal(observation, played(wrapper(gym.make(PONG))))


def test_stages_of_the_nature_preset_follow_from_each_other():
    stages, _ = tapped(NatureAtari)
    names = [stage.name for stage in stages]
    assert names == ["raw frame 3 of 4", "raw frame 4 of 4", "maximum of 2 frames", "gray", "resize"]
    raw = [stage.picture for stage in stages[:2]]
    assert not np.array_equal(*raw)
    assert np.array_equal(np.maximum(*raw), stages[2].picture)
    preset = NatureAtari.preset
    assert np.array_equal(FramePipeline(preset, (210, 160, 3))(stages[2].picture), stages[-1].picture)


def test_a_wrapper_of_others_is_a_stage_by_the_name_of_its_class():
    stages, _ = tapped(AtariWrapper)
    assert [stage.name for stage in stages[-2:]] == ["maximum of 2 frames", "WarpFrame"]


def test_crop_and_stride_are_stages_and_no_maximum_is_shown_where_there_is_none():
    overrides = dict(crop=(34, 194, 0, 160), size=(80, 80), resize="stride", grayscale="mean")
    stages, _ = tapped(AtariPresetWrapper, "Pong-v4", **overrides)
    assert [(stage.name, stage.picture.shape[:2]) for stage in stages] == [
        ("raw frame", (210, 160)),
        ("crop", (160, 160)),
        ("stride", (80, 80)),
        ("gray", (80, 80)),
    ]


def test_after_a_reset_the_frames_of_the_game_before_are_forgotten():
    env = NatureAtari(gym.make("MsPacmanNoFrameskip-v4"), noop_max=0, terminal_on_life_loss=False)
    taps = ObservationRecorder(env)
    played(env)
    env.reset(seed=1)
    names = [stage.name for stage in taps.stages()]
    assert names == ["raw frame", "no maximum after a reset", "gray", "resize"]


def test_a_pipeline_that_does_not_lead_to_the_observation_is_our_mistake():
    env = NatureAtari(gym.make(PONG))
    taps = ObservationRecorder(env)
    played(env)
    taps._seen[-3][-1][0] += 1  # what the pipeline handed on; a clipped reward and the preset itself stand outside
    with pytest.raises(RuntimeError, match="stages"):
        taps.stages()


@pytest.mark.parametrize(
    ("env_id", "wrapper", "expected"),
    [
        (PONG, NatureAtari, "frame skip 4; no-op start of 1 to 30 steps"),
        ("Pong-v0", AtariPresetWrapper, "random frame skip of 2 to 4 in the game itself; sticky actions (0.25)"),
        ("ALE/Pong-v5", AtariPresetWrapper, "frame skip 4 in the game itself"),
        (PONG, AtariWrapper, "AtariWrapper"),
        (PONG, lambda env: env, "no preprocessing"),
        ("CartPole-v1", Monitor, "no preprocessing"),
    ],
)
def test_the_summary_names_the_preprocessing(env_id, wrapper, expected):
    assert expected in settings_of(wrapper(gym.make(env_id)))


@pytest.mark.parametrize(
    ("env_id", "options", "name"),
    [(PONG, {}, "raw frame"), (PONG, {"obs_type": "ram"}, "memory"), ("CartPole-v1", {}, "numbers")],
)
def test_what_a_game_shows_is_called_what_it_is(env_id, options, name):
    env = gym.make(env_id, **options)
    taps = ObservationRecorder(env)
    env.reset(seed=0)
    assert [stage.name for stage in taps.stages()] == [name]
