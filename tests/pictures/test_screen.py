"""One frame of a video: panels are in their places and do not overlap."""

import numpy as np
import pytest

from sb3_atari_dqn.pictures.bars import ActionBars
from sb3_atari_dqn.pictures.drawing import BLUE
from sb3_atari_dqn.pictures.screen import HEIGHT, WIDTH, View, draw_screen

RED = (255, 0, 0)
GAME = np.full((210, 160, 3), RED, np.uint8)


def test_the_game_is_enlarged_three_times_and_complete():
    picture = draw_screen(View("title", "status", GAME), ActionBars([]))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    rows, columns = np.nonzero((picture == RED).all(axis=-1))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (630, 480)
    assert len(rows) == 630 * 480


def test_a_wide_game_is_above_and_as_wide_as_the_screen():
    game = np.full((150, 600, 3), RED, np.uint8)
    frames = [np.full((80, 80, 1), shade, np.uint8) for shade in (40, 80, 120, 160)]
    maps = [(np.ones((80, 80)), BLUE, "what it stands for")]
    bars = ActionBars(["NOTHING", "JUMP"])
    columns = bars.columns(np.array([1.0, 2.0]), None, None)
    picture = draw_screen(View("title", "status", game, frames, maps, columns), bars)
    assert (picture == RED).all(axis=-1).sum() == 300 * 1200
    below = picture[380:]
    areas = [int((below == shade).all(axis=-1).sum()) for shade in (40, 80, 120, 160)]
    assert min(areas) > 1000
    assert max(areas) - min(areas) < 100
    assert (below == BLUE).all(axis=-1).sum() > 240 * 240


@pytest.mark.parametrize(("count", "shape"), [(4, (84, 84, 1)), (3, (105, 80, 1)), (1, (128,)), (8, (84, 84, 3))])
def test_every_frame_of_the_stack_is_shown_inside_the_screen(count, shape):
    shades = [20 + 25 * i for i in range(count)]
    frames = [np.full(shape, shade, np.uint8) for shade in shades]
    picture = draw_screen(View("title", "status", GAME, frames), ActionBars([]))
    below = picture[510:, 520:]
    areas = [(below == shade).all(axis=-1).sum() for shade in shades]
    assert min(areas) > 1000
    assert max(areas) == min(areas)


def test_maps_colour_the_newest_frame_only():
    frames = [np.zeros((84, 84, 1), np.uint8)] * 4
    maps = [(np.ones((84, 84)), BLUE, "what it stands for")]
    picture = draw_screen(View("title", "status", GAME, frames, maps), ActionBars([]))
    rows, _ = np.nonzero((picture == BLUE).all(axis=-1))
    assert len(rows) >= 336 * 336
    assert rows.max() < 490


def test_long_texts_stay_inside_the_screen():
    view = View("very long title " * 30, "very long status " * 30, GAME, note="very long note " * 30)
    picture = draw_screen(view, ActionBars([]))
    assert (picture[:, -20:] == picture[0, 0]).all()
