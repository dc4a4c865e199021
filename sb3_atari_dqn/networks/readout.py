"""Action values, state value, advantages and saliency of a trained network for one observation.

Works with any policy that has action values: SB3's DQN, sb3-contrib's QR-DQN and ours. A: actions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from sb3_atari_dqn.finite import check_values
from sb3_atari_dqn.networks.q_network import Distribution, Explanation
from sb3_atari_dqn.networks.saliency import GRADIENT, saliency_maps


@dataclass(frozen=True)
class Readout:
    """
    Output of the online network for one observation.

    :param q: action values, [A]
    :param value: state value; None without a dueling head
    :param advantages: with mean 0, so that q = value + advantages, [A]; None without a dueling head
    :param value_saliency: saliency map of the state value, [H, W] or like the input vector; None without a dueling head
        or if not requested
    :param action_saliency: the same for the advantage of the greedy action (its action value without a dueling head)
    :param returns: points of each action's return distribution, [A, D]; None where only its mean is learned
    :param probabilities: of these points, they sum to 1 for each action, [A, D]
    """

    q: np.ndarray
    value: float | None = None
    advantages: np.ndarray | None = None
    value_saliency: np.ndarray | None = None
    action_saliency: np.ndarray | None = None
    returns: np.ndarray | None = None
    probabilities: np.ndarray | None = None


def has_action_values(policy: Any) -> bool:
    """:return: whether :func:`read` supports the policy"""
    return hasattr(policy, "q_net") or hasattr(policy, "quantile_net")


def read(policy: Any, observation: np.ndarray, saliency: str | None = GRADIENT) -> Readout:
    """
    :param policy: of DQN, QR-DQN or one of our algorithms
    :param observation: a single one, as returned by the environment; dictionaries are not supported
    :param saliency: how to compute saliency maps, one of `saliency.METHODS`; None: none
    :return: outputs of the online network
    :raises NonFiniteValues: on an action value that is NaN or infinite
    Source: Wang et al. 2016, section 4.2 and figure 2: maps of V and of A(s, argmax A). Deviation: subtracts the mean
    of the advantages first, since the offset of that stream is arbitrary.
    """
    policy.set_training_mode(False)
    inputs = policy.obs_to_tensor(observation)[0].float()
    with torch.no_grad():
        q, value, advantages, distribution = _explain(policy, inputs)
    check_values(q)
    best = int((q if advantages is None else advantages)[0].argmax())

    def outputs(inputs: Tensor) -> list[Tensor]:
        q, value, advantages, _ = _explain(policy, inputs)
        of_action = (q if advantages is None else advantages)[:, best]
        return [of_action] if value is None else [of_action, value.flatten()]

    is_image = is_image_space(policy.observation_space)
    maps = [] if saliency is None else saliency_maps(outputs, inputs, saliency, is_image)
    return Readout(
        _numbers(q[0]),
        None if value is None else value.item(),
        None if advantages is None else _numbers(advantages[0]),
        maps[1] if len(maps) > 1 else None,
        maps[0] if maps else None,
        *(_numbers(part[0]) for part in distribution or ()),
    )


def _explain(policy: Any, inputs: Tensor) -> Explanation:
    if hasattr(policy, "quantile_net"):
        quantiles = policy.quantile_net(inputs)  # [B, N, A]
        returns = quantiles.transpose(1, 2)
        distribution = Distribution(returns, torch.full_like(returns, 1 / returns.shape[2]))
        return Explanation(quantiles.mean(dim=1), distribution=distribution)
    if not hasattr(policy.q_net, "explain"):  # SB3's own
        return Explanation(policy.q_net(inputs))
    return policy.q_net.explain(inputs)


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
