"""Return distributions: a histogram per action, on a common axis. A: actions, D: points, N: bars."""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import numpy as np
from PIL import ImageDraw

from sb3_atari_dqn.pictures.bars import GAP, HEADING, HEADING_SIZE, NUMBER, Axis, Rows, write_numbers
from sb3_atari_dqn.pictures.drawing import (
    BLUE,
    MUTED,
    ORANGE,
    RAISED,
    SLATE,
    TEXT,
    Colour,
    shortened,
    text_width,
    write,
)

#: Most bars of a histogram of quantiles, from one end of the axis to the other.
BARS = 40
#: Fewest of them; between, a bar per quantile: with more of them, few quantiles would look like a comb.
FEWEST_BARS = 10
#: Atoms that get a bar each; more of them share bars.
MOST_ATOMS = 64
TICK_SIZE = 12


class ReturnsAxis:
    """A range of returns that never shrinks, so that the histograms of an episode stay in place."""

    def __init__(self) -> None:
        self.low = self.high = math.nan

    def include(self, low: float, high: float, rounded: bool) -> None:
        """
        :param low: smallest return of the next frame
        :param high: largest one
        :param rounded: grow beyond that to round numbers, so that it grows rarely
        """
        if self.low <= low <= high <= self.high:
            return
        lowest, highest = float(np.fmin(low, self.low)), float(np.fmax(high, self.high))
        if rounded:
            margin = (highest - lowest) / 4  # on the sides that grow
            lowest -= margin * (lowest != self.low)
            highest += margin * (highest != self.high)
            lowest, highest = _round_ends(lowest, highest)
        self.low, self.high = lowest, highest

    def place(self, value: float, width: int) -> int:
        """:return: pixels from the left end"""
        return round((value - self.low) / (self.high - self.low) * width)


def _round_ends(low: float, high: float) -> tuple[float, float]:
    """:return: multiples of 1, 2 or 5 times a power of ten around both, at least one step apart"""
    step = _round_step((high - low or max(abs(high), 1)) / 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return first * step, max(last, first + 1) * step


def _round_step(least: float) -> float:
    """:return: the smallest of 1, 2 and 5 times a power of ten that is not below"""
    power = 10.0 ** math.floor(math.log10(least))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)


def ticks(low: float, high: float, axis: ReturnsAxis, width: int) -> list[tuple[str, int, int]]:
    """
    :param low: smallest return that may be written
    :param high: largest one
    :param width: of the axis in pixels
    :return: at most five numbers at equal, round distances, zero among them if it can be: texts, their left ends and
        places
    """
    step = _round_step((high - low) / 4)
    while (last := math.floor(high / step + 1e-6)) > (first := math.ceil(low / step - 1e-6)):
        texts = _placed([i * step for i in range(first, last + 1)], axis, width)
        if all(left + text_width(text, TICK_SIZE) + GAP <= after for (text, left, _), (_, after, _) in pairwise(texts)):
            return texts
        step = _round_step(1.5 * step)
    return _placed([low, high], axis, width)


def _placed(numbers: list[float], axis: ReturnsAxis, width: int) -> list[tuple[str, int, int]]:
    """:return: as texts with their left ends, around their places but not beyond the axis, and these places"""
    texts = [(f"{number:g}", axis.place(number, width)) for number in numbers]
    sizes = [text_width(text, TICK_SIZE) for text, _ in texts]
    return [
        (text, min(max(place - size // 2, 0), width - size), place)
        for (text, place), size in zip(texts, sizes, strict=True)
    ]


@dataclass(frozen=True)
class HistogramColumn:
    """
    A histogram per action with its mean, the action values, and their differences.

    :param numbers: means, after the state value if there is one
    :param differences: advantages, or action values minus their mean; NaN for the state value
    :param heading: of the differences
    :param edges: of the bars, [N + 1]
    :param masses: probability of each bar, [A, N]
    :param axis: of the returns
    :param tallest: mass of a bar as high as its row
    :param ends: smallest and largest return that may be written below the axis
    """

    numbers: np.ndarray
    differences: np.ndarray
    heading: str
    edges: np.ndarray
    masses: np.ndarray
    axis: ReturnsAxis
    tallest: float
    ends: tuple[float, float]

    SHORTEST: ClassVar[int] = 7
    TALLEST: ClassVar[int] = 56
    FOOTER: ClassVar[int] = 18
    LEADING: ClassVar[int] = 5  # so that the longest of Atari's 18 names fit

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], rows: Rows, width: int) -> None:
        """See :class:`~sb3_atari_dqn.pictures.bars.Column`."""
        left, top = corner
        right = left + width
        for numbers, heading in ((self.differences, self.heading), (self.numbers, "Q")):
            write(draw, (right, top), heading, HEADING_SIZE, anchor="ra")
            write_numbers(draw, (right, top), numbers, rows)
            right -= max(NUMBER, text_width(heading, HEADING_SIZE)) + 2 * GAP
        width = right - left
        write(draw, (left, top), shortened("return", HEADING_SIZE, width), HEADING_SIZE)
        self._draw_histograms(draw, (left, top + HEADING), rows, width)
        self._draw_ticks(draw, (left, top + HEADING + rows.height * len(self.numbers)), width)

    def _draw_histograms(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], rows: Rows, width: int) -> None:
        left, top = corner
        bottoms = [top + (i + 1) * rows.height - 3 for i in range(len(self.numbers))]  # of the lines below the bars
        room = rows.height - 6
        if self.axis.low < 0 < self.axis.high:
            zero = left + self.axis.place(0, width)
            draw.line([(zero, top), (zero, bottoms[-1])], fill=RAISED)
        greedy = int(np.argmax(self.numbers[rows.has_value :]))
        for action, masses in enumerate(self.masses):
            colour = BLUE if action == greedy else SLATE
            self._draw_bars(draw, (left, bottoms[action + rows.has_value]), masses, (width, room), colour)
        for i, (number, bottom) in enumerate(zip(self.numbers, bottoms, strict=True)):
            draw.line([(left, bottom), (left + width, bottom)], fill=SLATE)
            mean = left + self.axis.place(float(number), width)
            draw.rectangle((mean - 1, bottom - room, mean, bottom), fill=ORANGE if i < rows.has_value else TEXT)

    def _draw_bars(
        self,
        draw: ImageDraw.ImageDraw,
        corner: tuple[int, int],
        masses: np.ndarray,
        size: tuple[int, int],
        colour: Colour,
    ) -> None:
        """
        :param corner: left, bottom in pixels; the bars end above it
        :param size: width and height of the histogram
        """
        left, bottom = corner
        places = [left + self.axis.place(float(edge), size[0]) for edge in self.edges]
        for start, stop, mass in zip(places[:-1], places[1:], masses, strict=True):
            height = round(float(mass) / self.tallest * size[1])
            if height > 0 and stop > start:
                draw.rectangle((start, bottom - height, stop - 1, bottom - 1), fill=colour)

    def _draw_ticks(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int) -> None:
        left, top = corner
        for text, start, place in ticks(*self.ends, self.axis, width):
            draw.line([(left + place, top - 2), (left + place, top)], fill=SLATE)
            write(draw, (left + start, top), text, TICK_SIZE, MUTED)


