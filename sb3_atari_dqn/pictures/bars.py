"""Bar charts per action: action values, advantages, or action frequencies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from PIL import ImageDraw

from sb3_atari_dqn.pictures.drawing import BLUE, MUTED, ORANGE, RAISED, TEXT, Colour, shortened, text_width, write

HEADING = 28
HEADING_SIZE = 15
NUMBER = 54  # pixels, for the text of signed
GAP = 8


class Axis:
    """
    An axis range that contains 0 and shrinks slowly, so that bars do not jump.

    :param memory: factor per frame for the unused part of the range: 0.995 halves it in 138 frames
    """

    def __init__(self, memory: float = 0.995) -> None:
        self.low = self.high = 0.0
        self._memory = memory

    def include(self, values: np.ndarray) -> None:
        """:param values: of the next frame"""
        self.low = min(self._memory * self.low, float(values.min()))
        self.high = max(self._memory * self.high, float(values.max()))

    def place(self, value: float, width: int) -> int:
        """:return: pixels from the left end"""
        span = self.high - self.low
        return round((value - self.low) / span * width) if span > 0 else 0


def signed(number: float) -> str:
    """:return: at most six characters up to 99999"""
    digits = 2 if abs(number) < 10 else 1 if abs(number) < 1000 else 0
    return f"{number:+.{digits}f}"


class Rows(NamedTuple):
    """
    The rows of a picture, one per action.

    :param height: in pixels
    :param size: of the font
    :param has_value: whether the state value has a row above the actions
    """

    height: int
    size: int
    has_value: bool


class Column(Protocol):
    """
    What can be drawn beside the names of the actions. In pixels, SHORTEST and TALLEST: limits of the height of its
    rows; FOOTER: below them; LEADING: by which text is smaller than its row.

    :param numbers: one per row: one per action, after the state value if that has a row
    """

    SHORTEST: ClassVar[int]
    TALLEST: ClassVar[int]
    FOOTER: ClassVar[int]
    LEADING: ClassVar[int]

    @property
    def numbers(self) -> np.ndarray: ...

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], rows: Rows, width: int) -> None:
        """
        :param corner: left, top in pixels; the rows begin ``HEADING`` below
        :param width: in pixels
        """


@dataclass(frozen=True)
class BarColumn:
    """
    :param heading: of the column
    :param numbers: one per action
    :param axis: of the bars
    :param colour: of the bars
    :param as_text: formats a number
    """

    heading: str
    numbers: np.ndarray
    axis: Axis
    colour: Colour
    as_text: Callable[[float], str] = signed

    SHORTEST: ClassVar[int] = 2
    TALLEST: ClassVar[int] = 34
    FOOTER: ClassVar[int] = 0
    LEADING: ClassVar[int] = 4

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], rows: Rows, width: int) -> None:
        """See :class:`Column`."""
        left, top = corner
        write(draw, (left, top), shortened(self.heading, HEADING_SIZE, width), HEADING_SIZE)
        bar_width = width - NUMBER
        zero = left + self.axis.place(0, bar_width)
        bottom = top + HEADING + rows.height * len(self.numbers)
        draw.line([(zero, top + HEADING), (zero, bottom - 4)], fill=MUTED)
        for i, number in enumerate(self.numbers):
            if np.isnan(number):
                continue
            colour = ORANGE if rows.has_value and i == 0 else self.colour
            y = top + HEADING + i * rows.height
            end = left + self.axis.place(float(number), bar_width)
            inset = rows.height // 5
            draw.rectangle((min(zero, end), y + inset, max(zero, end), y + rows.height - inset - 2), fill=colour)
        write_numbers(draw, (left + width, top), self.numbers, rows, self.as_text)


@dataclass
class ActionBars:
    """
    Draws the bars of one video, and keeps their axes.

    :param names: of the actions
    """

    names: list[str]
    values: Axis = field(default_factory=Axis)
    advantages: Axis = field(default_factory=Axis)

    def columns(self, q: np.ndarray, value: float | None, advantages: np.ndarray | None) -> list[BarColumn]:
        """
        :param q: action values
        :param value: state value, None without a dueling head
        :param advantages: centred over the actions, None without a dueling head
        """
        if value is None or advantages is None:
            differences = q - q.mean()  # a difference of 0.01 is invisible in values near 10
            self.values.include(q)
            self.advantages.include(differences)
            return [
                BarColumn("action value Q", q, self.values, MUTED),
                BarColumn("Q - mean", differences, self.advantages, BLUE),
            ]
        self.values.include(np.append(q, value))
        self.advantages.include(advantages)
        return [
            BarColumn("Q = V + A", np.append(value, q), self.values, MUTED),
            BarColumn("advantage A", np.append(np.nan, advantages), self.advantages, BLUE),
        ]

    def frequencies(self, counts: np.ndarray) -> list[BarColumn]:
        """:param counts: how often each action was taken"""
        axis = Axis()
        axis.include(np.ones(1))
        return [BarColumn("action frequencies so far", counts / max(counts.sum(), 1), axis, MUTED, "{:.0%}".format)]

    def draw(
        self, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], columns: Sequence[Column], chosen: int
    ) -> None:
        """
        :param box: left, top, width, height in pixels
        :param columns: of one kind, from left to right, omitted if their rows have no room; with one number more than
            actions, the first one is the state value
        :param chosen: index of the selected action, which is highlighted
        """
        left, top, width, height = box
        if (height - HEADING - columns[0].FOOTER) // len(columns[0].numbers) < columns[0].SHORTEST:
            write(draw, (left, top), f"{len(self.names)} actions are too many to show", HEADING_SIZE)
            return
        has_value = len(columns[0].numbers) > len(self.names)
        labels = ["V (state)"] * has_value + self.names
        row = min(columns[0].TALLEST, (height - HEADING - columns[0].FOOTER) // len(labels))
        size = max(min(16, row - columns[0].LEADING), 8)
        label_width = min(max(text_width(label, size) for label in labels) + 12, width // 3)
        _draw_labels(draw, (left, top + HEADING), labels, row, size, label_width, width, chosen + has_value)
        column_width = (width - label_width) // len(columns)
        for i, column in enumerate(columns):
            place = left + label_width + i * column_width
            column.draw(draw, (place, top), Rows(row, size, has_value), column_width - GAP)


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


def write_numbers(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    numbers: np.ndarray,
    rows: Rows,
    as_text: Callable[[float], str] = signed,
) -> None:
    """
    Write a number in each row, and that of the greedy action brighter.

    :param corner: right, top of the column in pixels
    :param numbers: one per row; nothing is written for NaN
    """
    right, top = corner
    greedy = int(np.argmax(numbers[rows.has_value :])) + rows.has_value
    for i, number in enumerate(numbers):
        if not np.isnan(number):
            middle = top + HEADING + i * rows.height + rows.height // 2
            write(draw, (right, middle), as_text(number), rows.size, TEXT if i == greedy else MUTED, "rm")
