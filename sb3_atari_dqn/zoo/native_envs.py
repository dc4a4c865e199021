"""Atari games in C++ for the zoo's training: whether a run gets them, and what it is told if it does not."""

from dataclasses import dataclass, replace
from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_dqn.atari import AtariPresetWrapper, NativeAtariVecEnv, why_not_native


@dataclass(frozen=True)
class Choice:
    """
    What the configuration says.

    :param native: the key ``native_envs``: True, False or "auto"
    :param wrappers: classes of ``env_wrapper`` with their keyword arguments
    """

    native: Any
    wrappers: list[tuple[type, dict[str, Any]]]

    def ordinary(self) -> "Choice":
        """:return: the same without C++"""
        return replace(self, native=False)


def wanted(manager: Any, eval_env: bool) -> bool:
    """
    Whether to play in C++; says in one line why an Atari preset is not.

    :param manager: of the run, with its :class:`Choice`
    :param eval_env: for the evaluation environment, whose keyword arguments may differ
    :raises ValueError: if it must and cannot
    """
    choice = manager.native_envs
    has_preset = any(issubclass(wrapper, AtariPresetWrapper) for wrapper, _ in choice.wrappers)
    if choice.native is False or (choice.native == "auto" and not has_preset):
        return False
    obstacle = _obstacle(manager) or why_not_native(
        manager.env_name.gym_id, choice.wrappers, manager.eval_env_kwargs if eval_env else manager.env_kwargs
    )
    if obstacle and choice.native is True:
        raise ValueError(f"native_envs: true, but {obstacle}: remove that, or set native_envs to auto or false")
    if obstacle:
        print(f"No native environments: {obstacle}")
    return obstacle is None


def create(manager: Any, n_envs: int, eval_env: bool, no_log: bool) -> NativeAtariVecEnv:
    """The environment that ``ExperimentManager.create_envs`` would build of the same arguments, stack included."""
    ((wrapper, overrides),) = manager.native_envs.wrappers
    if manager.verbose > 0:
        print(f"Native environments: {n_envs} in C++, stacking {manager.frame_stack or 1} frames")
    return NativeAtariVecEnv(
        manager.env_name.gym_id,
        n_envs,
        seed=manager.seed,
        monitor_dir=None if eval_env or no_log else manager.save_path,
        env_kwargs=manager.eval_env_kwargs if eval_env else manager.env_kwargs,
        preset=wrapper.preset.with_overrides(overrides),
        n_stack=manager.frame_stack or 1,
    )


def _obstacle(manager: Any) -> str | None:
    """:return: what the run asks for around or instead of the games; None if nothing"""
    asked = {
        "--vec-env": manager.vec_env_class is not DummyVecEnv,
        "--vec-env-kwargs": manager.vec_env_kwargs,
        "vec_env_wrapper": manager.vec_env_wrapper,
        "normalize": manager.normalize,
        "monitor_kwargs": manager.monitor_kwargs,
    }
    names = [name for name, value in asked.items() if value]
    return f"{' and '.join(names)} needs ordinary environments" if names else None
