"""The figure: its panels and their labels."""

import io
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from sb3_atari_dqn.plotting import figure
from sb3_atari_dqn.plotting.figure import draw, short_number
from sb3_atari_dqn.plotting.groups import group
from sb3_atari_dqn.plotting.runs import read_run
from tests.support.fake_runs import games, write_evaluations, write_run

pytestmark = pytest.mark.slow


@pytest.fixture
def drawn(monkeypatch):
    """Draw groups; the figure itself comes back."""
    made = []

    class Kept(Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(figure, "Figure", Kept)

    def drawn(*runs, labels=None):
        png = io.BytesIO()
        draw(group([read_run(run) for run in runs], labels), png)
        assert np.asarray(Image.open(png)).std() > 1
        return made[-1]

    return drawn


def titles(drawing):
    """:return: of the rows, above their left panels"""
    assert not any(axes.get_title(loc="left") for axes in drawing.axes[1::2])
    return [axes.get_title(loc="left") for axes in drawing.axes[::2]]


def line(axes, width):
    return next(line for line in axes.lines if line.get_linewidth() == width).get_xydata().T


def test_every_panel_is_plotted_against_steps_and_against_time(drawn, tmp_path):
    drawing = drawn(write_run(tmp_path / "run", games(200)))
    assert titles(drawing) == ["Return of training episodes", "Return per 10 episodes", "Speed, including evaluations"]
    assert [axes.get_xlabel() for axes in drawing.axes[-2:]] == [
        "environment steps (4 frames each)",
        "wall-clock time (minutes)",
    ]
    steps, returns = line(drawing.axes[0], 2)
    minutes, same_returns = line(drawing.axes[1], 2)
    assert (steps[[0, -1]].tolist(), minutes[[0, -1]].tolist()) == ([100, 20_000], [1 / 6, 2000 / 60])
    assert (returns == same_returns).all()


def test_epsilon_has_a_panel_where_a_run_logged_it(drawn, tmp_path):
    run = write_run(tmp_path / "run", games(30))
    (run / "progress.csv").write_text("time/total_timesteps,rollout/exploration_rate\n100,1.0\n2000,0.1\n")
    drawing = drawn(run, write_run(tmp_path / "other", games(30), algo="dqn"))
    assert titles(drawing)[2] == "Exploration"
    assert drawing.axes[4].get_ylim()[0] == 0
    assert drawing.axes[4].lines[0].get_xydata().tolist() == [[100, 1.0], [2000, 0.1]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "config", "kwargs", "label"),
    [
        (
            "Pong-v4",
            {"env_wrapper": ["sb3_atari_dqn.atari.PongEluAtari"]},
            {},
            "environment steps (2 to 4 frames each)",
        ),
        (
            "MsPacman-v0",
            {"env_wrapper": "sb3_atari_dqn.atari.MsPacmanSkip16Atari"},
            {},
            "environment steps (16 frames each)",
        ),
        ("MsPacman-v0", {"policy": "MlpPolicy"}, {"frameskip": 16}, "environment steps (16 frames each)"),
        ("PongNoFrameskip-v4", {"policy": "MlpPolicy"}, {}, "environment steps"),
        ("CartPole-v1", {"policy": "MlpPolicy"}, {}, "environment steps"),
        ("Unheard-of-v7", {"policy": "MlpPolicy"}, {}, "environment steps"),
        ("antigravity:Unheard-of-v7", {"policy": "MlpPolicy"}, {}, "environment steps"),
        (
            "CartPole-v1",
            {"env_wrapper": ["my_own.Wrapper"]},
            {},
            "environment steps (as counted in the run's files)",
        ),
    ],
)
def test_the_axis_label_says_how_many_frames_make_a_step(drawn, tmp_path, env, config, kwargs, label):
    drawing = drawn(write_run(tmp_path / "run", games(12), env=env, config=config, env_kwargs=kwargs))
    assert drawing.axes[-2].get_xlabel() == label
    assert "antigravity" not in sys.modules, "a name in a file caused an import"


def test_a_run_of_a_single_episode_fits_the_speed_axis(drawn, tmp_path):
    slow, quick = [(0.0, 400, 10.0 * k) for k in range(1, 31)], [(0.0, 4000, 10.0)]
    speed = drawn(write_run(tmp_path / "a", slow), write_run(tmp_path / "b", quick, algo="dqn")).axes[-2]
    assert speed.get_ylim()[1] > max(max(line.get_ydata()) for line in speed.lines) == 100


