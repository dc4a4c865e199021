"""Dopamine's JAX agents DQN and QR-DQN as peers: its runner and its agents, with one environment, as it has them.

They need jax and tensorflow of late 2024, and therefore their own interpreter (the last package, of which a file is
imported, has dependencies that cannot be built any more):

    python -m venv dopamine/venv
    dopamine/venv/bin/pip install dopamine-rl==4.1.2 tensorflow==2.18.0 tf-keras==2.18.0 jax==0.4.35 jaxlib==0.4.35 \\
        flax==0.10.2 optax==0.2.4 chex==0.1.89 orbax-checkpoint==0.10.3
    dopamine/venv/bin/pip install --no-deps baselines==0.1.5
    python benchmarks/throughput.py --dopamine dopamine

Differences: squared error in DQN, no gradient clipping, an epsilon that falls during the measurement (the greedy action
is computed for every step), and in QR-DQN a sum tree of equal priorities.
"""

from pathlib import Path
from typing import Any

from peer_program import LINE, PeerProgram

# Its factory's name and the class of each.
AGENTS = {"Dopamine dqn": ("jax_dqn", "JaxDQNAgent"), "Dopamine quantile": ("jax_quantile", "JaxQuantileAgent")}

_STEPS_PER_LINE = 100

# Its runner prints no speed within an iteration.
_PROGRAM = f"""
import sys
import gin
from dopamine.discrete_domains import atari_lib, run_experiment

class Runner(run_experiment.TrainRunner):
    steps = 0
    def _run_one_step(self, action):
        self.steps += 1
        if self.steps % {_STEPS_PER_LINE} == 0:
            print("{LINE}", flush=True)
        return super()._run_one_step(action)

gin.parse_config(sys.argv[1:])
Runner("logs", run_experiment.create_agent).run_experiment()
"""


def program(name: str, folder: Path, game: str, settings: dict[str, Any], replay_ratio: float) -> PeerProgram:
    """
    :param name: key of `AGENTS`
    :param folder: has a virtual environment in ``venv``
    :param game: "PongNoFrameskip-v4", for example
    :param settings: hyperparameters of all contestants
    """
    agent, cls = AGENTS[name]
    bindings = [
        f"create_agent.agent_name = '{agent}'",
        f"create_atari_environment.game_name = '{game.removesuffix('NoFrameskip-v4')}'",
        "create_atari_environment.sticky_actions = False",
        f"{cls}.min_replay_history = {settings['learning_starts']}",
        f"{cls}.update_period = {round(1 / replay_ratio)}",
        f"{cls}.target_update_period = {settings['target_update_interval']}",
        f"{cls}.epsilon_train = {settings['exploration_final_eps']}",
        f"create_optimizer.learning_rate = {settings['learning_rate']}",
        f"ReplayBuffer.max_capacity = {settings['buffer_size']}",
        f"ReplayBuffer.batch_size = {settings['batch_size']}",
        "Runner.fine_grained_print_to_console = False",
    ]
    if cls == "JaxQuantileAgent":
        bindings += [
            f"{cls}.replay_scheme = 'uniform'",
            f"PrioritizedSamplingDistribution.max_capacity = {settings['buffer_size']}",
        ]
    python = folder.absolute() / "venv/bin/python"
    lines_before = 2 * settings["learning_starts"] // _STEPS_PER_LINE
    return PeerProgram(name, [python, "-c", _PROGRAM, *bindings], _STEPS_PER_LINE, lines_before, replay_ratio)
