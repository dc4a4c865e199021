"""The parts, in order of worth. Knows the standard library only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """
    :param name: of the part and of its file, gpu_NAME.json
    :param module: script that runs it
    :param limit_s: seconds after which it is cut off
    :param least_s: seconds without which it is not begun
    :param what: in a few words
    :param arguments: further ones of the script
    """

    name: str
    module: str
    limit_s: int
    least_s: int
    what: str
    arguments: tuple[str, ...] = ()


#: Time that a part of a dry run has.
DRY_LIMIT_S = 120

PARTS = (
    Part("correctness", "gpu.correctness", 75, 20, "tests marked gpu"),
    Part("throughput", "gpu.speed", 75, 40, "SB3's dqn and dqn_dueling on Pong, in windows that take turns"),
    Part("sweep", "gpu.sweep", 80, 40, "environments x batch x samples per step"),
    Part("profile", "gpu.trace", 40, 20, "the profiler's view of 50 steps"),
    Part("pong18", "gpu.pong", 270, 60, "Pong to 18 with dqn_dueling", ("--algo", "dqn_dueling")),
    Part("second", "gpu.pong", 270, 60, "Pong to 18 with dqn_double", ("--algo", "dqn_double")),
    Part("update", "gpu.update", 120, 45, "one update: eager, recorded, and after torch.compile's max-autotune"),
)
