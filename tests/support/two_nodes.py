"""A cluster of two nodes, of one CPU each, in this process's private network: `python -m tests.support.two_nodes`.

Ray listens on every interface of its machine; in a network namespace of its own (``unshare --net``) there is only the
loopback.
"""

import os
from typing import Any, cast

os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
os.environ.update({"RAY_worker_niceness": "0"})  # on busy machines actors would starve beside the learner

from ray.cluster_utils import Cluster

from tests.support.actors import actor_env, assert_same, learner, results


def main() -> None:
    """Train on both nodes; lose one of them, get another, and go on: the run is the one without Ray."""
    cluster = Cluster(initialize_head=True, head_node_args=_node(1))
    second = cluster.add_node(**_node(1))
    env = actor_env(address=cluster.address, actors=2)
    try:
        model = learner(env)
        model.learn(120)
        actors: Any = cast(Any, env._rounds).actors
        print("processes", len({each["pid"] for each in actors.processes()}))
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(**_node(1))
        model.learn(120, reset_num_timesteps=False)
        print("replaced", int(env.statistics()["actors_replaced"]))
        ours = results(model)
    finally:
        env.close()
        cluster.shutdown()
    other = actor_env()
    twin = learner(other)
    twin.learn(120)
    assert_same(ours, results(twin.learn(120, reset_num_timesteps=False)))
    other.close()
    print("equal")


def _node(cpus: int) -> dict[str, Any]:
    return {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": 100 * 2**20}


if __name__ == "__main__":
    main()
