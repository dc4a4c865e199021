"""CleanRL's ``dqn_atari.py`` and ``pqn_atari_envpool.py`` as peers: the unmodified scripts.

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

from pathlib import Path
from typing import Any

from peer_program import PeerProgram

DQN, PQN = "CleanRL dqn_atari", "CleanRL pqn_atari_envpool"

# This ale-py does not register its games with the old gymnasium by itself.
_LAUNCHER = """
import runpy, sys
from ale_py.registration import register_v0_v4_envs
register_v0_v4_envs()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def dqn(checkout: Path, game: str, settings: dict[str, Any], replay_ratio: float) -> PeerProgram:
    """
    :param checkout: repository, with a virtual environment in ``venv``
    :param settings: hyperparameters of all contestants
    """
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
    command = _command(checkout, "dqn_atari.py", options, "-c", _LAUNCHER)
    return PeerProgram(DQN, command, 100, settings["learning_starts"] // 100, replay_ratio, checkout.absolute())


def pqn(checkout: Path, game: str, n_envs: int, settings: dict[str, Any]) -> PeerProgram:
    """
    :param checkout: repository, with a virtual environment in ``venv``
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
    command = _command(checkout, "pqn_atari_envpool.py", options)
    replay_ratio = settings["n_epochs"] / settings["batch_size"]
    return PeerProgram(PQN, command, rollout, 1, replay_ratio, checkout.absolute())


def _command(checkout: Path, script: str, options: dict[str, Any], *launcher: str) -> list[str | Path]:
    python, path = (checkout.absolute() / part for part in ("venv/bin/python", f"cleanrl/{script}"))
    if not path.exists():
        raise FileNotFoundError(f"--cleanrl {checkout}: there is no {path}; benchmarks/cleanrl.py says how")
    return [python, "-u", *launcher, path, *(f"--{name}={value}" for name, value in options.items())]
