"""Observations that are bytes but no image."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_atari_dqn.networks import resolve_torso
from sb3_atari_dqn.networks.bytes import BytesExtractor


def test_bytes_become_fractions_of_255():
    extractor = BytesExtractor(spaces.Box(0, 255, (2, 2), np.uint8))
    assert extractor.features_dim == 4
    assert extractor(torch.tensor([[[0.0, 51.0], [102.0, 255.0]]])).tolist() == [
        [0.0, pytest.approx(0.2), pytest.approx(0.4), 1.0]
    ]


def test_it_is_found_by_name():
    assert resolve_torso("bytes") is BytesExtractor


@pytest.mark.parametrize("space", [spaces.Box(0, 1, (4,), np.float32), spaces.Discrete(4)])
def test_other_observations_are_refused(space):
    with pytest.raises(ValueError, match=r"'bytes' .*uint8.* got"):
        BytesExtractor(space)
