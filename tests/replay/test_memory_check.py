"""The memory check: machine, container, and a message that says what would fit."""

import numpy as np
import psutil
import pytest
from gymnasium import spaces

from sb3_atari_dqn.replay import memory_check
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def own_groups(tmp_path, text):
    file = tmp_path / "own"
    file.write_text(text)
    return file


def test_the_limit_of_a_group_above_counts_and_file_cache_can_be_given_up(tmp_path):
    root = tmp_path / "cgroup"
    group(root / "outer", memory__max="1000000", memory__current="900000", memory__stat="anon 1\ninactive_file 50000\n")
    group(root / "outer" / "inner", memory__max="max", memory__current="800000")
    assert memory_check.available_bytes(root, own_groups(tmp_path, "0::/outer/inner\n")) == 150_000


def test_a_container_that_is_told_the_path_of_its_host_still_finds_its_limit(tmp_path):
    root = tmp_path / "cgroup"
    group(root, memory__max="5000", memory__current="1000")
    assert memory_check.available_bytes(root, own_groups(tmp_path, "0::/host/path\n")) == 4_000


def test_version_1_groups_are_read(tmp_path):
    root = tmp_path / "cgroup"
    files = {
        "memory__limit_in_bytes": "9000",
        "memory__usage_in_bytes": "8000",
        "memory__stat": "total_inactive_file 7",
    }
    group(root / "memory" / "docker", **files)
    file = own_groups(tmp_path, "5:cpu,cpuacct:/docker\n4:memory:/docker\n")
    assert memory_check.available_bytes(root, file) == 1_007


def test_without_limits_the_machine_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 123}))
    assert memory_check.available_bytes(tmp_path, own_groups(tmp_path, "0::/\n")) == 123
    assert memory_check.available_bytes(tmp_path, tmp_path / "missing") == 123


def test_a_buffer_that_does_not_fit_says_how_many_transitions_would_and_these_do(monkeypatch):
    monkeypatch.setattr(memory_check, "available_bytes", lambda: memory_check.RESERVE_BYTES + 10_000_000)
    space, actions = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6)
    with pytest.raises(MemoryError, match=r"buffer_size=1000000 .*7\.06 GB .*0\.01 GB .*\b1415 transitions"):
        FrameReplayBuffer(1_000_000, space, actions, n_stack=4)
    assert FrameReplayBuffer(1_410, space, actions, n_stack=4).buffer_size == 1_410


def test_nothing_at_all_would_fit(monkeypatch):
    monkeypatch.setattr(memory_check, "available_bytes", lambda: 0)
    with pytest.raises(MemoryError, match=r"\b0 transitions would fit"):
        memory_check.check_memory(10, 1)
