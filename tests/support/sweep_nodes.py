"""Jobs on two machines, which are two nodes in a private network: `python -m tests.support.sweep_nodes FOLDER`.

The second one first has another disk at the folder of the runs; then it is lost while it runs a job.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from tests.support.jobs import Events, Script

os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
os.environ.update({"RAY_worker_niceness": "0"})  # on busy machines actors would starve beside the learner

_PRIVATE = ["unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
_STORE = 100 * 2**20
_CODE = """
end = time.time() + 120
while os.path.exists({flag!r}) and time.time() < end:
    time.sleep(0.05)
note("done")
"""


def start(folder: Path) -> list[str]:
    """
    :param folder: for the runs
    :return: the lines that :func:`main` printed
    """
    if subprocess.run([*_PRIVATE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system gives no private network (unshare --net --mount)")
    done = subprocess.run(
        [*_PRIVATE, sys.executable, "-m", "tests.support.sweep_nodes", str(folder)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def main(folder: Path) -> None:
    """Print what happens."""
    from ray.cluster_utils import Cluster

    from sb3_atari_dqn.distributed.cluster import Connection
    from sb3_atari_dqn.studies.ray_pool import RayPool, check_shared
    from sb3_atari_dqn.studies.runner import Runner

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": _STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = _Node(cluster.address)
    connection = Connection(cluster.address)
    try:
        _wait(lambda: sum(node["Alive"] for node in connection.ray.nodes()) == 2)
        second.enter("mount", "-t", "tmpfs", "none", str(folder))
        try:
            check_shared(connection, folder, "share it")
        except ValueError as error:
            print(error)
        second.enter("umount", str(folder))
        check_shared(connection, folder, "share it")
        (folder / "flag").touch()
        jobs = [Script(name, _CODE.format(flag=str(folder / "flag")), folder) for name in "ab"]
        events = Events()
        loss = threading.Thread(target=_lose, args=(second, jobs, folder / "flag"))
        loss.start()
        Runner(RayPool(connection, 1), events).run(jobs)
        loss.join()
        print("\n".join(events.lines))
    finally:
        connection.close()
        second.kill()
        cluster.shutdown()


class _Node:
    """A node of one CPU, with mounts of its own, as another machine has them."""

    def __init__(self, address: str) -> None:
        options = ["--num-cpus=1", f"--object-store-memory={_STORE}", "--node-ip-address=127.0.0.1", "--block"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", *options]
        env = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}  # without it there is no `ray start --address`
        self._process = subprocess.Popen(["unshare", "--mount", *ray], stdout=subprocess.DEVNULL, env=env)

    def _raylet(self) -> psutil.Process:
        children = psutil.Process(self._process.pid).children(recursive=True)
        return next(child for child in children if child.name() == "raylet")

    def enter(self, *command: str) -> None:
        """:param command: is run with its mounts"""
        subprocess.run(["nsenter", "--mount", f"--target={self._raylet().pid}", *command], check=True)

    def kill(self) -> None:
        """As if its power was cut."""
        if self._process.poll() is None:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                child.kill()
            self._process.kill()
            self._process.wait()


def _lose(node: _Node, jobs: Sequence[Script], flag: Path) -> None:
    """The node, once both jobs run; the job of the other one ends then."""
    _wait(lambda: all("begun" in job.notes for job in jobs))
    node.kill()
    flag.unlink()


def _wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
