"""Tianshou's Atari examples of DQN and QR-DQN as peers: the unmodified scripts, with eight environments in processes.

They need an older numpy and gymnasium than ours, and therefore their own interpreter:

    git clone --branch v2.0.1 https://github.com/thu-ml/tianshou
    python -m venv tianshou/venv
    tianshou/venv/bin/pip install torch==2.13.0 "tianshou[argparse]==2.0.1" opencv-python-headless ale-py "numpy<2.3"
    python benchmarks/throughput.py --tianshou tianshou

Differences: squared error and double Q-learning in DQN, no gradient clipping.

Two faults of release 2.0.1 are kept out of the measurement. After each step of the environments it looks for NaN in the
whole replay memory (https://github.com/thu-ml/tianshou/issues/1265), so that its speed falls as the memory fills; that
check is switched off. And its wrapper of images declares them as `np.integer`, so that frames which come from processes
are int64: 56,448 bytes each, for which 100,000 have no room here beside the others; it has 10,000.
"""

from pathlib import Path
from typing import Any

from peer_program import LINE, PeerProgram

SCRIPTS = {"Tianshou dqn": "atari_dqn.py", "Tianshou qrdqn": "atari_qrdqn.py"}

_N_ENVS = 8
_UPDATES_PER_LINE = 25

# The scripts print no speed. Neither these releases of gymnasium nor of ale-py register the games by themselves.
_LAUNCHER = f"""
import itertools, runpy, sys
import ale_py, gymnasium
from tianshou.algorithm.algorithm_base import OffPolicyAlgorithm
from tianshou.data import ReplayBuffer
ReplayBuffer.hasnull = lambda self: False
gymnasium.register_envs(ale_py)
update, count = OffPolicyAlgorithm.update, itertools.count(1)
def counted(*args, **kwargs):
    result = update(*args, **kwargs)
    if next(count) % {_UPDATES_PER_LINE} == 0:
        print("{LINE}", flush=True)
    return result
OffPolicyAlgorithm.update = counted
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def program(name: str, checkout: Path, game: str, settings: dict[str, Any], replay_ratio: float) -> PeerProgram:
    """
    :param name: key of `SCRIPTS`
    :param checkout: repository, with a virtual environment in ``venv``
    :param settings: hyperparameters of all contestants
    """
    options = {
        "task": game,
        "buffer_size": settings["buffer_size"] // 10,
        "lr": settings["learning_rate"],
        "batch_size": settings["batch_size"],
        "target_update_freq": settings["target_update_interval"],
        "eps_train": settings["exploration_initial_eps"],
        "eps_train_final": settings["exploration_final_eps"],
        "n_step": 1,
        "num_training_envs": _N_ENVS,
        "collection_step_num_env_steps": _N_ENVS,
        "update_per_step": replay_ratio,
        "num_test_envs": 1,
    }
    script = checkout.absolute() / "examples/atari" / SCRIPTS[name]
    if not script.exists():
        raise FileNotFoundError(f"--tianshou {checkout}: there is no {script}; benchmarks/tianshou_peer.py says how")
    python = checkout.absolute() / "venv/bin/python"
    command: list[str | Path] = [
        python,
        "-c",
        _LAUNCHER,
        script,
        *(f"--{key}={value}" for key, value in options.items()),
    ]
    return PeerProgram(name, command, round(_UPDATES_PER_LINE / replay_ratio), 10, replay_ratio)
