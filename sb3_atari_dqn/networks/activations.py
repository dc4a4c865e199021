"""Activation functions by name."""

from torch import nn

from sb3_atari_dqn.validation import check_known

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def resolve_activation(name_or_class: str | type[nn.Module]) -> type[nn.Module]:
    """
    :param name_or_class: a short name, or the class itself
    :raises ValueError: if the name is unknown
    """
    if isinstance(name_or_class, type):
        return name_or_class
    check_known("activation", name_or_class, ACTIVATIONS)
    return ACTIVATIONS[name_or_class]
