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

    :param name: of a constructor argument, or of a key in one, such as "values_kwargs.atoms"
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

    :param name: as of :class:`Range`
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
    :param exploration: default of the constructor argument; "none" where noisy layers explore
    """

    name: str
    class_name: str
    summary: str
    papers: tuple[Paper, ...]
    module: str = "sb3_atari_dqn.algorithms.variants"
    also_tuned: tuple[Range | Choice, ...] = ()
    not_tuned: tuple[str, ...] = ()
    exploration: str = "linear"

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

_BELLEMARE_2017 = Paper(
    "Bellemare et al.",
    2017,
    "A distributional perspective on reinforcement learning",
    "https://arxiv.org/abs/1707.06887",
)
_DABNEY_2018A = Paper(
    "Dabney et al.",
    2018,
    "Distributional reinforcement learning with quantile regression",
    "https://arxiv.org/abs/1710.10044",
)
_DABNEY_2018B = Paper(
    "Dabney et al.",
    2018,
    "Implicit quantile networks for distributional reinforcement learning",
    "https://arxiv.org/abs/1806.06923",
)
_VIEILLARD_2020 = Paper(
    "Vieillard et al.",
    2020,
    "Munchausen reinforcement learning",
    "https://arxiv.org/abs/2007.14430",
)
_HESSEL_2018 = Paper(
    "Hessel et al.",
    2018,
    "Rainbow: combining improvements in deep reinforcement learning",
    "https://arxiv.org/abs/1710.02298",
)
_VAN_HASSELT_2019 = Paper(
    "van Hasselt et al.",
    2019,
    "When to use parametric models in reinforcement learning?",
    "https://arxiv.org/abs/1906.05243",
)
_CLARK_2024 = Paper(
    "Clark et al.",
    2024,
    "Beyond The Rainbow: high performance deep reinforcement learning on a desktop PC",
    "https://arxiv.org/abs/2411.03820",
)
_FORTUNATO_2018 = Paper(
    "Fortunato et al.",
    2018,
    "Noisy networks for exploration",
    "https://arxiv.org/abs/1706.10295",
)

_GALLICI_2024 = Paper(
    "Gallici et al.",
    2024,
    "Simplifying deep temporal difference learning",
    "https://arxiv.org/abs/2407.04811",
)

# Noisy layers explore: epsilon means nothing then.
_EPSILON = ("exploration_fraction", "exploration_final_eps")
_NOISE = (Range("policy_kwargs.noisy_std", 0.1, 1.0, log=True),)

_SUPPORT = (Choice("values_kwargs.atoms", (21, 51, 101)), Range("values_kwargs.v_max", 5.0, 100.0, log=True))
_FRACTIONS = (Choice("values_kwargs.predicted", (8, 32, 64)), Choice("values_kwargs.targets", (8, 32, 64)))
_MUNCHAUSEN = (Range("bootstrap_kwargs.alpha", 0.5, 1.0), Range("bootstrap_kwargs.tau", 0.003, 0.3, log=True))

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
    Algorithm(
        name="dqn_c51",
        class_name="C51",
        summary="C51: a categorical distribution of the return over 51 atoms",
        papers=(_BELLEMARE_2017,),
        also_tuned=_SUPPORT,
    ),
    Algorithm(
        name="dqn_qr",
        class_name="QRDQN",
        summary="QR-DQN: quantile regression of the return",
        papers=(_DABNEY_2018A,),
        also_tuned=(Choice("values_kwargs.quantiles", (50, 100, 200)),),
    ),
    Algorithm(
        name="dqn_iqn",
        class_name="IQN",
        summary="IQN: quantiles of the return at drawn fractions, which are an input of the network",
        papers=(_DABNEY_2018B,),
        also_tuned=_FRACTIONS,
    ),
    Algorithm(
        name="dqn_munchausen",
        class_name="MunchausenDQN",
        summary="Munchausen DQN: a soft maximum, and the log-policy added to the reward",
        papers=(_VIEILLARD_2020,),
        also_tuned=_MUNCHAUSEN,
    ),
    Algorithm(
        name="dqn_rainbow",
        class_name="RainbowDQN",
        summary="Rainbow: C51, double Q-learning, a dueling head, noisy layers, 3-step returns and prioritized replay",
        papers=(_HESSEL_2018, _BELLEMARE_2017, _FORTUNATO_2018),
        also_tuned=(*_SUPPORT, *_NOISE),
        not_tuned=_EPSILON,
        exploration="none",
    ),
    Algorithm(
        name="dqn_der",
        class_name="DataEfficientRainbow",
        summary="data-efficient Rainbow: Rainbow with an update every step, for 100,000 steps",
        papers=(_VAN_HASSELT_2019, _HESSEL_2018),
        also_tuned=(Choice("n_steps", (3, 10, 20)), *_SUPPORT, *_NOISE),
        not_tuned=(*_EPSILON, "n_steps", "torso"),
        exploration="none",
    ),
    Algorithm(
        name="dqn_btr",
        class_name="BTR",
        summary="Beyond The Rainbow: IQN, Munchausen, noisy dueling IMPALA, 3-step returns and prioritized replay",
        papers=(_CLARK_2024, _DABNEY_2018B, _VIEILLARD_2020),
        also_tuned=(*_FRACTIONS, *_MUNCHAUSEN, *_NOISE),
        not_tuned=("torso",),
    ),
    Algorithm(
        name="dqn_pqn",
        class_name="PQN",
        module="sb3_atari_dqn.algorithms.pqn",
        summary="PQN: Q-learning with lambda-returns from many environments, without replay and target network",
        papers=(_GALLICI_2024,),
        also_tuned=(Range("q_lambda", 0.3, 0.95), Choice("n_epochs", (1, 2, 4))),
        not_tuned=("target_update_interval", "n_steps", "torso"),
    ),
)

#: By the zoo's name, in the order of the documentation.
ALGORITHMS: dict[str, Algorithm] = {entry.name: entry for entry in _ENTRIES}
