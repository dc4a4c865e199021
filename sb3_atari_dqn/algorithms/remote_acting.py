"""Environments whose actors choose the actions, such as `ActorVecEnv`: told of the model, asked for what was played.

N: environments. Known by their attribute `chooses_actions`; this room does not import theirs.
"""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper


def actors_of(env: VecEnv | None) -> Any | None:
    """
    :param env: of a model
    :return: the environment, if its actors choose the actions; None for any other
    :raises ValueError: if something is wrapped around one, which actors would not see
    """
    base: Any = env
    while isinstance(base, VecEnvWrapper):
        base = base.venv
    if not getattr(base, "chooses_actions", False):
        return None
    if base is not env:
        raise ValueError(
            f"{type(env).__name__} is wrapped around {type(base).__name__}, whose actors do not see what it changes: "
            "pass the environment itself."
        )
    return base


def let_actors_follow(model: Any) -> None:
    """
    Called before a training begins or continues.

    :param model: whose policy the actors of its environment follow, if it has any
    """
    if (env := actors_of(model.env)) is not None:
        env.act_for(model)


def actions_of_actors(model: Any) -> np.ndarray | None:
    """
    :param model: its last observations become those that the actions follow, which may be of other games
    :return: the actions of the next vector step, int64 [N]; None for environments that leave them to the model
    """
    if (actors := actors_of(model.env)) is None:
        return None
    model._last_obs, actions = actors.next_actions()
    return actions
