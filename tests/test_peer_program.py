"""`benchmarks/peer_program.py`: a program of another interpreter is measured by its lines, stopped in between."""

import sys
from pathlib import Path

import psutil
import pytest

from tests.support.processes import is_alive, wait_until

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # as its scripts do

from peer_program import PeerProgram

# With a process of its own, as environments have; 20 lines per second at most, and others that do not count.
_TRAINING = """
import subprocess, sys, time
environment = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
while True:
    time.sleep(0.05)
    print("SPS: 1\\nloss: 0", flush=True)
"""


def program(code, **changes):
    settings = dict(steps_per_line=10, lines_before=3, replay_ratio=0.25)
    return PeerProgram("a peer", [sys.executable, "-c", code], **{**settings, **changes})


@pytest.mark.slow
def test_its_lines_are_counted_and_between_windows_all_its_processes_stand_still():
    peer = program(_TRAINING).start()
    main = psutil.Process(peer._process.pid)
    processes = [main, *main.children()]
    assert len(processes) == 2
    for _ in range(2):
        wait_until(lambda: all(each.status() == psutil.STATUS_STOPPED for each in processes), 20)
        result = peer.window(200)
        assert 0 < result["env_steps_per_second"] < 300  # 200 but for lines that were printed before it was stopped
        assert result["updates_per_second"] == result["env_steps_per_second"] / 4
        assert result["peak_memory_mb"] > 2
    assert peer.breakdown(200) is None
    peer.close()
    peer.close()
    wait_until(lambda: not any(is_alive(each) for each in processes), 20)


@pytest.mark.slow
def test_one_that_ends_by_itself_is_an_error():
    with pytest.raises(RuntimeError, match=r"a peer ended by itself \(exit code 3\)"):
        program("print('SPS: 1'); raise SystemExit(3)").start()


def test_one_that_is_not_installed_is_said_before_it_starts():
    with pytest.raises(FileNotFoundError, match=r"a peer: there is no /nowhere/python, see benchmarks/README\.md"):
        PeerProgram("a peer", ["/nowhere/python"], 10, 3, 0.25)
