"""Bar charts of action values."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sb3_atari_dqn.pictures.bars import GAP, HEADING, HEADING_SIZE, ActionBars, Axis
from sb3_atari_dqn.pictures.drawing import BLUE, MUTED, ORANGE, RAISED, text_width
from sb3_atari_dqn.pictures.histograms import ActionHistograms

BOX = (10, 10, 360, 380)


def drawn(bars, columns, chosen=0):
    image = Image.new("RGB", (400, 400))
    bars.draw(ImageDraw.Draw(image), BOX, columns, chosen)
    return np.asarray(image)


def widest(picture, colour):
    """:return: longest horizontal run of a colour in each row of pixels that has one"""
    rows = (picture == colour).all(axis=-1)
    return [int(row.sum()) for row in rows if row.sum() > 5]


def test_an_axis_contains_zero_grows_immediately_and_shrinks_slowly():
    axis = Axis(memory=0.5)
    axis.include(np.array([2.0, 8.0]))
    assert (axis.low, axis.high) == (0.0, 8.0)
    axis.include(np.array([-1.0, 1.0]))
    assert (axis.low, axis.high) == (-1.0, 4.0)
    assert [axis.place(value, 100) for value in (-1, 0, 4)] == [0, 20, 100]


def test_an_empty_axis_range_maps_to_zero():
    assert Axis().place(0.0, 100) == 0


def test_bar_lengths_are_proportional_to_the_values():
    bars = ActionBars(["A", "B"])
    picture = drawn(bars, bars.columns(np.array([4.0, 2.0]), None, None))
    lengths = [n for n in widest(picture, MUTED) if n > 50]
    assert max(lengths) == pytest.approx(2 * min(lengths), abs=4)


def test_without_advantages_values_minus_their_mean_are_shown():
    bars = ActionBars(["A", "B"])
    values, differences = bars.columns(np.array([10.6, 10.5]), None, None)
    assert values.numbers.tolist() == [10.6, 10.5]
    assert differences.numbers == pytest.approx([0.05, -0.05])
    assert differences.axis.high == pytest.approx(0.05)


def test_state_value_and_advantages_have_their_own_bars():
    bars = ActionBars(["A", "B"])
    columns = bars.columns(np.array([3.0, 1.0]), 2.0, np.array([1.0, -1.0]))
    assert [column.heading for column in columns] == ["Q = V + A", "advantage A"]
    assert columns[0].numbers.tolist() == [2.0, 3.0, 1.0]
    picture = drawn(bars, columns)
    assert widest(picture, ORANGE)
    assert widest(picture, BLUE)


def test_the_chosen_action_is_highlighted():
    bars = ActionBars(["A", "B", "C"])
    columns = bars.columns(np.array([1.0, 2.0, 3.0]), None, None)
    tops = [np.nonzero((drawn(bars, columns, chosen) == RAISED).all(-1).any(1))[0].min() for chosen in range(3)]
    assert np.diff(tops).tolist() == [34, 34]


def test_all_eighteen_actions_of_atari_fit():
    bars = ActionBars([f"DOWNRIGHTFIRE{i}" for i in range(18)])
    picture = drawn(bars, bars.columns(np.linspace(-5000, 5000, 18), 1.0, np.linspace(-1, 1, 18)))
    rows, columns = np.nonzero(picture.any(axis=-1))
    left, top, width, height = BOX
    assert rows.max() <= top + height
    assert columns.max() <= left + width


@pytest.mark.parametrize(("value", "advantages"), [(None, None), (1.0, np.zeros(2))])
def test_headings_fit_beside_the_widest_labels(value, advantages):
    columns = ActionBars(["A", "B"]).columns(np.zeros(2), value, advantages)
    narrowest = (BOX[2] - BOX[2] // 3) // len(columns) - GAP
    assert max(text_width(column.heading, HEADING_SIZE) for column in columns) <= narrowest


@pytest.mark.parametrize("number", [0.0, -9.99, 55.11, -123.4, 99999.0])
def test_numbers_fit_their_column(number):
    bars = ActionBars(["A"])
    column, _ = bars.columns(np.array([number]), None, None)
    assert text_width(column.as_text(number), 16) <= 62


def test_frequencies_add_up_and_are_zero_at_the_start():
    bars = ActionBars(["A", "B"])
    (column,) = bars.frequencies(np.array([3, 1]))
    assert column.numbers.tolist() == [0.75, 0.25]
    assert column.as_text(0.75) == "75%"
    assert bars.frequencies(np.array([0, 0]))[0].numbers.tolist() == [0, 0]


@pytest.mark.parametrize("n_actions", [47, 48, 176, 177, 400])
@pytest.mark.parametrize("has_returns", [False, True])
def test_columns_with_too_many_actions_are_omitted(n_actions, has_returns):
    bars, q = ActionBars(list(map(str, range(n_actions)))), np.linspace(-1.0, 1.0, n_actions)
    columns: list[Any] = bars.columns(q, None, None)
    if has_returns:
        returns = q[:, None] + np.arange(3.0)
        columns = [ActionHistograms().column(q, None, None, returns, np.full_like(returns, 1 / 3))]
    room = BOX[3] - HEADING - columns[0].FOOTER
    marked = (drawn(bars, columns) == RAISED).all(axis=-1).any()
    assert marked == (n_actions <= room // columns[0].SHORTEST)
