"""State of vectorized environments: games, wrappers, scores so far, so that every episode continues exactly.

Three ways, chosen per layer:

- an environment with `state_dict()` and `load_state_dict()` of its own (`NativeAtariVecEnv`) uses them;
- ALE's games without sticky actions, gymnasium's small environments, and the wrappers of gymnasium, SB3 and this
  package keep everything in attributes that can be saved, see `env_attributes`;
- anything else is replayed from its seed by the actions since, see `env_journal`: :func:`record_actions` must be
  called before the first reset. Wrappers around it are saved by their attributes.

What none of them can bring back (a browser, an environment that is not deterministic, a `SubprocVecEnv`) starts new
episodes, with a warning that says why.
"""

import warnings
from typing import Any

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvWrapper

from sb3_atari_dqn.checkpoints.env_attributes import NotPlain, attributes, load_attributes
from sb3_atari_dqn.checkpoints.env_emulator import is_emulator, is_restorable
from sb3_atari_dqn.checkpoints.env_journal import ActionJournal, Diverged, can_record, layers
from sb3_atari_dqn.checkpoints.state import State, generator_state, load_generator_state

#: Steps after which a native game starts from a seed of its own: this bounds the replay to about five seconds per game.
_RELOAD_AFTER = 10_000

#: Modules whose environments and wrappers keep their whole state in attributes. Others may hide some (a handle of a C
#: library is a plain number): their actions are replayed, and the result is compared.
TRUSTED = (
    *("gymnasium.wrappers.", "gymnasium.envs.classic_control.", "gymnasium.envs.toy_text.", "ale_py.env."),
    *("stable_baselines3.common.", "sb3_contrib.common.", "rl_zoo3.", "sb3_atari_dqn.atari."),
)


def record_actions(env: VecEnv) -> str | None:
    """
    Record the actions of environments whose state cannot be saved; to be called before the first reset.

    :param env: is changed in place: a journal is put around those layers that need one
    :return: why episodes cannot be continued exactly, in one line; None if nothing is known against it
    """
    stack = vec_layers(env)
    if obstacle := _vec_obstacle(stack, [_layer_state(layer) for layer in stack]):
        return obstacle
    base = stack[-1]
    if _has_state(base):
        if getattr(base, "reload_after", 0) is None:
            base.reload_after = _RELOAD_AFTER
        return None
    obstacles = []
    for number, each in enumerate(base.envs):
        base.envs[number], obstacle = _with_journal(each)
        obstacles.append(obstacle)
    return next((each for each in obstacles if each), None)


def env_state(env: VecEnv) -> State:
    """
    :param env: between two steps; it is not changed
    :return: its state, plain; with the reason if it holds none
    """
    stack = vec_layers(env)
    vec = [_layer_state(layer) for layer in stack]
    names = [_name(layer) for layer in stack]
    state: State = {"layers": names, "vec": vec, "obstacle": _vec_obstacle(stack, vec)}
    if state["obstacle"] is None and not _has_state(stack[-1]):
        state["envs"] = [_game_state(each) for each in stack[-1].envs]
        state["obstacle"] = next((each["obstacle"] for each in state["envs"] if each["obstacle"]), None)
    return state


def load_env_state(env: VecEnv, state: State) -> VecEnvObs | None:
    """
    :param env: created with the same arguments, with :func:`record_actions` applied as to the one that was saved
    :param state: as :func:`env_state` gave it
    :return: None: every episode continues. Otherwise, after a warning, the first observations of new episodes
    :raises ValueError: if it was another kind of environment
    """
    stack = vec_layers(env)
    names = [_name(layer) for layer in stack]
    if names != state["layers"]:
        raise ValueError(f"The state of {' around '.join(state['layers'])} does not fit {' around '.join(names)}.")
    obstacle = state["obstacle"]
    if obstacle is None:
        obstacle = _load_games(stack[-1], state.get("envs", []))
    for layer, each in zip(stack, state["vec"], strict=True):
        if each is not None:
            _load_layer(layer, each)
    if obstacle is None:
        return None
    warnings.warn(f"The environments start new episodes instead of continuing exactly: {obstacle}", stacklevel=2)
    return _new_episodes(env, state)


def vec_layers(env: VecEnv) -> list[Any]:
    """:return: the vectorized environment and what it wraps, outermost first"""
    found: list[Any] = [env]
    while isinstance(found[-1], VecEnvWrapper):
        found.append(found[-1].venv)
    return found


def _vec_obstacle(stack: list[Any], states: list[State | None]) -> str | None:
    *wrappers, base = stack
    for layer, state in zip(wrappers, states, strict=False):
        if state is None:
            return f"the state of {_name(layer)} is unknown; give it state_dict() and load_state_dict()"
    if _has_state(base) or type(base) is DummyVecEnv:
        return None
    return f"{_name(base)} gives no state; use DummyVecEnv or NativeAtariVecEnv"


