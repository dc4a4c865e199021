"""Observations as images. H: height, W: width, C: channels."""

import numpy as np

#: Bytes per row when RAM is drawn as an image.
RAM_COLUMNS = 16

Shape = tuple[int, ...]


def as_picture(array: np.ndarray) -> np.ndarray:
    """
    :param array: [H, W], [H, W, 1] or [H, W, 3], or a vector such as RAM, which becomes rows of 16; dtypes other than
        uint8 are scaled from their minimum and maximum to 0 and 255
    :return: uint8 [H, W, 3]
    :raises ValueError: on any other shape
    """
    if array.ndim == 1:
        array = np.pad(array, (0, -len(array) % RAM_COLUMNS)).reshape(-1, RAM_COLUMNS)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        raise ValueError(f"An array of shape {array.shape} is not an image: give [H, W], [H, W, 1] or [H, W, 3]")
    return np.ascontiguousarray(np.broadcast_to(_as_bytes(array), (*array.shape[:2], 3)))


def describe(array: np.ndarray) -> str:
    """:return: shape, dtype and value range, such as "84 x 84 x 1 uint8, 0 to 236" """
    low, high = (f"{value:g}" for value in (array.min(), array.max()))
    return f"{shape_text(array.shape)} {array.dtype}, {low} to {high}"


def shape_text(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def single_frame_shape(shapes: list[Shape]) -> Shape:
    """
    Find the shape of one frame in a stacked observation.

    :param shapes: observation shape of each wrapper, from the game to the agent
    :return: shape of the frames in the last observation: walking inwards from the agent, the innermost shape as long as
        the wrappers keep height and width and only multiply the channels
    """
    frame = shapes[-1]
    for inner in reversed(shapes[:-1]):
        if not _stacks(inner, frame):
            break
        frame = inner
    return frame


def split_stack(observation: np.ndarray, frame_shape: Shape) -> list[np.ndarray]:
    """
    :param observation: frames stacked along the last axis, or along a separate first axis
    :param frame_shape: of one of them
    :return: the frames, in stack order
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
