"""The picture half of a preset against plain numpy and OpenCV statements, on frames of real games."""

import ale_py
import cv2
import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_dqn.atari.frames import FramePipeline
from sb3_atari_dqn.atari.presets import AtariPreset

gym.register_envs(ale_py)


def game_frames(game: str, count: int = 20) -> list[np.ndarray]:
    """Raw frames, uint8 [H, W, 3], some way into a game of random play."""
    env = gym.make(f"{game}-v4")
    env.reset(seed=0)
    env.action_space.seed(0)
    return [env.step(env.action_space.sample())[0] for _ in range(count)]


@pytest.fixture(scope="module", params=["Pong", "MsPacman"])
def frames(request: pytest.FixtureRequest) -> list[np.ndarray]:
    return [*game_frames(request.param), np.random.default_rng(0).integers(0, 256, (210, 160, 3), np.uint8)]


def observe(preset: AtariPreset, frame: np.ndarray) -> np.ndarray:
    pipeline = FramePipeline(preset, frame.shape)
    observation = pipeline(frame)
    assert observation.shape == pipeline.shape
    assert observation.dtype == np.uint8
    assert observation.flags.c_contiguous
    return observation


def test_a_preset_that_asks_for_nothing_returns_the_frame(frames):
    for frame in frames:
        assert (observe(AtariPreset(), frame) == frame).all()


@pytest.mark.parametrize("size", [(84, 84), (105, 80), (80, 105)])
@pytest.mark.parametrize(
    ("resize", "flag"), [("area", cv2.INTER_AREA), ("bilinear", cv2.INTER_LINEAR), ("nearest", cv2.INTER_NEAREST)]
)
def test_luma_and_interpolation_equal_the_opencv_statement_in_height_and_width(frames, size, resize, flag):
    preset = AtariPreset(grayscale="luma", size=size, resize=resize)
    height, width = size
    for frame in frames:
        expected = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (width, height), interpolation=flag)
        assert (observe(preset, frame) == expected[:, :, None]).all()


def test_area_at_half_size_is_the_rounded_mean_of_each_two_by_two_block(frames):
    preset = AtariPreset(grayscale="luma", size=(105, 80))
    for frame in frames:
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(int)
        blocks = gray[::2, ::2] + gray[1::2, ::2] + gray[::2, 1::2] + gray[1::2, 1::2]
        assert (observe(preset, frame)[:, :, 0] == (blocks + 2) // 4).all()


def test_mean_gray_on_every_second_row_and_column_equals_numpy(frames):
    preset = AtariPreset(grayscale="mean", size=(105, 80), resize="stride")
    for frame in frames:
        expected = np.mean(frame[::2, ::2], axis=2).astype(np.uint8)
        assert (observe(preset, frame) == expected[:, :, None]).all()


def test_mean_gray_rounds_down_for_every_sum_of_three_channels():
    totals = np.arange(3 * 255 + 1)
    parts = [totals // 3, (totals + 1) // 3, (totals + 2) // 3]
    frame = np.stack(parts, axis=-1).astype(np.uint8)[None]  # [1, 766, 3]
    assert (observe(AtariPreset(grayscale="mean"), frame)[0, :, 0] == totals // 3).all()


def test_weighted_gray_is_the_weighted_sum_rounded_to_nearest(frames):
    weights = (0.299, 0.587, 0.114)
    for frame in frames:
        exact = frame @ np.array(weights)
        gray = observe(AtariPreset(grayscale=weights), frame)[:, :, 0]
        # Half a grey level, and what single precision adds to it.
        assert np.abs(gray - exact).max() < 0.5 + 1e-4


def test_weights_belong_to_red_green_and_blue_in_that_order():
    frame = np.zeros((2, 2, 3), np.uint8)
    frame[...] = (200, 100, 40)
    assert observe(AtariPreset(grayscale=(0.5, 0.25, 0.0)), frame).tolist() == [[[125]] * 2] * 2
    assert observe(AtariPreset(grayscale=(0.0, 0.25, 0.5)), frame).tolist() == [[[45]] * 2] * 2


def test_colour_by_striding_keeps_three_channels(frames):
    preset = AtariPreset(size=(105, 80), resize="stride")
    for frame in frames:
        assert (observe(preset, frame) == frame[::2, ::2]).all()


def test_colour_by_interpolation_resizes_each_channel(frames):
    for frame in frames:
        expected = cv2.resize(frame, (80, 105), interpolation=cv2.INTER_AREA)
        assert (observe(AtariPreset(size=(105, 80)), frame) == expected).all()


def test_the_crop_comes_first_and_the_stride_counts_from_its_corner(frames):
    preset = AtariPreset(crop=(35, 195, 1, 159), grayscale="mean", size=(80, 79), resize="stride")
    for frame in frames:
        expected = np.mean(frame[35:195, 1:159][::2, ::2], axis=2).astype(np.uint8)
        assert (observe(preset, frame) == expected[:, :, None]).all()


def test_crop_alone_cuts_rows_and_columns(frames):
    for frame in frames:
        assert (observe(AtariPreset(crop=(34, 194, 8, 150)), frame) == frame[34:194, 8:150]).all()


def test_the_stages_are_named_in_the_order_of_application():
    shape = (210, 160, 3)
    area = FramePipeline(AtariPreset(crop=(0, 200, 0, 160), grayscale="luma", size=(84, 84)), shape)
    stride = FramePipeline(AtariPreset(grayscale="luma", size=(105, 80), resize="stride"), shape)
    assert [name for name, _ in area.stages] == ["crop", "gray", "resize"]
    assert [name for name, _ in stride.stages] == ["stride", "gray"]


def test_a_crop_outside_of_the_frame_is_an_error():
    with pytest.raises(ValueError, match=r"crop=\(0, 220, 0, 160\) .*210 x 160 .*bottom <= 210"):
        FramePipeline(AtariPreset(crop=(0, 220, 0, 160)), (210, 160, 3))


def test_a_stride_that_does_not_come_out_even_is_an_error():
    with pytest.raises(ValueError, match=r"size=\(84, 80\) .*210 x 160 .*'area'"):
        FramePipeline(AtariPreset(size=(84, 80), resize="stride"), (210, 160, 3))
