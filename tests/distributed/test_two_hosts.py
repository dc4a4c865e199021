"""Two machines, each with a network of its own: the commands of the documentation, as a user types them."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.actors import needs_ray

pytestmark = pytest.mark.slow
needs_ray()

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
TRAINER = "10.77.0.1"
STORE = ["--object-store-memory", str(100 * 2**20), "--disable-usage-stats"]
TRAIN = [sys.executable, "-m", "sb3_atari_dqn", "train", "--ray", f"{TRAINER}:6379", "--algo", "dqn_rainbow"]
SMALL = [
    "learning_starts:100",
    "buffer_size:1000",
    "n_envs:4",
    "ray.block_steps:8",
    "replay_ratio:0.05",
    "batch_size:8",
]


class Hosts:
    """Network namespaces "trainer" and "player", joined by a cable."""

    def __init__(self, home: Path) -> None:
        self._names = {name: f"{name}{os.getpid()}" for name in ("trainer", "player")}
        keep = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._ray_files = tempfile.mkdtemp(prefix="ray")  # short: sockets lie in it
        self.env = {**keep, "HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_TMPDIR": self._ray_files}
        self.env["RAY_worker_niceness"] = "0"  # on busy machines actors would starve beside the learner
        for name in self._names.values():
            self._ip("netns", "add", name)
        cable = [f"veth{side}{os.getpid()}" for side in "ab"]
        self._ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        for number, (name, end) in enumerate(zip(self._names.values(), cable, strict=True), start=1):
            self._ip("link", "set", end, "netns", name)
            self._ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            for device in (end, "lo"):
                self._ip("-n", name, "link", "set", device, "up")

    def run(self, host: str, *command: str, **env: str) -> subprocess.CompletedProcess:
        """On one of them"""
        inside = ["ip", "netns", "exec", self._names[host], *command]
        done = subprocess.run(
            inside,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**self.env, **env},
            cwd=self.env["HOME"],
        )
        return done

    def start_ray(self, host: str, *arguments: str, **env: str) -> None:
        """``ray start``, with one CPU"""
        done = self.run(host, *RAY, "start", "--num-cpus", "1", *arguments, *STORE, **env)
        assert done.returncode == 0, done.stdout + done.stderr

    def actors(self, host: str) -> list[psutil.Process]:
        """Processes of Ray's actors there"""
        pids = subprocess.run(["ip", "netns", "pids", self._names[host]], capture_output=True, text=True, check=False)
        return [process for pid in pids.stdout.split() if "ActorProcess" in _title(process := psutil.Process(int(pid)))]

    def close(self) -> None:
        """Nothing is left of them."""
        for name in self._names.values():
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
            for pid in pids.split():
                psutil.Process(int(pid)).kill()
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        shutil.rmtree(self._ray_files, ignore_errors=True)

    @staticmethod
    def _ip(*arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"this system gives no network namespaces: ip {' '.join(arguments)}: {done.stderr.strip()}")


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: Any) -> Iterator[Hosts]:
    made = Hosts(tmp_path_factory.mktemp("home"))
    try:
        made.run("trainer", *RAY, "get-auth-token", "--generate")
        made.start_ray("trainer", "--head", "--port", "6379", "--node-ip-address", TRAINER, "--include-dashboard=false")
        made.start_ray("player", "--address", f"{TRAINER}:6379", "--node-ip-address", "10.77.0.2")
        yield made
    finally:
        made.close()


def test_a_training_has_actors_on_both(hosts, tmp_path):
    command = [*TRAIN, "--env", "BreakoutNoFrameskip-v4", "-n", "2000", "-f", str(tmp_path), "--eval-freq", "-1"]
    command += ["-params", "ray.actors:2", *SMALL]
    inside = ["ip", "netns", "exec", hosts._names["trainer"], *command]
    with subprocess.Popen(
        inside, env=hosts.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
    ) as training:
        seen = {"trainer": 0, "player": 0}
        end = time.monotonic() + 200
        while training.poll() is None and time.monotonic() < end:
            for host in seen:
                seen[host] = max(seen[host], len(hosts.actors(host)))
            time.sleep(0.2)
        training.kill()
        printed = training.communicate()[0]
    assert training.returncode == 0, printed
    assert sum(seen.values()) >= 3  # two that play, and a spare one
    assert min(seen.values()) >= 1
    assert list(tmp_path.glob("dqn_rainbow/*/BreakoutNoFrameskip-v4.zip"))
    assert not hosts.actors("player")


@pytest.mark.parametrize("mode", ["token", "disabled"])  # the file was not copied; the export was forgotten
def test_without_the_token_nobody_gets_in_and_is_told_how(hosts, tmp_path, mode):
    command = [*TRAIN, "--env", "BreakoutNoFrameskip-v4", "-n", "200", "-f", str(tmp_path), "-params", *SMALL]
    # a second each: without a token, Ray takes the refusal for a head that is still starting
    retries = {"RAY_NUM_REDIS_GET_RETRIES": "3"}
    done = hosts.run("player", *command, HOME=str(tmp_path), RAY_AUTH_MODE=mode, **retries)
    assert done.returncode != 0
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert "copy ~/.ray/auth_token from its head to this machine, and export RAY_AUTH_MODE=token" in last
    assert not list(tmp_path.glob("dqn_rainbow"))


def test_a_node_with_another_version_is_named(hosts, tmp_path):
    """Its package says so itself; this comes last, since the node stays."""
    other = tmp_path / "site"
    (other / "gymnasium-0.0.1.dist-info").mkdir(parents=True)
    (other / "gymnasium-0.0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: gymnasium\nVersion: 0.0.1\n"
    )
    hosts.start_ray("player", "--address", f"{TRAINER}:6379", "--node-ip-address", "10.77.0.2", PYTHONPATH=str(other))
    command = [*TRAIN, "--env", "BreakoutNoFrameskip-v4", "-n", "200", "-f", str(tmp_path), "-params", *SMALL]
    done = hosts.run("trainer", *command)
    assert done.returncode != 0
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert "node 10.77.0.2 has gymnasium 0.0.1, this machine" in last
    assert "install gymnasium" in last
    assert not list(tmp_path.glob("dqn_rainbow"))
