"""The C++ environment beside the ordinary one: the same games, frame by frame, and the same starts by distribution."""

import json
import os
import signal
import threading
import time
from collections import Counter
from typing import Any

import ale_py
import cv2
import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv, FireResetEnv, NoopResetEnv
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor, load_results
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecTransposeImage, VecVideoRecorder

from sb3_atari_dqn.algorithms.env_stacking import frame_stacking
from sb3_atari_dqn.atari import AtariPresetWrapper, NativeAtariVecEnv, NatureAtari, native_pool, why_not_native
from sb3_atari_dqn.atari.frames import FramePipeline

PONG = "PongNoFrameskip-v4"
BREAKOUT = "BreakoutNoFrameskip-v4"


def native(env_id: str, n_envs: int = 1, seed: int = 0, env_kwargs: Any = None, **overrides: Any) -> NativeAtariVecEnv:
    preset = NatureAtari.preset.with_overrides(overrides)
    return NativeAtariVecEnv(env_id, n_envs, seed=seed, env_kwargs=env_kwargs, preset=preset)


def ordinary(env_id: str, n_envs: int = 1, seed: int = 0, env_kwargs: Any = None, **overrides: Any) -> VecEnv:
    env = make_vec_env(
        env_id, n_envs, seed=seed, env_kwargs=env_kwargs, wrapper_class=NatureAtari, wrapper_kwargs=overrides
    )
    return VecTransposeImage(VecFrameStack(env, 4))


def levels_apart(ours: np.ndarray, theirs: np.ndarray) -> int:
    return int(np.abs(ours.astype(int) - theirs).max())


def assert_same_infos(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """All but the clock, the count of frames beyond the limit, and the last frame of a game."""
    final = [info.pop("terminal_observation", np.zeros((4, 1, 1), np.uint8)) for info in (ours, theirs)]
    assert levels_apart(final[0][:-3], final[1][:-3]) == 0
    for info in (ours, theirs):
        info.get("episode", {}).pop("t", None)
        info.pop("frame_number")
    assert ours == theirs


def play_both(ours: VecEnv, theirs: VecEnv, steps: int, seed: int = 0) -> Counter:
    """
    The same random actions in both environments, every output compared.

    :return: how many episodes and games ended, what was paid, and how far the gray levels were apart at most
    """
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    tally: Counter = Counter(apart=levels_apart(ours.reset(), theirs.reset()))  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        actions = rng.integers(0, int(ours.action_space.n), ours.num_envs)  # type: ignore[attr-defined]
        observations, rewards, dones, infos = ours.step(actions)
        expected = theirs.step(actions)
        tally["apart"] = max(tally["apart"], levels_apart(observations, expected[0]))  # type: ignore[arg-type]
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2])
        tally.update(episodes=int(dones.sum()), paid=int(np.abs(rewards).sum()))
        tally["games"] += sum("episode" in info for info in infos)
        for info, twin in zip(infos, expected[3], strict=True):
            assert_same_infos(info, twin)
    ours.close()
    theirs.close()
    return tally


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "steps", "options", "episodes", "games"),
    [
        (PONG, 200, {"noop_max": 0, "fire_on_reset": False}, 0, 0),
        (BREAKOUT, 100, {"noop_max": 0, "fire_on_reset": False}, 1, 0),
        (BREAKOUT, 300, {"noop_max": 0}, 10, 2),
        (BREAKOUT, 200, {"noop_max": 0, "terminal_on_life_loss": False, "clip_reward": False}, 1, 1),
        ("QbertNoFrameskip-v4", 150, {"noop_max": 0}, 1, 0),
        (
            "MsPacmanNoFrameskip-v4",
            300,
            {"noop_max": 0, "frame_skip": 3, "reward_scale": 0.1, "clip_reward": False},
            1,
            0,
        ),
        (PONG, 60, {"noop_max": 0, "size": [64, 60], "frame_skip": 6}, 0, 0),
        (
            PONG,
            30,
            {"noop_max": 0, "grayscale": None, "crop": [34, 194, 0, 160], "size": [80, 80], "resize": "stride"},
            0,
            0,
        ),
        (PONG, 30, {"noop_max": 0, "grayscale": "mean", "size": None}, 0, 0),
        (PONG, 60, {"noop_max": 0, "frame_skip": 1, "max_pool_frames": 1}, 0, 0),
    ],
)
def test_the_same_actions_give_the_same_games_frame_by_frame(env_id, steps, options, episodes, games):
    tally = play_both(native(env_id, 2, **options), ordinary(env_id, 2, **options), steps)
    assert tally["apart"] == 0
    assert tally["episodes"] >= episodes
    assert tally["games"] >= games


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 4])  # those whose emulator seed has no sign bit, which C++ refuses
def test_sticky_actions_are_the_same_of_the_same_seed(seed):
    kwargs = {"repeat_action_probability": 0.25}
    tally = play_both(
        native(BREAKOUT, 1, seed, kwargs, noop_max=0), ordinary(BREAKOUT, 1, seed, kwargs, noop_max=0), 150
    )
    assert tally["apart"] == 0
    assert tally["episodes"] >= 2


