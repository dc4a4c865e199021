"""``python -m sb3_atari_dqn plot``."""

import os
import sys

import pytest
from PIL import Image

from sb3_atari_dqn.commands.plot import main
from sb3_atari_dqn.plotting.runs import read_run
from tests.support.commands import files, run, shell
from tests.support.fake_runs import NATURE, games, write_run

LOGGERS = "to log it, train with the callback sb3_atari_dqn.callbacks.LogEpisodes or with --tensorboard-log"


@pytest.fixture
def pong(runs):
    return str(write_run(runs / "logs/dqn_dueling/PongNoFrameskip-v4_1", games(30)))


def error_of(capsys, *arguments):
    """:return: the one line that a failing command prints"""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("plot: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_run_is_plotted_and_missing_panels_are_reported(pong, runs, capsys):
    main([pong])
    assert capsys.readouterr().out == f"No epsilon panel: no run logged epsilon; {LOGGERS}\nWrote plot.png\n"
    with Image.open(runs / "plot.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == 1200


@pytest.mark.slow
def test_runs_without_epsilon_are_named_if_others_have_it(pong, runs, capsys):
    other = write_run(runs / "logs/dqn/PongNoFrameskip-v4_1", games(30), algo="dqn")
    (other / "progress.csv").write_text("time/total_timesteps,rollout/exploration_rate\n100,1.0\n")
    main([pong, str(other), "--out", "new/folder/both.png"])
    assert capsys.readouterr().out == f"No epsilon for {pong}: not logged; {LOGGERS}\nWrote new/folder/both.png\n"


@pytest.mark.slow
def test_algorithms_without_epsilon_get_no_advice_to_log_it(pong, runs, capsys):
    ppo = str(write_run(runs / "logs/ppo/PongNoFrameskip-v4_1", games(30), algo="ppo"))
    main([ppo])
    assert capsys.readouterr().out == "No epsilon panel: no run logged epsilon\nWrote plot.png\n"
    (runs / f"{pong}/progress.csv").write_text("time/total_timesteps,rollout/exploration_rate\n100,1.0\n")
    main([pong, ppo])
    assert capsys.readouterr().out == "Wrote plot.png\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "exploration", "has_epsilon"),
    [
        ("dqn_rainbow", {}, False),
        ("dqn_rainbow", {"exploration": "linear"}, True),
        ("dqn_dueling", {"exploration": None}, False),
        ("dqn_dueling", {"exploration": "none"}, False),
        ("dqn_btr", {}, True),
    ],
)
def test_runs_that_explore_by_noise_have_no_epsilon_and_lack_none(runs, capsys, algo, exploration, has_epsilon):
    rows = games(30)
    logged, silent = (
        write_run(runs / f"logs/{algo}/PongNoFrameskip-v4_{number}", rows, algo=algo, config={**NATURE, **exploration})
        for number in (1, 2)
    )
    (logged / "progress.csv").write_text("time/total_timesteps,rollout/exploration_rate\n100,0.0\n")
    assert (read_run(logged).epsilon is not None) == has_epsilon
    main([str(logged), str(silent)])
    advice = f"No epsilon for {silent}: not logged; {LOGGERS}\n" if has_epsilon else ""
    assert capsys.readouterr().out == f"{advice}Wrote plot.png\n"


def test_folders_without_a_run_or_an_episode_are_skipped_and_named(pong, runs, capsys):
    (runs / "logs/tensorboard").mkdir()
    young = write_run(runs / "logs/dqn_dueling/PongNoFrameskip-v4_2", [])
    main([pong, "logs/tensorboard", str(young), "-o", "plot.png"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("Skipped: logs/tensorboard is not a run folder")
    assert out[1].startswith(f"Skipped: {young} holds no finished episode yet")
    assert out[-1] == "Wrote plot.png"
    assert f"{young} holds no finished episode yet" in error_of(capsys, str(young))
    assert "There is no run folder nowhere" in error_of(capsys, pong, "nowhere")


@pytest.mark.slow
def test_the_command_exists_and_an_error_is_one_line_without_a_traceback(runs):
    command = [sys.executable, "-m", "sb3_atari_dqn", "plot"]
    result = run([*command, "no/such/run"])
    assert result.returncode == 2
    assert result.stdout.startswith("plot: error: There is no run folder no/such/run")
    assert result.stdout.count("\n") == 1
    told = run([*command, "--help"]).stdout
    assert "plot logs/dqn_dueling/PongNoFrameskip-v4_1" in told
    assert "plot RUN [RUN ...] [-o FILE.png] [--value COLUMN] [--labels NAME [NAME ...]]" in told


def test_mixed_environments_raise_and_nothing_is_written(pong, runs, capsys):
    other = write_run(runs / "logs/dqn/BreakoutNoFrameskip-v4_1", games(3), env="BreakoutNoFrameskip-v4")
    before = files(runs)
    assert "BreakoutNoFrameskip-v4" in error_of(capsys, pong, str(other))
    assert files(runs) == before


@pytest.mark.parametrize("out", ["plot.jpg", "plot"])
def test_another_format_raises(pong, capsys, out):
    assert f"{out} must end with .png: give another name with -o" in error_of(capsys, pong, "-o", out)


@pytest.mark.parametrize("out", ["file/plot.png", "folder.png"])
def test_an_unwritable_path_is_named_before_anything_is_drawn(pong, runs, capsys, monkeypatch, out):
    monkeypatch.setitem(sys.modules, "sb3_atari_dqn.plotting.figure", None)
    (runs / "file").touch()
    (runs / "folder.png").mkdir()
    before = files(runs)
    assert f"{out} cannot be written" in error_of(capsys, pong, "--out", out)
    assert files(runs) == before


@pytest.mark.slow
def test_a_full_disk_leaves_an_older_plot_intact(pong, runs):
    (runs / "plot.png").write_bytes(b"older")
    before = files(runs)
    told = shell("plot", pong, largest_file=1)
    assert "plot.png cannot be written (File too large): give another path with -o" in told
    assert (runs / "plot.png").read_bytes() == b"older"
    assert files(runs) == before


@pytest.mark.slow
def test_a_symbolic_link_is_written_through(pong, runs, capsys):
    (runs / "real").mkdir()
    for name in ("there.png", "not_yet.png"):
        (runs / f"link_{name}").symlink_to(f"real/{name}")
    (runs / "real/there.png").write_bytes(b"older")
    for name in ("there.png", "not_yet.png"):
        main([pong, "-o", f"link_{name}"])
        assert (runs / f"link_{name}").is_symlink()
        assert (runs / "real" / name).read_bytes().startswith(b"\x89PNG")
    assert files(runs / "real") == ["not_yet.png", "there.png"]


def test_a_path_that_is_not_a_regular_file_raises(pong, runs, capsys):
    (runs / "loop.png").symlink_to("loop.png")
    os.mkfifo(runs / "pipe.png")
    assert "it is a symbolic link to itself" in error_of(capsys, pong, "-o", "loop.png")
    assert "it is not a regular file" in error_of(capsys, pong, "-o", "pipe.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "reason"), [("> /dev/full", "No space left on device"), ("| head -0", "Broken pipe"), (">&-", None)]
)
def test_a_closed_output_is_one_line_and_the_plot_is_written(pong, runs, output, reason):
    says = f"plot: error: Standard output cannot be written ({reason}); already written: plot.png\n"
    assert shell("plot", pong, redirection=output) == (says if reason else "")
    assert (runs / "plot.png").is_file()


@pytest.mark.slow
def test_an_incomplete_log_is_reported(pong, runs, capsys):
    (runs / pong / "episodes.csv").write_text("env_steps,seconds,return,epsilon\n11,2.1,1.0,0.9\n")
    main([pong])
    assert capsys.readouterr().out == (
        f"{pong}/episodes.csv is incomplete (it holds 1 of 30 episodes): plotted the monitor files\nWrote plot.png\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the rights of another user, which root can")
def test_a_folder_without_permission_is_one_line(pong, runs, capsys):
    (runs / "closed").mkdir(mode=0o700)
    runs.chmod(0o755)
    try:
        os.seteuid(65534)
        printed = error_of(capsys, "closed/run")
    finally:
        os.seteuid(0)
    assert "Permission denied: 'closed/run'" in printed


def test_without_matplotlib_it_says_what_to_install(pong, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install 'sb3-atari-dqn[plots]'" in error_of(capsys, pong)


@pytest.mark.slow
def test_the_same_run_twice_counts_once(pong, capsys):
    main([pong, f"{pong}/../PongNoFrameskip-v4_1/.", "--labels", "ours"])
    assert "Wrote plot.png" in capsys.readouterr().out
