"""Videos of training and evaluation episodes."""

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_atari_dqn import ClassicDQN, NativeAtariVecEnv, NatureAtari
from sb3_atari_dqn.callbacks import RecordEpisodes, SaveCheckpoints
from tests.support.commands import files
from tests.support.games import Countdown, countdowns
from tests.support.videos import encoder_that_fails, pictures_of


def model(env):
    return ClassicDQN("MlpPolicy", env, train_freq=1, learning_starts=3, batch_size=4, seed=5, device="cpu")


def record(tmp_path, env, steps, **options):
    trained = model(env).learn(steps, callback=RecordEpisodes(format="gif", scale=1, folder=tmp_path, **options))
    return trained, [name for name in files(tmp_path) if name.endswith(".gif")]


def levels(tmp_path, name):
    return pictures_of(tmp_path / name)[:, 0, 0, 0].tolist()


def test_training_episodes_are_recorded_from_their_first_frame_and_an_unfinished_one_is_discarded(tmp_path):
    _, names = record(tmp_path, countdowns(4), 10)
    assert names == ["videos/training_episode_000001.gif", "videos/training_episode_000002.gif"]
    assert [levels(tmp_path, name) for name in names] == [[5, 15, 25, 35]] * 2
    assert files(tmp_path / "videos") == ["training_episode_000001.gif", "training_episode_000002.gif"]


def test_episodes_of_several_environments_are_numbered_as_they_begin(tmp_path):
    """Episodes of 3 and 4 steps that show 5, 15, ... and 6, 16, ...; they begin as 1, 3, 5 and 2, 4, 6."""
    _, names = record(tmp_path, countdowns(3, 4), 18, every_n_episodes=3, source="training")
    assert {name[-8:-4]: levels(tmp_path, name) for name in names} == {"0001": [5, 15, 25], "0004": [6, 16, 26, 36]}


def test_an_episode_that_is_under_way_when_a_training_continues_is_not_recorded(tmp_path):
    """Episodes of 3 and 4 steps, numbered 1, 3, 5, ... and 2, 4, 6, ...; after 6 steps number 4 is under way."""
    recorder = RecordEpisodes(format="gif", scale=1, folder=tmp_path)
    trained = model(countdowns(3, 4)).learn(12, callback=recorder)
    trained.learn(12, callback=recorder, reset_num_timesteps=False)
    assert recorded_in(tmp_path) == {1: 3, 2: 4, 3: 3, 5: 3, 6: 4, 7: 3}
    trained.learn(6, callback=recorder)  # new episodes, 9 and 10: number 8 had been begun
    assert recorded_in(tmp_path).keys() == {1, 2, 3, 5, 6, 7, 10}


def recorded_in(folder):
    """:return: number of each video, and its frames"""
    return {int(name[-10:-4]): len(levels(folder, name)) for name in files(folder) if name.endswith(".gif")}


def test_a_continued_run_records_the_episodes_that_it_would_have_recorded(tmp_path):
    def train(folder, *steps):
        def callbacks():
            return [SaveCheckpoints(folder=folder), RecordEpisodes(2, format="gif", scale=1, folder=folder)]

        model(countdowns(3, 4)).learn(steps[0], callback=callbacks())
        for total in steps[1:]:
            ClassicDQN.resume(folder, countdowns(3, 4), callbacks(), total, device="cpu")

    train(tmp_path / "whole", 60)
    train(tmp_path / "parts", 12, 16, 40, 60)
    whole, parts = recorded_in(tmp_path / "whole"), recorded_in(tmp_path / "parts")
    assert set(whole) > set(parts)
    assert parts == {number: whole[number] for number in parts}
    assert len(whole) - len(parts) <= 3, "at each stop one of the recorded episodes was under way"


def test_a_lost_life_does_not_end_a_video(tmp_path):
    _, names = record(tmp_path, countdowns(5, lives=True), 5)
    assert [levels(tmp_path, name) for name in names] == [[5, 15, 25, 35, 45]]


def test_an_evaluation_episode_follows_every_second_training_episode(tmp_path):
    _, names = record(tmp_path, countdowns(3), 13, every_n_episodes=2, source="evaluation", make_env=episode_of_five)
    assert names == ["videos/evaluation_episode_000002.gif", "videos/evaluation_episode_000004.gif"]
    assert levels(tmp_path, names[0]) == [5, 15, 25, 35, 45]


def episode_of_five():
    return countdowns(5)


@pytest.mark.slow
@pytest.mark.parametrize("options", [dict(source="training"), dict(source="evaluation", make_env=episode_of_five)])
def test_training_is_bit_identical_with_and_without_a_recorder(tmp_path, options):
    recorded, names = record(tmp_path, countdowns(3, 4), 60, **options)
    alone = model(countdowns(3, 4)).learn(60)
    assert len(names) > 10
    pairs = zip(recorded.policy.state_dict().values(), alone.policy.state_dict().values(), strict=True)
    assert all((one == other).all() for one, other in pairs)
    assert recorded.explorer.state_dict() == alone.explorer.state_dict()


def test_environments_that_do_not_render_raise_before_training(tmp_path):
    env = countdowns(3, render_mode=None)
    with pytest.raises(ValueError, match=r"render_mode='rgb_array'.*source='evaluation'"):
        record(tmp_path, env, 10)


def test_evaluation_outside_the_zoo_needs_make_env(tmp_path):
    with pytest.raises(ValueError, match="make_env="):
        record(tmp_path, countdowns(3), 10, source="evaluation")


