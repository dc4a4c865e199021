"""A command in a warm Python does what it does in a fresh one."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from tests.support import warm
from tests.support.commands import run

SEEN = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get("ASKED"), sys.path[0], __name__, __spec__.name]))
print("rl_zoo3" in sys.modules, [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None])
"""
PROGRAMS = {
    "it_returns": SEEN,
    "it_exits": "raise SystemExit(3)",
    "it_says_why_it_exits": "raise SystemExit('no such thing')",
    "it_raises": "print('before'); raise ValueError('wrong')",
    "it_ends_by_a_signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "it_cleans_up": "import atexit; atexit.register(print, 'cleaned up')",
}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_warm_command_prints_and_ends_like_a_fresh_one(runs, name):
    (runs / f"{name}.py").write_text(PROGRAMS[name])
    command = [sys.executable, "-m", name, "a word", "--option"]
    assert warm.fits(command, {"ASKED": "yes"})
    cold, hot = (run(command, env={"ASKED": "yes"}, fresh=fresh) for fresh in (True, False))
    assert hot.returncode == cold.returncode
    if name == "it_raises":  # the traceback has other lines before those of the program
        assert [hot.stdout.splitlines()[i] for i in (0, -1)] == [cold.stdout.splitlines()[i] for i in (0, -1)]
    else:
        assert hot.stdout == cold.stdout


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-"])
def test_a_closed_file_stays_closed(runs, redirection):
    (runs / "seen.py").write_text(f"import sys\nsys.stdout = sys.stdout or open('told', 'w')\n{SEEN}")
    told = []
    for command in ([sys.executable, "-m", "seen"], warm.command("-m", "seen")):
        done = run(["bash", "-c", f'"$@" {redirection}', "bash", *command])
        told.append([done.stdout, (runs / "told").read_text() if (runs / "told").exists() else ""])
    assert told[0] == told[1]
    assert told[0] != ["", ""]


def test_a_command_ends_with_the_test_that_no_longer_waits_for_it(runs):
    (runs / "it_waits.py").write_text("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)")
    waiting = subprocess.Popen(warm.command("-m", "it_waits"))
    while not ((runs / "pid").exists() and (runs / "pid").read_text()):
        assert waiting.poll() is None
        time.sleep(0.05)
    waiting.kill()
    waiting.wait()
    pid = int((runs / "pid").read_text())
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("command", "env"),
    [
        ([sys.executable, "-c", "pass"], {}),
        (["make", "-m", "this"], {}),
        ([sys.executable, "-m", "this"], {"SB3_ATARI_DQN_AUTOLOAD": "0"}),
        ([sys.executable, "-m", "this"], {"PYTHONWARNINGS": "error"}),
    ],
)
def test_what_python_reads_as_it_starts_needs_a_fresh_one(command, env):
    assert not warm.fits(command, env)
