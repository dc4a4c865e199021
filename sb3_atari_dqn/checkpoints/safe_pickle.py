"""Reads pickles without running what they ask for: values, arrays, generators and objects of the allowed classes.

Python's own unpickler calls whatever `find_class` returns, with arguments of the file, and NumPy's reconstructors trust
their arguments: a forged dtype turns bytes into pointers. So the machine's instructions that call something are
replaced here: each of the few functions that a pickle may name has a twin that checks its arguments
(`safe_values.py`), and objects are made empty and given their attributes (`allowed_names.py`).
"""

import io
import pickle
import pickletools
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from sb3_atari_dqn.checkpoints.allowed_names import (
    ENUMS,
    NAMED_TUPLES,
    NotAllowed,
    UnsafeFile,
    is_allowed,
    lookup,
    makes_objects,
    name_of,
    new_object,
    refusal,
    set_state,
)
from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.file_limits import ValueCount, check_extent
from sb3_atari_dqn.checkpoints.safe_values import FUNCTIONS, STATES, check_keys_of_file, made_of

_MOST_NAMES = 6  # in a message

#: Names of older versions.
_RENAMED = {"numpy.core.": "numpy._core."}

_INSTRUCTIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"),
    *("GET", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2"),
    *("LONG", "LONG1", "FLOAT", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("EMPTY_SET", "ADDITEMS", "FROZENSET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD"),
)

_Instruction = Callable[[Any], None]
Functions = Mapping[str, Any]
Persistent = Callable[[Any], Any]


class Function:
    """Stands for a function that a pickle names; only REDUCE calls it."""

    def __init__(self, twin: Callable[..., Any]) -> None:
        self.twin = twin


class _Bounded:
    """A file that is never asked for more than it holds: Python reserves memory for what is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        begin = file.tell()
        self._end = file.seek(0, 2)
        file.seek(begin)

    @property
    def left(self) -> int:
        return self._end - self._file.tell()

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self.left))

    def readline(self) -> bytes:
        return self._file.readline()

    def readinto(self, into: Any) -> int:
        return self._file.readinto(into)  # type: ignore[attr-defined]


class _Instructions(dict[int, _Instruction]):
    """What is left of pickle's instructions."""

    def __missing__(self, code: int) -> _Instruction:
        known = {ord(each.code): each.name for each in pickletools.opcodes}
        if code in known:
            raise NotAllowed(f"pickle's instruction {known[code]}")
        raise pickle.UnpicklingError(f"there is no instruction {code:#x}")


class SafeUnpickler(pickle._Unpickler):
    """
    :param file: open for reading, at the pickle
    :param functions: name -> what stands for it, in place of the usual ones: a function, or a value
    :param persistent: what a persistent id stands for; None: a pickle with such is refused
    :param count: of the values that have been read
    """

    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readinto: Callable[[Any], int]
    pop_mark: Callable[[], list[Any]]
    _unframer: Any

    dispatch = _Instructions(
        {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _INSTRUCTIONS}
    )

    def __init__(
        self,
        file: BinaryIO,
        functions: Functions = FUNCTIONS,
        persistent: Persistent | None = None,
        count: ValueCount | None = None,
    ) -> None:
        self._bounded = _Bounded(file)
        super().__init__(self._bounded)
        self.count = count or ValueCount("it")
        self._functions = functions
        self._persistent = persistent

    def find_class(self, module: str, name: str) -> Any:
        """
        :raises NotAllowed: on a name that is not on our lists
        """
        full = f"{module}.{name}"
        for old, new in _RENAMED.items():
            full = new + full.removeprefix(old) if full.startswith(old) else full
        if full in self._functions:
            found = self._functions[full]
            return Function(found) if callable(found) else found
        return Function(made_of(lookup(full))) if full in ENUMS else lookup(full)

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise NotAllowed("pickle's instruction BINPERSID")
        self.stack[-1] = self._persistent(self.stack[-1])

    def _reduce(self) -> None:
        args, function = self.stack.pop(), self.stack[-1]
        if type(function) is not Function or type(args) is not tuple:
            raise pickle.UnpicklingError(f"it calls {brief(function)}")
        self.count.add(_n_values(args))
        self.stack[-1] = function.twin(*args)

    def _new_object(self) -> None:
        args, kind = self.stack.pop(), self.stack.pop()
        if not (isinstance(kind, type) and type(args) is tuple):
            raise pickle.UnpicklingError(f"it makes an object of {brief(kind)}")
        if name_of(kind) in NAMED_TUPLES and is_allowed(kind):
            self.append(kind(*args))
        elif makes_objects(kind) and not args:
            self.append(new_object(kind))
        else:
            raise pickle.UnpicklingError(f"it makes a {name_of(kind)} of {brief(args)}")

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        self.count.add(_n_values(state))
        if type(target) in STATES:
            STATES[type(target)](target, state)
        elif makes_objects(type(target)):
            set_state(target, state)
        else:
            raise pickle.UnpicklingError(f"it gives attributes to a {type(target).__name__}")

    def _bytearray(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        frame = self._unframer.current_frame
        if size > self._bounded.left + (0 if frame is None else len(frame.getbuffer())):
            raise EOFError("it ends too early")
        into = bytearray(size)
        self.readinto(into)
        self.append(into)

    def _long_integer(self) -> None:
        raise pickle.UnpicklingError("it holds an integer of more than 255 bytes")

    def _frozen_set(self) -> None:
        items = self.pop_mark()
        check_keys_of_file(items)
        self.append(frozenset(items))

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._update(items)

    def _append(self) -> None:
        value = self.stack.pop()
        self._extend([value], list, deque)

    def _appends(self) -> None:
        self._extend(self.pop_mark(), list, deque)

    def _extend(self, values: list[Any], *kinds: type) -> None:
        if type(self.stack[-1]) not in kinds:
            raise pickle.UnpicklingError(f"it adds values to a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(values)

    def _add_items(self) -> None:
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError(f"it adds items to a {type(self.stack[-1]).__name__}")
        check_keys_of_file(items)
        self.stack[-1].update(items)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _set_items(self) -> None:
        self._update(self.pop_mark())

    def _update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) not in (dict, OrderedDict):
            raise pickle.UnpicklingError(f"it sets items of a {type(self.stack[-1]).__name__}")
        check_keys_of_file(items[::2])
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))


