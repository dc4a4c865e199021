"""The browser game on a real browser: the same for the same seed, what an agent sees and gets, and playable."""

import asyncio
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.support.dino import comes_true, dino, page_of, picture_of, play, script

pytestmark = pytest.mark.browser
NOTHING, JUMP, DUCK = range(3)
GAMES = ("chrome", "embedded")


@pytest.fixture(scope="module", params=GAMES)
def env(request):
    with dino(game=request.param) as env:
        yield env


# --- the same again


def test_a_fresh_browser_of_another_process_shows_the_same_to_the_bit(env):
    other = script("play", env.options.game, "5", "150")
    play(env, 4, 30)
    here = play(env, 5, 150)
    assert other.communicate(timeout=120)[0].strip() == here


def test_what_was_played_before_leaves_no_trace(env):
    fresh = play(env, 11, 120)
    env.reset(seed=3)
    for _ in range(40):
        env.step(DUCK)
    env.step(JUMP)  # in mid-jump, a key held down
    assert play(env, 11, 120) == fresh


def test_other_seeds_and_other_actions_give_other_games(env):
    assert len({play(env, seed, 100) for seed in range(4)}) == 4


def obstacles_met(env, seed, actions):
    """:return: kind and width of the obstacles in the order in which they appear, over some steps of the first game"""
    env.reset(seed=seed)
    met = []
    for step in range(150):
        for kind, x, *_, width, _height in env.game.obstacles():
            if x + width > 560:
                met.append((step, kind, width))
        if env.step(actions(step))[2]:
            break
    return met


def test_obstacles_depend_on_the_seed_alone(env):
    standing = obstacles_met(env, 8, lambda step: NOTHING)
    jumping = obstacles_met(env, 8, lambda step: JUMP)
    common = min(standing[-1][0], jumping[-1][0])
    assert standing
    assert [met for met in standing if met[0] <= common] == [met for met in jumping if met[0] <= common]
    assert obstacles_met(env, 9, lambda step: NOTHING) != standing


def test_the_game_stands_still_between_two_steps(env):
    env.reset(seed=1)
    before = env.step(NOTHING)[4]
    still = env.game.page.js("new Promise(done => setTimeout(() => done(dino.step(0, 0)), 200))", wait_for_promise=True)
    assert (still["frames"], still["distance"]) == (before["frames"], before["distance"])


# --- what an agent sees


def preprocessed(canvas, crop, size):
    """The preprocessing as numpy says it: gray, and the exact mean over the area of each cell."""
    top, bottom, left, right = crop
    picture = canvas[top:bottom, left:right].astype(np.int64)
    gray = (picture @ [77, 150, 29] + 128) >> 8
    rows, columns = (overlap(gray.shape[axis], size[axis]) for axis in (0, 1))
    area = gray.size
    return (2 * (rows @ gray @ columns.T) + area) // (2 * area)


def overlap(source, target):
    """:return: how much of each pixel lies in each cell, [target, source]"""
    cells, pixels = np.arange(target)[:, None] * source, np.arange(source)[None] * target
    return np.maximum(0, np.minimum(cells + source, pixels + target) - np.maximum(cells, pixels))


@pytest.mark.parametrize(
    ("crop", "size"), [((0, 300, 0, 500), (80, 80)), ((30, 150, 11, 601), (84, 77)), (None, (160, 610))]
)
def test_observations_are_the_gray_area_mean_of_the_canvas(crop, size):
    with dino(game="chrome", crop=crop, size=size, stack=1, render_mode="rgb_array") as env:
        env.reset(seed=2)
        for _ in range(60):  # until something stands there
            observation, *_ = env.step(JUMP)
        canvas = picture_of(env)
    assert canvas.shape == (150, 600, 3)
    assert len(np.unique(canvas)) > 3
    np.testing.assert_array_equal(observation[..., 0], preprocessed(canvas, crop or (0, 150, 0, 600), size))


def test_a_stack_begins_with_the_first_frame_repeated_and_ends_with_the_newest(env):
    first, _ = env.reset(seed=4)
    assert first.shape == (80, 80, 4)
    assert all(np.array_equal(first[..., 0], first[..., k]) for k in range(4))
    second, *_ = env.step(JUMP)
    assert np.array_equal(second[..., :3], first[..., 1:])
    assert not np.array_equal(second[..., 3], first[..., 3])


