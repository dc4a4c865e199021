"""Shared by all tests: one thread per process, so that two test processes do not fight for two cores."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ale_py
import gymnasium as gym
import pytest
import torch as th

from tests.support import markers, order

th.set_num_threads(1)
gym.register_envs(ale_py)

# A shell without job control starts background commands with SIGINT ignored, and their children inherit that: the
# programs that tests interrupt would go on.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    config.option.loadscopereorder = False  # of xdist, which would begin with the files of the most tests


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: order.rank(item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    markers.enter(item)
    if item.get_closest_marker("browser"):
        from tests.support.dino import skip_without_browser

        skip_without_browser()
    if item.get_closest_marker("gpu") and not th.cuda.is_available():
        pytest.skip("not run on a GPU: torch sees none")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty working directory, as a user has one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
