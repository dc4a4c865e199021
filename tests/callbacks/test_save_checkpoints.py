"""When checkpoints are written, and what happens when they cannot be."""

import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import LogEpisodes, SaveCheckpoints
from sb3_atari_dqn.checkpoints.checkpoint import all_in, newest
from sb3_atari_dqn.checkpoints.training import open_archive


class Call(BaseCallback):
    """Calls a function after some step."""

    def __init__(self, step: int, function) -> None:
        super().__init__()
        self.step, self.function = step, function

    def _on_step(self) -> bool:
        if self.num_timesteps == self.step:
            self.function()
        return True


class OwnBuffer(ReplayBuffer):
    pass


def model_of(env=None, **settings) -> ClassicDQN:
    return ClassicDQN("MlpPolicy", env or make_vec_env("CartPole-v1", seed=1), seed=1, learning_starts=50, **settings)


def steps_in(folder: Path) -> list[int]:
    return [step for _, step in all_in(folder / "checkpoints")]


def test_every_so_many_steps_and_at_the_end_and_only_the_last_ones_are_kept(tmp_path, capsys):
    model_of(train_freq=1).learn(250, callback=SaveCheckpoints(60, keep=3, folder=tmp_path, verbose=1))
    assert steps_in(tmp_path) == [180, 240, 250]
    assert capsys.readouterr().out.count("Saved ") == 5


def test_a_second_learn_goes_on_in_the_same_folder_and_another_training_is_refused(tmp_path):
    callback = SaveCheckpoints(100, folder=tmp_path)
    model = model_of(train_freq=1).learn(150, callback=callback)
    model.learn(100, callback=callback, reset_num_timesteps=False)
    assert steps_in(tmp_path) == [150, 250] or steps_in(tmp_path) == [200, 250]
    with pytest.raises(ValueError, match="holds checkpoints of another training"):
        model_of().learn(100, callback=SaveCheckpoints(100, folder=tmp_path))
    assert len(steps_in(tmp_path)) == 2


def test_each_training_of_a_callback_gets_its_final_checkpoint(tmp_path):
    callback = SaveCheckpoints("1h", folder=tmp_path)
    model = model_of(train_freq=1).learn(100, callback=callback)
    model.learn(100, callback=callback)
    assert steps_in(tmp_path) == [100, 100]
    assert newest(tmp_path / "checkpoints").state("loop")["_n_updates"] == model._n_updates


def test_a_continued_training_keeps_as_many_as_its_callback_says(tmp_path):
    """The command `resume` opens the folder before there is a callback."""
    model_of(train_freq=1).learn(120, callback=SaveCheckpoints(30, keep=4, folder=tmp_path))
    model = model_of(train_freq=1)
    model.continue_from(open_archive(tmp_path / "checkpoints", keep=1), tmp_path)
    model.learn(30, callback=SaveCheckpoints(30, keep=4, folder=tmp_path), reset_num_timesteps=False)
    assert steps_in(tmp_path) == [60, 90, 120, 150]