@pytest.mark.slow
def test_sticky_actions_of_the_preset_are_those_of_the_environment():
    by_preset = native(BREAKOUT, 1, 1, noop_max=0, action_repeat_probability=0.25)
    by_environment = native(BREAKOUT, 1, 1, {"repeat_action_probability": 0.25}, noop_max=0)
    assert play_both(by_preset, by_environment, 100)["apart"] == 0
    plain = native(BREAKOUT, 1, 1, noop_max=0)
    with pytest.raises(AssertionError):
        play_both(native(BREAKOUT, 1, 1, noop_max=0, action_repeat_probability=0.25), plain, 100)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [200, 203])
def test_a_game_is_truncated_at_the_frame_limit_with_the_same_score(limit):
    kwargs = {"max_num_frames_per_episode": limit}
    options = {"noop_max": 0, "terminal_on_life_loss": False}
    ours = native(PONG, 1, 0, kwargs, **options)
    ours.reset()
    steps = [ours.step(np.array([0])) for _ in range(60)]
    ended = [info for _, _, dones, (info,) in steps if dones[0]]
    assert [(info["TimeLimit.truncated"], info["episode"]["l"]) for info in ended] == [(True, limit)]
    assert ended[0]["terminal_observation"].shape == (4, 84, 84)
    assert play_both(native(PONG, 1, 0, kwargs, **options), ordinary(PONG, 1, 0, kwargs, **options), 60)["games"] == 1


@pytest.mark.slow
def test_no_ops_at_the_start_of_a_game_are_1_to_30_uniformly():
    """Chi-square; chance alone exceeds 58.3 (29 degrees of freedom) once in 1000, and the seed is fixed."""
    env = native(PONG, 1, 3, {"max_num_frames_per_episode": 1}, fire_on_reset=False)
    env.reset()
    # The limit cuts every game after one step of four frames.
    frames = [0] + [env.step(np.array([0]))[3][0]["frame_number"] for _ in range(450)]
    counts = Counter(np.diff(frames) - 4)
    assert set(counts) == set(range(1, 31))
    assert sum((counts[noops] - 15) ** 2 / 15 for noops in range(1, 31)) < 58.3


def layer(env: gym.Env, wrapper: type) -> Any:
    while not isinstance(env, wrapper):
        env = env.env  # type: ignore[attr-defined]
    return env


@pytest.mark.slow
def test_a_start_after_some_no_ops_and_fire_is_the_ordinary_one():
    ours = native(BREAKOUT, 6, 5)
    begun = ours.reset()
    infos = ours.step(np.zeros(6, int))[3]
    noops = [info["episode_frame_number"] - 12 for info in infos]  # FIRE, button 2 and our step, four frames each
    assert len(set(noops)) > 3
    game = NatureAtari(gym.make(BREAKOUT))
    for stack, count in zip(begun, noops, strict=True):
        layer(game, NoopResetEnv).override_num_noops = count
        layer(game, EpisodicLifeEnv).was_real_done = True
        assert levels_apart(stack[-1], game.reset(seed=0)[0][:, :, 0]) == 0
        assert not stack[:-1].any()


