"""The CUDA path on a GPU. Without one these tests are skipped; `bash benchmarks/gpu.sh` runs them.

Float32 here is float32: TensorFloat-32 is off, and cuDNN takes algorithms whose sums always have the same order. What a
test measures goes into its properties, and from there into `benchmarks/results/gpu_correctness.json`.
"""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import PQN, DuelingDQN
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.finite import NonFiniteValues
from sb3_atari_dqn.learners.cuda_graph import WARM_UP_UPDATES
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.precision import choose_precision
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.learners.update import LearningRule
from sb3_atari_dqn.policies import CnnPolicy, QPolicy
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer, PrioritizedSamples
from sb3_atari_dqn.transfers import sent
from tests.support import layers
from tests.support.batches import DUELING, RULE, batch, images, make_policy, rule_of
from tests.support.environments import Catch
from tests.support.streams import Stream

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
PIXELS = images(4, 84, 84)
# Nothing that turns rounding into something large: ReLU's kink, and Adam's division by a gradient's own size.
SMOOTH: dict[str, Any] = {
    "optimizer_kwargs": {"eps": 1.5e-4},
    "features_extractor_kwargs": {"activation": "silu"},
}
N_UPDATES = 9
#: What two orders of summation may differ by, as a share of the way that the parameters went.
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}


@pytest.fixture(autouse=True)
def exact():
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def policy_on_gpu(**kwargs: Any) -> QPolicy:
    return make_policy(CnnPolicy, PIXELS, **{**SMOOTH, **DUELING, **kwargs}).to(CUDA)


def batch_on_gpu(seed: int, batch_size: int = 32) -> PrioritizedSamples:
    made = batch(PIXELS, seed, n_steps=3, weighted=True, batch_size=batch_size)
    there: list[Any] = [each.to(CUDA) if isinstance(each, torch.Tensor) else each for each in made]
    return PrioritizedSamples(*there)


def vector(policy: QPolicy) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(policy.q_net.parameters()).detach().cpu()


