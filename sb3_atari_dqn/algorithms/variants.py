"""The other algorithms, each as what it changes of :class:`ClassicDQN`."""

from sb3_atari_dqn.algorithms.dqn import ClassicDQN
from sb3_atari_dqn.objectives.bootstrap import Double


class DoubleDQN(ClassicDQN):
    """
    Double Q-learning: the online network selects the action to bootstrap from, the target network evaluates it.

    Source: van Hasselt et al. 2016. Deviations: those of :class:`ClassicDQN`, whose parameters it has.
    """

    bootstrap = Double()


class DuelingDQN(DoubleDQN):
    """
    Double Q-learning with a dueling head: Q = V + A - mean over the actions of A, each sample by itself.

    Source: Wang et al. 2016. Deviations beside those of :class:`ClassicDQN`, whose parameters it has: the gradient
    into the shared convolutions is rescaled only on request (`policy_kwargs=dict(rescale_shared_gradient=True)`).
    """

    policy_defaults = {"head": "dueling"}
