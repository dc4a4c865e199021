"""The contact sheet: every panel is drawn completely, without overlap."""

import numpy as np

from sb3_atari_dqn.pictures.contact_sheet import Panel, Section, contact_sheet

RED, LIME = (255, 0, 0), (0, 255, 0)


def flat(colour, shape=(10, 10)):
    return np.full((*shape, 3), colour, np.uint8)


def section(stages, stack):
    return Section("a preset", "its settings", stages, stack, np.zeros((10, 10, 4), np.uint8))


def place(sheet, colour):
    """:return: top, bottom, left, right of what has exactly this colour"""
    rows, columns = np.nonzero((sheet == colour).all(axis=-1))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_every_panel_is_drawn_completely_and_scaled_by_an_integer():
    sheet = contact_sheet("a game", [section([Panel("raw", flat(RED))], [Panel("t", flat(LIME, (84, 84)))])])
    top, bottom, left, right = place(sheet, RED)
    assert (bottom - top, right - left) == (250, 250)
    assert (sheet[top:bottom, left:right] == RED).all()
    assert (np.diff(place(sheet, LIME))[[0, 2]] == 252).all()


def test_columns_of_all_sections_are_aligned():
    sections = [
        section([Panel("a wide raw frame", flat(0, (10, 20))), Panel("gray", flat(RED))], [Panel("t", flat(0))]),
        section([Panel("b", flat(0)), Panel("gray", flat(LIME))], [Panel("t", flat(0))]),
    ]
    sheet = contact_sheet("a game", sections)
    red, lime = place(sheet, RED), place(sheet, LIME)
    assert red[2:] == lime[2:]
    assert red[1] < lime[0]


def test_long_titles_stay_inside_the_sheet():
    long = "very " * 200
    sheet = contact_sheet(long, [Section(long, long, [Panel("raw", flat(0))], [Panel("t", flat(0))], flat(0))])
    assert sheet.shape[1] < 1000
    assert (sheet[:, -20:] == sheet[0, 0]).all()
