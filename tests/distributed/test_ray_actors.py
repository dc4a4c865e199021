"""Actors on a real Ray: lock-step equality, lost processes, and what is wrong with a cluster."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn import RainbowDQN
from sb3_atari_dqn.distributed.cluster import Cluster, check_address
from sb3_atari_dqn.distributed.settings import ActorSettings
from tests.support.actors import (
    GameStreams,
    actor_env,
    assert_games_were_played,
    assert_same,
    learner,
    needs_ray,
    results,
    trained,
)
from tests.support.processes import is_alive, wait_until

pytestmark = pytest.mark.slow
needs_ray()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A private one; its start takes seconds."""
    started = Cluster(ActorSettings())
    yield started
    started.close()


class At(BaseCallback):
    """Does something once, at a step."""

    def __init__(self, step: int, action: Any) -> None:
        super().__init__()
        self._step, self._action = step, action

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._step and self._action is not None:
            action, self._action = self._action, None
            action()
        return True


def pid_of(env: Any, number: int) -> int:
    return env._rounds.actors.processes()[number]["pid"]


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"actors": 1}, {}),
        ({"actors": 2, "compress": True}, {"algorithm": RainbowDQN, "options": {"overlap": True}}),
    ],
)
def test_a_run_on_ray_equals_the_run_in_one_process(cluster, settings, options):
    """Two actors without compression: the next test."""
    assert_same(trained(address="local", spares=0, **options, **settings), trained(**options))


def test_a_killed_actor_is_replaced_and_the_run_is_the_same(cluster, capsys):
    """Three times, with games in progress; nothing is stored twice, and nothing is missing."""
    env = actor_env(address="local", actors=2)
    model = learner(env)

    def kill(number: int) -> None:
        os.kill(pid_of(env, number), signal.SIGKILL)

    kills = [At(step, lambda number=number: kill(number)) for step, number in ((40, 0), (100, 1), (180, 0))]
    model.learn(240, callback=kills)
    ours = results(model)
    assert env.statistics()["actors_replaced"] == 3
    env.close()
    assert_same(ours, trained())
    printed = capsys.readouterr().out
    assert "Actor 1 was lost (its process ended): another process plays its games again" in printed
    assert printed.count("is back after") == 3


@pytest.mark.parametrize("mode", ["lock-step", "free-running"])
def test_an_actor_that_hangs_is_replaced_though_that_takes_longer_than_the_timeout(cluster, mode):
    env = actor_env(address="local", timeout_s=3.0, spares=0, mode=mode)
    model = learner(env)
    model.learn(120, callback=At(60, lambda: os.kill(pid_of(env, 0), signal.SIGSTOP)))
    model.learn(120, reset_num_timesteps=False)
    assert env.statistics()["actors_replaced"] >= 1  # on a busy machine, a block may take a second too
    ours = results(model)
    env.close()
    if mode == "free-running":
        return
    other = actor_env()
    twin = learner(other)
    twin.learn(120)
    assert_same(ours, results(twin.learn(120, reset_num_timesteps=False)))
    other.close()


def test_free_running_others_go_on_while_an_actor_is_replaced(cluster):
    """Nothing that a game did is lost or comes twice."""
    env, seen = actor_env(address="local", actors=2, mode="free-running", max_staleness=40), GameStreams()
    model = learner(env)
    kill = At(200, lambda: os.kill(pid_of(env, 0), signal.SIGKILL))
    model.learn(400, callback=[seen, kill])
    lost, other = (sum(len(seen.streams[game]) for game in games) for games in ((0, 2), (1, 3)))
    assert lost < other
    while not env.statistics()["actors_replaced"]:
        model.learn(200, callback=seen, reset_num_timesteps=False)
    model.learn(200, callback=seen, reset_num_timesteps=False)
    env.close()
    assert_games_were_played(seen.streams)
    assert sum(len(block) for block in seen.blocks.values()) == model.num_timesteps


def test_an_error_in_an_actor_is_told_and_not_repeated(cluster):
    env = actor_env(address="local", spares=0)
    model = learner(env)
    try:
        with pytest.raises((ValueError, RuntimeError), match=r"Actor 0 failed: .*(nan|NaN|finite)"):
            model.learn(400, callback=At(100, lambda: spoil(model)))
        assert env.statistics()["actors_replaced"] == 0
    finally:
        env.close()


