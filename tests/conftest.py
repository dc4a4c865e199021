"""Shared by all tests: one thread per process, so that two test processes do not fight for two cores."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ale_py
import gymnasium as gym
import pytest
import torch as th

th.set_num_threads(1)
gym.register_envs(ale_py)

# A shell without job control starts background commands with SIGINT ignored, and their children inherit that: the
# programs that tests interrupt would go on.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty working directory, as a user has one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
