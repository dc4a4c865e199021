"""The YAML files of a run, without running anything from them.

The zoo writes Python objects into them (an OrderedDict, tuples, classes), reads them with `yaml.UnsafeLoader`, which
calls whatever a tag names, and evaluates strings. Here tags are plain values or names of the allow-list, and a string
that the zoo evaluates is a literal, `dict(...)`, or such a name.
"""

import ast
import io
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_dqn.checkpoints.allowed_names import WAY_OUT, NotAllowed, UnsafeFile, lookup
from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.file_limits import check_extent
from sb3_atari_dqn.checkpoints.safe_values import check_keys_of_file
from sb3_atari_dqn.checkpoints.storage import read_bounded
from sb3_atari_dqn.zoo.allowed_imports import imported, is_importable

_LONGEST_FILE = 64 << 10  # bytes
_LONGEST_EXPRESSION = 5_000
_LARGEST_POWER = 64
_MOST_REPEATS = 100

_PYTHON = "tag:yaml.org,2002:python/"
_PLAIN = {"str": str, "unicode": str, "int": int, "long": int, "float": float}

#: How the zoo's expressions abbreviate names.
_SHORT = {"nn": "torch.nn", "th": "torch"}
_NN_MODULES = ("torch.nn.modules.activation", "torch.nn.modules.linear", "torch.nn.modules.normalization")
_ALONE = {
    "HerReplayBuffer": "stable_baselines3.her.her_replay_buffer.HerReplayBuffer",
    "RMSpropTFLike": "stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike",
}
_CALLS: dict[str, Callable[..., Any]] = {"dict": dict, "list": list, "tuple": tuple, "float": float, "int": int}
_OPERATIONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def refused(place: str, what: str) -> UnsafeFile:
    """
    :param place: file and line
    :param what: it would run
    """
    return UnsafeFile(f"{place} is refused: it would run {what:.200}. {WAY_OUT}")


