"""What a user says about actors: the mapping ``ray:`` of a configuration, checked. N: games of all actors together."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sb3_atari_dqn.validation import as_int, check_between, check_keys, check_known, check_options, checked_flag

#: Addresses that are no address: without Ray, a Ray of our own on this machine, the running cluster of this machine
IN_PROCESS, LOCAL, AUTO = "in-process", "local", "auto"
#: Blocks are taken in a fixed order, so that runs can be repeated; or as they come, so that none waits for the slowest
LOCK_STEP, FREE_RUNNING = "lock-step", "free-running"
#: How the actors explore: by the algorithm's schedule, or by Ape-X's ladder
EXPLORATIONS = ("schedule", "ladder")
#: Groups by default: 1, 2 or 4 actors then play the same games
_GROUPS = 4
_MOST_ACTORS, _MOST_STEPS, _MOST_AHEAD, _MOST_SPARES = 10_000, 4096, 64, 64


@dataclass(frozen=True)
class ActorSettings:
    """
    Results depend on `mode`, `groups`, `block_steps`, `blocks_ahead`, `exploration`, `initial_priorities` and
    `reload_after`; in lock-step not on the others.

    :param address: "local" (a Ray of our own, on this machine only), "auto" (the cluster that runs on this machine),
        HOST:PORT of a cluster, or "in-process": the same blocks without Ray
    :param actors: processes that play; each takes `cpus_per_actor`
    :param mode: "lock-step": the learner takes a block of each group in turn; "free-running": it takes the blocks that
        come first
    :param groups: into which the N games are divided; a group acts in one batch. None: 4, or as many as there are
        actors if 4 cannot be divided among them
    :param block_steps: vector steps per block; weights change between blocks only
    :param blocks_ahead: blocks of each group that are played while the learner learns from the one before; their
        weights are so many blocks old
    :param max_staleness: free-running: rounds of blocks for which the learner goes on while an order is not answered
    :param exploration: "schedule", or "ladder": game i of N always explores with 0.4 ** (1 + 7 i / (N - 1))
    :param initial_priorities: new transitions come with the TD errors of the actor's own values (Ape-X), where replay
        is prioritized; otherwise they get the largest priority so far
    :param compress: send frames compressed by zstd: a hundredth of the bytes in Pong, for CPU time on both sides
    :param cpus_per_actor: that Ray reserves
    :param reload_after: steps after which a game loads its ROM again at its next start: bounds how long a replacement
        of a lost actor has to play again
    :param spares: processes that wait with all libraries loaded to take the place of a lost actor; they reserve no CPU
    :param timeout_s: seconds without a block after which an actor counts as lost
    """

    address: str = LOCAL
    actors: int = 1
    mode: str = LOCK_STEP
    groups: int | None = None
    block_steps: int = 32
    blocks_ahead: int = 1
    max_staleness: int = 8
    exploration: str = "schedule"
    initial_priorities: bool = False
    compress: bool = False
    cpus_per_actor: int = 1
    reload_after: int = 4000
    spares: int = 1
    timeout_s: float = 300.0

    def __post_init__(self) -> None:
        """:raises ValueError: on the first bad value"""
        if not isinstance(self.address, str) or not self.address:
            raise ValueError(
                f"ray: address must be {LOCAL!r}, {AUTO!r}, {IN_PROCESS!r} or HOST:PORT, got {self.address!r}."
            )
        whole = {
            "actors": as_int("ray: actors", self.actors, 1, _MOST_ACTORS),
            "block_steps": as_int("ray: block_steps", self.block_steps, 1, _MOST_STEPS),
            "blocks_ahead": as_int("ray: blocks_ahead", self.blocks_ahead, 0, _MOST_AHEAD),
            "max_staleness": as_int("ray: max_staleness", self.max_staleness, 1),
            "spares": as_int("ray: spares", self.spares, 0, _MOST_SPARES),
            "cpus_per_actor": as_int("ray: cpus_per_actor", self.cpus_per_actor, 1),
            "reload_after": as_int("ray: reload_after", self.reload_after, 1),
        }
        if self.groups is not None:
            whole["groups"] = as_int("ray: groups", self.groups, 1)
        vars(self).update(whole)
        check_known("mode of ray", self.mode, (LOCK_STEP, FREE_RUNNING))
        check_known("exploration of ray", self.exploration, EXPLORATIONS)
        if self.mode == FREE_RUNNING and self.max_staleness <= self.blocks_ahead:
            raise ValueError(
                f"ray: max_staleness={self.max_staleness} must be more than blocks_ahead={self.blocks_ahead}, how old "
                "blocks are in any case."
            )
        checked_flag("ray: initial_priorities", self.initial_priorities)
        checked_flag("ray: compress", self.compress)
        check_between("ray: timeout_s", self.timeout_s, 0, 86_400, above_low=True)

    @classmethod
    def of(cls, options: Any) -> "ActorSettings":
        """
        :param options: mapping of names to values, or an address alone
        :raises ValueError: on an unknown name or a bad value
        """
        if isinstance(options, cls):
            return options
        if isinstance(options, str):
            return cls(address=options)
        if isinstance(options, Mapping):
            options = dict(options)
        check_options("ray", options)
        check_keys("ray", options, {each.name for each in fields(cls)})
        return cls(**options)

    def described(self, n_envs: int) -> str:
        """
        :param n_envs: N
        :return: who plays, in words; after :meth:`divided`
        """
        groups = f"{self.mode}, {n_envs} games in {self.groups} groups"
        if self.address == IN_PROCESS:
            return f"Games in blocks, played by this process: {groups}"
        return f"Actors: {self.actors} on Ray ({self.address}), {groups}"

    def divided(self, n_envs: int) -> "ActorSettings":
        """
        :param n_envs: N
        :return: with a number of groups
        :raises ValueError: if the games do not come out even, or an actor would have no group
        """
        groups = self.groups or (_GROUPS if self.actors in (1, 2, _GROUPS) else self.actors)
        if self.groups is None and self.actors == 1 and n_envs < _GROUPS:
            groups = n_envs
        if groups < self.actors:
            raise ValueError(
                f"ray: {self.actors} actors share {groups} groups of games: raise groups to {self.actors}, or lower "
                "actors."
            )
        if n_envs % groups:
            more = -(-n_envs // groups) * groups
            raise ValueError(
                f"ray: n_envs={n_envs} games do not divide into {groups} groups: give n_envs={more}, or another number "
                "of groups."
            )
        return replace(self, groups=groups)