def test_seeds_share_a_line_with_a_min_max_band(drawn, tmp_path):
    low, high = [[(value, 400, 10.0 * k) for k in range(1, 31)] for value in (-3.0, 5.0)]
    drawing = drawn(write_run(tmp_path / "a", low), write_run(tmp_path / "b", high))
    returns = drawing.axes[0]
    assert set(line(returns, 2)[1]) == {1.0}
    (shade,) = returns.collections
    assert set(shade.get_paths()[0].vertices[:, 1]) == {-3.0, 5.0}
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["dqn_dueling (2 runs)"]


def test_groups_differ_in_colour_and_from_the_eighth_on_in_dashes(drawn, tmp_path):
    runs = [write_run(tmp_path / str(n), games(12), algo=f"algo{n}") for n in range(9)]
    handles = drawn(*runs).legends[0].legend_handles
    assert len({(one.get_color(), str(one.get_linestyle())) for one in handles}) == 9


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("n_episodes", [1, 2, 9])
def test_a_run_of_few_episodes_can_be_drawn(drawn, tmp_path, n_episodes):
    assert len(drawn(write_run(tmp_path / "run", games(n_episodes))).axes) == 6


def test_a_single_block_of_episodes_is_drawn_as_a_dot(drawn, tmp_path):
    few, many = (drawn(write_run(tmp_path / str(n), games(n))).axes[2].lines[0].get_marker() for n in (9, 30))
    assert (few, many) == ("o", "None")


def test_names_are_not_parsed_as_formulas(drawn, tmp_path):
    drawing = drawn(write_run(tmp_path / "run", games(12), env=r"$\frac$My-v0", config={}), labels=[r"$\frac$ 5$"])
    legend = drawing.legends[0]
    assert legend.get_texts()[0].get_text() == r"$\frac$ 5$"
    assert legend.get_title().get_text() == r"$\frac$My-v0"
    assert not any(text.get_parse_math() for text in drawing.findobj(Text))


def test_a_name_that_starts_with_an_underscore_is_shown(drawn, tmp_path):
    drawing = drawn(write_run(tmp_path / "run", games(12)), labels=["_mine"])
    assert drawing.legends[0].get_texts()[0].get_text().strip() == "_mine"


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("length", [400, 0])
@pytest.mark.parametrize("n_runs", [1, 2])
def test_runs_in_which_no_time_passed_are_drawn(drawn, tmp_path, length, n_runs):
    rows = [(1.0, length, 0.0), (2.0, length, 0.0), (3.0, length, 0.0)]
    drawing = drawn(*(write_run(tmp_path / str(n), rows) for n in range(n_runs)))
    means = drawing.axes[3].lines[0]  # per 10 episodes, against time
    assert (set(means.get_xdata()), means.get_marker()) == ({0.0}, "o")


@pytest.mark.filterwarnings("error")
def test_the_largest_numbers_that_are_read_can_be_drawn(drawn, tmp_path):
    rows = [(sign * 1e100, 10**100, seconds) for sign, seconds in ((1, 1.0), (-1, 2.0), (1, 1e100))]
    write_run(tmp_path / "a", rows)
    drawn(tmp_path / "a", write_run(tmp_path / "b", rows))


def test_evaluations_are_circles(drawn, tmp_path):
    run = write_run(tmp_path / "run", games(30))
    write_evaluations(run, [1000, 2000], [[1.0, 3.0], [5.0, 7.0]])
    circles = next(line for line in drawn(run).axes[0].lines if line.get_marker() == "o")
    assert circles.get_xydata().tolist() == [[1000, 2], [2000, 6]]


def test_the_axis_label_tells_of_an_unknown_wrapper(drawn, tmp_path):
    drawing = drawn(write_run(tmp_path / "run", games(3), config={"env_wrapper": "my_own.Wrapper"}))
    assert drawing.axes[-2].get_xlabel() == "environment steps (as counted in the run's files)"


def test_the_fast_random_steps_at_the_start_do_not_flatten_the_speed_curve(drawn, tmp_path):
    """The first 30 episodes take a tenth of the time of the others: 10 to 100 steps per second."""
    rows = [(0.0, 400, float(k)) for k in range(1, 31)] + [(0.0, 400, 30 + 10.0 * k) for k in range(1, 300)]
    drawing = drawn(write_run(tmp_path / "run", rows))
    assert line(drawing.axes[4], 2)[1].max() > 40
    assert drawing.axes[4].get_ylim() == pytest.approx((0, 14), rel=0.1)


@pytest.mark.parametrize(("number", "shown"), [(0, "0"), (950, "950"), (2500, "2.5k"), (1.5e6, "1.5M"), (2e9, "2G")])
def test_steps_are_abbreviated(number, shown):
    assert short_number(number) == shown