def test_what_the_no_ops_pay_belongs_to_the_score():
    """A game of Skiing costs the same at every frame, so it has cost as much after 60 of them on both paths."""
    kwargs = {"max_num_frames_per_episode": 60}
    scores: dict[Any, set[float]] = {}
    for build in (native, ordinary):
        env = build("SkiingNoFrameskip-v4", 1, 0, kwargs, fire_on_reset=False)
        env.reset()
        ended = [info for _, _, _, (info,) in [env.step(np.array([0])) for _ in range(120)] if "episode" in info]
        played = np.diff([0] + [info["frame_number"] for info in ended])  # C++ plays up to three frames on
        scores[build] = {info["episode"]["r"] for info, frames in zip(ended, played, strict=True) if frames == 60}
    assert scores[native] == scores[ordinary]
    assert len(scores[native]) == 1


# Scores -----------------------------------------------------------------------------------------------------------


class RandomPlayer(PolicyPredictor):
    """All that ``evaluate_policy`` needs of a model."""

    def __init__(self, n_actions: int) -> None:
        self.rng = np.random.default_rng(1)
        self.n_actions = n_actions

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> tuple[np.ndarray, None]:
        return self.rng.integers(0, self.n_actions, len(observation)), None


@pytest.mark.slow
def test_an_evaluation_gives_raw_scores_and_lengths_of_whole_games_as_on_the_ordinary_path():
    results = [
        evaluate_policy(RandomPlayer(4), build(BREAKOUT, 2, noop_max=0), n_eval_episodes=3, return_episode_rewards=True)
        for build in (native, ordinary)
    ]
    assert results[0] == results[1]
    assert min(results[0][1]) > 400, "five lives, in raw frames"  # type: ignore[arg-type]


@pytest.mark.slow
def test_monitor_files_have_the_format_of_sb3(tmp_path):
    ours = NativeAtariVecEnv(BREAKOUT, 2, seed=0, monitor_dir=str(tmp_path / "ours"))
    theirs = make_vec_env(BREAKOUT, 2, seed=0, monitor_dir=str(tmp_path / "theirs"), wrapper_class=NatureAtari)
    tables = []
    pairs: list[tuple[str, VecEnv]] = [("ours", ours), ("theirs", theirs)]
    for name, env in pairs:
        stream(env, 260)
        env.close()
        tables.append(load_results(str(tmp_path / name)))
        assert sorted(os.listdir(tmp_path / name)) == ["0.monitor.csv", "1.monitor.csv"]
        header = json.loads((tmp_path / name / "1.monitor.csv").read_text().splitlines()[0][1:])
        assert header["env_id"] == BREAKOUT
    assert all(len(table) >= 2 for table in tables)
    assert list(tables[0].columns) == list(tables[1].columns)
    assert list(tables[0].dtypes) == list(tables[1].dtypes)


# Seeds --------------------------------------------------------------------------------------------------------------


def stream(env: VecEnv, steps: int) -> list[Any]:
    rng = np.random.default_rng(0)
    seen: list[Any] = [env.reset()]
    for _ in range(steps):
        observations, rewards, dones, infos = env.step(rng.integers(0, 4, env.num_envs))
        seen += [observations, rewards, dones, [(info["lives"], info["episode_frame_number"]) for info in infos]]
    return seen


def equal(ours: list[Any], theirs: list[Any]) -> bool:
    return all(np.array_equal(first, second) for first, second in zip(ours, theirs, strict=True))


@pytest.mark.slow
def test_many_games_are_loaded_and_pictured_on_several_threads_and_are_the_same(monkeypatch):
    def played() -> list[Any]:
        threads = threading.active_count()
        env = native(BREAKOUT, 3, 5, {"repeat_action_probability": 0.25})
        first = stream(env, 40)
        threaded.append(threading.active_count() > threads)
        env.seed(9)
        return first + stream(env, 10)

    threaded: list[bool] = []
    one_by_one = played()
    monkeypatch.setattr(native_pool, "_MANY_GAMES", 2)
    assert equal(played(), one_by_one)
    assert threaded == [False, True]


@pytest.mark.slow
def test_a_game_that_was_loaded_and_then_played_is_loaded_again(monkeypatch):
    monkeypatch.setattr(native_pool, "_MANY_GAMES", 2)
    interrupted, fresh = native(BREAKOUT, 2, 7), native(BREAKOUT, 2, 7)
    interrupted.reset()
    interrupted._pool.load([11, 12])  # and there a reset was interrupted
    interrupted.step(np.array([1, 0]))
    interrupted._pool.reset(0, 11), interrupted._pool.reset(1, 12)
    interrupted.seed(7)
    assert equal(stream(interrupted, 30), stream(fresh, 30))


