"""Options of the browser game: bad ones are refused before any browser is started."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sb3_atari_dqn.dino import browser
from sb3_atari_dqn.dino.browser import VARIABLE, arguments, find_browser
from sb3_atari_dqn.dino.env import ChromeDinoEnv
from sb3_atari_dqn.dino.faults import NoBrowser
from sb3_atari_dqn.dino.options import DinoOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"game": "chrom"}, "game .*'chrom'.*auto, chrome, embedded"),
        ({"mode": "real"}, "Unknown mode 'real'"),
        ({"press": "click"}, "Unknown press 'click'"),
        ({"reward": "points"}, "Unknown reward 'points'"),
        ({"frame_skip": 0}, "frame_skip must be at least 1, got 0"),
        ({"stack": 1.5}, "stack must be .*got 1.5"),
        ({"actions": 4}, "actions must be 2 .* or 3 .*, got 4"),
        ({"speed": 0}, r"speed must be a number in \(0, 100\], got 0"),
        ({"acceleration": -0.1}, "acceleration must be a number in .* got -0.1"),
        ({"timeout_s": 0}, "timeout_s must be a number in .* got 0"),
        ({"size": (80, 0)}, r"size must be .* got \(80, 0\)"),
        ({"size": 80}, "size must be .* got 80"),
        ({"size": (80, 80, 3)}, "size must be"),
        ({"crop": (150, 0, 0, 500)}, r"crop .* \(150, 0, 0, 500\)"),
        ({"crop": (0, 150)}, "crop must be"),
        ({"crop": (0, 150, 0, 0.5)}, "crop must be"),
        ({"crop": (150, 300, 0, 500)}, r"crop=\(150, 300, 0, 500\) .*150.*600"),
        ({"crop": (0, 150, 600, 601)}, r"crop=\(0, 150, 600, 601\) "),
        ({"timeout_s": float("inf")}, r"timeout_s must be a number in \(0, 3600\], got inf"),
        ({"timeout_s": 1e10}, r"\(0, 3600\], got 10000000000.0"),
        ({"timeout_s": float("nan")}, "got nan"),
        ({"speed": np.array([6.0, 7.0])}, r"speed must be a number, got array\(\[6., 7.\]\)"),
        ({"crash_reward": [1]}, r"crash_reward must be a number, got \[1\]"),
        ({"stack": np.array([4])}, r"stack must be .*got array\(\[4\]\)"),
        ({"size": np.zeros((50, 50))}, r"size must be .* got array\(\[\[0., 0., .*\[\.\.\.\]"),
        ({"size": (100_000, 100_000)}, "both from 1 to 4096"),
        (
            {"size": (4096, 4096), "stack": 5},
            r"size=\(4096, 4096\) and stack=5 .* 83886080 .*67108864",
        ),
        ({"stack": 10**9}, "stack must be at most"),
        ({"stack": 10**30}, "stack must be at most"),
        ({"frame_skip": 10**30}, "frame_skip must be at most 3600"),
        ({"max_restarts": 10**30}, "max_restarts must be at most 100"),
        ({"browser": 5}, "browser must be .* got 5"),
        ({"browser": True}, "browser must be .* got True"),
        ({"browser": ["chromium"]}, r"browser must be .* got \['chromium'\]"),
        ({"browser": ""}, "browser must be .* got ''"),
        ({"frameskip": 4}, "Unknown key 'frameskip' in the options of ChromeDino-v0; did you mean 'frame_skip'"),
    ],
)
def test_a_bad_option_is_refused_with_its_value(options, message):
    with pytest.raises(ValueError, match=message) as raised:
        ChromeDinoEnv(**options)
    assert "\n" not in str(raised.value)


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="'ansi'"):
        ChromeDinoEnv(render_mode="ansi")


def test_lists_of_a_yaml_file_become_tuples():
    options = DinoOptions.of({"size": [60, 90], "crop": [0, 300, 0, 500], "frame_skip": 2.0})
    assert (options.size, options.crop, options.frame_skip) == ((60, 90), (0, 300, 0, 500), 2)
    assert isinstance(options.frame_skip, int)


def test_numbers_of_all_kinds_become_those_that_json_knows():
    given = dict(
        speed=np.float32(6.5), acceleration=Fraction(1, 4), alive_reward=np.int64(1), timeout_s=np.float32(10),
        frame_skip=np.int64(2), size=np.array([60, 90]), crop=(np.int64(0), 300, np.uint8(10), 500.0),
        browser=Path("chromium"),
    )  # fmt: skip
    options = DinoOptions.of(given)
    plain = DinoOptions(
        speed=6.5, acceleration=0.25, alive_reward=1.0, timeout_s=10.0, frame_skip=2, size=(60, 90),
        crop=(0, 300, 10, 500), browser="chromium",
    )  # fmt: skip
    assert options == plain
    assert repr(options) == repr(plain), "the types are the same, too"


def test_without_a_browser_the_message_says_how_to_install_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(NoBrowser, match="apt-get install chromium"):
        ChromeDinoEnv().reset()


def test_the_environment_variable_names_the_browser_and_the_option_wins(monkeypatch, tmp_path):
    for name in ("mine", "other", "chromium"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_browser() == str(tmp_path / "chromium")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert find_browser() == str(tmp_path / "mine")
    assert find_browser("other") == str(tmp_path / "other")
    with pytest.raises(NoBrowser, match=r"browser='third' .* Chromium or Chrome") as no:
        find_browser("third")
    assert VARIABLE not in str(no.value)
    monkeypatch.setenv(VARIABLE, "/not/there")
    with pytest.raises(NoBrowser, match=f"{VARIABLE}='/not/there' "):
        find_browser()


def test_a_window_needs_a_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(NoBrowser, match="rgb_array"):
        arguments("/nowhere", visible=True)
    monkeypatch.setenv("DISPLAY", ":7")
    assert not any(argument.startswith("--headless") for argument in arguments("/nowhere", visible=True))
    assert "--headless=new" in arguments("/nowhere", visible=False)


@pytest.mark.parametrize(("user", "sandboxed"), [(0, False), (1000, True)])
def test_only_root_gives_up_the_sandbox(monkeypatch, user, sandboxed):
    monkeypatch.setattr(browser.os, "geteuid", lambda: user)
    assert ("--no-sandbox" not in arguments("/nowhere", visible=False)) == sandboxed
