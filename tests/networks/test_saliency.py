"""Where a network looks: scales and colours."""

import numpy as np

from sb3_atari_dqn.pictures.drawing import BLUE, ORANGE
from sb3_atari_dqn.pictures.saliency import RunningScale, overlay

BLACK = np.zeros((2, 2, 3), np.uint8)
CORNER = np.array([[1.0, 0.0], [0.0, 0.0]])


def test_a_weak_map_after_a_strong_one_looks_weak_and_recovers_slowly():
    scale = RunningScale(memory=0.5, percentile=100)
    assert scale(np.array([0.0, 4.0])).tolist() == [0.0, 1.0]
    assert scale(np.array([0.0, 1.0])).tolist() == [0.0, 0.5]
    assert scale(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_single_inputs_above_the_percentile_are_cut():
    scale = RunningScale(percentile=50)
    assert scale(np.array([1.0, 2.0, 1000.0])).tolist() == [0.5, 1.0, 1.0]


def test_a_network_that_looks_nowhere_has_an_empty_map():
    assert not RunningScale()(np.zeros((2, 2))).any()


def test_colours_add_up_where_both_look():
    both = overlay(BLACK, [(CORNER, ORANGE), (CORNER, BLUE)], (8, 8))
    assert both.shape == (8, 8, 3)
    assert both[0, 0].tolist() == [min(a + b, 255) for a, b in zip(ORANGE, BLUE, strict=True)]
    assert not both[-1, -1].any()


def test_the_picture_is_dimmed_below_maps_only():
    white = np.full((2, 2, 3), 200, np.uint8)
    assert (overlay(white, [], (2, 2)) == 200).all()
    assert (overlay(white, [(np.zeros((2, 2)), BLUE)], (2, 2)) == 120).all()


def test_a_map_covers_a_light_picture_as_it_does_a_dark_one():
    white = np.full((2, 2, 3), 250, np.uint8)
    full, half = (overlay(white, [(np.full((2, 2), share), BLUE)], (2, 2))[0, 0] for share in (1.0, 0.5))
    assert full.tolist() == list(BLUE)
    assert half.tolist() == [75 + channel // 2 for channel in BLUE]


def test_the_map_of_a_vector_lies_in_rows_as_its_picture_does():
    saliency = np.zeros(20)
    saliency[17] = 1
    picture = overlay(np.zeros((2, 16, 3), np.uint8), [(saliency, BLUE)], (2, 16))
    assert np.argwhere(picture.any(axis=-1)).tolist() == [[1, 1]]


def test_the_map_of_a_vector_spreads_over_none_of_its_neighbours():
    saliency = np.zeros(16)
    saliency[5] = 1
    picture = overlay(np.zeros((1, 16, 3), np.uint8), [(saliency, BLUE)], (8, 128))
    assert set(np.nonzero(picture.any(axis=(0, 2)))[0].tolist()) == set(range(40, 48))