@pytest.mark.slow
@pytest.mark.parametrize("n_envs", [1, 2])
def test_the_same_seed_gives_the_same_stream_and_another_one_does_not(n_envs):
    kwargs = {"repeat_action_probability": 0.25}
    first, again, other = (stream(native(BREAKOUT, n_envs, seed, kwargs), 60) for seed in (1, 1, 2))
    assert equal(first, again)
    assert not equal(first, other)


def test_games_of_one_environment_differ():
    env = native(PONG, 4, 0)
    env.reset()
    assert len({info["episode_frame_number"] for info in env.step(np.zeros(4, int))[3]}) > 1


@pytest.mark.slow
def test_a_seed_and_a_reset_determine_all_that_follows_whatever_was_played_before():
    fresh, used = native(BREAKOUT, 2, 7), native(BREAKOUT, 2, 1)
    used.reset()
    rng = np.random.default_rng(3)
    while not any(used.step(rng.integers(0, 4, 2))[2]):
        pass
    used.seed(7)
    assert equal(stream(used, 100), stream(fresh, 100))


def test_a_reset_without_a_seed_goes_on_with_the_game_after_a_lost_life():
    env = native(BREAKOUT, 1, 0)
    env.reset()
    rng = np.random.default_rng(0)
    while not env.step(rng.integers(0, 4, 1))[2][0]:
        pass
    env.reset()
    assert env.step(np.array([0]))[3][0]["lives"] == 4


# Calling it ---------------------------------------------------------------------------------------------------------


def test_every_step_returns_new_arrays():
    env = native(PONG, 2)
    first = env.reset()
    kept = first.copy()
    second = env.step(np.array([2, 3]))[0]
    env.step(np.array([2, 3]))
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("actions", [[6], [-1], [0, 0], [[0]], [0.5], [True], []])
def test_an_action_that_the_game_does_not_have_is_refused_before_it_is_sent(actions):
    env = native(PONG)
    env.reset()
    with pytest.raises(ValueError, match=r"actions=.* 0 to 5"):
        env.step(np.array(actions))
    env.step(np.array([5]))


def test_a_step_out_of_order_is_an_error_where_c_would_wait_forever():
    env = native(PONG)
    with pytest.raises(RuntimeError, match="reset"):
        env.step_async(np.array([0]))
    env.reset()
    with pytest.raises(RuntimeError, match="step_async"):
        env.step_wait()
    env.step_async(np.array([0]))
    with pytest.raises(RuntimeError, match="step_wait"):
        env.step_async(np.array([0]))
    env.step_wait()


def test_a_reset_with_a_step_in_flight_finishes_it_first():
    env = native(PONG)
    env.reset()
    env.step_async(np.array([0]))
    assert len(env.reset()) == 1
    env.step(np.array([0]))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["built", "reset", "in flight", "stepped"])
def test_it_can_be_closed_at_any_time_and_twice(moment):
    env = native(PONG, 2)
    if moment != "built":
        env.reset()
    if moment in ("in flight", "stepped"):
        env.step_async(np.array([0, 0]))
    if moment == "stepped":
        env.step_wait()
    env.close()
    env.close()
    for call in (env.reset, env.step_wait, lambda: env.step(np.array([0, 0]))):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_the_games_play_while_python_does_something_else():
    """Between sending a step of 1200 frames and asking for it, other threads do most of its work."""

    def work_of_others() -> float:
        return time.process_time() - time.thread_time()  # CPU seconds

    env = native(PONG, 1, noop_max=0, fire_on_reset=False, frame_skip=1200)
    env.reset()
    before = work_of_others()
    env.step(np.array([0]))
    whole = work_of_others() - before
    env.step_async(np.array([0]))
    sent, deadline = work_of_others(), time.monotonic() + 60
    while work_of_others() < sent + whole / 2 and time.monotonic() < deadline:
        pass  # Python code, which holds the interpreter's lock
    computed = work_of_others()
    env.step_wait()
    assert whole > 0.01
    assert computed >= sent + whole / 2


