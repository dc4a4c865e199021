"""The data of a run."""

import re
from pathlib import Path

import numpy as np
import pytest

from sb3_atari_dqn.plotting.groups import group
from sb3_atari_dqn.plotting.panels import panels_for
from sb3_atari_dqn.plotting.runs import read_run
from tests.support.fake_runs import NATURE, games, write_evaluations, write_run


def test_episodes_of_all_environments_are_ordered_by_their_ends(tmp_path):
    """Two environments step together: frames / 4 x 2 steps; the second starts a second later."""
    run = write_run(tmp_path / "run", [(1, 40, 2.0), (2, 80, 9.0)], [(3, 60, 4.0)], late=1.0)
    found = read_run(run).episodes
    assert found.returns.tolist() == [1, 3, 2]
    assert found.seconds.tolist() == [2, 5, 9]
    assert found.env_steps.tolist() == [20, 30, 60]


def test_an_environment_without_a_finished_episode_counts_for_the_steps(tmp_path):
    found = read_run(write_run(tmp_path / "run", [(1, 40, 2.0)], [])).episodes
    assert found.env_steps.tolist() == [20]


def test_without_a_skip_the_monitor_counts_steps(tmp_path):
    run = write_run(tmp_path / "run", [(1, 40, 2.0)], algo="ppo", env="CartPole-v1", config={"policy": "MlpPolicy"})
    assert read_run(run).episodes.env_steps.tolist() == [40]


@pytest.mark.parametrize("unfinished", ["-20.0,31", "-20.0,312,5", "-20.0,312,50.125"])
def test_a_line_that_is_still_being_written_is_skipped(tmp_path, unfinished):
    run = write_run(tmp_path / "run", games(3))
    with (run / "0.monitor.csv").open("a") as file:
        file.write(unfinished)
    assert len(read_run(run).episodes.returns) == 3


def test_further_columns_of_the_monitor_are_ignored(tmp_path):
    run = write_run(tmp_path / "run", [])
    head = (run / "0.monitor.csv").read_text().splitlines()[0]
    (run / "0.monitor.csv").write_text(f"{head}\nr,l,t,is_success\n5,8,1.5,True\n")
    assert read_run(run).episodes.returns.tolist() == [5]


def test_another_column_can_replace_the_return(tmp_path):
    run = write_run(tmp_path / "run", [])
    head = (run / "0.monitor.csv").read_text().splitlines()[0]
    (run / "0.monitor.csv").write_text(f"{head}\nr,l,t,score\n5,8,1.5,70\n6,9,2.5,90\n")
    write_evaluations(run, [4], [[1.0, 3.0]])
    found = read_run(run, "score")
    assert found.episodes.returns.tolist() == [70, 90]
    assert found.evaluations is None, "those hold returns"
    titles = [panel.title for panel in panels_for(group([found]))]
    assert titles[:2] == ["Score of training episodes", "Score per 10 episodes"]
    with pytest.raises(ValueError, match=r"'points'.* r, l, t, score: .*info_keywords: \[points\]"):
        read_run(run, "points")


@pytest.mark.parametrize(("column", "numbers"), [("r", [1, 3, 2]), ("l", [40, 60, 80]), ("t", [2, 4, 9])])
def test_the_monitors_own_columns_can_replace_it_too(tmp_path, column, numbers):
    run = write_run(tmp_path / "run", [(1, 40, 2.0), (2, 80, 9.0)], [(3, 60, 4.0)])
    found = read_run(run, column).episodes
    assert found.returns.tolist() == numbers
    assert found.env_steps.tolist() == [20, 30, 60]


