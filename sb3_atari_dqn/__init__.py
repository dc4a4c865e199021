"""Double and dueling deep Q-learning from pixels for Stable-Baselines3 and the RL Zoo.

Importing this package costs next to nothing: every public name is loaded on first use.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # typing's own constant would cost an import; type checkers know the name

if TYPE_CHECKING:
    from sb3_atari_dqn.algorithms.dqn import ClassicDQN as ClassicDQN
    from sb3_atari_dqn.algorithms.variants import DoubleDQN as DoubleDQN
    from sb3_atari_dqn.algorithms.variants import DuelingDQN as DuelingDQN
    from sb3_atari_dqn.atari import NativeAtariVecEnv as NativeAtariVecEnv
    from sb3_atari_dqn.atari import NatureAtari as NatureAtari
    from sb3_atari_dqn.replay.buffer import FrameReplayBuffer as FrameReplayBuffer
    from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer as PrioritizedFrameReplayBuffer
    from sb3_atari_dqn.zoo.plugin import register as register

_HOME = {
    "ClassicDQN": "sb3_atari_dqn.algorithms.dqn",
    "DoubleDQN": "sb3_atari_dqn.algorithms.variants",
    "DuelingDQN": "sb3_atari_dqn.algorithms.variants",
    "FrameReplayBuffer": "sb3_atari_dqn.replay.buffer",
    "NativeAtariVecEnv": "sb3_atari_dqn.atari",
    "NatureAtari": "sb3_atari_dqn.atari",
    "PrioritizedFrameReplayBuffer": "sb3_atari_dqn.replay.prioritized",
    "register": "sb3_atari_dqn.zoo.plugin",
}

__all__ = [
    "ClassicDQN",
    "DoubleDQN",
    "DuelingDQN",
    "FrameReplayBuffer",
    "NativeAtariVecEnv",
    "NatureAtari",
    "PrioritizedFrameReplayBuffer",
    "__version__",
    "register",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