@pytest.mark.slow
@pytest.mark.parametrize("many_games", [2, 16])
def test_ctrl_c_in_a_step_leaves_an_environment_that_plays_on(monkeypatch, many_games):
    monkeypatch.setattr(native_pool, "_MANY_GAMES", many_games)
    env = native(PONG, 2, noop_max=0, fire_on_reset=False, frame_skip=2000)
    env.reset()
    env.step(np.array([0, 0]))
    threading.Timer(0.02, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - wherever in these steps it arrives
        for _ in range(100):
            env.step(np.array([0, 0]))
    for _ in range(2):
        assert len(env.step(np.array([2, 3]))[0]) == 2
    env.reset()
    env.close()


def test_it_answers_what_sb3_and_the_zoo_ask():
    env = native(BREAKOUT, 2)
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.env_is_wrapped(EpisodicLifeEnv, 0) == [True]
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [False, False]
    assert native(PONG, terminal_on_life_loss=False).env_is_wrapped(EpisodicLifeEnv) == [False]
    assert native("MsPacmanNoFrameskip-v4").env_is_wrapped(FireResetEnv) == [False]
    assert env.unwrapped is env
    assert env.get_attr("render_mode") == [None, None]
    assert env.get_attr("spec", [1])[0].id == BREAKOUT
    assert env.env_method("get_action_meanings") == [["NOOP", "FIRE", "RIGHT", "LEFT"]] * 2
    assert env.has_attr("lives")
    assert not env.has_attr("ale")
    assert frame_stacking(env) == {"": (4, 0)}
    assert frame_stacking(VecFrameStack(NativeAtariVecEnv(PONG, n_stack=1), 3)) == {"": (3, 0)}


def test_what_only_ordinary_environments_do_is_refused_with_the_way_out():
    env = native(PONG)
    for call in (
        lambda: env.render("human"),
        env.render,
        env.get_images,
        lambda: env.get_attr("ale"),
        lambda: env.set_attr("lives", 3),
        lambda: env.env_method("render"),
        lambda: env.env_method("act", 3),
    ):
        with pytest.raises((AttributeError, NotImplementedError), match="native_envs: false"):
            call()


@pytest.mark.slow
def test_sb3_evaluates_during_training_without_a_warning(recwarn, tmp_path):
    from sb3_atari_dqn import DuelingDQN

    model = DuelingDQN("CnnPolicy", native(PONG, 2), buffer_size=200, learning_starts=20, batch_size=4, seed=0)
    assert (model.n_stack, model.stack_axis) == ({"": 4}, {"": 0})
    limited = native(PONG, 1, 0, {"max_num_frames_per_episode": 100})
    callback = EvalCallback(limited, eval_freq=20, n_eval_episodes=1, log_path=str(tmp_path), verbose=0)
    model.learn(60, callback=callback)
    assert np.load(tmp_path / "evaluations.npz")["ep_lengths"].tolist() == [[100]]
    assert not [str(warning.message) for warning in recwarn if "env" in str(warning.message)]
    model.set_env(native(PONG, 2, 9))
    model.learn(20, reset_num_timesteps=False)
    action, _ = model.predict(ordinary(PONG).reset())  # type: ignore[arg-type]
    assert action.shape == (1,)


# Pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        (BREAKOUT, {}),
        (BREAKOUT, {"max_pool_frames": 1, "terminal_on_life_loss": False}),
        (PONG, {"grayscale": "mean", "crop": [34, 194, 0, 160], "size": [80, 80], "resize": "stride"}),
    ],
)
def test_the_rendered_picture_is_the_one_that_the_newest_frame_was_made_of(env_id, options):
    """Over hundreds of steps with sticky actions, no-ops, lost lives, truncated and finished games."""
    preset = NatureAtari.preset.with_overrides(options)
    kwargs = {"repeat_action_probability": 0.25, "max_num_frames_per_episode": 600, "render_mode": "rgb_array"}
    env = NativeAtariVecEnv(env_id, 2, seed=3, env_kwargs=kwargs, preset=preset)
    pipeline = FramePipeline(preset, (210, 160, 3))
    observations: Any = env.reset()
    rng, tally = np.random.default_rng(0), Counter[str]()
    for step in range(400):
        for stack, picture in zip(observations, env.get_images(), strict=True):
            np.testing.assert_array_equal(pipeline(picture)[:, :, 0], stack[-1])
        if step == 200:
            env.seed(9)
            observations = env.reset()
            continue
        observations, _, dones, infos = env.step(rng.integers(0, 4, 2))
        tally.update(episodes=int(dones.sum()), games=sum("episode" in info for info in infos))
    assert tally["games"] >= 2
    assert tally["episodes"] > tally["games"] or not preset.terminal_on_life_loss or env_id == PONG


