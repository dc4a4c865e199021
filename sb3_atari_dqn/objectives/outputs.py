"""What a network says of each action, in whatever form its values have. B: batch, A: actions, D: numbers per action."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Outputs(NamedTuple):
    """
    :param per_action: [B, A, D]; D is 1 for expected returns, the number of atoms or quantiles for distributions
    :param fractions: where quantiles are drawn at random, those that were drawn, [B, D]
    """

    per_action: Tensor
    fractions: Tensor | None = None


# Online or target network, as the objective sees it: from observations of a batch to outputs.
Network = Callable[[Any], Outputs]


class Values(Protocol):
    """
    How a return is represented: a frozen, hashable object without parameters.

    The head asks it for its width alone; who acts, draws or evaluates for the means.
    """

    @property
    def n_outputs(self) -> int:
        """D"""

    def mean(self, outputs: Outputs) -> Tensor:
        """:return: expected returns, float32 [B, A]"""

    def target(self, chosen_t: Tensor, r_t: Tensor, discount_t: Tensor) -> Tensor:
        """
        :param chosen_t: what the bootstrap chose in the states reached, [B, D]
        :param r_t: n-step returns, float32 [B]
        :param discount_t: gamma**k, and 0 where the episode terminated, float32 [B]
        :return: what is learned, [B, D']
        """

    def loss(self, chosen_tm1: Tensor, fractions: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor]:
        """
        :param chosen_tm1: of the actions taken, [B, D]
        :param fractions: theirs, if any, [B, D]
        :param target: [B, D']
        :return: loss and how wrong the values were, of each sample, float32 [B]; the latter becomes the priority
        """


def chosen_output(outputs: Tensor, actions: Tensor) -> Tensor:
    """
    :param outputs: [B, A, D]
    :param actions: counted from 0, int64 [B]
    :return: [B, D]
    """
    index = actions.view(-1, 1, 1).expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, index).squeeze(1)
