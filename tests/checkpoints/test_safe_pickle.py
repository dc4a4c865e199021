"""Pickles: plain values come back as they were, and nothing in them is executed."""

import collections
import io
import json
import pickle
import struct
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn import UnsafeFile, allow
from sb3_atari_dqn.checkpoints import allowed_names, safe_objects, tensors
from sb3_atari_dqn.checkpoints.file_limits import ValueCount
from sb3_atari_dqn.checkpoints.safe_pickle import loads, names_in
from sb3_atari_dqn.policies import CnnPolicy
from sb3_atari_dqn.schedules import DelayedEpsilon, LinearEpsilon
from tests.support.exploits import PICKLES


def seeded(space: spaces.Space) -> spaces.Space:
    space.seed(3)
    return space


PLAIN = [
    {"a": [1, 2.5, None, True, 10**30, "text", b"bytes"], 3: (4, (5,)), "set": {6}},
    float("inf"),
    collections.deque([{"r": 1.0}], maxlen=100),
    collections.OrderedDict(a=1),
    np.arange(24).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1),
    np.zeros((0, 3), np.float32),
    np.array(True),
    np.float32(1.5),
    np.int64(-3),
    np.dtype("f4"),
    torch.device("cpu"),
    CnnPolicy,
    torch.nn.ELU,
    torch.optim.RMSprop,
    seeded(spaces.Box(0, 255, (4, 84, 84), np.uint8)),
    seeded(spaces.Discrete(6, start=1)),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(4),
    spaces.Dict({"image": spaces.Box(0, 1, (3,)), "both": spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3)))}),
    TrainFreq(4, TrainFrequencyUnit.STEP),
    LinearEpsilon(1.0, 0.1, 0.5),
    DelayedEpsilon(LinearEpsilon(1.0, 0.1, 0.5), 10),
]


def known(value: Any) -> Any:
    """:return: what two equal values have in common"""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tolist()
    if isinstance(value, spaces.Space):
        return value, value.__class__, value._np_random and value._np_random.bit_generator.state
    return type(value), value


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("protocol", [4, 5])
def test_what_models_hold_comes_back_as_it_was(value, protocol):
    assert known(loads(pickle.dumps(value, protocol), "file")) == known(value)


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: str(value)[:40])
def test_what_models_hold_comes_back_from_our_own_format(value):
    if isinstance(value, dict) and "set" in value:
        value = {**value, "a": [each for each in value["a"] if each != b"bytes"]}
    assert known(safe_objects.loads(safe_objects.dumps(value), "file")) == known(value)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937])
def test_a_generator_goes_on_where_it_was(kind):
    generator = np.random.Generator(kind(5))
    generator.random(7)
    restored = loads(pickle.dumps(generator), "file")
    also = safe_objects.loads(safe_objects.dumps(generator), "file")
    legacy = np.random.RandomState(5)
    legacy.normal()
    expected = generator.random(5)
    assert (restored.random(5) == expected).all()
    assert (also.random(5) == expected).all()
    assert (loads(pickle.dumps(legacy), "file").normal(size=3) == legacy.normal(size=3)).all()
    assert restored.spawn(1)[0].random() == generator.spawn(1)[0].random()


def test_schedules_and_noise_give_what_they_gave():
    for schedule in (ConstantSchedule(0.1), FloatSchedule(0.3), LinearSchedule(1.0, 0.1, 0.5)):
        assert loads(pickle.dumps(schedule), "file")(0.7) == schedule(0.7)
        assert safe_objects.loads(safe_objects.dumps(schedule), "file")(0.7) == schedule(0.7)
    mean, sigma = np.zeros(2), np.ones(2)
    for noise in (NormalActionNoise(mean, sigma), OrnsteinUhlenbeckActionNoise(mean, sigma)):
        assert loads(pickle.dumps(VectorizedActionNoise(noise, 2)), "file")().shape == (2, 2)


