"""A contact sheet: for each preset a row of stages above the frame stack, each with shape, dtype and range."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sb3_atari_dqn.pictures.arrays import as_picture, describe, shape_text
from sb3_atari_dqn.pictures.drawing import (
    BACKGROUND,
    BLUE,
    MUTED,
    ORANGE,
    RAISED,
    fit,
    shortened,
    text_width,
    write,
)

MARGIN, GAP = 32, 44
BOX = (252, 252)  # an 84 x 84 frame enlarged three times, a raw frame at its own size
TITLE, NAME, NOTE = 24, 17, 14
CAPTION_HEIGHT = 66
SECTION_HEIGHT = 64
STACK_HEIGHT = 30


@dataclass(frozen=True)
class Panel:
    """
    :param name: of the stage or frame
    :param array: an observation or a part of one
    :param derived: computed from the panel to its left
    """

    name: str
    array: np.ndarray
    derived: bool = False


@dataclass(frozen=True)
class Section:
    """
    The result of one preprocessing pipeline.

    :param title: name of the pipeline
    :param settings: its other settings, in one line
    :param stages: from the raw frame to one processed frame
    :param stack: the frames of the observation, in stack order
    :param observation: input of the network
    """

    title: str
    settings: str
    stages: list[Panel]
    stack: list[Panel]
    observation: np.ndarray


def contact_sheet(title: str, sections: list[Section]) -> np.ndarray:
    """
    :param title: of the sheet
    :param sections: from top to bottom, with aligned columns
    :return: uint8 [H, W, 3]
    """
    lines = [line for section in sections for line in (section.stages, section.stack)]
    columns = _column_widths([[_width(panel) for panel in line] for line in lines])
    wanted = max([text_width(title, TITLE), *(text_width(_headline(section), NAME) for section in sections)])
    width = 2 * MARGIN + max(sum(columns) + GAP * (len(columns) - 1), min(wanted, 900))
    height = 2 * MARGIN + 40 + sum(_section_height(section) for section in sections)
    image = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    write(draw, (MARGIN, MARGIN), shortened(title, TITLE, width - 2 * MARGIN), TITLE)
    top = MARGIN + 40
    for section in sections:
        _draw_section(image, draw, section, top, columns)
        top += _section_height(section)
    return np.asarray(image)


def _draw_section(
    image: Image.Image, draw: ImageDraw.ImageDraw, section: Section, top: int, columns: list[int]
) -> None:
    room = image.width - 2 * MARGIN
    draw.line([(MARGIN, top + 4), (image.width - MARGIN, top + 4)], fill=RAISED)
    write(draw, (MARGIN, top + 14), shortened(section.title, NAME, room), NAME, ORANGE)
    write(draw, (MARGIN, top + 38), shortened(section.settings, NOTE, room), NOTE, MUTED)
    top += SECTION_HEIGHT
    _draw_line(image, draw, section.stages, top, columns)
    top += _line_height(section.stages)
    write(draw, (MARGIN, top), shortened(_stack_title(section), NAME, room), NAME, BLUE)
    _draw_line(image, draw, section.stack, top + STACK_HEIGHT, columns)


def _draw_line(
    image: Image.Image, draw: ImageDraw.ImageDraw, panels: list[Panel], top: int, columns: list[int]
) -> None:
    left = MARGIN
    for panel, width in zip(panels, columns, strict=False):
        if panel.derived:
            write(draw, (left - GAP // 2, top), ">", NAME, MUTED, anchor="ma")
        write(draw, (left, top), panel.name, NAME)
        write(draw, (left, top + 22), describe(panel.array), NOTE, MUTED)
        picture = _scaled(panel)
        image.paste(Image.fromarray(picture), (left, top + CAPTION_HEIGHT - 20))
        draw.rectangle(_frame_around(left, top + CAPTION_HEIGHT - 20, picture), outline=RAISED)
        left += width + GAP


def _frame_around(left: int, top: int, picture: np.ndarray) -> list[tuple[int, int]]:
    return [(left - 1, top - 1), (left + picture.shape[1], top + picture.shape[0])]


def _scaled(panel: Panel) -> np.ndarray:
    return fit(as_picture(panel.array), BOX)


def _width(panel: Panel) -> int:
    return max(_scaled(panel).shape[1], text_width(panel.name, NAME), text_width(describe(panel.array), NOTE))


def _column_widths(lines: list[list[int]]) -> list[int]:
    n_columns = max(map(len, lines))
    return [max(line[i] for line in lines if i < len(line)) for i in range(n_columns)]


def _line_height(panels: list[Panel]) -> int:
    return CAPTION_HEIGHT + max(_scaled(panel).shape[0] for panel in panels)


def _section_height(section: Section) -> int:
    return SECTION_HEIGHT + _line_height(section.stages) + STACK_HEIGHT + _line_height(section.stack)


def _headline(section: Section) -> str:
    return max(section.title, section.settings, _stack_title(section), key=len)


def _stack_title(section: Section) -> str:
    count = len(section.stack)
    what = f"a stack of {count} frames" if count > 1 else "a single frame"
    low, high = section.observation.min(), section.observation.max()
    shape = shape_text(section.observation.shape)
    return f"Input of the network: {what}, {shape} {section.observation.dtype}, {low:g} to {high:g}"