@pytest.mark.parametrize(("log", "first_column"), [("episodes.csv", "episode"), ("games.csv", "game")])
def test_the_log_of_log_episodes_has_the_exact_environment_steps(tmp_path, log, first_column):
    """Up to 0.1.0 it was called games.csv, and its first column game."""
    run = write_run(tmp_path / "run", [(1, 40, 2.0), (2, 80, 9.0)])
    header = f"{first_column},env,env_steps,seconds,return,length,mean_loss,epsilon"
    (run / log).write_text(f"{header}\n1,0,11,2.1,1.0,40,,0.9\n2,0,33,9.1,2.0,80,0.5,0.8\n")
    found = read_run(run)
    assert found.episodes.env_steps.tolist() == [11, 33]
    assert found.episodes.seconds.tolist() == [2.1, 9.1]
    assert found.epsilon is not None
    assert found.epsilon.values.tolist() == [0.9, 0.8]


def test_a_newer_log_has_precedence_over_an_older_one(tmp_path):
    run = write_run(tmp_path / "run", [(1, 40, 2.0)])
    for log, env_steps in (("games.csv", 11), ("episodes.csv", 12)):
        (run / log).write_text(f"env_steps,seconds,return,epsilon\n{env_steps},2.1,1.0,{env_steps / 100}\n")
    found = read_run(run)
    assert found.episodes.env_steps.tolist() == [12]
    assert found.epsilon is not None
    assert found.epsilon.values.tolist() == [0.12]


RESULTS = Path(__file__).parents[2] / "benchmarks/results"


@pytest.mark.parametrize("run", ["pong_elu_seed1", "mspacman_ram_seed1", "space_invaders_dueling_seed1"])
def test_runs_of_version_0_1_0_are_read(run):
    found = read_run(RESULTS / run)
    assert len(found.episodes.returns) == len((RESULTS / run / "games.csv").read_text().splitlines()) - 1
    assert found.epsilon is not None
    assert found.remark == ""


@pytest.mark.parametrize("kept", ["", "11,2.1,7.0\n", "11,2.1,7.0\n33,9"])
def test_an_incomplete_log_gives_way_to_the_monitor_files(tmp_path, kept):
    run = write_run(tmp_path / "run", [(1, 40, 2.0), (2, 80, 9.0)], [(3, 60, 4.0)])
    (run / "episodes.csv").write_text(f"env_steps,seconds,return\n{kept}")
    found = read_run(run)
    assert found.episodes.returns.tolist() == [1, 3, 2]
    held = 1 if kept else 0
    assert (f"{run / 'episodes.csv'} is incomplete (it holds {held} of 3" in found.remark) == bool(held)


def test_a_log_with_more_episodes_than_the_monitor_files_is_used(tmp_path):
    run = write_run(tmp_path / "run", [(1, 40, 2.0)])
    (run / "episodes.csv").write_text("env_steps,seconds,return\n11,2.1,1.0\n33,9,2.0\n")
    assert (read_run(run).episodes.env_steps.tolist(), read_run(run).remark) == ([11, 33], "")


def test_evaluations_are_means_at_their_steps_with_interpolated_times(tmp_path):
    run = write_run(tmp_path / "run", [(0, 400, 10.0), (0, 400, 30.0)])  # 100 steps in 10 s, 200 in 30 s
    write_evaluations(run, [100, 150], [[1.0, 3.0], [5.0, 7.0]])
    found = read_run(run).evaluations
    assert found is not None
    assert [part.tolist() for part in (found.env_steps, found.seconds, found.means)] == [[100, 150], [10, 20], [2, 6]]


def test_a_run_without_evaluations_or_epsilon_has_none(tmp_path):
    found = read_run(write_run(tmp_path / "run", games(3)))
    assert found.evaluations is None
    assert found.epsilon is None


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}/none"):
        read_run(tmp_path / "none")


def test_a_folder_of_runs_names_them(tmp_path):
    write_run(tmp_path / "logs/dqn/Pong_1", games(3))
    with pytest.raises(ValueError, match=r"monitor files: .*logs/dqn/Pong_1"):
        read_run(tmp_path / "logs")


