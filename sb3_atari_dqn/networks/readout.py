"""Action values, state value, advantages and saliency of a trained network for one observation.

Works with any policy that has action values: SB3's DQN, sb3-contrib's QR-DQN and ours. A: actions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from sb3_atari_dqn.networks.q_network import Distribution, Explanation


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


def read(policy: Any, observation: np.ndarray, saliency: bool = True) -> Readout:
    """
    :param policy: of DQN, QR-DQN or one of our algorithms
    :param observation: a single one, as returned by the environment; dictionaries are not supported
    :param saliency: compute saliency maps, which takes two backward passes
    :return: outputs of the online network
    Source: Wang et al. 2016, section 4.2 and figure 2: absolute gradients of V and of A(s, argmax A) with respect to
    the input, after Simonyan et al. 2013, section 3, who take the maximum over the channels (here: the stacked frames).
    Deviation: subtracts the mean of the advantages first, since the offset of that stream is arbitrary.
    """
    policy.set_training_mode(False)
    inputs = policy.obs_to_tensor(observation)[0].float().requires_grad_(saliency)
    with torch.set_grad_enabled(saliency):
        q, value, advantages, distribution = _explain(policy, inputs)
    is_image = is_image_space(policy.observation_space)
    best = (q if advantages is None else advantages).max()
    return Readout(
        _numbers(q[0]),
        None if value is None else value.item(),
        None if advantages is None else _numbers(advantages[0]),
        _saliency(value, inputs, is_image) if saliency and value is not None else None,
        _saliency(best, inputs, is_image) if saliency else None,
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


def _saliency(output: Tensor, inputs: Tensor, is_image: bool) -> np.ndarray:
    """:return: absolute gradient, [H, W] (maximum over the channels) for an image, else like the input"""
    (gradient,) = torch.autograd.grad(output.sum(), inputs, retain_graph=True)
    size = gradient[0].abs()
    return _numbers(size.amax(dim=0) if is_image else size)


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
