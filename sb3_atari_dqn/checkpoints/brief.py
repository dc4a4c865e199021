"""Values out of files, in messages: `repr` follows references, which multiply, before its result can be cut."""

from typing import Any

import numpy as np

_MOST_ITEMS = 4
_DEEPEST = 2
_LARGEST_NUMBER = 1 << 256
_CURLY = ("{", "}")
_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: _CURLY, frozenset: _CURLY}


def brief(value: Any, length: int = 80) -> str:
    """
    :param value: anything out of a file, which may stand for endlessly many values
    :param length: of the text, at most
    :return: like `repr`, without what is long or deep; of other objects their type
    """
    return _text(value, length, 0)[:length]


def _text(value: Any, length: int, depth: int) -> str:
    kind = type(value)
    if kind in (str, bytes):
        return repr(value[:length])
    if kind is int and abs(value) >= _LARGEST_NUMBER:
        return f"an integer of {value.bit_length():,} bits"
    if value is None or kind in (bool, int, float, np.dtype) or isinstance(value, np.number | np.bool_ | np.dtype):
        return repr(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if kind in _BRACKETS or kind is dict:
        return _items(value, length, depth)
    return f"<{kind.__name__}>"


def _items(value: Any, length: int, depth: int) -> str:
    opened, closed = _BRACKETS.get(type(value), _CURLY)
    if not value or depth == _DEEPEST:
        return f"{opened}{'...' if value else ''}{closed}"
    first = [item for item, _ in zip(value.items() if type(value) is dict else value, range(_MOST_ITEMS), strict=False)]
    if type(value) is dict:
        parts = [f"{_text(key, length, depth + 1)}: {_text(each, length, depth + 1)}" for key, each in first]
    else:
        parts = [_text(each, length, depth + 1) for each in first]
    more = ["..."] if len(value) > len(first) else []
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return f"{opened}{', '.join([*parts, *more])}{comma}{closed}"
