"""Native (C++) Atari environments for training with the zoo: whether a run can use them, and a message if not."""

from dataclasses import dataclass, replace
from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_atari_dqn.atari import AtariPresetWrapper, NativeAtariVecEnv, why_not_native


@dataclass(frozen=True)
class Choice:
    """
    Settings from the configuration.

    :param native: the key ``native_envs``: True, False or "auto"
    :param wrappers: classes of ``env_wrapper`` with their keyword arguments
    :param ray: the key ``ray``: actors play the games of the training; None: this process does
    """

    native: Any
    wrappers: list[tuple[type, dict[str, Any]]]
    ray: Any = None

    def ordinary(self) -> "Choice":
        """:return: a copy that selects regular environments"""
        return replace(self, native=False)


def wanted(manager: Any, eval_env: bool) -> bool:
    """
    Whether to use native environments; for an unsupported Atari preset, prints the reason in one line.

    :param manager: of the run, with its :class:`Choice`
    :param eval_env: for the evaluation environment, whose keyword arguments may differ
    :raises ValueError: if ``native_envs: true`` or ``ray`` is set but not supported
    """
    choice = manager.native_envs
    has_preset = any(issubclass(wrapper, AtariPresetWrapper) for wrapper, _ in choice.wrappers)
    by_actors = choice.ray is not None and not eval_env
    if not by_actors and (choice.native is False or (choice.native == "auto" and not has_preset)):
        return False
    if not has_preset:
        key, demand = ("ray", "ray: actors play") if by_actors else ("native_envs", "native_envs: true asks for")
        need = "need a preset: add one, such as env_wrapper: sb3_atari_dqn.atari.NatureAtari,"
        if not manager._is_atari:
            need = f"are Atari games, and {manager.env_name.gym_id} is none: change --env,"
        raise ValueError(f"{demand} native games, which {need} or remove {key}")
    obstacle = _obstacle(manager) or why_not_native(
        manager.env_name.gym_id, choice.wrappers, manager.eval_env_kwargs if eval_env else manager.env_kwargs
    )
    if obstacle and by_actors:
        raise ValueError(f"ray: actors play native games, but {obstacle}: remove that, or ray")
    if obstacle and choice.native is True:
        raise ValueError(f"native_envs: true, but {obstacle}: remove that, or set native_envs to auto or false")
    if obstacle:
        print(f"No native environments: {obstacle}")
    return obstacle is None


def create(manager: Any, n_envs: int, eval_env: bool, no_log: bool) -> VecEnv:
    """Native counterpart of ``ExperimentManager.create_envs``, with the frame stack; on actors if so configured."""
    ((wrapper, overrides),) = manager.native_envs.wrappers
    by_actors = manager.native_envs.ray is not None and not eval_env
    if manager.verbose > 0 and not by_actors:
        print(f"Native environments: {n_envs} in C++, stacking {manager.frame_stack or 1} frames")
    arguments: dict[str, Any] = {
        "env_id": manager.env_name.gym_id,
        "n_envs": n_envs,
        "seed": manager.seed,
        "monitor_dir": None if eval_env or no_log else manager.save_path,
        "env_kwargs": manager.eval_env_kwargs if eval_env else manager.env_kwargs,
        "preset": wrapper.preset.with_overrides(overrides),
        "n_stack": manager.frame_stack or 1,
    }
    if not by_actors:
        return NativeAtariVecEnv(**arguments)
    from sb3_atari_dqn.distributed.actor_vec_env import ActorVecEnv

    env = ActorVecEnv(**arguments, ray=manager.native_envs.ray)
    if manager.verbose > 0:
        print(f"{env.settings.described(n_envs)}, stacking {env.n_stack} frames")
    return env


def _obstacle(manager: Any) -> str | None:
    """:return: settings of the run that require regular environments; None if there are none"""
    asked = {
        "--vec-env": manager.vec_env_class is not DummyVecEnv,
        "--vec-env-kwargs": manager.vec_env_kwargs,
        "vec_env_wrapper": manager.vec_env_wrapper,
        "normalize": manager.normalize,
        "monitor_kwargs": manager.monitor_kwargs,
    }
    names = [name for name, value in asked.items() if value]
    return f"regular environments are required by {', '.join(names)}" if names else None
