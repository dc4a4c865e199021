"""Every place where frames may lie, and one more with blocks so short that small rings have many of them."""

from unittest.mock import patch

from sb3_atari_dqn.replay.compressed_store import CompressedFrameStore
from sb3_atari_dqn.replay.stores import FRAME_STORES


class ShortBlocks(CompressedFrameStore):
    block_steps = 3


PLACES = [*FRAME_STORES, "short blocks"]
short_blocks = patch.dict(FRAME_STORES, {"short blocks": ShortBlocks})  # decorates what makes buffers
