"""Network outputs per action, for any representation of returns. B: batch, A: actions, D: outputs per action."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

#: Atoms, quantiles or fractions per action; far beyond any use. A file may ask for any number of them, and losses hold
#: their pairs: 4 MB for each sample.
MOST_OUTPUTS = 1_000


class Outputs(NamedTuple):
    """
    :param per_action: [B, A, D]; D is 1 for expected returns, the number of atoms or quantiles for distributions
    :param fractions: sampled quantile fractions, if any, [B, D]
    """

    per_action: Tensor
    fractions: Tensor | None = None


class Network(Protocol):
    """Online or target network for the objective."""

    def __call__(self, observations: Any, n_fractions: int | None = None, /) -> Outputs:
        """
        :param observations: batch first
        :param n_fractions: number of quantile fractions to draw for each observation; None: the fixed ones that the
            network acts with. Without meaning for values that have no fractions
        """


class Distribution(NamedTuple):
    """
    The return distribution of each action, as weighted points.

    :param returns: float32 [B, A, D]
    :param probabilities: sum to 1 over the last axis, float32 [B, A, D]
    """

    returns: Tensor
    probabilities: Tensor


@runtime_checkable
class Values(Protocol):
    """
    Representation of returns: a frozen, hashable object without parameters. Derive from this class for its defaults.

    The head only uses :attr:`n_outputs`; action selection, evaluation and plots use :meth:`mean`.
    """

    @property
    def n_outputs(self) -> int:
        """D"""

    @property
    def outputs_are_returns(self) -> bool:
        """Whether outputs are in the units of returns: their averages over actions and sums with rewards make sense."""
        return True

    @property
    def online_fractions(self) -> int | None:
        """Number of quantile fractions drawn for the prediction; None for values without."""
        return None

    @property
    def target_fractions(self) -> int | None:
        """Number of quantile fractions drawn for the target; None for values without."""
        return None

    def mean(self, outputs: Outputs) -> Tensor:
        """:return: expected returns, float32 [B, A]"""

    def distribution(self, outputs: Outputs) -> Distribution | None:
        """:return: return distributions; None where only expected returns are learned"""
        return None

    def target(self, chosen_t: Tensor, r_t: Tensor, discount_t: Tensor) -> Tensor:
        """
        :param chosen_t: outputs of the bootstrap actions in the next states, [B, D]
        :param r_t: n-step returns, float32 [B]
        :param discount_t: gamma**k, and 0 where the episode terminated, float32 [B]
        :return: targets, [B, D']
        """

    def mixed(self, chosen_t: Tensor, target: Tensor, weight: float) -> Tensor:
        """
        The bootstrap of a lambda-return.

        :param chosen_t: outputs of the bootstrap actions in the next states, [B, D]
        :param target: of the next states' transitions, from :meth:`target`, [B, D']
        :param weight: of the target, in [0, 1]
        :return: outputs of their weighted mean, or mixture, which :meth:`target` takes in place of the former
        """
        return (1 - weight) * chosen_t + weight * target

    def loss(self, chosen_tm1: Tensor, fractions: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor]:
        """
        :param chosen_tm1: outputs of the actions taken, [B, D]
        :param fractions: sampled quantile fractions, if any, [B, D]
        :param target: [B, D']
        :return: loss and TD-error magnitude per sample, float32 [B]; the latter becomes the priority
        """


def chosen_output(outputs: Tensor, actions: Tensor) -> Tensor:
    """
    :param outputs: [B, A, D]
    :param actions: counted from 0, int64 [B]
    :return: [B, D]
    """
    index = actions.view(-1, 1, 1).expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, index).squeeze(1)
