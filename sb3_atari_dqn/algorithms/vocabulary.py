"""The classes and schedules that an exported model may name."""

from dataclasses import fields
from typing import Any

from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from torch import nn, optim

from sb3_atari_dqn.checkpoints.plain_model import Record, Vocabulary
from sb3_atari_dqn.networks.bytes import BytesExtractor
from sb3_atari_dqn.networks.heads import HEADS
from sb3_atari_dqn.networks.torsos import TORSOS
from sb3_atari_dqn.objectives.names import BOOTSTRAPS, VALUES
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.kinds import SB3_BUFFERS
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.schedules import LinearRate

_ACTIVATIONS = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Mish, nn.SELU, nn.CELU, nn.Sigmoid)
_OPTIMIZERS = (optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam, optim.RMSprop, optim.SGD)
_EXTRACTORS = (*TORSOS.values(), BytesExtractor, NatureCNN, FlattenExtractor, CombinedExtractor)
_BUFFERS = (*SB3_BUFFERS, FrameReplayBuffer, PrioritizedFrameReplayBuffer)
_POLICIES = (MlpPolicy, CnnPolicy, MultiInputPolicy)

_SB3_UTILS = "stable_baselines3.common.utils"


def _record_of(kind: Any) -> Record:
    """:param kind: a frozen dataclass"""
    return Record((f"{kind.__module__}.{kind.__qualname__}",), tuple(each.name for each in fields(kind)), kind)


#: All that an exported model can name.
VOCABULARY = Vocabulary(
    {
        f"{each.__module__}.{each.__qualname__}": each
        for each in (*_ACTIVATIONS, *_OPTIMIZERS, *_EXTRACTORS, *_BUFFERS, *_POLICIES, *HEADS.values())
    },
    {
        "ConstantSchedule": Record((f"{_SB3_UTILS}.ConstantSchedule",), ("val",), ConstantSchedule),
        "FloatSchedule": Record((f"{_SB3_UTILS}.FloatSchedule",), ("value_schedule",), FloatSchedule),
        "LinearSchedule": Record((f"{_SB3_UTILS}.LinearSchedule",), ("start", "end", "end_fraction"), LinearSchedule),
        "LinearRate": Record(
            ("rl_zoo3.utils.SimpleLinearSchedule", "sb3_atari_dqn.schedules.LinearRate"),
            ("initial_value",),
            LinearRate,
        ),
        **{each.__name__: _record_of(each) for each in (*VALUES.values(), *BOOTSTRAPS.values())},
    },
)