@pytest.mark.slow
def test_without_a_pool_the_picture_is_what_the_ordinary_game_renders():
    options = {"noop_max": 0, "max_pool_frames": 1}
    ours = NativeAtariVecEnv(
        BREAKOUT, 2, seed=0, preset=NatureAtari.preset.with_overrides(options), render_mode="rgb_array"
    )
    theirs = ordinary(BREAKOUT, 2, 0, {"render_mode": "rgb_array"}, **options)
    ours.reset(), theirs.reset()
    rng, episodes = np.random.default_rng(0), 0
    for _ in range(250):
        np.testing.assert_array_equal(ours.render(), theirs.render())
        actions = rng.integers(0, 4, 2)
        episodes += int(ours.step(actions)[2].sum())
        theirs.step(actions)
    assert episodes > 5


def test_a_picture_that_somebody_keeps_or_paints_on_changes_nothing():
    env = NativeAtariVecEnv(PONG, 1, seed=0, render_mode="rgb_array")
    observations = env.reset()
    kept = env.get_images()[0]
    kept[:] = 0
    assert env.get_images()[0].any()
    env.step_async(np.array([0]))
    assert env.get_images()[0].any()
    env.step_wait()
    assert observations.any()


@pytest.mark.slow
def test_pictures_change_no_game_and_need_a_reset_and_an_open_environment():
    filmed = NativeAtariVecEnv(BREAKOUT, 2, seed=1, render_mode="rgb_array")
    with pytest.raises(RuntimeError, match="reset"):
        filmed.render()
    assert equal(stream(filmed, 60), stream(native(BREAKOUT, 2, 1), 60))
    filmed.close()
    with pytest.raises(RuntimeError, match="closed"):
        filmed.get_images()


@pytest.mark.slow
def test_sb3_s_video_recorder_films_all_games_at_their_own_speed(tmp_path):
    env = NativeAtariVecEnv(PONG, 2, seed=0, render_mode="rgb_array")
    recorder = VecVideoRecorder(VecFrameStack(env, 1), str(tmp_path), lambda step: step == 0, video_length=12)
    recorder.reset()
    for _ in range(14):
        recorder.step(np.zeros(2, np.int64))
    recorder.close()
    (path,) = tmp_path.iterdir()
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 15
    assert video.read()[1].shape == (420, 160, 3)  # SB3 tiles upwards first


# What C++ can play --------------------------------------------------------------------------------------------------


class CountingPreset(AtariPresetWrapper):
    preset = NatureAtari.preset

    def step(self, action):
        return super().step(action)


class Renamed(AtariPresetWrapper):
    """Code-free, as presets are."""

    preset = NatureAtari.preset.with_overrides({"size": (105, 80)})


NATURE: tuple[type, dict[str, Any]] = (NatureAtari, {})


