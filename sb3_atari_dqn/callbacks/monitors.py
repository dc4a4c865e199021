"""Whether environments report the end of an episode."""

from gymnasium.wrappers import RecordEpisodeStatistics
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, is_vecenv_wrapped


def check_monitored(env: VecEnv, owner: str) -> None:
    """
    :param env: of any kind; the native Atari environments count as monitored, because they report the same
    :param owner: what needs to know, for the message
    :raises ValueError: if nothing adds ``info["episode"]`` at the end of an episode of one of the environments
    """
    silent = _unmonitored(env)
    if silent:
        which = "its environment" if env.num_envs == 1 else f"environments {', '.join(map(str, silent))}"
        raise ValueError(
            f"{owner} finds no Monitor around {which}, so it cannot see episodes end: build the environment with "
            "make_vec_env, wrap each one in SB3's Monitor, or all of them in VecMonitor"
        )


def _unmonitored(env: VecEnv) -> list[int]:
    if is_vecenv_wrapped(env, VecMonitor):
        return []
    try:
        found = [env.env_is_wrapped(wrapper) for wrapper in (Monitor, RecordEpisodeStatistics)]
    except (AttributeError, NotImplementedError):  # another package's vectorized environment, such as Procgen's
        return list(range(env.num_envs))
    return [number for number, wrapped in enumerate(zip(*found, strict=True)) if not any(wrapped)]
