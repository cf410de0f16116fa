"""Updates as CUDA graphs: the kernels of a whole update are launched by one call.

A step of a small cell takes a kernel less time than Python takes to launch it. So the kernels of an
update are recorded once for every form of its inputs (`torch.cuda.CUDAGraph`) and replayed on
inputs that are copied to where the recorded ones lay. A replay runs the kernels that were recorded,
so it gives the same numbers; whether it is used is a matter of time alone, and is decided by it.

    the first updates of a form     as they are, on a stream of their own; the last ones are timed
    the next                        recorded, which computes nothing, and replayed; these are timed
    all others                      replayed if that took less time, and as they are if not

What is recorded may read nothing, and must step parameters and running values in place. Where it
cannot be recorded, updates stay as they are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

MOST_FORMS = 16
"""Forms of inputs that are recorded; a graph keeps the memory of its update."""

WARM_UP = 3  # updates of a form before it is timed: what is made at first is made there
TIMED = 3

Tensors = Sequence[Tensor | None]
Compute = Callable[[Tensors], Sequence[Tensor]]


class Recorder(Protocol):
    """What can be asked of a device that records; a test has one of its own."""

    def aside(self, run: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
        """Runs something on a stream of its own, on which the work before and after waits."""
        ...

    def record(
        self, run: Callable[[], Sequence[Tensor]]
    ) -> tuple[Sequence[Tensor], Callable[[], None]]:
        """Records what something launches; gives what it returns, and what replays it.

        Raises:
            RuntimeError: It cannot be recorded.
        """
        ...

    def clock(self) -> float:
        """Waits for the device and gives the time in seconds."""
        ...


class CudaRecorder:
    """Records with `torch.cuda`.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool: object = None

    def aside(self, run: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
        """See `Recorder`."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            made = run()
        current.wait_stream(self.stream)
        for tensor in made:  # its memory is not given away while this stream may read it
            tensor.record_stream(current)
        return made

    def record(
        self, run: Callable[[], Sequence[Tensor]]
    ) -> tuple[Sequence[Tensor], Callable[[], None]]:
        """See `Recorder`."""
        with torch.cuda.device(self.device):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):  # type: ignore[arg-type]
                made = run()
        # one memory for all: a replay needs nothing of another, and what it made is copied at once
        self.pool = graph.pool()
        return made, graph.replay

    def clock(self) -> float:
        """See `Recorder`."""
        torch.cuda.synchronize(self.device)
        return time.perf_counter()


@dataclass
class _Form:
    """Updates of one form.

    Attributes:
        seen: How many there were.
        seconds: What those that were timed took, as they are and replayed.
        inputs: Where a replay reads.
        outputs: Where it writes.
        replay: Replays; None where updates run as they are.
        settled: Whether it is decided which of the two is taken.
    """

    seen: int = 0
    seconds: tuple[float, float] = (0.0, 0.0)
    inputs: Tensors = ()
    outputs: Sequence[Tensor] = ()
    replay: Callable[[], None] | None = field(default=None, repr=False)
    settled: bool = False


class CapturedSteps:
    """Runs updates as they are or replays them, whichever takes less time.

    Args:
        recorder: The device.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.forms: dict[Hashable, _Form] = {}

    def __call__(self, tensors: Tensors, compute: Compute) -> Sequence[Tensor]:
        """Makes an update.

        Args:
            tensors: What changes from update to update; None where one has none.
            compute: Makes it of such tensors, and changes all else in place.

        Returns:
            What `compute` gives, in memory that the next update leaves alone.
        """
        key = tuple(None if t is None else (tuple(t.shape), t.dtype) for t in tensors)
        form = self.forms.get(key)
        if form is None:
            if len(self.forms) == MOST_FORMS:
                return compute(tensors)
            form = self.forms[key] = _Form()
        form.seen += 1
        if form.settled:
            return compute(tensors) if form.replay is None else self._replayed(form, tensors)
        plain, replayed = form.seconds
        if form.seen <= WARM_UP + TIMED:
            start = self.recorder.clock()
            made = self.recorder.aside(lambda: compute(tensors))
            if form.seen > WARM_UP:
                form.seconds = plain + self.recorder.clock() - start, replayed
            return made
        if form.replay is None and not self._record(form, tensors, compute):
            form.settled = True
            return compute(tensors)
        start = self.recorder.clock()
        made = self._replayed(form, tensors)
        form.seconds = plain, replayed + self.recorder.clock() - start
        if form.seen == WARM_UP + 2 * TIMED:
            form.settled = True
            if form.seconds[1] >= plain:
                form.replay, form.inputs, form.outputs = None, (), ()
        return made

    def _record(self, form: _Form, tensors: Tensors, compute: Compute) -> bool:
        """Records an update; says whether that could be done."""
        form.inputs = [None if t is None else t.clone() for t in tensors]
        try:
            form.outputs, form.replay = self.recorder.record(lambda: compute(form.inputs))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[:1]
            print(
                f"odyssey: updates are not captured as a CUDA graph: {''.join(reason)}",
                file=sys.stderr,
            )
            form.inputs = ()
            return False
        return True

    def _replayed(self, form: _Form, tensors: Tensors) -> Sequence[Tensor]:
        for own, tensor in zip(form.inputs, tensors, strict=True):
            if own is not None and tensor is not None:
                own.copy_(tensor)
        assert form.replay is not None
        form.replay()
        return [output.clone() for output in form.outputs]


def capturing(device: torch.device) -> CapturedSteps | None:
    """Gives what captures the updates of a device, where it can."""
    return CapturedSteps(CudaRecorder(device)) if device.type == "cuda" else None
