"""The frozen descriptions: what they accept, what they refuse and what the refusal says."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from sb3_atari_dqn.atari.presets import AtariPreset


def test_lists_from_yaml_become_tuples_so_that_equal_descriptions_are_equal_and_hashable():
    from_yaml = AtariPreset(size=[105, 80], crop=[34, 194, 0, 160], grayscale=[0.299, 0.587, 0.114])  # type: ignore[arg-type]
    written = AtariPreset(size=(105, 80), crop=(34, 194, 0, 160), grayscale=(0.299, 0.587, 0.114))
    assert from_yaml == written
    assert hash(from_yaml) == hash(written)


def test_a_description_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        AtariPreset().noop_max = 5  # type: ignore[misc]


def test_overrides_replace_what_they_name_and_nothing_else():
    preset = AtariPreset(noop_max=30, frame_skip=4, size=(84, 84))
    assert preset.with_overrides({"size": [105, 80]}) == AtariPreset(noop_max=30, frame_skip=4, size=(105, 80))
    assert preset.with_overrides({}) == preset
    assert preset.size == (84, 84)


def test_an_unknown_override_is_named_beside_the_options_there_are():
    with pytest.raises(ValueError, match=r"screen_size; known: noop_max, .*size"):
        AtariPreset().with_overrides({"screen_size": 84})


def test_an_override_is_checked_against_the_options_it_leaves_in_place():
    with pytest.raises(ValueError, match=r"max_pool_frames=2: .*frame_skip=1"):
        AtariPreset(frame_skip=4, max_pool_frames=2).with_overrides({"frame_skip": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noop_max": -1}, r"noop_max=-1: .*0 for none"),
        ({"noop_max": 10**11}, r"noop_max=100000000000: .*at most 3600"),
        ({"frame_skip": 10**11}, r"frame_skip=100000000000: .*at most 3600"),
        ({"noop_max": True}, r"noop_max=True: "),
        ({"noop_max": 30.0}, r"noop_max=30.0: "),
        ({"fire_on_reset": "false"}, r"fire_on_reset='false': .*true or false"),
        ({"terminal_on_life_loss": 1}, r"terminal_on_life_loss=1: .*true or false"),
        ({"clip_reward": None}, r"clip_reward=None: .*true or false"),
        ({"frame_skip": 0}, r"frame_skip=0: .*1 for no skip"),
        ({"frame_skip": (2, 5)}, r"frame_skip=\(2, 5\): "),
        ({"frame_skip": 4, "max_pool_frames": 5}, r"max_pool_frames=5: .*frame_skip=4"),
        ({"max_pool_frames": 0}, r"max_pool_frames=0: "),
        ({"action_repeat_probability": 1.0}, r"action_repeat_probability=1.0: .*None"),
        ({"action_repeat_probability": -0.1}, r"action_repeat_probability=-0.1: .*None"),
        ({"reward_scale": 0.0}, r"reward_scale=0.0: .*a number above 0"),
        ({"reward_scale": float("nan")}, r"reward_scale=nan: "),
        ({"clip_reward": True, "reward_scale": 0.1}, r"reward_scale=0.1: .*set clip_reward to false"),
        ({"grayscale": "rgb2gray"}, r"grayscale='rgb2gray': .*one of luma, mean"),
        ({"grayscale": True}, r"grayscale=True: "),
        ({"grayscale": (0.5, 0.5)}, r"grayscale=\(0.5, 0.5\): .*three weights"),
        ({"grayscale": (0.5, 0.5, 0.5)}, r"grayscale=\(0.5, 0.5, 0.5\): .*at most 1"),
        ({"grayscale": (1.2, -0.2, 0.0)}, r"grayscale=\(1.2, -0.2, 0.0\): "),
        ({"grayscale": (0, 0, 0)}, r"grayscale=\(0, 0, 0\): "),
        ({"crop": (34, 34, 0, 160)}, r"crop=\(34, 34, 0, 160\): .*\(top, bottom, left, right\)"),
        ({"crop": (-1, 34, 0, 160)}, r"crop=\(-1, 34, 0, 160\): "),
        ({"crop": (34, 194)}, r"crop=\(34, 194\): "),
        ({"size": 84}, r"size=84: .*\(height, width\)"),
        ({"size": (84, 0)}, r"size=\(84, 0\): "),
        ({"size": (84, 84, 1)}, r"size=\(84, 84, 1\): "),
        ({"size": (84, 100_000)}, r"size=\(84, 100000\): .*\(height, width\) in pixels, both from 1 to 2048"),
        ({"resize": "cubic"}, r"resize='cubic': .*one of area, bilinear, nearest, stride"),
    ],
)
def test_a_bad_value_is_named_with_the_way_out(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        AtariPreset(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"noop_max": 0},
        {"frame_skip": 16, "max_pool_frames": 16},
        {"action_repeat_probability": 0.0},
        {"reward_scale": 100},
        {"clip_reward": True, "reward_scale": 1.0},
        {"grayscale": (0.299, 0.587, 0.114)},
        {"grayscale": (0, 1, 0)},
        {"crop": (0, 1, 0, 1)},
        {"size": (1, 1)},
    ],
)
def test_values_at_the_edge_of_their_range_are_accepted(options: dict[str, Any]):
    preset = AtariPreset(**options)
    assert {name: getattr(preset, name) for name in options} == options
