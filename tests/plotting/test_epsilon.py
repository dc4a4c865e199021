"""Epsilon as a run logged it."""

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from sb3_atari_dqn.plotting.epsilon import TAG
from sb3_atari_dqn.plotting.runs import read_run
from tests.support.fake_runs import START, games, write_run


def write_board(folder, begun, points, tag=TAG):
    """A TensorBoard log created at a given time."""
    writer = EventFileWriter(str(folder))
    for step, value in points:
        writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))
    writer.close()
    (written,) = [path for path in folder.iterdir() if path.name.split(".")[3] != str(int(begun))]
    written.rename(folder / f"events.out.tfevents.{int(begun)}.host.1.0")


@pytest.fixture
def run(tmp_path):
    """100 steps every 10 seconds, logged under boards/."""
    return write_run(tmp_path / "logs/dqn_dueling/PongNoFrameskip-v4_1", games(4), tensorboard_log="boards")


def epsilon(run):
    found = read_run(run).epsilon
    return None if found is None else [part.tolist() for part in (found.env_steps, found.seconds, found.values)]


def test_epsilon_is_read_from_the_tensorboard_log_created_at_the_start_of_the_run(run, tmp_path):
    boards = tmp_path / "boards/PongNoFrameskip-v4"
    write_board(boards / "dqn_dueling_1", START - 900, [(100, 0.25)])
    write_board(boards / "dqn_dueling_2", START + 20, [(100, 1.0), (250, 0.5)])
    assert epsilon(run) == [[100, 250], [10, 25], [1, 0.5]]


def test_two_logs_created_at_the_same_time_are_ambiguous(run, tmp_path):
    for number in (1, 2):
        write_board(tmp_path / f"boards/PongNoFrameskip-v4/dqn_{number}", START + number, [(100, 0.5)])
    assert epsilon(run) is None


def test_a_log_without_epsilon_gives_none(run, tmp_path):
    write_board(tmp_path / "boards/PongNoFrameskip-v4/ppo_1", START, [(100, 0.5)], tag="rollout/ep_rew_mean")
    assert epsilon(run) is None


def test_a_relative_path_of_the_run_works(run, tmp_path, monkeypatch):
    write_board(tmp_path / "boards/PongNoFrameskip-v4/dqn_1", START, [(100, 0.5)])
    monkeypatch.chdir(run.parent)
    assert epsilon(run.relative_to(run.parent)) == [[100], [10], [0.5]]


def test_epsilon_is_read_from_sb3_s_progress_csv(run):
    (run / "progress.csv").write_text(f"time/total_timesteps,{TAG},train/loss\n100,0.75,\n200,,0.5\n300,0.5,0.5\n")
    assert epsilon(run) == [[100, 300], [10, 30], [0.75, 0.5]]


@pytest.mark.parametrize("content", [f"time/total_timesteps,{TAG}\nx,y\n".encode(), b"\xff\xfe\0\n"])
def test_a_damaged_progress_csv_is_named(run, content):
    (run / "progress.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"progress\.csv"):
        read_run(run)


def test_a_damaged_tensorboard_log_is_named(run, tmp_path, monkeypatch):
    write_board(tmp_path / "boards/PongNoFrameskip-v4/dqn_1", START, [(100, 0.5)])
    monkeypatch.setattr("tensorboard.backend.event_processing.event_accumulator.EventAccumulator.Reload", damaged)
    with pytest.raises(ValueError, match=r"events\.out\.tfevents.*RuntimeError"):
        read_run(run)


def damaged(events):
    raise RuntimeError("a record does not end")
