"""From host memory to a device; what this saves on a GPU is tested in test_gpu.py."""

import numpy as np
import pytest
import torch

from sb3_atari_dqn.transfers import sent

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_on_the_cpu_the_array_itself_is_what_arrives(dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    arrived = sent(array, CPU)
    array[1, 2] = 7
    assert arrived.tolist() == array.tolist()
    assert arrived.dtype == torch.from_numpy(array).dtype


def test_a_tensor_that_is_there_already_stays_what_it_is():
    tensor = torch.arange(3)
    assert sent(tensor, CPU) is tensor
    there = torch.empty(3, device="meta")
    assert sent(there, torch.device("meta")) is there