@pytest.mark.parametrize(
    ("env_id", "wrappers", "env_kwargs", "says"),
    [
        (PONG, [], {}, "names nothing"),
        (PONG, [NATURE, (Monitor, {})], {}, "NatureAtari, Monitor"),
        (PONG, [(CountingPreset, {})], {}, r"CountingPreset .*step"),
        ("CartPole-v1", [NATURE], {}, "CartPole-v1"),
        ("ALE/Pong-v5", [NATURE], {}, "frameskip=4"),
        ("Pong-v4", [NATURE], {}, r"frameskip=\(2, 5\)"),
        (PONG, [NATURE], {"mode": 1}, "mode=1"),
        (PONG, [NATURE], {"difficulty": 0}, "difficulty=0"),
        (PONG, [NATURE], {"obs_type": "ram"}, "obs_type='ram'"),
        (PONG, [NATURE], {"render_mode": "human"}, "render_mode='human'.*'rgb_array'"),
        (PONG, [NATURE], {"continuous": True}, "continuous"),
        (PONG, [NATURE], {"sound_obs": True}, "sound_obs"),
        (PONG, [NATURE], {"colour": True}, "option colour"),
        (PONG, [(NatureAtari, {"max_pool_frames": 3})], {}, "max_pool_frames=3"),
        (PONG, [(NatureAtari, {"action_repeat_probability": 0.1})], {"repeat_action_probability": 0.2}, "=0.1.*=0.2"),
    ],
)
def test_what_cannot_be_played_natively_is_said_in_one_line(env_id, wrappers, env_kwargs, says):
    reason = why_not_native(env_id, wrappers, env_kwargs)
    assert reason is not None
    assert "\n" not in reason
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(reason)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "wrapper", "env_kwargs"),
    [
        (PONG, NATURE, {}),
        (PONG, (Renamed, {"noop_max": 3}), {}),
        ("ALE/Pong-v5", NATURE, {"frameskip": 1}),
        (PONG, NATURE, {"full_action_space": True, "repeat_action_probability": 0.25, "mode": None}),
        (PONG, NATURE, {"max_num_frames_per_episode": None}),
        (PONG, NATURE, {"render_mode": "rgb_array"}),
    ],
)
def test_what_can_be_played_natively_is_played(env_id, wrapper, env_kwargs):
    assert why_not_native(env_id, [wrapper], env_kwargs) is None
    env = NativeAtariVecEnv(env_id, env_kwargs=env_kwargs, preset=wrapper[0].preset.with_overrides(wrapper[1]))
    assert env.reset().shape == (1, 4, *wrapper[0].preset.size)
    assert env.action_space.n == (18 if env_kwargs.get("full_action_space") else 6)  # type: ignore[attr-defined]


def test_an_ale_py_without_the_environment_is_said(monkeypatch):
    monkeypatch.delattr(ale_py, "ALEVectorInterface")
    assert "built without" in str(why_not_native(PONG, [NATURE]))


def test_an_environment_that_cannot_be_played_is_refused():
    with pytest.raises(ValueError, match=r"max_pool_frames=3.*make_vec_env"):
        native(PONG, max_pool_frames=3)
    with pytest.raises(ValueError, match=r"noop_max=30.*VideoCheckers.*full_action_space"):
        native("ALE/VideoCheckers-v5", env_kwargs={"frameskip": 1})
    with pytest.raises(ValueError, match="n_envs"):
        native(PONG, 0)
    with pytest.raises(ValueError, match="n_stack"):
        NativeAtariVecEnv(PONG, n_stack=0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_envs": 10**9}, "n_envs=1000000000"),
        ({"n_stack": 1000}, "n_stack=1000"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 1.5}, "seed must be .*1.5"),
        ({"preset": NatureAtari}, "preset=.*NatureAtari.*AtariPreset"),
    ],
)
def test_bad_arguments_are_refused_before_a_game_is_loaded(kwargs, message):
    with pytest.raises(ValueError, match=message):
        NativeAtariVecEnv(PONG, **kwargs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_instead_of_waiting_for_ever():
    env = native(PONG)
    env.reset()
    child = os.fork()
    if child == 0:
        try:
            env.step(np.array([0]))
        except RuntimeError as error:
            os._exit(0 if f"process {os.getppid()}" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(env.step(np.array([0]))[0]) == 1


@pytest.mark.parametrize("value", [2, -1, float("nan"), "x", None])
def test_a_probability_that_is_none_is_refused_by_name(value):
    with pytest.raises(ValueError, match="repeat_action_probability"):
        native(BREAKOUT, env_kwargs={"repeat_action_probability": value})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_num_frames_per_episode": 1.5}, "max_num_frames_per_episode must be .*1.5"),
        ({"max_num_frames_per_episode": "100"}, "max_num_frames_per_episode must be .*'100'"),
        ({"full_action_space": "no"}, "full_action_space must be True or False, got 'no'"),
        ({"game": 3}, "game must be a name, got 3"),
    ],
)
def test_arguments_of_the_game_are_checked_before_it_is_loaded(kwargs, message):
    with pytest.raises(ValueError, match=message):
        native(BREAKOUT, env_kwargs=kwargs)


def test_a_frame_limit_below_one_is_none_as_in_the_emulator():
    env = native(BREAKOUT, env_kwargs={"max_num_frames_per_episode": -5})
    env.reset()
    assert not any(env.step(np.zeros(1, np.int64))[2][0] for _ in range(20))


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True])
def test_a_seed_is_checked_when_it_is_given(seed):
    with pytest.raises(ValueError, match="seed must be"):
        native(BREAKOUT).seed(seed)
