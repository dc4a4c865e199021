"""Bootstrap values of the next state. Pure torch. B: batch, A: actions, D: outputs per action."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from sb3_atari_dqn.objectives.outputs import Network, Values, chosen_output


class Bootstrap(Protocol):
    """A frozen, hashable rule that selects the bootstrap value from both networks and the batch."""

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Tensor:
        """
        :param values: how returns are represented
        :param online: online network
        :param target: target network
        :param batch: SB3's samples
        :return: bootstrap value of the next state, [B, D]
        """


@dataclass(frozen=True)
class Greedy:
    """
    The target network selects and evaluates the greedy action.

    Source: Mnih et al. 2015, Methods, algorithm 1. Deviation: none.
    """

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Tensor:
        outputs = target(batch.next_observations)
        return chosen_output(outputs.per_action, values.mean(outputs).argmax(dim=1))


@dataclass(frozen=True)
class Double:
    """
    The online network selects the action, the target network evaluates it.

    Source: van Hasselt et al. 2016, section "Double DQN". Deviation: none.
    """

    def __call__(self, values: Values, online: Network, target: Network, batch: Any) -> Tensor:
        evaluated = target(batch.next_observations).per_action
        return chosen_output(evaluated, values.mean(online(batch.next_observations)).argmax(dim=1))