def test_normalization_statistics_come_back():
    normalize = VecNormalize(make_vec_env("CartPole-v1", 2), gamma=0.9)
    normalize.reset()
    for _ in range(5):
        normalize.step(np.zeros(2, int))
    for restored in (loads(pickle.dumps(normalize), "file"), safe_objects.loads(safe_objects.dumps(normalize), "file")):
        assert (restored.obs_rms.mean == normalize.obs_rms.mean).all()  # type: ignore[attr-defined]
        assert (restored.ret_rms.var, restored.gamma) == (normalize.ret_rms.var, 0.9)
        assert restored.observation_space == normalize.observation_space


@pytest.mark.parametrize("exploit", PICKLES)
def test_nothing_runs_and_the_refusal_names_it(exploit, tmp_path):
    marker = tmp_path / "marker"
    with pytest.raises(UnsafeFile, match=f"^here is refused: it would run .*{PICKLES[exploit]}.*trust=True"):
        loads(exploit(marker), "here")
    assert not marker.exists()


def test_the_exploits_of_these_tests_do_run_if_they_are_unpickled(tmp_path):
    for number, exploit in enumerate(PICKLES):
        pickle.loads(exploit(tmp_path / str(number)))
        assert (tmp_path / str(number)).exists()


def unpickled(instructions: bytes) -> bytes:
    return b"\x80\x04" + instructions + b"."


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


@pytest.mark.parametrize(
    ("instructions", "says"),
    [
        (named("gymnasium.spaces.box", "Box.__init__.__globals__"), "Box.__init__.__globals__"),
        (named("numpy", "load") + text("x") + b"\x85R", "numpy.load"),
        (named("torch", "load"), "torch.load"),
        (named("functools", "partial"), "functools.partial"),
        (named("builtins", "getattr"), "builtins.getattr"),
        (named("torch.storage", "_load_from_bytes"), "torch.storage._load_from_bytes"),
        (named("numpy", "dtype.__setstate__"), "numpy.dtype.__setstate__"),
        (b"\x82\x01", "instruction EXT1"),
        (b"Pname\n", "instruction PERSID"),
        (text("x") + b"Q", "instruction BINPERSID"),
        (b"(c__main__\nx\no", "__main__.x"),
    ],
)
def test_other_ways_to_a_name_are_refused(instructions, says):
    with pytest.raises(UnsafeFile, match=says):
        loads(unpickled(instructions), "here")


BOX = named("gymnasium.spaces.box", "Box")
DTYPE = named("numpy", "dtype")


@pytest.mark.parametrize(
    "instructions",
    [
        BOX + b")R",  # a class of the list is not called
        BOX + b"(K\x01t\x81",  # nor made of arguments
        named("torch.nn.modules.activation", "ReLU") + b")\x81",  # nor made, if it may only be named
        named("builtins", "str") + text("x") + b"\x85R",
        BOX + b"}" + text("low") + text("x") + b"sb",  # a class itself gets no attributes
        BOX + text("x") + text("y") + b"s",  # nor items
        BOX + b"](K\x01ee",  # nor values
        BOX + b")\x81" + text("attributes") + b"b",
        DTYPE + text("V8") + b"\x85R",
        DTYPE + b"(" + text("f4") + b"l\x85R",
        named("numpy._core.multiarray", "_reconstruct") + DTYPE + b"K\x00\x85" + text("b") + b"\x87R",
        named("collections", "deque") + BOX + b"\x85R",
        named("numpy.random._pickle", "__bit_generator_ctor") + text("Philox") + b"\x85R",
    ],
)
def test_the_names_of_the_list_do_only_what_they_are_for(instructions):
    with pytest.raises(ValueError, match="damaged or not plain"):
        loads(unpickled(instructions), "here")


