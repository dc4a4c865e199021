"""Observations as pictures: any array in, something to look at out. H: height, W: width, C: channels."""

import numpy as np

#: How many bytes of the RAM stand beside each other.
RAM_COLUMNS = 16

Shape = tuple[int, ...]


def as_picture(array: np.ndarray) -> np.ndarray:
    """
    :param array: [H, W], [H, W, 1] or [H, W, 3], or a vector such as the RAM, which becomes rows of 16; numbers other
        than uint8 are stretched from their minimum to their maximum
    :return: uint8 [H, W, 3]
    :raises ValueError: if the array is no picture
    """
    if array.ndim == 1:
        array = np.pad(array, (0, -len(array) % RAM_COLUMNS)).reshape(-1, RAM_COLUMNS)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        raise ValueError(f"An array of shape {array.shape} is no picture: give [H, W], [H, W, 1] or [H, W, 3]")
    return np.ascontiguousarray(np.broadcast_to(_as_bytes(array), (*array.shape[:2], 3)))


def describe(array: np.ndarray) -> str:
    """:return: shape, type and range of values, such as "84 x 84 x 1 uint8, 0 to 236" """
    low, high = (f"{value:g}" for value in (array.min(), array.max()))
    return f"{shape_text(array.shape)} {array.dtype}, {low} to {high}"


def shape_text(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def single_frame_shape(shapes: list[Shape]) -> Shape:
    """
    Which part of a stacked observation is one frame.

    :param shapes: of the observations that each layer hands on, from the game to the agent
    :return: shape of the frames that the last one consists of: that of the innermost layer in a row of layers, ending
        at the agent, that keep height and width and only multiply the channels
    """
    frame = shapes[-1]
    for inner in reversed(shapes[:-1]):
        if not _stacks(inner, frame):
            break
        frame = inner
    return frame


def split_stack(observation: np.ndarray, frame_shape: Shape) -> list[np.ndarray]:
    """
    :param observation: frames stacked along the last axis, or along a first one of their own
    :param frame_shape: of one of them
    :return: the frames, in the order of the stack
    :raises ValueError: if the observation does not consist of such frames
    """
    if observation.shape[1:] == frame_shape:
        return list(observation)
    if not _stacks(frame_shape, observation.shape):
        raise ValueError(f"An observation of shape {observation.shape} does not consist of frames of {frame_shape}")
    return np.split(observation, observation.shape[-1] // frame_shape[-1], axis=-1)


def _stacks(inner: Shape, outer: Shape) -> bool:
    if outer[1:] == inner:
        return True
    return len(inner) == len(outer) > 0 and inner[:-1] == outer[:-1] and outer[-1] % inner[-1] == 0


def _as_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    numbers = array.astype(np.float64)
    span = numbers.max() - numbers.min()
    return np.rint((numbers - numbers.min()) * (255 / span if span > 0 else 0)).astype(np.uint8)