def _name(layer: Any) -> str:
    return type(layer).__name__


def _trusted(layer: Any) -> bool:
    if not f"{type(layer).__module__}.".startswith(TRUSTED):
        return False
    return not is_emulator(getattr(layer, "ale", None)) or is_restorable(layer)


def _has_state(layer: Any) -> bool:
    """:return: whether it has a state by itself; vectorized wrappers pass on every attribute of what they wrap"""
    return hasattr(type(layer), "state_dict") and hasattr(type(layer), "load_state_dict")


def _layer_state(layer: Any) -> State | None:
    """:return: None if it cannot be saved"""
    if _has_state(layer):
        return layer.state_dict()
    if not _trusted(layer):
        return None
    try:
        return attributes(layer)
    except NotPlain:
        return None


def _load_layer(layer: Any, state: State) -> None:
    if _has_state(layer):
        layer.load_state_dict(state)
    else:
        load_attributes(layer, state)


# --- one environment of a DummyVecEnv


def _with_journal(env: gym.Env) -> tuple[gym.Env, str | None]:
    """:return: the environment with a journal around the outermost layer that cannot be saved, and an obstacle"""
    found = layers(env)
    if _journal(env) is not None or not (hidden := _hidden(found)):
        return env, None
    inner = found[hidden[0]]
    if not can_record(inner):
        return env, f"{_name(inner)} gives no state, and actions of {inner.action_space} are not recorded"
    if hidden[0] == 0:
        return ActionJournal(inner), None
    found[hidden[0] - 1].env = ActionJournal(inner)  # type: ignore[attr-defined]
    return env, None


def _hidden(found: list[gym.Env]) -> list[int]:
    """:return: positions of the layers whose state cannot be saved"""
    return [index for index, layer in enumerate(found) if _layer_state(layer) is None]


def _journal(env: gym.Env) -> ActionJournal | None:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, ActionJournal):
            return env
        env = env.env
    return None


def _game_state(env: gym.Env) -> State:
    found, journal = layers(env), _journal(env)
    state: State = {"names": [_name(layer) for layer in found], "journal": None, "obstacle": None}
    state["layers"] = [_layer_state(layer) for layer in found]
    if hidden := _hidden(found):
        state["obstacle"] = _replay_obstacle(found[hidden[0]], env, journal)
        if journal is not None and state["obstacle"] is None:
            state["journal"] = journal.state_dict()
            state["np_random"] = generator_state(env.unwrapped.np_random)  # wrappers draw from it, too (no-ops)
    return state


def _replay_obstacle(hidden: gym.Env, env: gym.Env, journal: ActionJournal | None) -> str | None:
    if journal is None or not any(layer is hidden for layer in layers(journal)):
        return f"{_name(hidden)} gives no state, and its actions were not recorded (record_actions)"
    reason = journal.obstacle()
    return None if reason is None else f"the actions of {_name(hidden)} cannot be replayed: {reason}"


def _load_games(base: Any, states: list[State]) -> str | None:
    """:return: why episodes cannot continue; None if they do"""
    if not isinstance(base, DummyVecEnv):
        return None
    if len(states) != base.num_envs:
        raise ValueError(f"The state of {len(states)} environments does not fit {base.num_envs}.")
    for env, state in zip(base.envs, states, strict=True):
        names = [_name(layer) for layer in layers(env)]
        if names != state["names"]:
            raise ValueError(f"The state of {' around '.join(state['names'])} does not fit {' around '.join(names)}.")
    for env, state in zip(base.envs, states, strict=True):
        if obstacle := _load_game(env, state):
            return obstacle
    return None


def _load_game(env: gym.Env, state: State) -> str | None:
    if state["journal"] is not None:
        journal = _journal(env)
        if journal is None:
            return f"the actions of {_name(env.unwrapped)} are not recorded here (record_actions)"
        try:
            journal.load_state_dict(state["journal"])
        except Diverged as error:
            return f"the same actions do not give the same results in {_name(env.unwrapped)} ({error})"
        load_generator_state(env.unwrapped.np_random, state["np_random"])
    for layer, each in zip(layers(env), state["layers"], strict=True):
        if each is not None:
            _load_layer(layer, each)
    return None


def _new_episodes(env: VecEnv, state: State) -> VecEnvObs:
    """Monitors keep their clock and their past episodes; everything else begins anew."""
    observations = env.reset()
    for each, saved in zip(getattr(env.unwrapped, "envs", ()), state.get("envs", ()), strict=False):
        for layer, attributes_then in zip(layers(each), saved["layers"], strict=True):
            if isinstance(layer, Monitor) and attributes_then is not None:
                load_attributes(layer, {**attributes_then, "rewards": {"kind": "list", "items": []}})
                layer.needs_reset = False
    return observations