def spoil(model: Any) -> None:
    for parameter in model.policy.q_net.parameters():
        parameter.data.fill_(float("nan"))
    model._learner.refresh()
    model.pending_updates, model.replay_ratio = 0.0, 1e-9  # the learner must not notice first
    model._n_updates += 1  # these are new weights


def test_too_few_cpus_are_named(cluster):
    n = len(os.sched_getaffinity(0))
    with pytest.raises(ValueError, match=rf"{n + 1} actors take {n + 1} CPUs, and {n} of the cluster's {n} are free"):
        actor_env(address="local", actors=n + 1, groups=n + 1, n_envs=n + 1)


def test_signals_stay_those_of_the_program(cluster):
    """Ray takes SIGTERM over when it starts; a training writes a checkpoint then."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_closing_frees_the_cpus(cluster):
    n = len(os.sched_getaffinity(0))
    env = actor_env(address="local", actors=n, groups=n, n_envs=n, spares=0)
    env.act_for(learner(env))
    wait_until(lambda: cluster.ray.available_resources().get("CPU", 0) < n, 90)  # Ray reports them a moment later
    env.close()
    wait_until(lambda: cluster.ray.available_resources().get("CPU") == n, 90)


def test_nothing_listens_beyond_this_machine(cluster):
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    listening = [
        each.laddr.ip for each in psutil.net_connections("tcp") if each.pid in own and each.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 3
    assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}


def test_strangers_on_this_machine_are_refused(cluster):
    """A process without the token cannot use the private Ray."""
    address = cluster.ray.get_runtime_context().gcs_address
    script = f"import ray; ray.init({address!r}, logging_level='ERROR'); print('inside', ray.nodes())"
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # otherwise it would look for the head beyond the loopback
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as stranger:
        assert stranger.stdout is not None
        limit = threading.Timer(90, stranger.kill)  # without an answer it would wait for ever
        limit.start()
        printed = ""
        while "InvalidAuthToken" not in printed and (line := stranger.stdout.readline()):
            printed += line
        limit.cancel()
        stranger.kill()  # Ray would try again and again
        printed += stranger.communicate()[0]
    assert "InvalidAuthToken" in printed
    assert "inside" not in printed
    assert stranger.returncode != 0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no cluster at 127.0.0.1:1"),
        ("nowhere", "'nowhere' is not HOST:PORT"),
        ("head:99999", "is not HOST:PORT"),
        ("ray://user:secret@head:10001", "credentials in addresses are not supported"),
    ],
)
def test_addresses_without_a_cluster_are_named(address, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_address(address)
    assert "secret" not in str(caught.value)


_INTERRUPTED = """
import sys
from tests.support.actors import GameStreams, actor_env, assert_games_were_played, learner
if __name__ == "__main__":
    env = actor_env(address="local")  # an actor and a spare process
    model = learner(env)
    model.learn(64)
    print("training", flush=True)
    try:
        model.learn(10**6)
    finally:
        env.close()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_learner_leaves_no_process_behind(how, tmp_path):
    """Ctrl-C goes to the whole foreground group, as a terminal sends it."""
    script = tmp_path / "interrupted.py"
    script.write_text(_INTERRUPTED)
    root = str(Path(__file__).resolve().parents[2])
    # two helpers of Ray notice that its head is gone, and try for a minute by default to reach it again
    env = {**os.environ, "PYTHONPATH": root, "RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=env, start_new_session=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "training\n"
        processes = psutil.Process(program.pid).children(recursive=True)
        assert len(processes) > 3
        if how is signal.SIGINT:
            os.killpg(program.pid, how)
        else:
            program.kill()
        program.wait(60)
        wait_until(lambda: not any(is_alive(each) for each in processes), 90)


def test_two_nodes_of_which_one_is_lost():
    """Two machines are two nodes in a private network, where nothing else can reach them."""
    private = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system gives no private network (unshare --net)")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [*private, sys.executable, "-m", "tests.support.two_nodes"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=root,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.splitlines()
    assert "processes 2" in printed
    assert "replaced 1" in printed
    assert printed[-1] == "equal"
