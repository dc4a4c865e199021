"""CleanRL's ``dqn_atari.py`` and ``pqn_atari_envpool.py`` as peers: the unmodified scripts, stopped and continued with
signals.

They need releases of gymnasium, ale-py, gym and envpool that are years older than ours, and therefore their own
interpreter:

    git clone https://github.com/vwxyzjn/cleanrl
    python -m venv cleanrl/venv
    cleanrl/venv/bin/pip install torch==2.13.0 opencv-python-headless tensorboard tyro "numpy<2" \\
        gymnasium==0.29.1 ale-py==0.9.1 gym==0.23.1 envpool==0.8.4
    python benchmarks/throughput.py --cleanrl cleanrl
    python benchmarks/pqn.py --cleanrl cleanrl

Differences of `dqn_atari.py`: squared error, no gradient clipping, no transition stored at a truncation.
"""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAME, DQN, PQN = "CleanRL dqn_atari", "dqn_atari.py", "pqn_atari_envpool.py"

_LINE = "SPS:"  # begins a line with the speed

# This ale-py does not register its games with the old gymnasium by itself.
_LAUNCHER = """
import runpy, sys
from ale_py.registration import register_v0_v4_envs
register_v0_v4_envs()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class CleanRL:
    """
    A script that prints a line with its speed after every so many environment steps.

    :param checkout: repository, with a virtual environment in ``venv``
    :param script: file in ``cleanrl/``
    :param options: command-line options
    :param steps_per_line: environment steps between two lines
    :param lines_before: lines until updates are made as in the long run
    :param replay_ratio: updates per transition
    :raises FileNotFoundError: if the script or its interpreter is missing
    """

    def __init__(
        self,
        checkout: Path,
        script: str,
        options: dict[str, Any],
        steps_per_line: int,
        lines_before: int,
        replay_ratio: float,
    ) -> None:
        python, path = (checkout.absolute() / part for part in ("venv/bin/python", f"cleanrl/{script}"))
        for needed in (python, path):
            if not needed.exists():
                raise FileNotFoundError(f"--cleanrl {checkout}: there is no {needed}; benchmarks/cleanrl.py says how")
        self._name, self._steps_per_line, self._replay_ratio = script, steps_per_line, replay_ratio
        launcher = ("-c", _LAUNCHER) if script == DQN else ()
        self._process = subprocess.Popen(
            [python, "-u", *launcher, path, *(f"--{name}={value}" for name, value in options.items())],
            env={**os.environ, "PYTHONPATH": str(checkout.absolute())},
            cwd=tempfile.mkdtemp(),  # it writes its logs to the working directory
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read(lines_before)
        self._process.send_signal(signal.SIGSTOP)

    @classmethod
    def dqn(cls, checkout: Path, game: str, settings: dict[str, Any], replay_ratio: float) -> "CleanRL":
        """:param settings: hyperparameters of all contestants"""
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
        return cls(checkout, DQN, options, 100, settings["learning_starts"] // 100, replay_ratio)

    @classmethod
    def pqn(cls, checkout: Path, game: str, n_envs: int, settings: dict[str, Any]) -> "CleanRL":
        """
        :param game: as in envpool, such as "Pong-v5"
        :param settings: arguments of our PQN
        """
        rollout = n_envs * settings["n_steps"]
        options = {
            "env-id": game,
            "num-envs": n_envs,
            "num-steps": settings["n_steps"],
            "num-minibatches": rollout // settings["batch_size"],
            "update-epochs": settings["n_epochs"],
            "learning-rate": settings["learning_rate"],
            "start-e": settings["exploration_initial_eps"],
            "end-e": settings["exploration_final_eps"],
        }
        return cls(checkout, PQN, options, rollout, 1, settings["n_epochs"] / settings["batch_size"])

    def window(self, steps: int) -> dict[str, float]:
        """:return: environment steps and updates per second, and the peak memory of the process so far"""
        self._process.send_signal(signal.SIGCONT)
        self._read(1)  # it was stopped between two lines
        begin = time.perf_counter()
        lines = max(steps // self._steps_per_line, 1)
        self._read(lines)
        elapsed = time.perf_counter() - begin
        self._process.send_signal(signal.SIGSTOP)
        speed = lines * self._steps_per_line / elapsed
        return {
            "env_steps_per_second": speed,
            "updates_per_second": speed * self._replay_ratio,
            "peak_memory_mb": self._peak_memory_mb(),
        }

    def breakdown(self, steps: int) -> None:
        """Not available: the process is not instrumented."""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self, lines: int) -> None:
        """Wait for this many lines of speed."""
        assert self._process.stdout is not None
        while lines:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"{self._name} ended by itself (exit code {self._process.wait()})")
            lines -= line.startswith(_LINE)

    def _peak_memory_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
