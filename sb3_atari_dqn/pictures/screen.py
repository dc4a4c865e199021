"""One frame of a video: the game beside observation, saliency maps and action values."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from sb3_atari_dqn.pictures.arrays import as_picture
from sb3_atari_dqn.pictures.bars import ActionBars, Column
from sb3_atari_dqn.pictures.drawing import BACKGROUND, MUTED, RAISED, TEXT, Colour, fit, shortened, text_width, write
from sb3_atari_dqn.pictures.saliency import overlay

WIDTH, HEIGHT = 1280, 720
MARGIN, GAP = 24, 22
LABEL = 26  # pixels above a panel, for its label
SPACE = 16  # between the frames of a stack

Box = tuple[int, int, int, int]  # left, top, width, height


@dataclass(frozen=True)
class Layout:
    """
    Positions of the panels, in pixels.

    :param game: the rendered game
    :param saliency: saliency maps over the newest frame; the label is above the box
    :param stack: the frames of the observation, including the label
    :param bars: per action, if the observation is an image
    :param wide_bars: per action, otherwise
    """

    game: Box
    saliency: Box
    stack: Box
    bars: Box
    wide_bars: Box


#: Atari screens are enlarged three times, frames of 84 x 84 four times.
BESIDE = Layout((24, 66, 480, 630), (526, 92, 336, 336), (526, 490, 730, 194), (884, 66, 372, 384), (526, 66, 730, 384))
#: For games that are much wider than high: the game above the other panels.
ABOVE = Layout(
    (24, 66, 1232, 308), (24, 422, 240, 240), (286, 396, 560, 280), (868, 396, 388, 280), (24, 396, 1232, 280)
)
WIDE = 1.6  # aspect ratio above which this layout is used; 4:3 is a television screen


@dataclass(frozen=True)
class View:
    """
    The content of one frame of the video.

    :param title: constant over the video
    :param status: counters of this step
    :param game: the rendered game, uint8 [H, W, 3]
    :param frames: of the observation, newest last; empty if it is not an image
    :param maps: saliency in [0, 1], with colour and legend
    :param columns: of the bars, may be empty
    :param chosen: index of the selected action
    :param note: remark below the bars: an exploratory action, or why there are no action values
    """

    title: str
    status: str
    game: np.ndarray
    frames: list[np.ndarray] = field(default_factory=list)
    maps: list[tuple[np.ndarray, Colour, str]] = field(default_factory=list)
    columns: Sequence[Column] = ()
    chosen: int = 0
    note: str = ""


def draw_screen(view: View, bars: ActionBars) -> np.ndarray:
    """
    :param view: content
    :param bars: keep their axes from frame to frame
    :return: uint8 [720, 1280, 3]
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(image)
    game = as_picture(view.game)
    layout = ABOVE if game.shape[1] > WIDE * game.shape[0] else BESIDE
    _draw_head(draw, view)
    _paste(image, fit(game, (layout.game[3], layout.game[2])), layout.game)
    if view.frames:
        _draw_saliency(image, draw, view, layout.saliency)
        _draw_stack(image, draw, view.frames, layout.stack)
    box = layout.bars if view.frames else layout.wide_bars
    if view.columns:
        bars.draw(draw, box, view.columns, view.chosen)
    left, top, width, height = box
    write(draw, (left, top + height + 8), shortened(view.note, 14, width), 14, MUTED)
    return np.asarray(image)


def _draw_head(draw: ImageDraw.ImageDraw, view: View) -> None:
    status = shortened(view.status, 19, WIDTH // 2)
    room = WIDTH - 2 * MARGIN - text_width(status, 19) - GAP
    write(draw, (MARGIN, 22), shortened(view.title, 19, room), 19, TEXT)
    write(draw, (WIDTH - MARGIN, 22), status, 19, TEXT, "ra")


def _draw_saliency(image: Image.Image, draw: ImageDraw.ImageDraw, view: View, box: Box) -> None:
    left, top, width, height = box
    write(draw, (left, top - LABEL), "saliency over the newest frame" if view.maps else "newest frame")
    maps = [(saliency, colour) for saliency, colour, _ in view.maps]
    _paste(image, overlay(as_picture(view.frames[-1]), maps, (height, width)), box)
    for i, (_, colour, meaning) in enumerate(view.maps):
        line = top + height + 8 + 20 * i
        draw.rectangle((left, line + 2, left + 12, line + 14), fill=colour)
        write(draw, (left + 20, line), meaning, 14, MUTED)


def _draw_stack(image: Image.Image, draw: ImageDraw.ImageDraw, frames: list[np.ndarray], box: Box) -> None:
    left, top, width, height = box
    heading = f"observation: {len(frames)} stacked frames, newest right" if len(frames) > 1 else "observation"
    write(draw, (left, top), heading)
    room = height - LABEL
    each = min((width + SPACE) // len(frames) - SPACE, room + 1)
    for i, frame in enumerate(frames):
        picture = fit(as_picture(frame), (room, each))
        _paste(image, picture, (left + i * (each + SPACE), top + LABEL, *picture.shape[1::-1]))


def _paste(image: Image.Image, picture: np.ndarray, box: Box) -> None:
    """Center a picture in its box, with a thin border."""
    left, top, width, height = box
    left, top = left + (width - picture.shape[1]) // 2, top + (height - picture.shape[0]) // 2
    image.paste(Image.fromarray(picture), (left, top))
    right, bottom = left + picture.shape[1], top + picture.shape[0]
    ImageDraw.Draw(image).rectangle((left - 1, top - 1, right, bottom), outline=RAISED)
