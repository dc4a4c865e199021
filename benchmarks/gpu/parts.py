"""The parts, the most important first. Imports the standard library only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """
    :param name: of the part and of its result file, gpu_NAME.json
    :param module: script that runs it
    :param limit_s: time limit in seconds
    :param least_s: minimum seconds left to start it
    :param what: short description
    :param arguments: further arguments of the script
    """

    name: str
    module: str
    limit_s: int
    least_s: int
    what: str
    arguments: tuple[str, ...] = ()


#: Time limit of each part of a dry run.
DRY_LIMIT_S = 120

PARTS = (
    Part("correctness", "gpu.correctness", 75, 20, "tests marked gpu"),
    Part("throughput", "gpu.speed", 75, 40, "SB3's dqn and dqn_dueling on Pong, in windows that take turns"),
    Part("sweep", "gpu.sweep", 80, 40, "environments x batch x samples per step"),
    Part("profile", "gpu.trace", 40, 20, "the profiler's view of 50 steps"),
    Part("pong18", "gpu.pong", 270, 60, "Pong to 18 with dqn_dueling", ("--algo", "dqn_dueling")),
    Part("pong18_short", "gpu.pong", 270, 60, "the same as in -conf short", ("--profile", "short")),
    Part(
        *("pong18_short_seed2", "gpu.pong", 270, 60, "the same with another seed"),
        arguments=("--profile", "short", "--seed", "2"),
    ),
    Part("second", "gpu.pong", 270, 60, "Pong to 18 with dqn_pqn", ("--algo", "dqn_pqn")),
    Part("family", "gpu.family", 80, 40, "the algorithms of the catalogue at one size"),
    Part("update", "gpu.update", 120, 45, "one update: eager, recorded, and after torch.compile's max-autotune"),
)