def trained(
    captures: bool,
    precision: str = "fp32",
    rates: tuple[float, ...] = (1e-3,),
    rules: tuple[LearningRule, ...] = (RULE,),
    **kwargs: Any,
) -> tuple[torch.Tensor, FastLearner]:
    policy = policy_on_gpu(**kwargs)
    learner = FastLearner(policy, precision, 32)
    learner.captures = learner.skips_on_device = captures
    for number in range(N_UPDATES):
        for group in policy.optimizer.param_groups:
            group["lr"] = rates[number * len(rates) // N_UPDATES]
        learner.update(batch_on_gpu(number), rules[number * len(rules) // N_UPDATES])
    return vector(policy), learner


def assert_close(
    ours: torch.Tensor, theirs: torch.Tensor, tolerance: float, record_property: Any, **kwargs: Any
) -> None:
    """Apart by less than this share of the way from the start."""
    start = vector(policy_on_gpu(**kwargs))
    share = ((ours - theirs).norm() / (theirs - start).norm()).item()
    record_property("share_of_the_way", f"{share:.2e}")
    record_property("same_bits", str(torch.equal(ours, theirs)))
    assert (theirs - start).norm() > 0
    assert share < tolerance


# --- updates


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_a_captured_update_is_the_eager_one(record_property, head, precision):
    captured, eager = (trained(captures, precision, head=head)[0] for captures in (True, False))
    assert_close(captured, eager, TOLERANCE[precision], record_property, head=head)


def test_a_captured_update_follows_the_learning_rate(record_property):
    rates = (1e-3, 1e-4, 0.0)
    captured, eager = (trained(captures, rates=rates)[0] for captures in (True, False))
    assert_close(captured, eager, TOLERANCE["fp32"], record_property)
    until_zero, _ = trained(True, rates=(1e-3, 1e-4, 1e-4))
    assert not torch.equal(until_zero, captured), "the last rate counts too"


def test_another_objective_is_captured_anew(record_property):
    rules = (RULE, rule_of(error="mse", gamma=0.5, max_grad_norm=1))
    captured, eager = (trained(captures, rules=rules)[0] for captures in (True, False))
    assert_close(captured, eager, TOLERANCE["fp32"], record_property)


@pytest.mark.parametrize("optimizer_class", [torch.optim.RAdam, torch.optim.NAdam, torch.optim.RMSprop])
def test_optimizers_without_a_fused_kernel_are_captured_too(record_property, optimizer_class):
    captured, learner = trained(True, optimizer_class=optimizer_class)
    assert FastLearner(learner.policy, "fp32", 32).captures
    eager, _ = trained(False, optimizer_class=optimizer_class)
    assert_close(captured, eager, TOLERANCE["fp32"], record_property, optimizer_class=optimizer_class)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("torso", [layers.SpectralTorso, layers.BatchNormTorso, layers.RunningScaleTorso])
def test_a_captured_update_moves_buffers_as_an_eager_one_does(record_property, torso, precision):
    captured, eager = (trained(on, precision, features_extractor_class=torso) for on in (True, False))
    assert_close(captured[0], eager[0], TOLERANCE[precision], record_property, features_extractor_class=torso)
    pairs = zip(*(learner.policy.q_net.buffers() for _, learner in (captured, eager)), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE[precision], atol=TOLERANCE[precision])


def test_every_replay_draws_new_noise():
    """At a learning rate of 0 only the noise tells two updates of one batch apart."""
    learner = FastLearner(
        policy_on_gpu(features_extractor_class=layers.GlobalNoiseTorso, learning_rate=0.0), "fp32", 32
    )
    same = batch_on_gpu(0)
    losses = [learner.update(same, RULE).statistics[0].item() for _ in range(WARM_UP_UPDATES + 5)]
    assert len(set(losses)) == len(losses)


def test_the_gpu_learns_what_the_reference_learner_learns_on_the_cpu(record_property):
    policy = make_policy(CnnPolicy, PIXELS, **DUELING, **SMOOTH)
    plain = ReferenceLearner(policy)
    for number in range(N_UPDATES):
        plain.update(batch(PIXELS, number, n_steps=3, weighted=True, batch_size=32), RULE)
    assert_close(trained(True)[0], vector(policy), 1e-3, record_property)


@pytest.mark.parametrize("batch_size", [32, 512])
def test_the_precision_is_chosen_by_what_captured_runs_take(record_property, batch_size):
    policy = policy_on_gpu()
    before = vector(policy)
    chosen, reason = choose_precision(policy.q_net, (batch_size, *PIXELS.shape), CUDA)
    record_property("reason", f"{chosen}: {reason}")
    assert chosen in ("fp32", "bf16")
    assert reason.count(" ms") == 2
    assert torch.equal(vector(policy), before)


# --- acting


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_captured_acting_is_eager_acting_also_after_updates(record_property, precision):
    learner = FastLearner(policy_on_gpu(), precision, 32)
    assert learner.captures_acting
    rng, different, asked, seen = np.random.default_rng(0), 0, 0, set()
    for number in range(12):
        for n_envs in (64, 3):
            observations = rng.integers(256, size=(n_envs, *PIXELS.shape), dtype=np.uint8)
            learner.captures_acting = True
            captured = learner.greedy_actions(observations)
            learner.captures_acting = False
            different += int((captured != learner.greedy_actions(observations)).sum())
            asked += n_envs
            seen |= set(captured.tolist())
        for group in learner.policy.optimizer.param_groups:
            group["lr"] = 0.01
        learner.update(batch_on_gpu(number), RULE)
    record_property("different_actions", f"{different} of {asked}")
    assert len(seen) > 1
    assert different <= asked // 200  # two values that are equal but for rounding


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("is_captured", [False, True])
def test_acting_tells_of_action_values_that_are_not_finite(is_captured, number):
    learner = FastLearner(policy_on_gpu(), "fp32", 32)
    learner.captures_acting = is_captured
    observations = np.zeros((3, *PIXELS.shape), np.uint8)
    learner.greedy_actions(observations)
    with torch.no_grad():
        list(learner.policy.q_net.parameters())[-1].fill_(number)
    learner.refresh()
    with pytest.raises(NonFiniteValues, match="NaN or infinity for observation 0"):
        learner.greedy_actions(observations)


# --- frames and copies


@pytest.mark.parametrize("n_steps", [1, 3])
def test_frames_on_the_device_are_the_frames_in_memory(n_steps):
    def filled(frame_storage: str) -> FrameReplayBuffer:
        stream = Stream(n_stack=4, channels=1, n_envs=2, seed=3, end=0.2, break_off=0.1)
        buffer = FrameReplayBuffer(
            80,
            stream.observation_space,
            spaces.Discrete(5),
            CUDA,
            2,
            n_stack=4,
            n_steps=n_steps,
            frame_storage=frame_storage,
        )
        for step in stream.steps(120):
            buffer.add(*step)
        return buffer

    memory, device = filled("ram"), filled("device")
    slots, envs = np.random.default_rng(0).integers(40, size=256), np.random.default_rng(1).integers(2, size=256)
    theirs, ours = memory.samples_at(slots, envs), device.samples_at(slots, envs)
    with device.gathering_later():
        rows = device.samples_at(slots, envs)
    for name in ("observations", "next_observations"):
        place = getattr(rows, name).with_memory()
        place.copy_(getattr(rows, name))
        assert torch.equal(place.gather(), getattr(theirs, name))
    assert all(
        torch.equal(getattr(ours, name), getattr(theirs, name)) for name in ("observations", "next_observations")
    )
    assert ours.observations.device.type == "cuda"


def test_what_is_sent_arrives_whole_and_waits_for_nothing():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(256, size=(8, 7056), dtype=np.uint8) for _ in range(20)]
    [sent(array, CUDA) for array in arrays]  # pinned memory is there now
    torch.cuda.synchronize()
    torch.cuda._sleep(1_000_000_000)  # about half a second of the GPU
    slept = torch.cuda.Event()
    slept.record()
    there = [sent(array, CUDA) for array in arrays]
    waited = slept.query()
    expected = [array.copy() for array in arrays]
    for array in arrays:
        array[:] = 0  # may be written to
    torch.cuda.synchronize()
    assert all(np.array_equal(tensor.cpu().numpy(), array) for tensor, array in zip(there, expected, strict=True))
    assert not waited, "the GPU was still busy when all had been sent"


def test_a_step_waits_for_the_gpu_only_for_its_actions():
    """torch raises at whatever makes the host wait."""
    model = catch_model()
    model.learn(200)
    learner: Any = model._get_learner()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            model._gradient_step(8)
        model._update_target_network()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert learner.captures


# --- prioritized replay


def test_td_errors_arrive_one_update_late_or_with_the_next_transition():
    stream = Stream(n_stack=2, n_envs=1, seed=3)
    buffer = PrioritizedFrameReplayBuffer(
        6, stream.observation_space, stream.action_space, CUDA, 1, n_stack=2, alpha=1.0, frame_storage="device"
    )
    steps = list(stream.steps(4))
    for step in steps[:3]:
        buffer.add(*step)

    def leaves() -> list[float]:
        return buffer.sampler.tree[np.arange(3)].tolist()

    buffer.update_priorities(np.array([0]), torch.tensor([2.0], device=CUDA))
    assert leaves() == [1, 1, 1]
    buffer.update_priorities(np.array([1]), torch.tensor([3.0], device=CUDA))
    assert leaves() == pytest.approx([2, 1, 1], abs=1e-5)
    buffer.add(*steps[3])
    assert leaves() == pytest.approx([2, 3, 1], abs=1e-5)


# --- whole trainings


def catch_model(**kwargs: Any) -> DuelingDQN:
    settings: dict[str, Any] = {
        "replay": "prioritized",
        "replay_buffer_kwargs": {"frame_storage": "device"},
        "n_steps": 3,
        "buffer_size": 400,
        "batch_size": 8,
        "learning_starts": 20,
        "target_update_interval": 40,
        "replay_ratio": 0.25,
        "overlap": True,
        "learner": "fast",
        "precision": "fp32",
        "policy_kwargs": {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}},
        "seed": 3,
        "device": "cuda",
    }
    env = VecFrameStack(make_vec_env(Catch, n_envs=4, seed=1), 2)
    return DuelingDQN("CnnPolicy", env, **{**settings, **kwargs})


OFF_POLICY = [name for name in ALGORITHMS if name != "dqn_pqn"]


def _of_the_family(name: str, captures: bool) -> Any:
    """A model past the start of learning, its learner told to capture or not."""
    env = VecFrameStack(make_vec_env(Catch, n_envs=4, seed=1), 2)
    torso = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}
    model = ALGORITHMS[name].import_class()(
        *("CnnPolicy", env),
        **{"buffer_size": 400, "batch_size": 32, "learning_starts": 100, "n_steps": 3, "policy_kwargs": torso},
        **{"learner": "fast", "precision": "fp32", "seed": 3, "device": "cuda"},
    )
    model.learn(100)
    learner: Any = model._get_learner()
    learner.captures = learner.skips_on_device = captures
    return model


