"""States without pickle: random generators go on where they were; everything goes through JSON and arrays."""

import json
import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_atari_dqn.checkpoints.env_attributes import load_attributes
from sb3_atari_dqn.checkpoints.state import (
    generator_state,
    global_generators,
    joined,
    load_generator_state,
    split,
)
from sb3_atari_dqn.exploration import EpsilonGreedy
from sb3_atari_dqn.schedules import NoEpsilon


def through_json(state):
    """:return: a state as a file would give it back"""
    values, arrays = split(state)
    return joined(json.loads(json.dumps(values)), arrays)


def torch_generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


MAKERS: dict[str, Any] = {
    "numpy": (lambda: np.random.default_rng(3), lambda generator: generator.normal(size=3).tolist()),
    "numpy, another algorithm": (
        lambda: np.random.Generator(np.random.MT19937(3)),
        lambda generator: generator.normal(size=3).tolist(),
    ),
    "numpy legacy": (lambda: np.random.RandomState(3), lambda generator: generator.normal(size=3).tolist()),
    "python": (lambda: random.Random(3), lambda generator: [generator.gauss(0, 1) for _ in range(3)]),
    "torch": (torch_generator, lambda generator: torch.randn(3, generator=generator).tolist()),
    "action space": (
        lambda: spaces.Discrete(9, seed=3).np_random,
        lambda generator: generator.integers(9, size=9).tolist(),
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_generator_goes_on_where_the_other_one_was(kind):
    make, draw = MAKERS[kind]
    original, other = make(), make()
    draw(original)  # an odd number of normal deviates: the next one is kept by some
    state = through_json(generator_state(original))
    expected = [draw(original) for _ in range(3)]
    assert draw(other) != expected[0]
    load_generator_state(other, state)
    assert [draw(other) for _ in range(3)] == expected


def test_the_generators_of_the_process_go_on_where_they_were():
    states = {name: through_json(generator_state(generator)) for name, generator in global_generators().items()}
    drawn = [(random.random(), np.random.random(), torch.rand(1).item()) for _ in range(2)]
    for name, generator in global_generators().items():
        load_generator_state(generator, states[name])
    assert [(random.random(), np.random.random(), torch.rand(1).item()) for _ in range(2)] == drawn
    assert {"python", "numpy", "torch"} <= states.keys()


def test_a_state_of_another_kind_of_generator_is_refused():
    state = generator_state(random.Random(1))
    with pytest.raises(ValueError, match="python generator does not fit a numpy generator"):
        load_generator_state(np.random.default_rng(), state)
    with pytest.raises(TypeError, match="is not a random generator"):
        generator_state("seed")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_no_state_of_a_generator_is_refused_and_the_generator_stays_as_it_was(kind):
    make, draw = MAKERS[kind]
    generator, untouched = make(), make()
    state = generator_state(untouched)
    lacking = [{key: value for key, value in state.items() if key != lost} for lost in state]
    bad: Any
    for bad in (None, {}, *lacking, *({**state, key: "?"} for key in state)):
        with pytest.raises(ValueError, match="generator"):
            load_generator_state(generator, bad)
    assert draw(generator) == draw(untouched)


@pytest.mark.parametrize("bad", [None, {}, {"generator": None}, {"generator": {"kind": "numpy"}}, "with more"])
def test_what_is_no_state_of_an_exploration_is_refused_and_it_stays_as_it_was(bad):
    explorer = EpsilonGreedy(NoEpsilon(), spaces.Discrete(2), seed=1)
    before = explorer.state_dict()
    with pytest.raises(ValueError, match=r"The state has|generator"):
        explorer.load_state_dict({**before, "more": 1} if bad == "with more" else bad)
    assert explorer.state_dict() == before


def test_arrays_and_tensors_come_back_as_they_were_and_names_may_hold_anything():
    state: dict[str, Any] = {
        "a": {"": np.arange(3, dtype=np.uint8), "b/c": torch.ones(2, dtype=torch.bfloat16)},
        "a/b": [1, None, {"c": np.array([0.1])}],
        "number": 2**100,
    }
    back = through_json(state)
    assert back["a"][""].dtype == np.uint8
    assert back["a"][""].tolist() == [0, 1, 2]
    assert torch.equal(back["a"]["b/c"], state["a"]["b/c"])
    assert back["a/b"][:2] == [1, None]
    assert back["a/b"][2]["c"].tolist() == [0.1]
    assert back["number"] == 2**100


@pytest.mark.parametrize("foreign", [object(), {1, 2}, (1, 2), np.float32(1), b"x", print])
def test_anything_that_would_need_a_pickle_is_refused_with_its_place(foreign):
    with pytest.raises(TypeError, match=f"{type(foreign).__name__} at /part/0"):
        split({"part": [foreign]})


def test_keys_are_strings():
    with pytest.raises(TypeError, match="key 3 at /part"):
        split({"part": {3: 1}})


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox])
def test_a_generator_of_numpy_cannot_read_beyond_its_words(kind):
    generator = np.random.Generator(kind(0))
    state = generator_state(generator)
    (state["state"]["state"] if kind is np.random.MT19937 else state["state"])[
        "pos" if kind is np.random.MT19937 else "buffer_pos"
    ] = 10**6
    with pytest.raises(ValueError, match="is damaged"):
        load_generator_state(generator, state)


def test_a_legacy_generator_of_numpy_cannot_read_beyond_its_words():
    generator = np.random.RandomState(0)
    state = generator_state(generator)
    state["state"]["state"]["pos"] = 10**6
    with pytest.raises(ValueError, match="is damaged"):
        load_generator_state(generator, state)


@pytest.mark.parametrize("name", ["test", "seed", "RandomState", "Generator", ["PCG64"]])
def test_an_environment_calls_nothing_that_a_checkpoint_names_as_its_generator(name):
    env = gym.make("CartPole-v1").unwrapped
    state = {"kind": "generator", "state": {"kind": "numpy", "state": {"bit_generator": name}}}
    with pytest.raises(ValueError, match=r"is not one of PCG64, PCG64DXSM, MT19937"):
        load_attributes(env, {"_np_random": state})
