"""The policies of version 0.1.0, which had one class per algorithm and kind of observation. To be removed with 0.3."""

from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, QPolicy

DoubleQPolicy, DoubleMlpPolicy = QPolicy, MlpPolicy
DoubleCnnPolicy, DoubleMultiInputPolicy = CnnPolicy, MultiInputPolicy


class DuelingQPolicy(QPolicy):
    """A policy with a dueling head by default."""

    default_head = "dueling"


class DuelingMlpPolicy(DuelingQPolicy, MlpPolicy):
    """Of vectors."""


class DuelingCnnPolicy(DuelingQPolicy, CnnPolicy):
    """Of images."""


class DuelingMultiInputPolicy(DuelingQPolicy, MultiInputPolicy):
    """Of dictionaries."""


_DUELING = "with policy_kwargs={'head': 'dueling'}, the default of DuelingDQN"

#: Old name -> what to use instead.
REPLACEMENTS = {
    f"{family}{kind}Policy": f"{kind}Policy {_DUELING if family == 'Dueling' else ''}".strip()
    for family in ("Double", "Dueling")
    for kind in ("Q", "Mlp", "Cnn", "MultiInput")
}

#: Class -> the one that has its place, with a dueling head.
DUELING: dict[type[QPolicy], type[QPolicy]] = {
    DuelingMlpPolicy: MlpPolicy,
    DuelingCnnPolicy: CnnPolicy,
    DuelingMultiInputPolicy: MultiInputPolicy,
}
