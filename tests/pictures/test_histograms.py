"""Histograms of return distributions."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sb3_atari_dqn.pictures.bars import GAP, HEADING, HEADING_SIZE, NUMBER, ActionBars, Rows
from sb3_atari_dqn.pictures.drawing import BLUE, ORANGE, RAISED, SLATE, TEXT, text_width
from sb3_atari_dqn.pictures.histograms import (
    BARS,
    FEWEST_BARS,
    MOST_ATOMS,
    TICK_SIZE,
    ActionHistograms,
    ReturnsAxis,
    ticks,
)

ROW = 46  # pixels: bars of at most 40, above a line
BOX = (10, 10, 372, 384)
ATOMS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def column(returns, probabilities=None, value=None, advantages=None, histograms=None):
    """:return: for the means of these distributions; the points of quantiles have equal probabilities"""
    returns = np.asarray(returns, np.float64)
    probabilities = np.full(returns.shape, 1 / returns.shape[1]) if probabilities is None else np.array(probabilities)
    q = (returns * probabilities).sum(1)
    return (histograms or ActionHistograms()).column(q, value, advantages, returns, probabilities)


def of_atoms(probabilities, atoms=ATOMS, **options):
    return column(np.broadcast_to(atoms, (len(probabilities), len(atoms))), probabilities, **options)


def drawn(drawing, width):
    """:return: rows of the picture, each with its histograms only: [rows, ROW, width, 3]"""
    has_value = bool(np.isnan(drawing.differences[0]))
    numbers = sum(max(NUMBER, text_width(text, HEADING_SIZE)) + 2 * GAP for text in ("Q", drawing.heading))
    n = len(drawing.numbers)
    image = Image.new("RGB", (width + numbers, HEADING + n * ROW + drawing.FOOTER))
    drawing.draw(ImageDraw.Draw(image), (0, 0), Rows(ROW, 16, has_value), width + numbers)
    return np.asarray(image)[HEADING : HEADING + n * ROW, :width].reshape(n, ROW, width, 3)


def heights(row, colour, at):
    """:return: number of pixels of a colour in these columns of pixels, above the line"""
    return (row[: ROW - 3, at] == colour).all(axis=-1).sum(axis=0).tolist()


def test_each_atom_is_a_bar_as_high_as_its_probability():
    rows = drawn(of_atoms([[0, 0, 0.25, 0.75, 0], [0.5, 0, 0, 0.5, 0]]), width=100)
    middles = [10, 30, 50, 70, 90]  # of bars of 20 pixels
    assert heights(rows[0], BLUE, middles) == [0, 0, 13, 40, 0]
    assert heights(rows[1], SLATE, middles) == [27, 0, 0, 27, 0]
    assert heights(rows[0], BLUE, [40, 59, 60, 79, 80]) == [13, 13, 40, 40, 0]


def test_the_mean_is_marked():
    rows = drawn(of_atoms([[0, 0, 0.25, 0.75, 0], [0.5, 0, 0, 0.5, 0]]), width=100)
    # means of 0.75 and -0.5, on an axis from -2.5 to 2.5
    marked = [np.nonzero((row == TEXT).all(axis=-1).any(axis=0))[0].tolist() for row in rows]
    assert marked == [[64, 65], [39, 40]]


def test_quantiles_are_counted_in_bars_of_equal_width():
    # On an axis from -2 to 6, a bar is 0.2 or 3 of 120 pixels wide. The order of quantiles has no meaning.
    rows = drawn(column(np.tile([[1.1, 2.1, 0.1, 1.1], [3.1, 4.1, 2.1, 3.1]], BARS // 4)), width=120)
    assert heights(rows[0], SLATE, [30, 31, 32, 47, 60, 77, 90]) == [20, 20, 20, 40, 20, 0, 0]
    assert heights(rows[1], BLUE, [31, 47, 60, 75, 90, 91, 92]) == [0, 0, 20, 40, 20, 20, 20]
    assert heights(rows[0], SLATE, [29, 33, 44, 48, 59, 63]) == [0] * 6


@pytest.mark.parametrize(
    ("quantiles", "n_bars"), [(1, FEWEST_BARS), (8, FEWEST_BARS), (32, 32), (40, BARS), (200, BARS)]
)
def test_few_quantiles_have_few_bars(quantiles, n_bars):
    masses = column(np.random.default_rng(0).normal(size=(3, quantiles))).masses
    assert masses.shape == (3, n_bars)
    assert masses.sum(axis=1) == pytest.approx(1)


def test_returns_at_the_ends_of_the_axis_are_counted():
    histograms = ActionHistograms()
    column([[0.1, 4.1], [1, 2]], histograms=histograms)
    masses = column([[-2, 6], [1, 2]], histograms=histograms).masses
    assert (histograms.axis.low, histograms.axis.high) == (-2, 6)
    assert masses[0, [0, -1]].tolist() == [0.5, 0.5]


def test_points_count_with_their_probabilities():
    masses = column([[0.1, 1.1, 4.1], [0.1, 1.1, 4.1]], [[0.5, 0.375, 0.125], [0.0, 0.25, 0.75]]).masses
    assert masses[:, [2, 3, 7]].tolist() == [[0.5, 0.375, 0.125], [0.0, 0.25, 0.75]]
    assert masses.sum(axis=1).tolist() == [1, 1]


def test_the_greedy_action_is_the_one_with_the_largest_mean_and_not_the_highest_bar_or_the_selected_action():
    bars = ActionBars(["A", "B", "C"])
    image = Image.new("RGB", (400, 400))
    drawing = of_atoms([[0, 0, 0, 1.0, 0], [0, 0, 0, 0.5, 0.5], [0, 0, 1.0, 0, 0]])
    bars.draw(ImageDraw.Draw(image), BOX, [drawing], chosen=2)
    picture = np.asarray(image)
    tops = [np.nonzero((picture == colour).all(-1).any(1))[0].min() for colour in (BLUE, RAISED)]
    row = drawing.TALLEST
    first = BOX[1] + HEADING
    assert [(top - first) // row for top in tops] == [1, 0]  # the line of zero is RAISED too, and begins above
    assert (picture[first + 2 * row + 1, BOX[0] : BOX[0] + 5] == RAISED).all()
    assert not (picture[first + row + 1, BOX[0] : BOX[0] + 5] == RAISED).any()


@pytest.mark.parametrize(
    ("points", "n_bars"),
    [
        ([ATOMS, ATOMS], len(ATOMS)),
        ([ATOMS, ATOMS + 0.1], FEWEST_BARS),  # equally spaced quantiles
        ([ATOMS**3, ATOMS**3], FEWEST_BARS),  # two equal actions
        ([[1.0, 1.0], [1.0, 1.0]], FEWEST_BARS),
        ([[3.0], [3.0]], FEWEST_BARS),
    ],
)
def test_atoms_are_points_at_equal_spacing_that_all_actions_share(points, n_bars):
    assert column(points).masses.shape == (2, n_bars)


def test_many_atoms_share_bars_without_a_pattern():
    drawing = of_atoms(np.full((1, 100), 0.01), atoms=np.linspace(-10, 10, 100))
    assert drawing.masses == pytest.approx(np.full((1, MOST_ATOMS), 1 / MOST_ATOMS))


def test_the_atoms_of_float32_are_atoms():
    atoms = np.linspace(-10, 10, 51, dtype=np.float32)
    drawing = of_atoms(np.full((2, 51), 1 / 51, np.float32), atoms=atoms)
    assert drawing.masses.shape == (2, 51)
    assert drawing.ends == (-10, 10)


def test_the_axis_starts_with_the_returns_and_only_grows_to_round_ends():
    axis = ReturnsAxis()
    seen = []
    for low, high in ((10.3, 11.9), (10.9, 11.0), (10.0, 12.0), (-0.1, 1.0), (5.0, 6.0)):
        axis.include(low, high, rounded=True)
        seen.append((axis.low, axis.high))
    assert seen == [(9.5, 12.5)] * 3 + [(-5.0, 15.0)] * 2


@pytest.mark.parametrize("constant", [0.0, 5.0, -0.003, 123456.0])
def test_an_axis_around_a_single_return_has_an_extent(constant):
    axis = ReturnsAxis()
    axis.include(constant, constant, rounded=True)
    assert axis.low <= constant <= axis.high
    assert axis.low < axis.high
    assert 0 <= axis.place(constant, 100) <= 100


def test_histograms_of_an_episode_stay_in_place():
    histograms, generator = ActionHistograms(), np.random.default_rng(0)
    returns = np.sort(generator.normal(3, 1, (200, 3, 32)), axis=2)  # of 200 frames
    edges = [column(each, histograms=histograms).edges for each in returns]
    moves = [i for i in range(1, 200) if not np.array_equal(edges[i], edges[i - 1])]
    assert len(moves) <= 3
    assert (edges[-1][0], edges[-1][-1]) == (histograms.axis.low, histograms.axis.high)


def test_heights_have_one_scale_which_falls_slowly():
    histograms = ActionHistograms()
    spike = of_atoms([[0, 0, 1.0, 0, 0], [0.2] * 5], histograms=histograms)
    flat = of_atoms([[0.2] * 5, [0.2] * 5], histograms=histograms)
    assert (spike.tallest, flat.tallest) == (1.0, 0.98)
    assert heights(drawn(spike, width=100)[1], SLATE, [10]) == [8]
    assert heights(drawn(flat, width=100)[1], SLATE, [10]) == [8]


def test_the_state_value_has_a_mark_and_no_histogram():
    drawing = column([[1, 1, 0], [3, 4, 2]], value=1.5, advantages=np.array([-1.0, 1.0]))
    assert (drawing.numbers[0], drawing.heading) == (1.5, "A")
    rows = drawn(drawing, width=120)
    assert np.nonzero((rows[0] == ORANGE).all(-1).any(0))[0].tolist() == [51, 52]  # of -2 to 6
    assert not any((rows[0] == colour).all(-1)[: ROW - 3].any() for colour in (BLUE, SLATE))
    assert not (rows[1:] == ORANGE).all(-1).any()
    assert (rows[2] == BLUE).all(-1).any()


def test_a_state_value_beyond_all_returns_is_on_the_axis():
    drawing = column([[1, 1, 0], [3, 4, 2]], value=-9.0, advantages=np.array([-1.0, 1.0]))
    assert drawing.axis.low <= -9


def test_differences_from_the_mean_are_shown_without_a_dueling_head():
    drawing = column([[1, 3], [3, 5]])
    assert (drawing.heading, drawing.numbers.tolist(), drawing.differences.tolist()) == ("Q - mean", [2, 4], [-1, 1])


@pytest.mark.parametrize("n_actions", [1, 2, 9, 18])
@pytest.mark.parametrize("value", [None, -1234.5])
def test_all_actions_of_atari_and_the_axis_fit(n_actions, value):
    bars = ActionBars(["DOWNRIGHTFIRE"] * n_actions)
    points = np.linspace(-5000, 5000, n_actions * 32).reshape(n_actions, 32)
    drawing = column(points, value=value, advantages=None if value is None else points.mean(1))
    image = Image.new("RGB", (400, 420))
    bars.draw(ImageDraw.Draw(image), BOX, [drawing], n_actions - 1)
    picture = np.asarray(image)
    rows, columns = np.nonzero(picture.any(axis=-1))
    left, top, width, height = BOX
    assert (rows.min() >= top, rows.max() <= top + height) == (True, True)
    assert (columns.min() >= left, columns.max() <= left + width) == (True, True)
    blue = np.nonzero((picture == BLUE).all(-1).any(0))[0]
    line = np.nonzero((picture == SLATE).all(-1).any(0))[0]
    assert line.min() <= blue.min() <= blue.max() <= line.max()
    assert np.ptp(line) > 90  # pixels, beside the longest name


@pytest.mark.parametrize("value", [None, 0.0])
def test_the_longest_of_eighteen_names_is_complete(value):
    def names(last):
        bars = ActionBars(["NOOP"] * 17 + [last])
        points = np.linspace(-1, 1, 18 * 3).reshape(18, 3)
        image = Image.new("RGB", (400, 420))
        drawing = column(points, value=value, advantages=None if value is None else points.mean(1))
        bars.draw(ImageDraw.Draw(image), BOX, [drawing], 0)
        return np.asarray(image)[:, : BOX[0] + BOX[2] // 3]

    # Without its last letter it would be narrower; shortened, both would look the same.
    assert not np.array_equal(names("DOWNRIGHTFIRE"), names("DOWNRIGHTFIRF"))


@pytest.mark.parametrize(
    ("low", "high", "width", "texts"),
    [
        (-2, 6, 120, ["-2", "0", "2", "4", "6"]),
        (-0.3, 0.1, 120, ["-0.2", "0"]),
        (-0.3, 0.1, 400, ["-0.3", "-0.2", "-0.1", "0", "0.1"]),
        (9.5, 12.5, 200, ["10", "11", "12"]),
        (-5000, 5000, 120, ["-5000", "0", "5000"]),
        (1000.2, 1000.4, 60, ["1000.2", "1000.4"]),
        (0, 1e-5, 30, ["0", "1e-05"]),
    ],
)
def test_numbers_below_the_axis_are_round_and_at_equal_distances(low, high, width, texts):
    axis = ReturnsAxis()
    axis.include(low, high, rounded=False)
    written = ticks(low, high, axis, width)
    assert [text for text, _, _ in written] == texts
    assert [place for _, _, place in written] == [axis.place(float(text), width) for text in texts]
    steps = np.diff([float(text) for text in texts])
    assert steps == pytest.approx(steps[0])


@pytest.mark.parametrize("width", [90, 120, 200])
@pytest.mark.parametrize("scale", [1e-3, 1, 77, 1e4])
def test_numbers_below_the_axis_do_not_touch_and_stay_within(scale, width):
    generator = np.random.default_rng(0)
    for low, high in np.sort(generator.normal(scale=scale, size=(50, 2))):
        axis = ReturnsAxis()
        axis.include(low, high, rounded=True)
        written = ticks(axis.low, axis.high, axis, width)
        ends = [left + text_width(text, TICK_SIZE) for text, left, _ in written]
        assert 2 <= len(written) <= 5
        assert written[0][1] >= 0
        assert ends[-1] <= width
        if len(written) > 2:
            assert all(end < left for end, (_, left, _) in zip(ends, written[1:], strict=False))


def test_the_atoms_of_an_axis_are_written_and_not_what_is_beyond():
    drawing = of_atoms([[1 / 51] * 51], atoms=np.linspace(-10, 10, 51))
    low, high = drawing.ends
    assert [text for text, _, _ in ticks(low, high, drawing.axis, 300)] == ["-10", "-5", "0", "5", "10"]
    image = Image.new("RGB", (400, 200))
    drawing.draw(ImageDraw.Draw(image), (0, 0), Rows(ROW, 16, False), 400)
    below = np.asarray(image)[HEADING + ROW + 1 :].max(axis=(0, 2))
    assert (np.diff(np.nonzero(below)[0]) > 20).sum() + 1 == 5