def test_a_jump_lifts_the_runner_and_ducking_lowers_it(env):
    """The runner stands at the left; the mean row of the dark pixels there, counted from the top."""

    def height(action, steps):
        env.reset(seed=6)
        for _ in range(steps):
            observation = env.step(action)[0]
        rows, _ = np.nonzero(observation[:64, :11, -1] < 200)
        return rows.mean()

    standing = height(NOTHING, 3)
    assert height(JUMP, 3) < standing - 5 < standing < height(DUCK, 3)


def test_a_held_key_jumps_again_and_a_tapped_one_jumps_full_height(env):
    def highest(press, actions):
        with dino(game="embedded", press=press, frame_skip=2, stack=1) as other:
            other.reset(seed=1)
            tops = [np.nonzero(other.step(action)[0][:, 5, 0] < 200)[0].min() for action in actions]
        return min(tops)

    short = [JUMP, JUMP, *[NOTHING] * 15]
    assert highest("tap", short) < highest("hold", short), "released early, a jump is a short one"


# --- what an agent gets


def until_the_crash(env, seed=1):
    env.reset(seed=seed)
    steps: list[tuple] = []
    while not steps or not steps[-1][2]:
        steps.append(env.step(NOTHING))
    return steps


def test_every_step_pays_and_the_crash_costs(env):
    steps = until_the_crash(env)
    assert [step[1] for step in steps] == [0.1] * (len(steps) - 1) + [-1.0]
    assert steps[-1][4]["crashed"]
    assert not any(step[3] for step in steps)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(NOTHING)


@pytest.mark.parametrize("game", GAMES)
def test_score_rewards_add_up_to_the_score(game):
    with dino(game=game, reward="score") as env:
        steps = until_the_crash(env)
    assert sum(step[1] for step in steps) == steps[-1][4]["score"] > 20


@pytest.mark.parametrize(("acceleration", "constant"), [(0.0, True), (0.001, False)])
@pytest.mark.parametrize("game", GAMES)
def test_speed_is_constant_or_grows(game, acceleration, constant):
    with dino(game=game, acceleration=acceleration, speed=7.0) as env:
        speeds = [step[4]["speed"] for step in until_the_crash(env)]
    assert speeds == sorted(speeds)
    assert speeds[0] == pytest.approx(7.0, abs=0.02)
    assert (speeds[-1] == 7.0) == constant


@pytest.mark.parametrize("frame_skip", [1, 5])
def test_a_step_is_as_many_frames_as_asked_and_a_crash_cuts_it_short(frame_skip):
    with dino(game="chrome", frame_skip=frame_skip) as env:
        frames = [step[4]["frames"] for step in until_the_crash(env)]
    assert frames[:-1] == [frame_skip * (step + 1) for step in range(len(frames) - 1)]
    assert 0 < frames[-1] - frames[-2] <= frame_skip


def test_a_wrong_action_is_refused(env):
    env.reset(seed=1)
    for action in (3, -1, 0.5, None):
        with pytest.raises(ValueError, match="from 0 to 2"):
            env.step(action)


def test_options_of_a_reset_are_refused_unless_there_are_none(env):
    with pytest.raises(ValueError, match=r"reset\(\) .*options=\{'speed': 9\}"):
        env.reset(options={"speed": 9})
    env.reset(options={})


def test_an_episode_limit_truncates():
    env = gym.make("ChromeDino-v0", game="embedded", max_episode_steps=5)
    env.reset(seed=1)
    ends = [env.step(NOTHING)[2:4] for _ in range(5)]
    env.close()
    assert ends == [(False, False)] * 4 + [(False, True)]


# --- playable


def jump_in_time(env):
    """A rule that sees the obstacles: up while one is 10 frames away, below or just behind."""
    return JUMP if any(x < 66 + 10 * 6 for _, x, *_ in env.game.obstacles()) else NOTHING


