"""Bars by the name of the action: values, advantages, or how often each was taken."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import ImageDraw

from sb3_atari_dqn.pictures.drawing import BLUE, MUTED, ORANGE, RAISED, TEXT, Colour, shortened, text_width, write

HEADING = 28
NUMBER = 54  # pixels, for what _signed writes
GAP = 8


class Axis:
    """
    A range of values around 0 that follows them slowly, so that bars do not jump.

    :param memory: what a picture leaves of the range where it is not used: 0.995 is half after 138 pictures
    """

    def __init__(self, memory: float = 0.995) -> None:
        self.low = self.high = 0.0
        self._memory = memory

    def include(self, values: np.ndarray) -> None:
        """:param values: that the next picture shows"""
        self.low = min(self._memory * self.low, float(values.min()))
        self.high = max(self._memory * self.high, float(values.max()))

    def place(self, value: float, width: int) -> int:
        """:return: pixels from the left end"""
        span = self.high - self.low
        return round((value - self.low) / span * width) if span > 0 else 0


def _signed(number: float) -> str:
    """:return: at most six characters up to 99999"""
    digits = 2 if abs(number) < 10 else 1 if abs(number) < 1000 else 0
    return f"{number:+.{digits}f}"


@dataclass(frozen=True)
class Column:
    """
    :param heading: what the numbers are
    :param numbers: one per action
    :param axis: of the bars
    :param colour: of the bars
    :param as_text: how a number is written
    """

    heading: str
    numbers: np.ndarray
    axis: Axis
    colour: Colour
    as_text: Callable[[float], str] = _signed


@dataclass
class ActionBars:
    """
    Draws the bars of a whole video, on axes of its own.

    :param names: of the actions
    """

    names: list[str]
    values: Axis = field(default_factory=Axis)
    advantages: Axis = field(default_factory=Axis)

    def columns(self, q: np.ndarray, value: float | None, advantages: np.ndarray | None) -> list[Column]:
        """
        :param q: action values
        :param value: of the state, None without a dueling head
        :param advantages: centred, None without a dueling head
        """
        if value is None or advantages is None:
            differences = q - q.mean()  # against values near 10 nobody sees a difference of 0.01
            self.values.include(q)
            self.advantages.include(differences)
            return [Column("Q", q, self.values, MUTED), Column("Q - mean", differences, self.advantages, BLUE)]
        self.values.include(np.append(q, value))
        self.advantages.include(advantages)
        return [
            Column("Q = V + A", np.append(value, q), self.values, MUTED),
            Column("A, advantage", np.append(np.nan, advantages), self.advantages, BLUE),
        ]

    def shares(self, counts: np.ndarray) -> list[Column]:
        """:param counts: how often each action was taken"""
        axis = Axis()
        axis.include(np.ones(1))
        return [Column("share of actions so far", counts / max(counts.sum(), 1), axis, MUTED, "{:.0%}".format)]

    def draw(
        self, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], columns: list[Column], chosen: int
    ) -> None:
        """
        :param box: left, top, width, height in pixels
        :param columns: beside each other; one number more than there are actions means the state's value comes first
        :param chosen: the action that is taken, highlighted
        """
        left, top, width, height = box
        has_value = len(columns[0].numbers) > len(self.names)
        labels = ["V, state"] * has_value + self.names
        row = min(34, (height - HEADING) // len(labels))
        size = max(min(16, row - 4), 8)
        label_width = min(max(text_width(label, size) for label in labels) + 12, width // 3)
        _draw_labels(draw, (left, top + HEADING), labels, row, size, label_width, width, chosen + has_value)
        column_width = (width - label_width) // len(columns)
        for i, column in enumerate(columns):
            place = left + label_width + i * column_width
            _draw_column(draw, (place, top), column, row, size, column_width - GAP, has_value)


def _draw_labels(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    labels: list[str],
    row: int,
    size: int,
    label_width: int,
    width: int,
    chosen: int,
) -> None:
    left, top = corner
    marked = top + chosen * row
    draw.rectangle((left, marked, left + width, marked + row - 2), fill=RAISED)
    for i, label in enumerate(labels):
        colour = TEXT if i == chosen else MUTED
        write(draw, (left + 6, top + i * row + row // 2), shortened(label, size, label_width - 8), size, colour, "lm")


def _draw_column(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    column: Column,
    row: int,
    size: int,
    width: int,
    has_value: bool,
) -> None:
    left, top = corner
    write(draw, (left, top), column.heading, 15)
    best = int(np.argmax(column.numbers[has_value:])) + has_value
    bar_width = width - NUMBER
    zero = left + column.axis.place(0, bar_width)
    bottom = top + HEADING + row * len(column.numbers)
    draw.line([(zero, top + HEADING), (zero, bottom - 4)], fill=MUTED)
    for i, number in enumerate(column.numbers):
        if np.isnan(number):
            continue
        colour = ORANGE if has_value and i == 0 else column.colour
        y = top + HEADING + i * row
        end = left + column.axis.place(float(number), bar_width)
        draw.rectangle((min(zero, end), y + row // 5, max(zero, end), y + row - row // 5 - 2), fill=colour)
        ink = TEXT if i == best else MUTED
        write(draw, (left + width, y + row // 2), column.as_text(number), size, ink, "rm")
