"""The other algorithms, each as what it changes of :class:`ClassicDQN`.

All parts are switches: any of them takes another `values`, `bootstrap`, `n_steps`, `replay` or `policy_kwargs`.
"""

from sb3_atari_dqn.algorithms.constructor_defaults import constructor_defaults
from sb3_atari_dqn.algorithms.dqn import ClassicDQN


class DoubleDQN(ClassicDQN):
    """
    Double Q-learning: the online network selects the action to bootstrap from, the target network evaluates it.

    Source: van Hasselt et al. 2016. Deviations: those of :class:`ClassicDQN`, whose parameters it has.
    """

    bootstrap = "double"


class DuelingDQN(DoubleDQN):
    """
    Double Q-learning with a dueling head: Q = V + A - mean over the actions of A, each sample by itself.

    Source: Wang et al. 2016. Deviations beside those of :class:`ClassicDQN`, whose parameters it has: the gradient
    into the shared convolutions is rescaled only on request (`policy_kwargs=dict(rescale_shared_gradient=True)`).
    """

    policy_defaults = {"head": "dueling"}


class C51(ClassicDQN):
    """
    A categorical distribution of the return, over 51 atoms from -10 to 10.

    Source: Bellemare et al. 2017. Deviations: those of :class:`ClassicDQN`, whose parameters it has.
    """

    values = "categorical"


class QRDQN(ClassicDQN):
    """
    Quantile regression: 200 quantiles of the return.

    Source: Dabney et al. 2018a (kappa = 1). Deviations: those of :class:`ClassicDQN`, whose parameters it has.
    """

    values = "quantile"


class IQN(ClassicDQN):
    """
    Implicit quantile networks: the quantiles at fractions drawn anew for each state, which the network gets as inputs.

    Source: Dabney et al. 2018b. Deviations beside those of :class:`ClassicDQN`, whose parameters it has: see
    :class:`~sb3_atari_dqn.objectives.quantile.ImplicitQuantileValues` and
    :class:`~sb3_atari_dqn.objectives.bootstrap.Greedy`.
    """

    values = "implicit"


class MunchausenDQN(ClassicDQN):
    """
    A soft maximum as bootstrap value, and the scaled log-probability of the action taken added to its reward.

    Source: Vieillard et al. 2020; with `values="implicit"` their M-IQN. Deviations: those of :class:`ClassicDQN`, whose
    parameters it has, and of :class:`~sb3_atari_dqn.objectives.bootstrap.Munchausen`.
    """

    bootstrap = "munchausen"


@constructor_defaults(n_steps=3, replay="prioritized", exploration="none")
class RainbowDQN(ClassicDQN):
    """
    C51, double Q-learning, a dueling head, noisy layers instead of epsilon, 3-step returns and prioritized replay.

    Source: Hessel et al. 2018. Deviations: those of :class:`ClassicDQN`, whose parameters it has but for the defaults;
    with every part switched off it is :class:`ClassicDQN`, bit for bit.
    """

    values, bootstrap = "categorical", "double"
    policy_defaults = {"head": "dueling", "noisy": True}


@constructor_defaults(n_steps=10, train_freq=1, learning_starts=1600, target_update_interval=2000)
class DataEfficientRainbow(RainbowDQN):
    """
    Rainbow for 100,000 environment steps: 10-step returns, an update every step, little noise, a small torso.

    Source: van Hasselt et al. 2019, appendix E. Deviations beside those of :class:`RainbowDQN`: 10 steps where the
    paper has 20, as in Dopamine; the zoo's configuration chooses the torso
    (`features_extractor_class="data_efficient"`).
    """

    policy_defaults = {**RainbowDQN.policy_defaults, "noisy_std": 0.1}


@constructor_defaults(n_steps=3, replay="prioritized", gamma=0.997)
class BTR(ClassicDQN):
    """
    Beyond The Rainbow: implicit quantiles, Munchausen, a dueling head with noisy layers, an IMPALA torso of double
    width with spectral norm and max-pooling (those in dictionaries go through SB3's NatureCNN), 3-step returns and
    prioritized replay.

    Source: Clark et al. 2024. Deviations: those of :class:`ClassicDQN`, :class:`IQN` and :class:`MunchausenDQN`.
    """

    values, bootstrap = "implicit", "munchausen"
    values_kwargs = {"predicted": 8, "targets": 8, "acting": 8}
    policy_defaults = {"head": "dueling", "noisy": True}
    torso_defaults = {
        "features_extractor_class": "impala",
        "features_extractor_kwargs": {"width": 2, "spectral_norm": True, "pooling": "max", "hidden_size": 512},
    }
