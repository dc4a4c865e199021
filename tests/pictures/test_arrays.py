"""Observations as images."""

import numpy as np
import pytest

from sb3_atari_dqn.pictures.arrays import as_picture, describe, single_frame_shape, split_stack

GRAY = np.array([[0, 255], [7, 9]], np.uint8)


@pytest.mark.parametrize("array", [GRAY, GRAY[..., None]])
def test_gray_becomes_three_equal_channels(array):
    picture = as_picture(array)
    assert picture.shape == (2, 2, 3)
    assert all((picture[..., colour] == GRAY).all() for colour in range(3))


def test_a_vector_becomes_rows_of_sixteen():
    picture = as_picture(np.arange(20, dtype=np.uint8))
    assert picture.shape == (2, 16, 3)
    assert picture[1, :5, 0].tolist() == [16, 17, 18, 19, 0]


def test_other_dtypes_are_scaled_to_the_full_range():
    assert as_picture(np.array([[-1.0, 0.0, 1.0]]))[0, :, 0].tolist() == [0, 128, 255]
    assert not as_picture(np.full((2, 2), 3.5)).any()


@pytest.mark.parametrize("shape", [(2, 2, 4), (2, 2, 2, 1)])
def test_other_shapes_raise_with_the_shape(shape):
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        as_picture(np.zeros(shape, np.uint8))


def test_a_description_has_shape_dtype_and_range():
    assert describe(GRAY) == "2 x 2 uint8, 0 to 255"


@pytest.mark.parametrize(
    ("shapes", "frame"),
    [
        ([(210, 160, 3), (84, 84, 1), (84, 84, 4)], (84, 84, 1)),
        ([(210, 160, 3), (105, 80, 3), (105, 80, 12)], (105, 80, 3)),
        ([(210, 160, 3), (210, 160, 1), (210, 160, 3)], (210, 160, 1)),  # 3 gray frames of full size, no colours
        ([(210, 160, 3), (84, 84), (4, 84, 84)], (84, 84)),  # a first axis of their own
        ([(128,), (512,)], (128,)),
        ([(4,)], (4,)),
    ],
)
def test_one_frame_is_the_input_of_the_stacking_wrappers(shapes, frame):
    assert single_frame_shape(shapes) == frame


def test_a_stack_is_split_into_its_frames_in_order():
    stack = np.arange(8).reshape(1, 2, 4)
    assert [frame.tolist() for frame in split_stack(stack, (1, 2, 2))] == [[[[0, 1], [4, 5]]], [[[2, 3], [6, 7]]]]
    assert [frame.tolist() for frame in split_stack(np.arange(4).reshape(2, 1, 2), (1, 2))] == [[[0, 1]], [[2, 3]]]


def test_a_stack_of_other_frames_raises():
    with pytest.raises(ValueError, match=r"\(84, 84, 4\).*\(84, 84, 3\)"):
        split_stack(np.zeros((84, 84, 4)), (84, 84, 3))
