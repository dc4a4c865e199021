"""One picture of a video: the game beside what the agent sees, where it looks, and what it thinks of each action."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from sb3_atari_dqn.pictures.arrays import as_picture
from sb3_atari_dqn.pictures.bars import ActionBars, Column
from sb3_atari_dqn.pictures.drawing import BACKGROUND, MUTED, RAISED, TEXT, Colour, fit, shortened, text_width, write
from sb3_atari_dqn.pictures.saliency import overlay

WIDTH, HEIGHT = 1280, 720
MARGIN, GAP = 24, 22
TOP = 66
GAME_BOX = (630, 480)  # a raw frame three times as large
SIGHT = 336  # an 84 x 84 picture four times as large
RIGHT = MARGIN + GAME_BOX[1] + GAP
STACK_TOP = 490


@dataclass(frozen=True)
class View:
    """
    What one picture of the video shows.

    :param title: stays the same
    :param status: counts of this moment
    :param game: what the game shows, uint8 [H, W, 3]
    :param frames: of the observation, newest last; none where it is no picture
    :param maps: where the network looks, from 0 to 1, with the colour and what it stands for
    :param columns: of the bars, none where there is nothing to draw
    :param chosen: number of the action that is taken
    :param note: what is left out and why, or what is special about this moment
    """

    title: str
    status: str
    game: np.ndarray
    frames: list[np.ndarray] = field(default_factory=list)
    maps: list[tuple[np.ndarray, Colour, str]] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    chosen: int = 0
    note: str = ""


def draw_screen(view: View, bars: ActionBars) -> np.ndarray:
    """
    :param view: what to show
    :param bars: which keep their axes from picture to picture
    :return: uint8 [720, 1280, 3]
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(image)
    _draw_head(draw, view)
    _paste(image, fit(as_picture(view.game), GAME_BOX), (MARGIN, TOP), GAME_BOX)
    bars_left = RIGHT
    if view.frames:
        _draw_sight(image, draw, view)
        _draw_stack(image, draw, view.frames)
        bars_left += SIGHT + GAP
    bars_box = (bars_left, TOP, WIDTH - MARGIN - bars_left, STACK_TOP - TOP - 40)
    if view.columns:
        bars.draw(draw, bars_box, view.columns, view.chosen)
    write(draw, (bars_left, STACK_TOP - 32), shortened(view.note, 14, bars_box[2]), 14, MUTED)
    return np.asarray(image)


def _draw_head(draw: ImageDraw.ImageDraw, view: View) -> None:
    status = shortened(view.status, 19, WIDTH // 2)
    room = WIDTH - 2 * MARGIN - text_width(status, 19) - GAP
    write(draw, (MARGIN, 22), shortened(view.title, 19, room), 19, TEXT)
    write(draw, (WIDTH - MARGIN, 22), status, 19, TEXT, "ra")


def _draw_sight(image: Image.Image, draw: ImageDraw.ImageDraw, view: View) -> None:
    write(draw, (RIGHT, TOP), "where the network looks" if view.maps else "newest frame")
    maps = [(saliency, colour) for saliency, colour, _ in view.maps]
    picture = overlay(as_picture(view.frames[-1]), maps, (SIGHT, SIGHT))
    _paste(image, picture, (RIGHT, TOP + 26), (SIGHT, SIGHT))
    for i, (_, colour, meaning) in enumerate(view.maps):
        top = TOP + 26 + SIGHT + 8 + 20 * i
        draw.rectangle((RIGHT, top + 2, RIGHT + 12, top + 14), fill=colour)
        write(draw, (RIGHT + 20, top), meaning, 14, MUTED)


def _draw_stack(image: Image.Image, draw: ImageDraw.ImageDraw, frames: list[np.ndarray]) -> None:
    heading = f"the stack of {len(frames)} frames that it gets, newest right" if len(frames) > 1 else "what it gets"
    write(draw, (RIGHT, STACK_TOP), heading)
    space = 16
    width = min((WIDTH - MARGIN - RIGHT + space) // len(frames) - space, 169)
    for i, frame in enumerate(frames):
        left = RIGHT + i * (width + space)
        _paste(image, fit(as_picture(frame), (168, width)), (left, STACK_TOP + 26))


def _paste(
    image: Image.Image, picture: np.ndarray, corner: tuple[int, int], box: tuple[int, int] | None = None
) -> None:
    """Put a picture into the middle of its box, or the upper left corner where there is none, with a thin frame."""
    left, top = corner
    height, width = picture.shape[:2]
    if box is not None:
        left, top = left + (box[1] - width) // 2, top + (box[0] - height) // 2
    image.paste(Image.fromarray(picture), (left, top))
    ImageDraw.Draw(image).rectangle((left - 1, top - 1, left + width, top + height), outline=RAISED)
