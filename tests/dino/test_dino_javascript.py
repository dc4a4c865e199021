"""The scripts that run in the page, each by itself in a real browser."""

import json
from fractions import Fraction

import numpy as np
import pytest

from sb3_atari_dqn.dino.game import text_of
from sb3_atari_dqn.dino.page import Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def run():
    """:return: runs JavaScript after one of our scripts, in a closed room of its own"""
    page = Page(None, visible=False)
    yield lambda script, code: json.loads(
        page.js(f"(() => {{ {text_of(script)}\n return JSON.stringify((() => {{ {code} }})()); }})()")
    )
    page.close()


def test_a_frame_is_a_sum_of_powers_of_two_just_above_a_sixtieth_of_a_second(run):
    frame_ms = run("clock.js", "return FRAME_MS;")
    assert Fraction(frame_ms) == Fraction(4267, 256)
    assert 1000 / 60 < frame_ms < 1000 / 60 * 1.0001


CLOCK = """
const real = [window.requestAnimationFrame, window.cancelAnimationFrame, performance.now];
const clock = makeClock(false);
const seen = [];
const frame = (name, then) => requestAnimationFrame((now) => { seen.push([name, now / FRAME_MS]); if (then) then(); });
%s
[window.requestAnimationFrame, window.cancelAnimationFrame, performance.now] = real;
return seen;
"""


def test_time_passes_in_ticks_only_and_is_never_zero(run):
    code = "for (let i = 0; i < 3; i++) { seen.push(performance.now() / FRAME_MS); clock.tick(); }"
    assert run("clock.js", CLOCK % code) == [1, 2, 3]


def test_a_frame_asked_for_in_a_frame_comes_in_the_next(run):
    code = "frame('a', () => frame('c')); frame('b'); clock.tick(); clock.tick(); clock.tick();"
    assert run("clock.js", CLOCK % code) == [["a", 2], ["b", 2], ["c", 3]]


def test_a_cancelled_frame_does_not_come_even_when_cancelled_in_the_same_one(run):
    code = """
    frame('a', () => { cancelAnimationFrame(b); });
    const b = frame('b'), c = frame('c');
    cancelAnimationFrame(c);
    clock.tick(); clock.tick();
    """
    assert run("clock.js", CLOCK % code) == [["a", 2]]


def mulberry32(seed, count):
    """The generator as its author's C source has it, on Python's whole numbers."""
    mask, state, numbers = 0xFFFFFFFF, seed & 0xFFFFFFFF, []
    for _ in range(count):
        state = (state + 0x6D2B79F5) & mask
        bits = ((state ^ state >> 15) * (state | 1)) & mask
        bits ^= (bits + ((bits ^ bits >> 7) * (bits | 61))) & mask
        numbers.append(((bits ^ bits >> 14) & mask) / 2**32)
    return numbers


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31])
def test_random_numbers_are_mulberry32_of_the_seed(run, seed):
    code = f"const real = Math.random; seedRandom({seed}); const numbers = [0, 0, 0, 0].map(Math.random);"
    code += "Math.random = real; return numbers;"
    assert run("clock.js", code) == mulberry32(seed, 4)


@pytest.mark.parametrize(("source", "target"), [(500, 80), (150, 80), (4, 4), (3, 7), (1, 5), (5, 1)])
def test_every_pixel_is_shared_among_cells_in_whole_numbers_and_every_cell_filled(run, source, target):
    filled = np.zeros(target, int)
    for pixel, parts in enumerate(run("capture.js", f"return shares({source}, {target});")):
        assert sum(weight for _, weight in parts) == target
        for cell, weight in parts:
            assert weight > 0
            assert cell * source < (pixel + 1) * target
            assert (cell + 1) * source > pixel * target
            filled[cell] += weight
    assert (filled == source).all()


def test_transparent_pixels_show_the_page_and_opaque_ones_themselves(run):
    code = "return [[83, 255], [83, 0], [0, 128], [255, 1]].map(([value, alpha]) => overPage(value, alpha));"
    assert run("capture.js", code) == [83, 247, round(247 * 127 / 255), 247]


@pytest.mark.parametrize("count", [0, 1, 2, 8191, 8192, 8193, 20_000])
def test_bytes_are_encoded_the_same_with_and_without_the_browsers_own_function(run, count):
    code = f"""
    const bytes = Uint8Array.from({{ length: {count} }}, (_, i) => i * 7);
    const own = toBase64(bytes);
    bytes.toBase64 = undefined;
    return [own, toBase64(bytes)];
    """
    own, ours = run("capture.js", code)
    assert own == ours
    assert len(own) == -(-count // 3) * 4


CANVAS = """
const canvas = document.createElement('canvas');
[canvas.width, canvas.height] = [4, 2];
const context = canvas.getContext('2d');
context.fillStyle = '#ff0000';
context.fillRect(0, 0, 1, 1);
context.fillStyle = '#000000';
context.fillRect(2, 1, 2, 1);
const capture = makeCapture(canvas, %s, %s);
return [...Uint8Array.from(atob(capture.gray()), (c) => c.charCodeAt(0))];
"""


@pytest.mark.parametrize(
    ("crop", "size", "expected"),
    [
        ("null", "[2, 4]", [77, 247, 247, 247, 247, 247, 0, 0]),  # 77 * 255 + 128 >> 8 is the gray of red
        ("null", "[1, 2]", [205, 124]),  # (77 + 3 * 247) / 4 = 204.5 and 247 / 2 = 123.5, both up
        ("[0, 9, 1, 3]", "[1, 1]", [185]),  # (3 * 247 + 0) / 4 = 185.25
    ],
)
def test_a_picture_is_the_gray_mean_of_its_cells_rounded_to_nearest(run, crop, size, expected):
    assert run("capture.js", CANVAS % (crop, size)) == expected