def test_an_array_of_objects_cannot_be_forged_out_of_bytes():
    """NumPy takes the flags of a dtype from a pickle: without them, bytes would be taken for addresses."""
    forged = (*np.dtype("O").__reduce__()[2][:-1], 0)
    array = (np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"))  # type: ignore[attr-defined]

    class Forged:
        def __reduce__(self) -> Any:
            return (*array, (1, (1,), Dtype(), False, struct.pack("<Q", 4096)))

    class Dtype:
        def __reduce__(self) -> Any:
            return np.dtype, ("O8", False, True), forged

    with pytest.raises(ValueError, match="damaged or not plain"):
        loads(pickle.dumps(Forged()), "here")


def test_a_generator_cannot_read_beyond_its_words():
    state = np.random.MT19937(0).state
    state["state"]["pos"] = 10**6
    ctor = np.random._pickle.__dict__["__bit_generator_ctor"]  # type: ignore[attr-defined]

    class Beyond:
        def __reduce__(self) -> Any:
            return ctor, (np.random.MT19937,), state

    with pytest.raises(ValueError, match="MT19937 is damaged"):
        loads(pickle.dumps(Beyond()), "here")


def laughs() -> list[Any]:
    value: list[Any] = ["ha"] * 10
    for _ in range(12):
        value = [value] * 10
    return value


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def objects(value: Any) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = value
    return array


@pytest.mark.parametrize(
    "value",
    [laughs(), endless(), objects(laughs())],
    ids=["billion laughs", "contains itself", "billion laughs in an array"],
)
def test_a_short_file_cannot_stand_for_endless_values(value):
    with pytest.raises(UnsafeFile, match="stands for more than"):
        loads(pickle.dumps(value), "here")


@pytest.mark.parametrize("code", [b"\x96", b"\x8e", b"\x8d", b"\x95"])
def test_no_memory_is_reserved_for_what_a_file_does_not_hold(code):
    with pytest.raises(ValueError, match="damaged"):
        loads(b"\x80\x05" + code + struct.pack("<Q", 1 << 50) + b"abc", "here")


@pytest.mark.parametrize("end", range(0, 200, 7))
def test_a_pickle_that_was_cut_off_is_damaged(end):
    whole = pickle.dumps([np.arange(5), spaces.Discrete(3), np.random.default_rng(0)])
    with pytest.raises(ValueError, match="damaged"):
        loads(whole[:end], "here")


class Own(gym.Env[Any, Any]):
    """A user's class, with a way of its own to restore it."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state, restored=True)


def test_a_class_of_the_users_own_is_refused_until_it_is_allowed():
    own = Own()
    own.size = 3  # type: ignore[attr-defined]
    pickled, text_of_it = pickle.dumps(own), f"{__name__}.Own"
    with pytest.raises(UnsafeFile, match=rf"{text_of_it}.*sb3_atari_dqn\.allow"):
        loads(pickled, "here")
    with pytest.raises(TypeError, match="Own"):
        safe_objects.dumps(own)
    allow(Own)
    for restored in (loads(pickled, "here"), safe_objects.loads(safe_objects.dumps(own), "here")):
        assert (type(restored), restored.size, restored.restored) == (Own, 3, True)
    with pytest.raises(TypeError, match="classes and functions, got 3"):
        allow(3)


def crafted(values: Any) -> bytes:
    """:return: a file in our format that holds these values as JSON"""
    return b"".join(tensors.pieces({}, {"sb3_atari_dqn": json.dumps(values), "format": "1"}))


@pytest.mark.parametrize(
    "values",
    [
        {"$name": "posix.system"},
        {"$object": "posix.system", "state": {}},
        {"$object": "torch.nn.modules.activation.ReLU", "state": {}},
        {"$enum": "gymnasium.spaces.box.Box", "value": 1},
        {"$fields": "gymnasium.spaces.box.Box", "values": []},
    ],
)
def test_our_own_format_does_no_more_than_a_pickle_may(values):
    with pytest.raises(UnsafeFile, match="here is refused: it would run"):
        safe_objects.loads(crafted({"a": [values]}), "here")


def test_our_own_format_is_damaged_if_it_is_cut_off():
    content = safe_objects.dumps({"policy_class": CnnPolicy})
    for damaged in (b"", content[:20], content[:-1], crafted({"$dtype": "V8"}), crafted({"$array": "0"})):
        with pytest.raises(ValueError, match="damaged"):
            safe_objects.loads(damaged, "here")


def test_every_name_of_the_list_is_a_class():
    missing = []
    for name in sorted(allowed_names._LISTED):
        try:
            assert isinstance(allowed_names.lookup(name), type), name
        except ImportError:
            missing.append(name)
    assert missing == []


def test_a_pickle_that_is_refused_is_listed_without_running_it():
    several = b"(cos\nsystem\ncbuiltins\neval\ncos\nsystem\nl."
    assert names_in(io.BytesIO(several)) == ["os.system", "builtins.eval"]


def shared(n: int) -> bytes:
    """:return: instructions that put a tuple of two tuples of two tuples ... onto the stack; `repr` and `hash` hang"""
    return b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(n)) + b"h%c" % n


SHARED = shared(60)


@pytest.mark.parametrize(
    "instructions",
    [
        DTYPE + SHARED + b"\x85R",
        DTYPE + SHARED + b"R",
        BOX + SHARED + b"\x81",
        BOX + b")\x81" + SHARED + b"b",
        BOX + b")\x81](" + SHARED + b"K\x01\x86eb",
        SHARED + b")R",
        SHARED + b"K\x01\x81",
        named("stable_baselines3.common.type_aliases", "TrainFrequencyUnit") + SHARED + b"\x85R",
        DTYPE + text("f4") + b"\x85R(K\x03" + SHARED + b"NNNK\x00K\x00K\x00tb",
        b"}" + SHARED + b"Ns",
        b"}(" + SHARED + b"Nu",
        b"(" + SHARED + b"Nd",
        b"\x8f(" + SHARED + b"\x90",
        b"(" + SHARED + b"\x91",
        named("builtins", "set") + b"](" + SHARED + b"e\x85R",
        named("collections", "OrderedDict") + b"](" + SHARED + b"K\x01\x86e\x85R",
        named("torch", "device") + SHARED + b"\x85R",
    ],
)
def test_shared_values_are_neither_printed_nor_hashed(instructions):
    with pytest.raises(ValueError, match="here") as refused:
        loads(unpickled(instructions), "here")
    assert len(str(refused.value)) < 400


def long_integer(bits: int) -> bytes:
    encoded = pickle.encode_long((1 << bits) - 1)
    return b"\x8b" + len(encoded).to_bytes(4, "little") + encoded


@pytest.mark.parametrize(
    "instructions",
    [
        long_integer(8 * 300),
        named("numpy._core.numeric", "_frombuffer") + b"(C\x00" + DTYPE + text("f4") + b"\x85R"
        b"(\x8a\x09" + b"\xff" * 8 + b"\x00t" + text("C") + b"tR",
        named("numpy._core.numeric", "_frombuffer") + b"(C\x00" + DTYPE + text("f4") + b"\x85R"
        b"(" + b"K\x00" * 33 + b"t" + text("C") + b"tR",
        named("collections", "deque") + b"(]\x8a\x09" + b"\xff" * 8 + b"\x00tR",
    ],
    ids=["an integer", "a dimension", "dimensions", "a length"],
)
def test_numbers_of_something_are_bounded(instructions):
    with pytest.raises(ValueError, match="damaged or not plain"):
        loads(unpickled(instructions), "here")


@pytest.mark.parametrize("code", [b"\x8f", b"(", b"}", b"N\x940", b")\x85"])
def test_values_are_counted_while_they_are_read(code):
    count = ValueCount("here")
    count.add(3_999_000)  # in earlier parts of the file
    with pytest.raises(UnsafeFile, match="here is refused: it stands for more than"):
        loads(unpickled(b"(" + code * 1100), "here", count=count)


def test_what_an_object_copies_is_counted():
    copies = b"](" + b"N" * 1000 + b"eq\x000(" + (named("collections", "deque") + b"h\x00\x85R") * 5000 + b"l"
    with pytest.raises(UnsafeFile, match="stands for more than"):
        loads(unpickled(copies), "here")
