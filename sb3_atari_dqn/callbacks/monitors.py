"""Whether environments say when a game ends."""

from gymnasium.wrappers import RecordEpisodeStatistics
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, is_vecenv_wrapped


def check_monitored(env: VecEnv, who: str) -> None:
    """
    :param env: of any kind; the native Atari games count as monitored, as they say the same
    :param who: needs to know, for the message
    :raises ValueError: if an environment has nothing that puts ``info["episode"]`` at the end of a game
    """
    silent = _unmonitored(env)
    if silent:
        which = "its environment" if env.num_envs == 1 else f"environments {', '.join(map(str, silent))}"
        raise ValueError(
            f"{who} finds no Monitor around {which} and would never see the end of a game: build the environment with "
            "make_vec_env, wrap each one in SB3's Monitor, or all together in VecMonitor"
        )


def _unmonitored(env: VecEnv) -> list[int]:
    if is_vecenv_wrapped(env, VecMonitor):
        return []
    try:
        found = [env.env_is_wrapped(wrapper) for wrapper in (Monitor, RecordEpisodeStatistics)]
    except (AttributeError, NotImplementedError):  # a vectorized environment of somebody else's, such as Procgen's
        return list(range(env.num_envs))
    return [number for number, told in enumerate(zip(*found, strict=True)) if not any(told)]