@pytest.mark.parametrize("name", OFF_POLICY)
def test_every_algorithm_is_captured_as_it_is(record_property, name):
    ways = []
    for captures in (True, False):
        model = _of_the_family(name, captures)
        start = vector(model.policy)
        model.train(N_UPDATES, 32)
        ways.append(vector(model.policy) - start)
    captured, eager = ways
    share = ((captured - eager).norm() / eager.norm()).item()
    record_property("share_of_the_way", f"{share:.2e}")
    assert share < 1e-2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("overlap", [True, False])
def test_pqn_learns_in_captured_updates(record_property, overlap, precision):
    def trained_pqn(captures: bool) -> Any:
        env = VecFrameStack(make_vec_env(Catch, n_envs=4, seed=1), 2)
        torso = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}
        settings: dict[str, Any] = {"n_steps": 8, "batch_size": 16, "policy_kwargs": torso, "seed": 3, "device": "cuda"}
        model = PQN("CnnPolicy", env, overlap=overlap, learner="fast", precision=precision, **settings)
        learner: Any = model._get_learner()
        learner.captures = learner.skips_on_device = captures
        return model.learn(32)

    captured, eager = (trained_pqn(captures) for captures in (True, False))
    record_property("largest_difference", f"{(vector(captured.policy) - vector(eager.policy)).abs().max().item():.2e}")
    torch.testing.assert_close(vector(captured.policy), vector(eager.policy), rtol=0, atol=1e-3)
    captured.learn(320)
    assert captured._get_learner()._graphed._replayed._replay is not None
    assert torch.isfinite(vector(captured.policy)).all()