class AtStart(BaseCallback):
    """Calls a function when the training starts."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def _on_training_start(self) -> None:
        self.function()

    def _on_step(self) -> bool:
        return True


def callbacks_in(folder: Path) -> list[BaseCallback]:
    return [SaveCheckpoints("1h", folder=folder), LogEpisodes(folder=folder)]


def test_a_run_that_was_stopped_before_its_first_step_goes_on_with_its_files(tmp_path):
    stop = AtStart(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        model_of().learn(100, callback=[*callbacks_in(tmp_path), stop])
    assert steps_in(tmp_path) == [0]
    assert (tmp_path / "episodes.csv").is_file()
    env = make_vec_env("CartPole-v1", seed=1)
    resumed = ClassicDQN.resume(tmp_path, env, callbacks_in(tmp_path))
    assert steps_in(tmp_path) == [0, 100]
    with pytest.raises(ValueError, match=r"episodes\.csv exists already and belongs to another training"):
        resumed.learn(100, callback=LogEpisodes(folder=tmp_path))


def test_a_continuation_that_fails_can_be_tried_again(tmp_path):
    def fail() -> None:
        raise RuntimeError("broken")

    def resume(*callbacks: BaseCallback) -> None:
        ClassicDQN.resume(tmp_path, make_vec_env("CartPole-v1", seed=1), list(callbacks), total_timesteps=150)

    model_of().learn(100, callback=callbacks_in(tmp_path))
    with pytest.raises(ValueError, match="must come first") as held:  # with the model, in its traceback
        resume(*reversed(callbacks_in(tmp_path)))
    with pytest.raises(RuntimeError, match="broken") as held_too:
        resume(*callbacks_in(tmp_path), AtStart(fail))
    resume(*callbacks_in(tmp_path))
    assert steps_in(tmp_path) == [100, 152]
    del held, held_too


def test_an_interrupted_training_leaves_its_folder_to_other_processes(tmp_path):
    callbacks = [*callbacks_in(tmp_path), Call(50, lambda: signal.raise_signal(signal.SIGINT))]
    with pytest.raises(KeyboardInterrupt):
        model_of().learn(100, callback=callbacks)
    claim = (
        "import sys, pathlib; from sb3_atari_dqn.callbacks.claims import claim; claim(pathlib.Path(sys.argv[1]), set)"
    )
    subprocess.run([sys.executable, "-c", claim, str(tmp_path)], check=True)
    assert len(callbacks) == 3, "they are still there"


def test_it_must_come_first(tmp_path):
    with pytest.raises(ValueError, match="SaveCheckpoints must come first among the callbacks"):
        model_of().learn(100, callback=[Call(0, None), SaveCheckpoints(50, folder=tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_the_same_model_trains_on_after_an_error(tmp_path):
    def fail() -> None:
        raise RuntimeError("broken")

    callback = SaveCheckpoints(30, folder=tmp_path)
    model = model_of(train_freq=1)
    with pytest.raises(RuntimeError, match="broken"):
        model.learn(100, callback=[callback, Call(73, fail)])
    model.learn(50, callback=callback, reset_num_timesteps=False)
    assert steps_in(tmp_path) == [103, 123]


class Odd(BaseCallback):
    """Its attribute cannot be written."""

    def __init__(self) -> None:
        super().__init__()
        self.odd = {"state": 1j}

    def state_dict(self):
        return self.odd

    def load_state_dict(self, state):
        self.odd = state

    def _on_step(self) -> bool:
        return True


def test_a_state_that_cannot_be_written_ends_no_training(tmp_path):
    with pytest.warns(UserWarning, match=r"checkpoint of step 60 was not written: .*complex.*Training goes on"):
        model = model_of(train_freq=1).learn(100, callback=[SaveCheckpoints(60, folder=tmp_path), Odd()])
    assert model.num_timesteps == 100
    assert steps_in(tmp_path) == []


def test_a_signal_in_the_last_rollout_counts_too(tmp_path):
    callbacks = [SaveCheckpoints("1h", folder=tmp_path), Call(100, lambda: signal.raise_signal(signal.SIGINT))]
    with pytest.raises(KeyboardInterrupt):
        model_of(train_freq=1).learn(100, callback=callbacks)
    assert steps_in(tmp_path) == [100]


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_training_that_begins_while_an_error_is_handled_ends_with_a_checkpoint(tmp_path, number):
    """The usual way to continue, or else begin: `except FileNotFoundError: learn()`."""

    def begin() -> None:
        stop = [] if number is None else [Call(100, lambda: signal.raise_signal(number))]
        try:
            raise FileNotFoundError
        except FileNotFoundError:
            model_of(train_freq=1).learn(100, callback=[SaveCheckpoints("1h", folder=tmp_path), *stop])

    if number is None:
        begin()
    else:
        with pytest.raises(SystemExit):
            begin()
    assert steps_in(tmp_path) == [100]


def test_the_end_of_the_training_told_twice_writes_nothing_more(tmp_path):
    """As the zoo does, after an interruption too."""
    callback = SaveCheckpoints(30, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        model_of(train_freq=1).learn(100, callback=[callback, Call(50, lambda: signal.raise_signal(signal.SIGINT))])
    callback.on_training_end()
    assert steps_in(tmp_path) == [30, 50]


def test_other_algorithms_are_refused_with_what_to_use(tmp_path):
    with pytest.raises(ValueError, match="DQN gives no state: use SB3's CheckpointCallback"):
        DQN("MlpPolicy", "CartPole-v1").learn(100, callback=SaveCheckpoints(50, folder=tmp_path))


def test_a_buffer_without_a_state_is_refused_or_the_training_goes_without(tmp_path):
    with pytest.raises(ValueError, match="OwnBuffer gives no state: add state_dict"):
        model_of(replay_buffer_class=OwnBuffer).learn(100, callback=SaveCheckpoints(50, folder=tmp_path))
    with pytest.warns(UserWarning, match="There will be no checkpoints: OwnBuffer gives no state"):
        model_of(replay_buffer_class=OwnBuffer).learn(
            100, callback=SaveCheckpoints(50, folder=tmp_path, required=False)
        )
    assert not (tmp_path / "checkpoints").exists()


def test_a_failure_warns_and_a_later_success_is_told(tmp_path, capsys):
    folder, away = tmp_path / "checkpoints", tmp_path / "away"
    vanish, return_ = Call(90, lambda: folder.rename(away)), Call(130, lambda: away.rename(folder))
    callbacks = [SaveCheckpoints(40, folder=tmp_path), vanish, return_]
    with pytest.warns(UserWarning, match=r"The checkpoint of step 120 could not be written .*Training goes on\."):
        model_of(train_freq=1).learn(170, callback=callbacks)
    assert "Checkpoints are written again" in capsys.readouterr().out
    assert steps_in(tmp_path) == [160, 170]
    open_archive(folder, keep=2).close()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_stops_between_two_steps_with_a_checkpoint(tmp_path, capsys, number, error):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    callbacks = [SaveCheckpoints("1h", folder=tmp_path), Call(73, lambda: signal.raise_signal(number))]
    with pytest.raises(error):
        model_of(train_freq=1).learn(1000, callback=callbacks)
    assert steps_in(tmp_path) == [73]
    assert "Stopped at step 73. To continue: ClassicDQN.resume(" in capsys.readouterr().out
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_second_signal_stops_at_once(tmp_path):
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        model_of(train_freq=1).learn(1000, callback=[SaveCheckpoints("1h", folder=tmp_path), Call(73, twice)])
    assert steps_in(tmp_path) == []


def test_a_handler_of_the_program_stays(tmp_path):
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        callbacks = [SaveCheckpoints(60, folder=tmp_path), Call(73, lambda: signal.raise_signal(signal.SIGTERM))]
        model_of(train_freq=1).learn(100, callback=callbacks)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert steps_in(tmp_path) == [60, 100]


def test_in_another_thread_signals_are_left_alone(tmp_path):
    callback = SaveCheckpoints(60, folder=tmp_path)
    thread = threading.Thread(target=lambda: model_of(train_freq=1).learn(100, callback=callback))
    thread.start()
    thread.join()
    assert steps_in(tmp_path) == [60, 100]


def test_a_training_that_fails_leaves_its_last_good_checkpoint(tmp_path):
    def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        model_of(train_freq=1).learn(100, callback=[SaveCheckpoints(30, folder=tmp_path), Call(73, fail)])
    assert steps_in(tmp_path) == [30, 60]
    open_archive(tmp_path / "checkpoints", keep=2).close()  # the lock is free


def test_the_learning_rate_and_what_callbacks_count_are_those_of_the_run(tmp_path):
    """A schedule reads the whole length of the training, which a continued one is not told again."""
    rates: list[list[float]] = [[], []]
    for number, folder in enumerate(("one", "two")):
        path = tmp_path / folder
        path.mkdir()

        def build(path=path) -> ClassicDQN:
            return model_of(train_freq=1, learning_rate=lambda progress: 1e-3 * progress)

        def watch(model, number=number) -> Call:
            return Call(150, lambda: rates[number].append(model.policy.optimizer.param_groups[0]["lr"]))

        model = build()
        if folder == "one":
            model.learn(200, callback=[SaveCheckpoints(100, folder=path), watch(model)])
            continue
        with pytest.raises(KeyboardInterrupt):
            model.learn(
                200,
                callback=[SaveCheckpoints(50, folder=path), Call(120, lambda: signal.raise_signal(signal.SIGINT))],
            )
        model = build()
        model.continue_from(open_archive(path / "checkpoints", keep=2), path)
        assert model.num_timesteps == 120
        model.learn(80, callback=[SaveCheckpoints(50, folder=path), watch(model)], reset_num_timesteps=False)
    assert rates[0] == rates[1] != []


@pytest.mark.filterwarnings("ignore:.*could not be written", "ignore:.*could not write")
def test_a_full_disk_ends_neither_the_training_nor_its_log_files(tmp_path, capsys):
    """A limit on the size of files stands for the disk: nothing can be added to any."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    env = make_vec_env("CartPole-v1", seed=1, monitor_dir=str(tmp_path))
    evaluation = EvalCallback(make_vec_env("CartPole-v1", seed=2), eval_freq=70, n_eval_episodes=1, verbose=0)
    evaluation.log_path = str(tmp_path / "evaluations")
    callbacks = [
        SaveCheckpoints(100, folder=tmp_path),
        LogEpisodes(folder=tmp_path),
        evaluation,
        Call(250, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))),
        Call(450, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)),
    ]
    model = model_of(env)
    model.set_logger(configure(str(tmp_path), ["csv", "json", "log"]))
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model.learn(600, callback=callbacks, log_interval=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    messages = "\n".join(str(each.message) for each in said)
    for name in ("checkpoint of step 300", "0.monitor.csv", "progress.csv", "what EvalCallback saves", "episodes.csv"):
        assert name in messages
    printed = capsys.readouterr().out
    for name in ("Checkpoints are written again", f"Written again: {tmp_path / '0.monitor.csv'}", "EvalCallback saves"):
        assert name in printed
    assert steps_in(tmp_path) == [500, 600]
    monitored = (tmp_path / "0.monitor.csv").read_text().splitlines()[2:]
    logged = (tmp_path / "episodes.csv").read_text().splitlines()[1:]
    assert [float(row.split(",")[0]) for row in monitored] == [float(row.split(",")[4]) for row in logged]
    assert len(monitored) > 20
