"""An update as one CUDA graph: one launch instead of a hundred, without synchronizing with the host.

Source: PyTorch, "CUDA semantics", section "CUDA Graphs". B: batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from sb3_atari_dqn.learners.update import Update
from sb3_atari_dqn.replay.stack_rows import StackRows, StacksInPlace

# Updates made one kernel at a time before the capture: the first ones allocate memory whose addresses the graph keeps.
WARM_UP_UPDATES = 3

T = TypeVar("T")


class GraphCapture(Protocol):
    """What a device needs to run a function, and to capture it for replay."""

    def run(self, function: Callable[[], T]) -> T:
        """Call the function as a later capture requires."""

    def capture(self, function: Callable[[], T]) -> Callable[[], T]:
        """:return: replays the function on the same memory; capturing executes nothing on the device"""


class CudaGraphCapture:
    """
    Captures CUDA graphs on one device.

    :param device: computations on another one would not be captured
    :param generators: on this device, beside its default one, that the function draws from; each replay draws on
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator] = ()) -> None:
        self._device = device
        self._generators = generators
        self._stream = torch.cuda.Stream(device)

    def run(self, function: Callable[[], T]) -> T:
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                result = function()
            torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def capture(self, function: Callable[[], T]) -> Callable[[], T]:
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        with torch.cuda.device(self._device), torch.cuda.graph(graph, stream=self._stream):
            result = function()

        def replay() -> T:
            with torch.cuda.device(self._device):
                graph.replay()
            return result

        return replay


class Replayed(Generic[T]):
    """
    Calls a function a few times, then captures it and replays the graph.

    :param function: uses the same memory each time and never reads from the device
    :param capture: of the device
    """

    def __init__(self, function: Callable[[], T], capture: GraphCapture) -> None:
        self._function, self._capture = function, capture
        self._calls = 0
        self._replay: Callable[[], T] | None = None

    def __call__(self) -> T:
        """:return: the function's result; the next call overwrites it"""
        if self._calls < WARM_UP_UPDATES:
            self._calls += 1
            return self._capture.run(self._function)
        if self._replay is None:
            self._replay = self._capture.capture(self._function)
        return self._replay()


class FixedBatch(NamedTuple):
    """A batch at fixed addresses, for a graph to read; names as in SB3's samples, None where a batch has no field."""

    observations: Tensor | StacksInPlace
    actions: Tensor
    next_observations: Tensor | StacksInPlace | None
    dones: Tensor | None
    rewards: Tensor | None
    discounts: Tensor | None
    weights: Tensor | None
    targets: Tensor | None

    @classmethod
    def like(cls, batch: Any) -> "FixedBatch":
        """:return: a batch of the same shapes, with memory of its own"""
        return cls(*(_room_for(getattr(batch, name, None)) for name in cls._fields))

    def fits(self, batch: Any) -> bool:
        """:return: whether the other batch has the same fields in the same shapes"""
        return all(_fits(own, getattr(batch, name, None)) for name, own in zip(self._fields, self, strict=True))

    def copy_(self, batch: Any) -> None:
        """Copy another batch into this one's memory."""
        for name, own in zip(self._fields, self, strict=True):
            if isinstance(own, StacksInPlace):
                own.copy_(getattr(batch, name))
            elif own is not None:
                own.copy_(getattr(batch, name), non_blocking=True)

    def gathered(self) -> "FixedBatch":
        """:return: the same with all observations as images"""
        fields: list[Any] = [own.gather() if isinstance(own, StacksInPlace) else own for own in self]
        return FixedBatch(*fields)


def _room_for(field: Any) -> Any:
    if field is None:
        return None
    return field.with_memory() if isinstance(field, StackRows) else torch.empty_like(field)


def _fits(own: Any, theirs: Any) -> bool:
    if isinstance(own, StacksInPlace):
        return own.fits(theirs)
    if own is None or not isinstance(theirs, Tensor):
        return own is theirs
    return own.shape == theirs.shape and own.dtype == theirs.dtype


class GraphedUpdate:
    """
    Calls an update a few times, then captures it and replays the graph; a batch of another shape starts again.

    :param update: makes one update from a batch; uses the same memory each time and never reads from the device
    :param capture: of the device
    """

    def __init__(self, update: Callable[[Any], Update], capture: GraphCapture) -> None:
        self._update, self._capture = update, capture
        self._batch: FixedBatch | None = None
        self._replayed: Replayed[Update] | None = None

    def __call__(self, batch: Any) -> Update:
        """
        :param batch: SB3's samples, or those with importance weights; its observations may be row numbers
        :return: tensors that the next call overwrites
        """
        if self._batch is None or self._replayed is None or not self._batch.fits(batch):
            fixed = self._batch = FixedBatch.like(batch)
            self._replayed = Replayed(lambda: self._update(fixed.gathered()), self._capture)
        self._batch.copy_(batch)
        return self._replayed()