class Saving(BaseCallback):
    """Saves model and memory every few steps."""

    def __init__(self, folder: Any) -> None:
        super().__init__()
        self._folder = folder

    def _on_step(self) -> bool:
        if self.n_calls % 7 == 0:
            self.model.save(self._folder / "model")
            self.model.save_replay_buffer(self._folder / "memory")  # type: ignore[attr-defined]
        return True


@pytest.mark.parametrize("overlap", [True, False])
def test_saving_changes_no_training(tmp_path, overlap):
    def parameters(callback: BaseCallback | None) -> torch.Tensor:
        return vector(catch_model(overlap=overlap).learn(400, callback).policy)

    alone = parameters(None)
    if not torch.equal(parameters(None), alone):
        pytest.skip("two trainings with one seed differ on this card: nothing to compare with")
    assert torch.equal(parameters(Saving(tmp_path)), alone)


def test_a_saved_training_is_resumed_and_captured_again(tmp_path):
    model = catch_model().learn(200)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "memory")
    resumed = DuelingDQN.load(tmp_path / "model", env=model.get_env(), device="cuda")
    resumed.load_replay_buffer(tmp_path / "memory")
    assert torch.equal(vector(resumed.policy), vector(model.policy))
    before = resumed._n_updates
    resumed.learn(200, reset_num_timesteps=False)
    learner: Any = resumed._get_learner()
    assert resumed._n_updates - before > 4 * WARM_UP_UPDATES
    assert learner._graphed._replayed._replay is not None
    assert not torch.equal(vector(resumed.policy), vector(model.policy))
    assert torch.isfinite(vector(resumed.policy)).all()
    steps = {float(state["step"]) for state in resumed.policy.optimizer.state.values()}
    assert steps == {float(resumed._n_updates)}


@pytest.mark.parametrize("learner", ["fast", "reference"])
def test_a_model_from_the_gpu_learns_on_on_the_cpu(tmp_path, learner):
    model = catch_model().learn(200)
    model.save(tmp_path / "model")
    env = model.get_env()
    there = DuelingDQN.load(tmp_path / "model", env=env, device="cpu", learner=learner)
    assert torch.equal(vector(there.policy), vector(model.policy))
    there.learn(120, reset_num_timesteps=False)
    assert there._n_updates > model._n_updates
    assert torch.isfinite(vector(there.policy)).all()


def test_frames_that_do_not_fit_are_refused_with_what_would():
    with pytest.raises(MemoryError, match=r"on cuda.*transitions would fit"):
        catch_model(buffer_size=2 * 10**8)._make_replay_buffer()