@dataclass
class ActionHistograms:
    """
    Makes the histograms of one video, and keeps their scales.

    :param axis: of the returns
    :param heights: of the bars, decays as the scale of saliency does
    """

    axis: ReturnsAxis = field(default_factory=ReturnsAxis)
    heights: Axis = field(default_factory=lambda: Axis(memory=0.98))

    def column(
        self,
        q: np.ndarray,
        value: float | None,
        advantages: np.ndarray | None,
        returns: np.ndarray,
        probabilities: np.ndarray,
    ) -> HistogramColumn:
        """
        :param q: action values, the means of the distributions
        :param value: state value, None without a dueling head
        :param advantages: centred over the actions, None without a dueling head
        :param returns: points of each action's return distribution, [A, D]
        :param probabilities: of these points, [A, D]
        """
        numbers, differences, heading = q, q - q.mean(), "Q - mean"
        if value is not None and advantages is not None:
            numbers, differences, heading = np.append(value, q), np.append(np.nan, advantages), "A"
        low, high = float(returns.min()), float(returns.max())
        spacing = _spacing_of_atoms(returns)
        beyond = spacing / 2  # an atom's bar is as wide as their spacing
        self.axis.include(min(low - beyond, numbers.min()), max(high + beyond, numbers.max()), rounded=spacing == 0)
        if spacing:
            ends = low, high
            edges, masses = _bars_of_atoms(low - beyond, high + beyond, probabilities)
        else:
            ends = self.axis.low, self.axis.high
            edges = np.linspace(*ends, min(max(FEWEST_BARS, returns.shape[1]), BARS) + 1)
            pairs = zip(np.clip(returns, *ends), probabilities, strict=True)
            masses = np.stack([np.histogram(points, edges, weights=weights)[0] for points, weights in pairs])
        self.heights.include(masses)
        return HistogramColumn(numbers, differences, heading, edges, masses, self.axis, self.heights.high, ends)


def _spacing_of_atoms(returns: np.ndarray) -> float:
    """:return: distance of equally spaced points that all actions share; 0 for others, such as quantiles"""
    first, last = float(returns[0, 0]), float(returns[0, -1])
    spacing = (last - first) / max(returns.shape[1] - 1, 1)
    atoms = np.linspace(first, last, returns.shape[1])
    return spacing if spacing > 0 and (np.abs(returns - atoms) <= spacing / 1000).all() else 0.0


def _bars_of_atoms(low: float, high: float, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    :param low: left end of the first atom's bar
    :param high: right end of the last atom's bar
    :param probabilities: of the atoms, [A, D]
    :return: edges of the bars and their masses; an atom that lies in two bars is divided between them
    """
    n_atoms = probabilities.shape[1]
    edges = np.linspace(low, high, min(n_atoms, MOST_ATOMS) + 1)
    ends = np.linspace(low, high, n_atoms + 1)
    below = np.cumsum(np.pad(probabilities, ((0, 0), (1, 0))), axis=1)
    return edges, np.diff([np.interp(edges, ends, row) for row in below], axis=1)
