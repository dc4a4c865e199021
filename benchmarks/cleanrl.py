"""CleanRL's ``dqn_atari.py`` as a peer: the script as it is, stopped and continued from outside.

It wants releases of gymnasium and ale-py that are years older than ours, and therefore an interpreter of its own:

    git clone https://github.com/vwxyzjn/cleanrl
    python -m venv cleanrl/venv
    cleanrl/venv/bin/pip install torch==2.13.0 gymnasium==0.29.1 ale-py==0.9.1 opencv-python-headless tensorboard tyro
    python benchmarks/throughput.py --cleanrl cleanrl

What it does differently: squared errors, no bound on the gradient's norm, no transition after a truncation.
"""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAME = "CleanRL dqn_atari"

#: The script prints a line that begins with this every so many environment steps, once it learns.
_LINE, _STEPS_PER_LINE = "SPS:", 100

# This ale-py registers its games with the old gymnasium only when asked to.
_LAUNCHER = """
import runpy, sys
from ale_py.registration import register_v0_v4_envs
register_v0_v4_envs()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class CleanRL:
    """
    :param checkout: folder of the repository, with an interpreter in ``venv``
    :param game: environment id
    :param settings: of the contestants
    :param replay_ratio: likewise
    :raises FileNotFoundError: if the script or its interpreter is not there
    """

    def __init__(self, checkout: Path, game: str, settings: dict[str, Any], replay_ratio: float) -> None:
        python, script = (checkout.absolute() / part for part in ("venv/bin/python", "cleanrl/dqn_atari.py"))
        for path in (python, script):
            if not path.exists():
                raise FileNotFoundError(f"--cleanrl {checkout}: there is no {path}; benchmarks/cleanrl.py says how")
        options = {
            "env-id": game,
            "buffer-size": settings["buffer_size"],
            "learning-rate": settings["learning_rate"],
            "batch-size": settings["batch_size"],
            "learning-starts": settings["learning_starts"],
            "target-network-frequency": settings["target_update_interval"],
            "start-e": settings["exploration_initial_eps"],
            "end-e": settings["exploration_final_eps"],
            "train-frequency": round(1 / replay_ratio),
        }
        self._replay_ratio = replay_ratio
        self._process = subprocess.Popen(
            [python, "-u", "-c", _LAUNCHER, script, *(f"--{name}={value}" for name, value in options.items())],
            env={**os.environ, "PYTHONPATH": str(checkout.absolute())},
            cwd=tempfile.mkdtemp(),  # it writes its logs where it stands
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read(settings["learning_starts"] // _STEPS_PER_LINE)
        self._process.send_signal(signal.SIGSTOP)

    def window(self, steps: int) -> dict[str, float]:
        """:return: environment steps and updates per second, and the peak memory of the process so far"""
        self._process.send_signal(signal.SIGCONT)
        self._read(1)  # in the middle of a line's steps it was stopped
        begin = time.perf_counter()
        lines = max(steps // _STEPS_PER_LINE, 1)
        self._read(lines)
        elapsed = time.perf_counter() - begin
        self._process.send_signal(signal.SIGSTOP)
        speed = lines * _STEPS_PER_LINE / elapsed
        return {
            "env_steps_per_second": speed,
            "updates_per_second": speed * self._replay_ratio,
            "peak_memory_mb": self._peak_memory_mb(),
        }

    def breakdown(self, steps: int) -> None:
        """Nothing: nobody looks into that process."""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self, lines: int) -> None:
        """Wait until so many lines of speed have been printed."""
        assert self._process.stdout is not None
        while lines:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"{NAME} ended by itself (exit code {self._process.wait()})")
            lines -= line.startswith(_LINE)

    def _peak_memory_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
