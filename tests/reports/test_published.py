"""The published scores that come with the package."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_dqn.reports.human import game_of, human_scores, normalised
from sb3_atari_dqn.reports.metrics import iqm
from sb3_atari_dqn.reports.published import find, published_systems


def test_every_system_plays_known_games_and_has_a_protocol():
    systems = published_systems()
    assert {label.partition(":")[0] for label in systems} == {"dopamine", "zoo", "cleanrl"}
    assert len(systems) == 13
    for each in systems.values():
        assert each.protocol.sticky is not None
        assert each.protocol.life_loss is not None
        for along, scores in each.games.values():
            assert len(along) == len(scores) > 0
            assert (np.diff(along) > 0).all()
            assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("label", "at_4m", "at_200m"),
    [("dqn", 0.096, 1.40), ("rainbow", 0.115, 1.68), ("iqn", 0.293, 1.94), ("qr-dqn", 0.367, 1.18)],
)
def test_the_interquartile_means_are_those_of_the_docs(label, at_4m, at_200m):
    each = find(f"dopamine:{label}")
    games = [game for game in human_scores() if each.at(game, 4e6) is not None]
    assert len(games) == 55
    for frames, expected in ((4e6, at_4m), (200e6, at_200m)):
        scores = [normalised(game, np.array([each.at(game, frames)])) for game in games]
        assert iqm(scores) == pytest.approx(expected, rel=0.01)


def test_scores_between_published_points_are_interpolated_and_beyond_them_missing():
    qr = find("dopamine:QR-DQN")
    assert qr.at("Pong", 4e6) == 7.36
    assert qr.has_point(4e6)
    assert not qr.has_point(4.5e6)
    assert qr.at("Pong", 4.5e6) == pytest.approx(np.mean([7.36, qr.at("Pong", 5e6)]))
    assert qr.at("Pong", 0.5e6) is None
    assert qr.at("Surround", 4e6) is None
    assert find("zoo:dqn").at("Ms. Pac-Man", 40e6) == 2682.929
    assert find("zoo:dqn").at("MsPacman", 4e6) is None


def test_an_unknown_label_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown published system 'rainbow'; known: cleanrl:pqn, dopamine:c51"):
        find("rainbow")


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("PongNoFrameskip-v4", "Pong"),
        ("ALE/MsPacman-v5", "MsPacman"),
        ("MsPacman-ramNoFrameskip-v4", "MsPacman"),
        ("BreakoutDeterministic-v0", "Breakout"),
        ("Qbert-v4", "Qbert"),
        ("ms_pacman", "MsPacman"),
        ("Ms. Pac-Man", "MsPacman"),
        ("UPNDOWN", "UpNDown"),
        ("CartPole-v1", "CartPole"),
    ],
)
def test_games_have_one_name(name, game):
    assert game_of(name) == game


def test_human_scores_are_of_games_that_exist():
    assert len(human_scores()) == 57
    assert {f"ALE/{game}-v5" for game in human_scores()} <= set(gym.registry)


def test_normalised_scores_are_0_for_random_play_and_1_for_the_human():
    random, human = human_scores()["Pong"]
    assert normalised("Pong", np.array([random, human])).tolist() == [0, 1]
    with pytest.raises(ValueError, match="CartPole has no published human score"):
        normalised("CartPole", np.zeros(1))