SafeUnpickler.dispatch.update(
    {
        pickle.BINPERSID[0]: SafeUnpickler._persistent_id,
        pickle.REDUCE[0]: SafeUnpickler._reduce,
        pickle.NEWOBJ[0]: SafeUnpickler._new_object,
        pickle.BUILD[0]: SafeUnpickler._build,
        pickle.BYTEARRAY8[0]: SafeUnpickler._bytearray,
        pickle.LONG4[0]: SafeUnpickler._long_integer,
        pickle.FROZENSET[0]: SafeUnpickler._frozen_set,
        pickle.DICT[0]: SafeUnpickler._dict,
        pickle.APPEND[0]: SafeUnpickler._append,
        pickle.APPENDS[0]: SafeUnpickler._appends,
        pickle.ADDITEMS[0]: SafeUnpickler._add_items,
        pickle.SETITEM[0]: SafeUnpickler._set_item,
        pickle.SETITEMS[0]: SafeUnpickler._set_items,
    }
)


def _n_values(state: Any) -> int:
    """:return: number of values that a function or an object copies"""
    kinds = (dict, list, tuple, set, frozenset, deque)
    if not isinstance(state, kinds):
        return 0
    inner = state if isinstance(state, tuple) else ()
    return len(state) + sum(len(each) for each in inner if isinstance(each, kinds))


def _counted(instruction: _Instruction, weight: int) -> _Instruction:
    def count_and_run(unpickler: Any) -> None:
        unpickler.count.add(weight)
        instruction(unpickler)

    return count_and_run