def test_a_failing_encoder_does_not_stop_training(tmp_path, monkeypatch):
    program = encoder_that_fails(tmp_path, "no such codec", works=1)  # when it is tried out before the training
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    with pytest.warns(UserWarning, match=r"training_episode_00000[12]\.gif.*no such codec"):
        trained, names = record(tmp_path, countdowns(3), 7)
    assert trained.num_timesteps == 7
    assert names == files(tmp_path / "videos") == []


@pytest.mark.parametrize("options", [dict(source="training"), dict(source="evaluation", make_env=episode_of_five)])
def test_an_unwritable_folder_does_not_stop_training(tmp_path, options):
    (tmp_path / "videos").touch()
    with pytest.warns(UserWarning, match=r"_episode_000001\.gif.*File exists.*folder="):
        trained, _ = record(tmp_path, countdowns(3), 7, **options)
    assert trained.num_timesteps == 7


@pytest.mark.parametrize(
    ("make_env", "error", "says"),
    [
        (lambda: countdowns(3, render_mode=None), ValueError, "render_mode='rgb_array' in make_env="),
        (lambda: Countdown(), ValueError, "make_env.*VecEnv.*Countdown"),
        (lambda: DummyVecEnv([Countdown]), ValueError, r"RecordEpisodes\(make_env=\).*Monitor"),
        (
            lambda: VecFrameStack(countdowns(3), 2),
            ValueError,
            r"make_env.*observation_space Box\(.*\(6,\).*Box.*\(3,\)",
        ),
        (lambda: make_vec_env("CartPole-v1", env_kwargs={"render_mode": "rgb_array"}), ValueError, "observation_space"),
        (lambda: countdowns_of_actions(3), ValueError, r"make_env.*action_space Discrete\(3\).*Discrete\(2\)"),
        (lambda: 3 / 0, ZeroDivisionError, "division"),
    ],
)
def test_make_env_is_checked_before_training(tmp_path, make_env, error, says):
    env = countdowns(3)
    with pytest.raises(error, match=says):
        record(tmp_path, env, 10, source="evaluation", make_env=make_env)
    assert env.get_attr("t") == [0]


def countdowns_of_actions(count):
    env = countdowns(3)
    env.action_space = spaces.Discrete(count)
    return env


def test_the_evaluation_of_a_normalized_training_must_be_normalized_too(tmp_path):
    options = dict(source="evaluation")
    with pytest.raises(ValueError, match=r"VecNormalize\(training=False, norm_reward=False\)"):
        record(tmp_path, VecNormalize(countdowns(3)), 7, make_env=episode_of_five, **options)
    _, names = record(
        tmp_path,
        VecNormalize(countdowns(3)),
        7,
        make_env=lambda: VecNormalize(countdowns(5), training=False, norm_reward=False),
        **options,
    )
    assert [levels(tmp_path, name) for name in names] == [[5, 15, 25, 35, 45]] * 2


@pytest.mark.slow
def test_channels_last_images_fit_a_channels_first_model(tmp_path):
    """SB3 wraps the training environment in VecTransposeImage, but not the environment of make_env."""

    def build():
        kwargs = {"render_mode": "rgb_array", "max_num_frames_per_episode": 60}
        return VecFrameStack(make_vec_env("PongNoFrameskip-v4", env_kwargs=kwargs, wrapper_class=NatureAtari), 4)

    trained = ClassicDQN("CnnPolicy", build(), buffer_size=100, learning_starts=1000, device="cpu")
    trained.learn(20, callback=RecordEpisodes(source="evaluation", make_env=build, folder=tmp_path, format="gif"))
    assert "videos/evaluation_episode_000001.gif" in files(tmp_path)


@pytest.mark.slow
def test_native_games_are_filmed_in_training(tmp_path):
    kwargs = {"max_num_frames_per_episode": 100}
    env = NativeAtariVecEnv("PongNoFrameskip-v4", 2, seed=0, env_kwargs=kwargs, render_mode="rgb_array")
    trained = ClassicDQN("CnnPolicy", env, buffer_size=100, learning_starts=1000, device="cpu")
    trained.learn(60, callback=RecordEpisodes(folder=tmp_path, scale=1, format="gif"))
    assert pictures_of(tmp_path / "videos/training_episode_000002.gif").shape[1:] == (210, 160, 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (dict(every_n_episodes=0), "every_n_episodes.*0"),
        (dict(format="avi"), "avi.*gif, mp4"),
        (dict(source="train"), "train.*evaluation, training"),
        (dict(scale=0.5), r"scale.*0\.5"),
        (dict(scale=17), "scale.*16.*17"),
        (dict(fps=0), "fps.*0"),
        (dict(fps=1e9), "fps.*240.*1000000000"),
        (dict(fps=51, format="gif"), "fps of a GIF.*50.*51"),
        (dict(make_env=3), "make_env.*3"),
        (dict(max_steps=0), "max_steps.*0"),
        (dict(seed=-1), "seed.*-1"),
    ],
)
def test_bad_arguments_raise(options, says):
    with pytest.raises(ValueError, match=says):
        RecordEpisodes(**options)


def test_a_continued_training_continues_recording(tmp_path):
    recorder = RecordEpisodes(format="gif", scale=1, folder=tmp_path)
    trained = model(countdowns(4)).learn(5, callback=recorder)
    trained.learn(4, callback=recorder)
    numbers = [int(name[-10:-4]) for name in files(tmp_path) if name.endswith(".gif")]
    assert numbers == [1, 3]  # the second was unfinished
    assert np.array_equal(levels(tmp_path, "videos/training_episode_000003.gif"), [5, 15, 25, 35])
