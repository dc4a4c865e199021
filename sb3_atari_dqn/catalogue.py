"""Every algorithm of the package, once.

The zoo's names, the public names, the search spaces of tuning, the model card and the documentation's table are made
from these entries. A new algorithm is an entry here, its class, ``hyperparams/NAME.yml`` and ``docs/NAME.md``.

It stands at the root, below the algorithms: all of those readers import it, and none of them has to import torch, the
zoo or a class for it.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Paper:
    """
    :param authors: as cited in a text, "Mnih et al."
    """

    authors: str
    year: int
    title: str
    url: str

    @property
    def link(self) -> str:
        """Markdown"""
        return f"[{self.authors} {self.year}]({self.url})"


@dataclass(frozen=True)
class Range:
    """Numbers that tuning searches: whole ones if the bounds are.

    :param name: of a constructor argument
    :param low: smallest value
    :param high: largest value
    :param log: whether to sample in the logarithm
    """

    name: str
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """Values that tuning tries.

    :param name: of a constructor argument
    :param options: texts, numbers, booleans or None
    """

    name: str
    options: tuple[str | float | bool | None, ...]


@dataclass(frozen=True)
class Algorithm:
    """
    :param name: what the zoo's ``--algo`` takes; configuration and page of the documentation are named after it
    :param class_name: public name in :mod:`sb3_atari_dqn`
    :param summary: what it is, in one line that can follow "The algorithm is"
    :param papers: where it was published, then the papers whose parts it takes
    :param module: that defines the class
    :param also_tuned: constructor arguments that tuning searches, beside the common ones
    :param not_tuned: common dimensions (:data:`sb3_atari_dqn.zoo.tuning.COMMON`) that mean nothing to it
    """

    name: str
    class_name: str
    summary: str
    papers: tuple[Paper, ...]
    module: str = "sb3_atari_dqn.algorithms.variants"
    also_tuned: tuple[Range | Choice, ...] = ()
    not_tuned: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """Its documentation, relative to the source distribution"""
        return f"docs/{self.name}.md"

    def import_class(self) -> type[Any]:
        """:return: the class; imports torch"""
        return getattr(import_module(self.module), self.class_name)


_MNIH_2015 = Paper(
    "Mnih et al.",
    2015,
    "Human-level control through deep reinforcement learning",
    "https://doi.org/10.1038/nature14236",
)
_VAN_HASSELT_2016 = Paper(
    "van Hasselt et al.",
    2016,
    "Deep reinforcement learning with double Q-learning",
    "https://arxiv.org/abs/1509.06461",
)
_WANG_2016 = Paper(
    "Wang et al.",
    2016,
    "Dueling network architectures for deep reinforcement learning",
    "https://arxiv.org/abs/1511.06581",
)

_ENTRIES = (
    Algorithm(
        name="dqn_classic",
        class_name="ClassicDQN",
        module="sb3_atari_dqn.algorithms.dqn",
        summary="Nature DQN: Q-learning with experience replay and a target network",
        papers=(_MNIH_2015,),
    ),
    Algorithm(
        name="dqn_double",
        class_name="DoubleDQN",
        summary="double Q-learning: the online network selects the next action, the target network evaluates it",
        papers=(_VAN_HASSELT_2016,),
    ),
    Algorithm(
        name="dqn_dueling",
        class_name="DuelingDQN",
        summary="double Q-learning with a dueling network: separate streams for the state value and the advantages",
        papers=(_WANG_2016, _VAN_HASSELT_2016),
    ),
)

#: By the zoo's name, in the order of the documentation.
ALGORITHMS: dict[str, Algorithm] = {entry.name: entry for entry in _ENTRIES}
