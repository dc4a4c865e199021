"""The same update, optimized.

B: batch, N: environments.
"""

from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.preprocessing import is_image_space, maybe_transpose
from torch import Tensor
from torch.optim import RAdam

from sb3_atari_dqn.finite import UpdateWatch, check_actions, check_update, finite_argmax, skip_on_device
from sb3_atari_dqn.learners.acting import GraphedActing
from sb3_atari_dqn.learners.compatibility import incompatibility
from sb3_atari_dqn.learners.cuda_graph import CudaGraphCapture, GraphCapture, GraphedUpdate
from sb3_atari_dqn.learners.fused_radam import can_fuse_radam, fused_step
from sb3_atari_dqn.learners.optimizers import can_capture, can_fuse, fuse, make_capturable
from sb3_atari_dqn.learners.precision import PRECISIONS, choose_precision
from sb3_atari_dqn.learners.update import GreedyChoice, LearningRule, Update, greedy_choice, preprocessed, update_of
from sb3_atari_dqn.learners.working_copy import OwnNetwork, WorkingCopy
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.networks.q_network import HeadedQNetwork
from sb3_atari_dqn.policies import QPolicy
from sb3_atari_dqn.validation import check_known

_WAY_OUT = "use learner='reference'"


class FastLearner:
    """
    Channels last, bfloat16 where the machine has units for it, parameters and gradients converted once per update,
    images turned from bytes into what the network computes with in one go, a fused optimizer; on CUDA the whole update
    is one graph.

    In float32 it agrees with the reference learner up to rounding: the sums are the same, their order is not. Layers
    that draw from torch's generators draw in the same order; in bfloat16, and where a layer draws a number per pixel
    (dropout of images, which lie channels last here), the numbers drawn are others of the same distribution.

    :param policy: owns the networks and the optimizer; its parameters stay float32
    :param precision: "bf16", "fp32", or "auto": what is faster here, measured now
    :param batch_size: B, for that measurement
    :raises ValueError: on a policy whose update it cannot reproduce
    """

    def __init__(self, policy: QPolicy, precision: str, batch_size: int) -> None:
        check_policy(policy, precision)
        self.policy = policy
        self.is_image = is_image_space(policy.observation_space)
        self._compute_in(*self._choose(precision, batch_size))
        on_cuda = policy.device.type == "cuda"
        if can_fuse(policy.optimizer):
            fuse(policy.optimizer, capturable=on_cuda)
        elif on_cuda and can_capture(policy.optimizer):
            make_capturable(policy.optimizer)
        self._fuses_radam = not on_cuda and can_fuse_radam(policy.optimizer)
        #: whether updates are captured as a CUDA graph, and may begin with gathering the frames
        self.captures = on_cuda and self.is_image and can_capture(policy.optimizer)
        #: whether the device skips a step on bad numbers, which the host learns one update later
        self.skips_on_device = self.captures
        self._watch = UpdateWatch()
        #: whether acting is captured
        self.captures_acting = on_cuda and self.is_image
        self._rule: LearningRule | None = None  # that the graph was captured with
        self._learning_rates = [torch.zeros((), device=policy.device) for _ in policy.optimizer.param_groups]

    def _compute_in(self, precision: str, reason: str) -> None:
        """
        :param precision: "bf16" or "fp32"
        :param reason: for the choice, in words
        """
        self.precision, self.reason = precision, reason
        self.policy.set_training_mode(True)  # the target's copy keeps the mode that updates find it in: SB3's evaluates
        self.online, target = self._copy(self.policy.q_net), self.policy.q_net_target
        self.target: Any = None if target is None else self._copy(target)
        self._graphed: GraphedUpdate | None = None
        self._graphed_acting: GraphedActing | None = None

    def state_dict(self) -> dict[str, Any]:
        """:return: the precision, which "auto" may have chosen by timing; all else is the policy's"""
        return {"precision": self.precision}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`
        :raises ValueError: on an unknown precision
        """
        check_known("precision", state.get("precision"), PRECISIONS)
        check_policy(self.policy, state["precision"])
        if state["precision"] != self.precision:
            self._compute_in(state["precision"], "as recorded")

    def _choose(self, precision: str, batch_size: int) -> tuple[str, str]:
        """:return: short name of the precision and the reason for it"""
        if not self.is_image:
            return "fp32", "no images"
        if precision != "auto":
            return precision, "as asked"
        shape = (batch_size, *self.policy.observation_space.shape)  # type: ignore[misc]
        return choose_precision(self.policy.q_net, shape, self.policy.device)

    def _copy(self, network: Any) -> WorkingCopy | OwnNetwork:
        return WorkingCopy(network, PRECISIONS[self.precision]) if self.is_image else OwnNetwork(network)

    @torch.no_grad()
    def greedy_actions(self, observations: np.ndarray | dict[str, np.ndarray]) -> np.ndarray:
        """
        :param observations: of N environments
        :return: int64 [N]
        :raises NonFiniteValues: on an action value that is NaN or infinite
        """
        chosen = self._act(observations)
        if self.policy.device.type != "cpu":
            check_actions(chosen)
        return chosen + self.policy.first_action if self.policy.first_action else chosen

    def _act(self, observations: np.ndarray | dict[str, np.ndarray]) -> np.ndarray:
        """:return: greedy actions counted from 0, -1 where an action value on a device is not finite, int64 [N]"""
        if self.captures_acting:
            if self._graphed_acting is None:
                self._graphed_acting = GraphedActing(self._greedy, self.policy.device, self._capture())
            return self._graphed_acting(maybe_transpose(observations, self.policy.observation_space))  # type: ignore[arg-type]
        tensors, _ = self.policy.obs_to_tensor(observations)
        return self._greedy(tensors).cpu().numpy()

    def _greedy(self, observations: Any) -> Tensor:
        """:return: int64 [N], -1 on a device where an action value is not finite"""
        self.online.train(False)  # a captured graph keeps the mode of its capture
        return finite_argmax(self.policy.q_net.values.mean(self.online(self.online.preprocess(observations))))

    @torch.no_grad()
    def greedy_choice(self, observations: np.ndarray | dict[str, np.ndarray]) -> GreedyChoice:
        """
        :param observations: of N environments
        :return: greedy actions with their outputs
        :raises NonFiniteValues: on an action value that is NaN or infinite
        """
        tensors, _ = self.policy.obs_to_tensor(observations)
        self.online.train(False)
        return greedy_choice(self.policy, self.online(self.online.preprocess(tensors)))

    def update(self, batch: Any, rule: LearningRule) -> Update:
        """
        One step of gradient descent.

        :param batch: SB3's samples, or those with importance weights
        :param rule: objective and gradient norm
        :raises NonFiniteUpdate: instead of a step that would damage the parameters
        """
        if not self.captures:
            return self._update(batch, rule)
        self._keep_learning_rates_on_device()
        if self._graphed is None or rule != self._rule:
            self._graphed = GraphedUpdate(lambda fixed: self._update(fixed, rule), self._capture())
            self._rule = rule
        update = self._graphed(batch)
        self._watch.push(update.statistics)
        return update

    def _capture(self) -> GraphCapture:
        return CudaGraphCapture(self.policy.device, generators(self.policy))

    def _keep_learning_rates_on_device(self) -> None:
        """A schedule writes a number into the optimizer; a captured update reads it from the device."""
        for group, on_device in zip(self.policy.optimizer.param_groups, self._learning_rates, strict=True):
            if group["lr"] is not on_device:
                on_device.fill_(group["lr"])
                group["lr"] = on_device

    def _update(self, batch: Any, rule: LearningRule) -> Update:
        self.online.train(True)
        batch = preprocessed(batch, self.online.preprocess)
        targets = rule.objective.targets(self.online, self.target, batch)
        step = rule.objective.loss(self.online, batch, targets)
        self.online.write_gradients(torch.autograd.grad(step.loss, self.online.parameters))
        grad_norm = self._clip_gradients(rule.max_grad_norm)
        if self.skips_on_device:
            skip_on_device(self.policy.optimizer, step.loss, grad_norm)
        else:
            check_update(step.loss, grad_norm)
        if self._fuses_radam:
            fused_step(cast(RAdam, self.policy.optimizer))
        else:
            self.policy.optimizer.step()
        self.online.refresh()
        return update_of(step, grad_norm)

    def _clip_gradients(self, max_norm: float) -> Tensor:
        """
        As `clip_grad_norm_`, which multiplies by 1 where nothing is to be clipped, since a device should not be asked;
        on the CPU that is a pass over memory for nothing.

        :return: norm before clipping
        """
        masters = self.online.masters
        if self.policy.device.type != "cpu":
            return torch.nn.utils.clip_grad_norm_(masters, max_norm)
        norm = torch.nn.utils.get_total_norm([master.grad for master in masters if master.grad is not None])
        if not max_norm / (norm + 1e-6) >= 1:  # its own comparison, so that the same gradients are clipped
            torch.nn.utils.clip_grads_with_norm_(masters, max_norm, norm)
        return norm

    def refresh(self) -> None:
        """Copy what may have been written to the networks since the last update."""
        self.online.refresh()
        self.target_changed()

    def target_changed(self) -> None:
        """Called when the target network was written to."""
        if self.target is not None:
            self.target.refresh()


def check_policy(policy: QPolicy, precision: str) -> None:
    """
    :param policy: that is to be trained
    :param precision: as given to :class:`FastLearner`
    :raises ValueError: where the fast learner would compute something else than the reference learner
    """
    is_image = is_image_space(policy.observation_space)
    if precision == "bf16" and not is_image:
        raise ValueError("precision='bf16' needs image observations; use precision='fp32' or 'auto'.")
    _check_methods(policy, is_image)
    if not all(parameter.requires_grad for parameter in policy.q_net.parameters()):
        raise ValueError(f"The network of {type(policy).__name__} has parameters that are frozen: {_WAY_OUT}.")
    if is_image:
        dtype = PRECISIONS["fp32" if precision == "auto" else precision]
        trouble = incompatibility(policy.q_net, policy.observation_space.shape, dtype, policy.device)  # type: ignore[arg-type]
        if trouble:
            raise ValueError(f"The network of {type(policy).__name__} {trouble}: {_WAY_OUT}.")


def _check_methods(policy: QPolicy, is_image: bool) -> None:
    """:raises ValueError: on methods of the user's own that would not be called"""
    for method in ("forward", "outputs", "extract_features"):
        if is_image and getattr(type(policy.q_net), method) is not getattr(HeadedQNetwork, method):
            raise ValueError(
                f"{type(policy.q_net).__name__} of {type(policy).__name__} overrides {method}, which learner='fast' "
                f"does not call on images: {_WAY_OUT}."
            )
    for owner, known in ((policy, QPolicy), (policy.q_net, HeadedQNetwork)):
        for method in ("predict", "_predict"):
            if getattr(type(owner), method) is not getattr(known, method):
                raise ValueError(
                    f"{type(owner).__name__} overrides {method}, which learner='fast' does not call to act: {_WAY_OUT}."
                )
