"""The Q-network as ONNX. Needs the packages of the extra `export`. A: actions, B: batch."""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from sb3_atari_dqn.policies import QPolicy

_PACKAGES = ("onnx", "onnxscript")


def missing_packages() -> list[str]:
    """:return: names of the packages that writing ONNX needs and that are not installed"""
    return [name for name in _PACKAGES if find_spec(name) is None]


def write_onnx(policy: QPolicy, path: Path) -> None:
    """
    One file with the weights inside: from observations as the model gets them, with any batch size, to `action_values`,
    float32 [B, A].

    :param policy: stays as it is, on any device
    :param path: of the file
    """
    network = copy.deepcopy(policy.q_net).cpu()
    network.set_training_mode(False)
    example = _two_observations(policy)
    batch = {0: torch.export.Dim("batch")}
    is_dict = isinstance(example, dict)
    torch.onnx.export(
        network,
        (example, {}),  # no keyword arguments
        path,
        input_names=list(example) if is_dict else ["observations"],
        output_names=["action_values"],
        dynamic_shapes=(dict.fromkeys(example, batch) if is_dict else batch,),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _two_observations(policy: QPolicy) -> Any:
    """:return: tensors; torch would specialize on a batch of one"""
    space = policy.observation_space
    if isinstance(space, spaces.Dict):
        zeros: Any = {name: _zeros(part) for name, part in space.spaces.items()}
    else:
        zeros = _zeros(space)
    tensors, _ = policy.obs_to_tensor(zeros)
    return {name: each.cpu() for name, each in tensors.items()} if isinstance(tensors, dict) else tensors.cpu()


def _zeros(space: spaces.Space) -> np.ndarray:
    first = getattr(space, "start", 0) if isinstance(space, spaces.Discrete) else 0
    return np.full((2, *(space.shape or ())), first, space.dtype)
