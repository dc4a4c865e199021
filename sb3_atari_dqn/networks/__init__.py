"""Networks: torsos (frames to features) and heads (features to action values)."""

from sb3_atari_dqn.networks.heads import HEADS as HEADS
from sb3_atari_dqn.networks.heads import DuelingHead as DuelingHead
from sb3_atari_dqn.networks.image_torso import ImageTorso as ImageTorso
from sb3_atari_dqn.networks.torsos import TORSOS as TORSOS
from sb3_atari_dqn.networks.torsos import resolve_torso as resolve_torso