@pytest.mark.parametrize("game", GAMES)
def test_a_simple_rule_plays_far_better_than_doing_nothing(game):
    with dino(game=game, acceleration=0.0, frame_skip=2) as env:
        idle = until_the_crash(env)[-1][4]["score"]
        env.reset(seed=1)
        info: dict = {}
        for _ in range(700):
            *_, terminated, _, info = env.step(jump_in_time(env))
            if terminated:
                break
    assert info["score"] > 4 * idle
    assert not info["crashed"]


# --- around it


def test_the_checker_of_gymnasium_is_content():
    env: Any = gym.make("ChromeDino-v0", game="embedded", render_mode="rgb_array").unwrapped
    check_env(env, skip_render_check=True)  # it would open a window, which needs a display
    assert env.render().shape == (150, 600, 3)
    env.close()


def test_auto_takes_the_browsers_own_game_where_there_is_one():
    with dino(game="auto") as env:
        assert env.reset(seed=1)[1]["game"] == "chrome"


def test_auto_takes_our_page_where_the_browser_has_no_game(monkeypatch):
    from sb3_atari_dqn.dino import game
    from sb3_atari_dqn.dino.faults import NoBrowser

    monkeypatch.setattr(game, "ADDRESS", "about:blank")
    with dino(game="auto") as env:
        assert env.reset(seed=1)[1]["game"] == "embedded"
    with dino(game="chrome") as env, pytest.raises(NoBrowser, match="game='embedded'"):
        env.reset()


@pytest.mark.parametrize("game", GAMES)
def test_in_real_time_the_game_goes_on_between_the_steps(game):
    with dino(game=game, mode="realtime", frame_skip=2) as env:
        env.reset(seed=1)
        distances = [env.step(NOTHING)[4]["distance"] for _ in range(10)]
        page_of(env).js("new Promise(done => setTimeout(done, 300))", wait_for_promise=True)
        assert env.step(NOTHING)[4]["distance"] > distances[-1] + 5 * 6, "300 ms are 18 frames of 6 pixels"
    assert distances == sorted(distances)


def test_a_shown_game_takes_its_time_and_is_the_same_game(monkeypatch):
    from sb3_atari_dqn.dino import browser, page

    with dino(game="embedded") as env:
        hidden = play(env, 3, 20)
    headless = browser.arguments
    monkeypatch.setattr(page, "arguments", lambda profile, visible: headless(profile, visible=False))
    with dino(game="embedded", render_mode="human") as env:
        assert play(env, 3, 20) == hidden
        assert env.render() is None


AT_CORNERS = """
(() => {
  const canvas = document.querySelector("canvas");
  const { left, right, top, bottom, width } = canvas.getBoundingClientRect();
  const corners = [[left + 1, top + 1], [right - 1, top + 1], [left + 1, bottom - 1], [right - 1, bottom - 1]];
  return [width, corners.every(([x, y]) => document.elementFromPoint(x, y) === canvas)];
})()
"""


def test_a_window_shows_the_whole_canvas_enlarged_as_it_is(monkeypatch):
    """The game enlarges its canvas over the column of text that holds it, which must not cut it off."""
    from sb3_atari_dqn.dino import browser, page

    headless = browser.arguments
    monkeypatch.setattr(page, "arguments", lambda profile, visible: headless(profile, visible=False))
    with dino(game="chrome", render_mode="human") as env:
        env.reset(seed=1)
        assert comes_true(lambda: page_of(env).js(AT_CORNERS)[0] > 700), "it grows within a second"
        assert page_of(env).js(AT_CORNERS)[1]


def test_it_runs_inside_an_event_loop_as_in_a_notebook():
    async def cell():
        with dino(game="embedded") as env:
            return play(env, 1, 10)

    assert asyncio.run(cell())


def test_a_vector_of_browsers_plays_as_each_alone(env):
    names = ("game", "frame_skip")
    options = {name: getattr(env.options, name) for name in names}
    envs: Any = gym.make_vec("ChromeDino-v0", num_envs=2, vectorization_mode="async", **options)
    envs.reset(seed=[7, 8])
    for _ in range(5):
        observations, *_ = envs.step(np.array([JUMP, NOTHING]))
    envs.close()
    for seed, action, expected in ((7, JUMP, observations[0]), (8, NOTHING, observations[1])):
        env.reset(seed=seed)
        for _ in range(5):
            alone, *_ = env.step(action)
        np.testing.assert_array_equal(alone, expected)
