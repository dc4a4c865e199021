"""Value-based deep reinforcement learning from pixels for Stable-Baselines3 and the RL Zoo.

Importing this package costs next to nothing: every public name is loaded on first use.
"""

__version__ = "0.2.0"

TYPE_CHECKING = False  # typing's own constant would cost an import; type checkers know the name

if TYPE_CHECKING:  # they cannot follow the catalogue; tests/test_public_names.py compares the two
    from sb3_atari_dqn.algorithms.dqn import ClassicDQN as ClassicDQN
    from sb3_atari_dqn.algorithms.pqn import PQN as PQN
    from sb3_atari_dqn.algorithms.variants import BTR as BTR
    from sb3_atari_dqn.algorithms.variants import C51 as C51
    from sb3_atari_dqn.algorithms.variants import IQN as IQN
    from sb3_atari_dqn.algorithms.variants import QRDQN as QRDQN
    from sb3_atari_dqn.algorithms.variants import DataEfficientRainbow as DataEfficientRainbow
    from sb3_atari_dqn.algorithms.variants import DoubleDQN as DoubleDQN
    from sb3_atari_dqn.algorithms.variants import DuelingDQN as DuelingDQN
    from sb3_atari_dqn.algorithms.variants import MunchausenDQN as MunchausenDQN
    from sb3_atari_dqn.algorithms.variants import RainbowDQN as RainbowDQN
    from sb3_atari_dqn.atari import NativeAtariVecEnv as NativeAtariVecEnv
    from sb3_atari_dqn.atari import NatureAtari as NatureAtari
    from sb3_atari_dqn.checkpoints.allowed_names import UnsafeFile as UnsafeFile
    from sb3_atari_dqn.checkpoints.allowed_names import allow as allow
    from sb3_atari_dqn.distributed.actor_vec_env import ActorVecEnv as ActorVecEnv
    from sb3_atari_dqn.replay.buffer import FrameReplayBuffer as FrameReplayBuffer
    from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer as PrioritizedFrameReplayBuffer
    from sb3_atari_dqn.zoo.plugin import register as register

#: Public names beside the classes of the catalogue, and the modules that define them.
_HOME = {
    "ActorVecEnv": "sb3_atari_dqn.distributed.actor_vec_env",
    "FrameReplayBuffer": "sb3_atari_dqn.replay.buffer",
    "NativeAtariVecEnv": "sb3_atari_dqn.atari",
    "NatureAtari": "sb3_atari_dqn.atari",
    "PrioritizedFrameReplayBuffer": "sb3_atari_dqn.replay.prioritized",
    "UnsafeFile": "sb3_atari_dqn.checkpoints.allowed_names",
    "allow": "sb3_atari_dqn.checkpoints.allowed_names",
    "register": "sb3_atari_dqn.zoo.plugin",
}


def _homes() -> dict[str, str]:
    from sb3_atari_dqn.catalogue import ALGORITHMS  # its dataclasses cost more than a Python start may

    return _HOME | {algorithm.class_name: algorithm.module for algorithm in ALGORITHMS.values()}


if not TYPE_CHECKING:  # a type checker would take it for a definition of every name, misspelled ones included

    def __getattr__(name: str) -> object:
        if name == "__all__":
            return __dir__()
        if name.startswith("_") or name not in (homes := _homes()):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(homes[name]), name)


def __dir__() -> list[str]:
    return sorted([*_homes(), "__version__"])