def test_an_empty_folder_raises_with_what_is_expected(tmp_path):
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))} .*monitor files: .*train"):
        read_run(tmp_path)


def test_a_run_without_a_finished_episode_raises_and_says_to_wait(tmp_path):
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}/run .*episode.*wait"):
        read_run(write_run(tmp_path / "run", [], []))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a,b\n1,2\n",
        '#{"env_id": "x"}\nr,l,t\n',
        '#{"t_start": 1}\nr,l,t\nx,y,z\n',
        "#3\n",
        '#{"t_start": NaN}\n',
        "\0\n" * 900,
    ],
)
def test_a_file_that_is_not_a_monitor_file_is_named(tmp_path, content):
    run = write_run(tmp_path / "run", games(2))
    (run / "0.monitor.csv").write_text(content)
    with pytest.raises(ValueError, match=r"0\.monitor\.csv .*monitor file") as raised:
        read_run(run)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300 + len(str(run))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nan,400,15.0", "r is 'nan'"),
        ("inf,400,15.0", "r is 'inf'"),
        ("1.0,-400,15.0", "l is '-400'.*at least 0"),
        ("1.0,400,nan", "t is 'nan'"),
        ("1.0,400,-1", "t is '-1'"),
        ("1.0,,15.0", "l is ''"),
        ("1e308,400,15.0", r"\br .*'1e308'.*1e\+100"),
        ("1.0,1e101,15.0", r"\bl .*'1e101'"),
        ("1.0,400", "2 cells instead of 3"),
        ("1.0,400,15.0,7", "4 cells instead of 3"),
    ],
)
def test_a_damaged_line_is_named_with_its_file_and_its_number(tmp_path, line, says):
    run = write_run(tmp_path / "run", games(2))
    lines = (run / "0.monitor.csv").read_text().splitlines()
    (run / "0.monitor.csv").write_text("\n".join([*lines[:3], line, lines[3]]) + "\n")
    with pytest.raises(ValueError, match=rf"0\.monitor\.csv .*line 4: {says}.*: .*move it away"):
        read_run(run)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_a_damaged_file_of_evaluations_is_named(tmp_path, content):
    run = write_run(tmp_path / "run", games(2))
    (run / "evaluations.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"evaluations\.npz "):
        read_run(run)


def test_a_log_of_another_kind_is_named(tmp_path):
    run = write_run(tmp_path / "run", games(2), config=NATURE)
    (run / "episodes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"episodes\.csv .*LogEpisodes.*'env_steps'"):
        read_run(run)


@pytest.mark.parametrize("cells", ["x,2.1,1.0,0.9", ",2.1,1.0,0.9", "11,2.1,1.0,zz", "11,2.1,1.0,nan"])
def test_a_damaged_log_is_named(tmp_path, cells):
    run = write_run(tmp_path / "run", games(2))
    (run / "episodes.csv").write_text(f"env_steps,seconds,return,epsilon\n{cells}\n")
    with pytest.raises(ValueError, match=r"episodes\.csv .*line 2: "):
        read_run(run)


@pytest.mark.parametrize(
    ("timesteps", "results"),
    [
        (np.arange(5), np.zeros((3, 2))),
        (np.array(5), np.array(5.0)),
        (np.arange(3), np.zeros((3, 0))),
        (np.array([1.0, np.nan]), np.zeros((2, 2))),
        (np.arange(2), np.array([[1], [2, 3]], object)),
    ],
)
def test_evaluations_that_do_not_fit_together_are_named(tmp_path, timesteps, results):
    run = write_run(tmp_path / "run", games(2))
    np.savez(run / "evaluations.npz", timesteps=timesteps, results=results)
    with pytest.raises(ValueError, match=r"evaluations\.npz "):
        read_run(run)


def test_an_evaluation_file_without_evaluations_gives_none(tmp_path):
    run = write_run(tmp_path / "run", games(2))
    write_evaluations(run, [], [])
    assert read_run(run).evaluations is None