#: Instructions that make an object, or a new part of the stack; the others make at most what they hold.
_COUNTED = (
    *("MARK", "LIST", "DICT", "EMPTY_LIST", "EMPTY_DICT", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("REDUCE", "NEWOBJ", "BUILD", "BINFLOAT", "BININT", "BININT2", "SHORT_BINUNICODE", "SHORT_BINBYTES"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE"),
)
_WEIGHTS = {**dict.fromkeys(_COUNTED, 1), "EMPTY_SET": 4, "FROZENSET": 4}
SafeUnpickler.dispatch.update(
    {(code := getattr(pickle, name)[0]): _counted(SafeUnpickler.dispatch[code], n) for name, n in _WEIGHTS.items()}
)


def load_pickle(
    file: BinaryIO,
    name: str,
    functions: Functions = FUNCTIONS,
    persistent: Persistent | None = None,
    count: ValueCount | None = None,
) -> Any:
    """
    :param file: open for reading, at the pickle
    :param name: of the file, and where in it, for messages
    :param functions: see :class:`SafeUnpickler`
    :param persistent: likewise
    :param count: of the values that this file held so far, if it is read in several parts
    :return: what was pickled
    :raises UnsafeFile: if it needs something that is not on our lists; the message names it, and none of it has run
    :raises ValueError: if it is damaged
    """
    begin = file.tell()
    unpickler = SafeUnpickler(file, functions, persistent, count or ValueCount(name))
    try:
        value = unpickler.load()
    except NotAllowed as error:
        file.seek(begin)
        raise refusal(name, names_in(file, functions) or [error.name]) from error
    except (UnsafeFile, MemoryError):
        raise
    except ImportError as error:
        raise ValueError(f"{name} cannot be read: {error}") from error
    except Exception as error:  # damage leads to any of them
        raise ValueError(f"{name} is damaged or not plain ({type(error).__name__}: {error}).") from error
    return check_extent(value, name)


def loads(
    data: bytes,
    name: str,
    functions: Functions = FUNCTIONS,
    persistent: Persistent | None = None,
    count: ValueCount | None = None,
) -> Any:
    """See :func:`load_pickle`."""
    return load_pickle(io.BytesIO(data), name, functions, persistent, count)


def names_in(file: BinaryIO, functions: Functions = FUNCTIONS) -> list[str]:
    """
    :param file: at a pickle
    :return: the first names in it that are not on our lists, in order; incomplete if it is damaged
    """
    unpickler = SafeUnpickler(io.BytesIO(b""), functions)
    found: list[str] = []
    strings: list[Any] = []
    memo: list[Any] = []
    try:
        for instruction, argument, _ in pickletools.genops(_Bounded(file)):  # type: ignore[arg-type]
            if instruction.name == "MEMOIZE":
                memo.append(strings[-1] if strings else None)
            elif instruction.name in ("STACK_GLOBAL", "GLOBAL", "INST"):
                pair = strings[-2:] if instruction.name == "STACK_GLOBAL" else str(argument).split(" ", 1)
                strings.append(None)
                if len(pair) == 2 and not _is_known(unpickler, *map(str, pair)):
                    found.append(".".join(map(str, pair)))
            elif instruction.name in ("BINGET", "LONG_BINGET"):
                strings.append(memo[int(argument or 0)])
            elif instruction.stack_after and instruction.name not in ("MARK", "PROTO", "FRAME"):
                strings.append(argument if isinstance(argument, str) else None)
            if len(set(found)) >= _MOST_NAMES:
                break
    except Exception:  # of a damaged pickle
        pass
    return list(dict.fromkeys(found))


def _is_known(unpickler: SafeUnpickler, module: str, name: str) -> bool:
    try:
        unpickler.find_class(module, name)
    except NotAllowed:
        return False
    except ImportError:
        return True
    return True
