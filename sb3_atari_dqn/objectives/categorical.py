"""C51: a probability for each of a fixed set of returns. Pure torch. B: batch, A: actions, D: atoms."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sb3_atari_dqn.objectives.outputs import MOST_OUTPUTS, Distribution, Outputs, Values
from sb3_atari_dqn.validation import as_float, as_int

_LARGEST_RETURN = 1e12  # far beyond any game


@dataclass(frozen=True)
class CategoricalValues(Values):
    """
    A categorical distribution over equally spaced returns, the atoms; the outputs are logits.

    Source: Bellemare et al. 2017, section 4. Deviation: the priority is the Kullback-Leibler divergence from target to
    prediction, as in Rainbow (Hessel et al. 2018, section "The integrated agent"); C51 itself replays uniformly.

    :param atoms: D, at least 2
    :param v_min: smallest return that it can represent
    :param v_max: largest one
    :raises ValueError: on a support without extent
    """

    atoms: int = 51
    v_min: float = -10.0
    v_max: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", as_int("atoms", self.atoms, 2, MOST_OUTPUTS))
        for name in ("v_min", "v_max"):
            edge = as_float(name, getattr(self, name), -_LARGEST_RETURN, _LARGEST_RETURN)
            object.__setattr__(self, name, edge)
        if not (self.v_max - self.v_min) / self.atoms > 1e-6 * max(abs(self.v_min), abs(self.v_max)):
            raise ValueError(
                f"v_min={self.v_min!r} must be below v_max={self.v_max!r}, by enough for {self.atoms} atoms that "
                "float32 tells apart."
            )

    @property
    def n_outputs(self) -> int:
        return self.atoms

    @property
    def outputs_are_returns(self) -> bool:
        return False

    def support(self, like: Tensor) -> Tensor:
        """:return: the atoms, on the device of another tensor, float32 [D]"""
        return torch.linspace(self.v_min, self.v_max, self.atoms, device=like.device)

    def mean(self, outputs: Outputs) -> Tensor:
        logits = outputs.per_action
        return torch.softmax(logits, dim=2) @ self.support(logits)

    def distribution(self, outputs: Outputs) -> Distribution:
        probabilities = torch.softmax(outputs.per_action, dim=2)
        return Distribution(self.support(probabilities).expand_as(probabilities), probabilities)

    def target(self, chosen_t: Tensor, r_t: Tensor, discount_t: Tensor) -> Tensor:
        """:return: probabilities of the shifted and shrunk distribution, projected onto the atoms, float32 [B, D]"""
        moved = r_t.unsqueeze(1) + discount_t.unsqueeze(1) * self.support(chosen_t)
        return self.project(moved, torch.softmax(chosen_t, dim=1))

    def mixed(self, chosen_t: Tensor, target: Tensor, weight: float) -> Tensor:
        """:return: logits of the mixture of the two distributions, float32 [B, D]"""
        mixture = (1 - weight) * torch.softmax(chosen_t, dim=1) + weight * target
        return mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log()

    def clipped(self, target: Tensor, r_t: Tensor, discount_t: Tensor) -> Tensor:
        """
        :param target: from :meth:`target`, float32 [B, D]
        :param r_t: n-step returns, float32 [B]
        :param discount_t: gamma**k, and 0 where the episode terminated, float32 [B]
        :return: probability of each target at an edge of the support that its returns were shifted beyond, float32 [B]
        """
        margin = 1e-4 * (self.v_max - self.v_min)  # of rounding
        below = r_t + discount_t * self.v_min < self.v_min - margin
        above = r_t + discount_t * self.v_max > self.v_max + margin
        return target[:, 0] * below + target[:, -1] * above

    def project(self, returns: Tensor, probabilities: Tensor) -> Tensor:
        """
        Split the probability of each return between the two atoms next to it, in proportion to how near they are.

        A return on an atom goes to that atom alone, one beyond the support to the outermost.

        :param returns: float32 [B, D]
        :param probabilities: float32 [B, D]
        :return: float32 [B, D]; the sum is kept, and so is the mean if all returns are within the support
        Source: Bellemare et al. 2017, equation 7. Deviation: none.
        """
        spacing = (self.v_max - self.v_min) / (self.atoms - 1)
        positions = (returns.clamp(self.v_min, self.v_max) - self.v_min) / spacing  # in atoms, from 0
        atoms = torch.arange(self.atoms, device=returns.device, dtype=returns.dtype)
        nearness = (1 - (positions.unsqueeze(1) - atoms.unsqueeze(1)).abs()).clamp(min=0)  # [B, to, from]
        return (nearness @ probabilities.unsqueeze(2)).squeeze(2)

    def loss(self, chosen_tm1: Tensor, fractions: Tensor | None, target: Tensor) -> tuple[Tensor, Tensor]:
        """:return: cross-entropy and Kullback-Leibler divergence of each sample, float32 [B]"""
        cross_entropy = -(target * F.log_softmax(chosen_tm1, dim=1)).sum(dim=1)
        entropy = -torch.xlogy(target, target).sum(dim=1)
        return cross_entropy, (cross_entropy.detach() - entropy).clamp(min=0)  # rounding may leave -1e-7
