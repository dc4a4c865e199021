import numpy as np
import pytest
import torch

from sb3_atari_dqn.distributed.weights import packed, unpack


def tensors(seed: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    image = torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last)
    return [torch.randn(3, 4).bfloat16(), torch.randn(5), torch.tensor(7 + seed), image]


def test_numbers_arrive_as_they_were_sent():
    sent, received = tensors(0), tensors(1)
    numbers = packed(sent)
    numbers.flags.writeable = False  # as Ray hands them out
    unpack(numbers, received)
    for ours, theirs in zip(received, sent, strict=True):
        assert torch.equal(ours, theirs)


def test_packed_numbers_do_not_follow_the_network():
    network = tensors(0)
    numbers = packed(network)
    before = numbers.copy()
    network[1].zero_()
    np.testing.assert_array_equal(numbers, before)


def test_another_network_is_refused_and_stays():
    network = tensors(0)
    with pytest.raises(ValueError, match="another network"):
        unpack(packed(network)[:-1], network)
    assert torch.equal(network[1], tensors(0)[1])