class _Loader(yaml.SafeLoader):
    """Knows what the zoo writes, as plain values."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merged keys (`<<`) multiply; the zoo writes none."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.constructor.ConstructorError(None, None, "merged keys (<<) are not read", node.start_mark)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            _check_keys([key for key, _ in node.value])
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.Node) -> int | float:
        """The zoo writes no sexagesimal numbers (1:30), of which long ones take long."""
        if ":" in str(node.value):
            way_out = "sexagesimal numbers are not read: quote it, or use a decimal number"
            raise yaml.constructor.ConstructorError(None, None, way_out, node.start_mark)
        is_int = node.tag == "tag:yaml.org,2002:int"
        return self.construct_yaml_int(node) if is_int else self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def _check_keys(keys: list[yaml.Node]) -> None:
    """References multiply, and the hash of a key follows each: keys are strings and numbers."""
    for key in keys:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key that is not one value", key.start_mark)


def _python_object(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    """:param suffix: behind `!!python/`"""
    kind, _, name = suffix.partition(":")
    if kind in _PLAIN and isinstance(node, yaml.ScalarNode):
        return _PLAIN[kind](loader.construct_scalar(node))
    if kind == "tuple" and isinstance(node, yaml.SequenceNode):
        return tuple(loader.construct_sequence(node, deep=True))
    if kind == "name":
        return _named(name, _place(node))
    if suffix == "object/apply:collections.OrderedDict":
        return OrderedDict(_pairs(loader, node))
    raise refused(_place(node), f"{name or suffix} (the tag !!python/{suffix})")


def _pairs(loader: _Loader, node: yaml.Node) -> list[tuple[Any, Any]]:
    """:return: of an OrderedDict: `[[[key, value], ...]]`, or nothing"""
    found = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None
    if found is None or len(found) > 1 or not all(isinstance(pair, list) for pair in found[0] if found):
        raise yaml.constructor.ConstructorError(None, None, "an OrderedDict without pairs", node.start_mark)
    return _as_pairs(found[0]) if found else []


_Loader.add_multi_constructor(_PYTHON, _python_object)


def _place(node: yaml.Node) -> str:
    return f"{node.start_mark.name}, line {node.start_mark.line + 1},"


def _named(name: str, place: str) -> Any:
    try:
        return imported(name) if is_importable(name) else lookup(name)
    except NotAllowed as error:
        raise refused(place, name) from error


def read_yaml(path: Path) -> tuple[Any, dict[str, int]]:
    """
    :param path: of a YAML file
    :return: what it holds, and the line of each of its keys
    :raises UnsafeFile: if it would run something, with the line
    :raises yaml.YAMLError: if it is no YAML
    """
    data = read_bounded(path, _LONGEST_FILE)
    content = io.TextIOWrapper(io.BytesIO(data)).read()  # as the zoo does it: another encoding has other line breaks
    loader = _Loader(content)
    loader.name = str(path)
    try:
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise UnsafeFile(f"{path} is refused: it is nested too deeply.") from error
    finally:
        loader.dispose()
    return check_extent(value, str(path)), {} if node is None else _lines(node)


def _lines(node: yaml.Node) -> dict[str, int]:
    """:return: the line of each key of a mapping, or of an OrderedDict"""
    if isinstance(node, yaml.MappingNode):
        return {key.value: key.start_mark.line + 1 for key, _ in node.value}
    if isinstance(node, yaml.SequenceNode) and node.value and isinstance(node.value[0], yaml.SequenceNode):
        pairs = [pair.value for pair in node.value[0].value if isinstance(pair, yaml.SequenceNode) and pair.value]
        return {str(pair[0].value): pair[0].start_mark.line + 1 for pair in pairs}
    return {}


def evaluated(text: str, place: str) -> Any:
    """
    :param text: an expression: literals, `dict(...)`, sums of numbers, names of the allow-list such as `nn.ReLU`
    :param place: file and line, for the message
    :return: its value
    :raises UnsafeFile: on anything else
    """
    if len(text) > _LONGEST_EXPRESSION:
        raise refused(place, f"an expression of {len(text):,} characters")
    try:
        return check_extent(_value(ast.parse(text.strip(), mode="eval").body, place), place)
    except UnsafeFile:
        raise
    except (SyntaxError, RecursionError, MemoryError, TypeError, ValueError, ArithmeticError, KeyError) as error:
        raise ValueError(f"{place} holds no value that can be read: {text!r:.100} ({error})") from error


def _value(node: ast.AST, place: str) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(each, place) for each in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Set):
        return set(_as_keys(_value(each, place) for each in node.elts))
    if isinstance(node, ast.Dict) and all(node.keys):
        keys = _as_keys(_value(key, place) for key in node.keys if key is not None)
        return dict(zip(keys, (_value(value, place) for value in node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _number(node.operand, place)
        return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.left, ast.List | ast.Tuple):
        return _repeated(_value(node.left, place), _value(node.right, place))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _number(node.left, place), _number(node.right, place)
        if isinstance(node.op, ast.Pow) and max(abs(left), abs(right)) > _LARGEST_POWER:
            raise ValueError("the power is too large")
        return _OPERATIONS[type(node.op)](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        return _called(node, place)
    if isinstance(node, ast.Name | ast.Attribute):
        return _class(ast.unparse(node), place)
    raise refused(place, ast.unparse(node))


def _as_pairs(value: Any) -> list[tuple[Any, Any]]:
    pairs = [(key, each) for key, each in (value.items() if isinstance(value, dict) else value)]
    _as_keys(key for key, _ in pairs)
    return pairs


def _as_keys(values: Iterable[Any]) -> list[Any]:
    keys = list(values)
    check_keys_of_file(keys)
    return keys


def _repeated(items: Any, times: Any) -> Any:
    if type(times) is not int or times > _MOST_REPEATS:
        raise ValueError(f"a list can be repeated up to {_MOST_REPEATS} times")
    return items * times


def _called(node: ast.Call, place: str) -> Any:
    name = ast.unparse(node.func)
    args = [_value(each, place) for each in node.args]
    if any(each.arg is None for each in node.keywords) or (node.keywords and name != "dict") or len(args) > 1:
        raise refused(place, ast.unparse(node))
    if name == "dict" and args:
        args = [OrderedDict(_as_pairs(args[0]))]
    return _CALLS[name](*args, **{str(each.arg): _value(each.value, place) for each in node.keywords})


def _number(node: ast.AST, place: str) -> Any:
    value = _value(node, place)
    if type(value) not in (int, float):
        raise ValueError(f"{brief(value, 40)} is not a number")
    return value


def _class(name: str, place: str) -> Any:
    """:param name: of a class, as the zoo's expressions abbreviate it"""
    first, _, rest = name.partition(".")
    full = _ALONE.get(name, f"{_SHORT.get(first, first)}.{rest}" if rest else name)
    package, _, kind = full.rpartition(".")
    candidates = [full]
    candidates += [f"{module}.{kind}" for module in _NN_MODULES] if package == "torch.nn" else []
    candidates += [f"torch.optim.{kind.lower()}.{kind}"] if package == "torch.optim" else []
    for candidate in candidates:
        try:
            return lookup(candidate)
        except NotAllowed:
            continue
    raise refused(place, name)
