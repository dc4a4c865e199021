"""What runs in a process of Ray: some groups of games. Knows nothing of Ray."""

import os
import socket
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sb3_atari_dqn.distributed.acting import ActingNetwork, PolicySpec
from sb3_atari_dqn.distributed.blocks import Order, Reply
from sb3_atari_dqn.distributed.game_group import GameGroup, GroupSpec


class ActorProcess:
    """Its constructor does nothing that could fail: an error there would look like a lost process."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._network: ActingNetwork | None = None
        self._groups: dict[int, GameGroup] = {}

    def where(self) -> dict[str, Any]:
        """:return: host and process"""
        return {"host": socket.gethostname(), "pid": os.getpid()}

    def prepare(self, specs: Mapping[int, GroupSpec], policy: PolicySpec) -> None:
        """
        Build the groups; a spare process was asked before, without any, to have its libraries and network ready.

        :param specs: by the numbers of the groups
        :param policy: of their networks, always the same
        """
        network = self._network = self._network or ActingNetwork(policy)
        self._groups = {number: GameGroup(spec, network) for number, spec in specs.items()}

    def reset(self, group: int, seed: int | None) -> Reply:
        """See :meth:`GameGroup.reset`."""
        return self._groups[group].reset(seed)

    def play(self, group: int, order: Order, weights: np.ndarray) -> Reply:
        """See :meth:`GameGroup.play`."""
        return self._groups[group].play(order, weights)

    def restore(self, group: int, state: dict[str, Any]) -> None:
        """See :meth:`GameGroup.restore`."""
        self._groups[group].restore(state)
