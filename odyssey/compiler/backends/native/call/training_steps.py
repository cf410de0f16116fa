"""Several updates in one call: the cell, the readout, the loss and the update, one after the other.

What Python does between two calls into C costs more than a small cell, so a batch of updates is
handed over at once: the addresses of their inputs and targets, how many steps they have, whether
they begin from a state of zeros, and what each divides its loss by. The parts are those of single
updates (`training_layer`, `training_step`), with the structures that the last single update filled
in; so one of those comes first, and again whenever something moved, or a sequence is longer than
all before.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from odyssey.compiler.backends.base import (
    LayerRecurrence,
    ReadoutLoss,
    State,
    StepsBatch,
    StepsDone,
    UpdateStep,
)
from odyssey.compiler.backends.native.abi.structures import CPU, Form, Structs
from odyssey.compiler.backends.native.abi.training import STEPS
from odyssey.compiler.backends.native.call.kernel import DTYPES
from odyssey.compiler.backends.native.call.training_layer import NativeRecurrence
from odyssey.compiler.backends.native.call.training_step import (
    CLASSES,
    NativeReadout,
    NativeUpdate,
    step_library,
)
from odyssey.errors import ConfigError

MOST = 128
"""Updates of one call."""

_Types = tuple[np.dtype[Any], ...]
_BITS: np.dtype[Any] = np.dtype(np.uint8)
"""What bits come as; C turns those of one update at a time into reals."""

_INTEGERS = ("x", "target", "weight", "sizes", "rows", "anew")


def native_steps(
    recurrence: LayerRecurrence, readout: ReadoutLoss, update: UpdateStep
) -> NativeSteps | None:
    """Gives several updates in one call; None where a part is not this backend's own."""
    if (
        isinstance(recurrence, NativeRecurrence)
        and isinstance(readout, NativeReadout)
        and isinstance(update, NativeUpdate)
    ):
        return NativeSteps(recurrence, readout, update)
    return None


class NativeSteps:
    """Several updates of the members of a population; see `base.SeveralSteps`."""

    most = MOST

    def __init__(
        self, recurrence: NativeRecurrence, readout: NativeReadout, update: NativeUpdate
    ) -> None:
        self.recurrence, self.readout, self.update = recurrence, readout, update
        dtype, P = update.dtype, len(recurrence.units)
        self.members, self.run_steps = P, step_library(dtype).odyssey_steps
        ints = torch.zeros(len(_INTEGERS), MOST, dtype=torch.int64, device=CPU)
        self.integers = ints.numpy()  # in the same memory, as all below
        reals = torch.zeros(4, MOST, P, dtype=torch.float64, device=CPU)
        self.scale, self.counted, self.nll, self.norm = reals.numpy()
        corrections = torch.ones(MOST, 2, dtype=torch.float64, device=CPU)
        self.corrections = corrections.numpy()
        mean = torch.zeros(P, dtype=torch.float64, device=CPU)
        rates = torch.zeros(MOST, P, dtype=dtype, device=CPU)
        self.rates = rates.numpy()
        lengths = {"P": P, "most": MOST, "two": 2}
        self.structs = z = Structs(Form(STEPS, "f", lengths=lengths, real=dtype))
        for name, tensor in {
            **dict(zip(_INTEGERS, ints, strict=True)),
            **dict(zip(("scale", "counted", "nll", "norm"), reals, strict=True)),
            "corrections": corrections,
            "mean": mean,
            "rate": rates,
        }.items():
            z.put(name, tensor)
        numbers = [name for name, field in STEPS.of("f").items() if field.role == "number"]
        for name in numbers:
            z.number(name, 0)
        real = np.dtype(DTYPES[dtype])
        read = recurrence.read
        self.places = [np.array(where) for where in read.places.values()]
        self.width = width = sum(map(len, self.places)) or read.size
        dense: _Types = (real, _BITS)
        classes: _Types = (np.dtype(np.int64),)
        # of inputs, targets and weights: types, and what a row has
        self.kinds: tuple[tuple[_Types, tuple[int, ...]], ...] = (
            (dense, (width,)) if read.dense else (classes, ()),
            (classes, ()) if readout.kind == CLASSES else (dense, (readout.outputs,)),
            ((np.dtype(np.bool_),), ()),
        )
        self.row_bytes = self.kinds[0][0][0].itemsize * (width if read.dense else 1)
        self.rooms = {name: torch.empty(0, dtype=dtype, device=CPU) for name in ("x", "target")}
        self.dh = torch.empty(0, dtype=dtype, device=CPU)

    @property
    def longest(self) -> int:
        """See `base.SeveralSteps`."""
        calls = self.recurrence.calls
        return 0 if calls is None else calls.shape.steps

    def ready(self, state: State | None) -> bool:
        """See `base.SeveralSteps`."""
        calls, readout = self.recurrence.calls, self.readout.training()
        if calls is None or not self.recurrence.unmoved() or not self.update.settled():
            return False
        if any(len(parts) > 1 for parts in calls.gradients.values()):
            return False  # which are added up between the calls
        if readout is None or readout.held_at("h") != calls.y.data_ptr():
            return False
        return state is None or all(
            s.data_ptr() == f.data_ptr() and s.numel() == f.numel()
            for s, f in zip(state, calls.outputs[calls.turn], strict=True)
        )

    def run(self, batch: StepsBatch) -> StepsDone:
        """See `base.SeveralSteps`."""
        calls, z = self.recurrence.calls, self.structs
        assert calls is not None
        updates, P = len(batch.inputs), self.members
        steps = [weights.shape[1] for weights in batch.weights]
        inputs = [self._one_after_the_other(x) for x in batch.inputs]  # held while C runs
        self._steps(steps, batch.anew)
        for row, (arrays, (types, tail)) in enumerate(
            zip((inputs, batch.targets, batch.weights), self.kinds, strict=True)
        ):
            dtype = next((each for each in types if each == arrays[0].dtype), types[0])
            shapes = {each: (P, each, calls.shape.batch, *tail) for each in set(steps)}
            for k, array in enumerate(arrays):
                shape = shapes[steps[k]]
                if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
                    raise ConfigError(
                        f"expected {dtype.name} {shape}, row-major, got {array.dtype} {array.shape}"
                    )
                self.integers[row, k] = array.__array_interface__["data"][0]
        self.scale[:updates], self.counted[:updates] = batch.scale, batch.counted
        self.corrections[:updates], self.rates[:updates] = batch.corrections, batch.rates
        numbers = self._numbers(updates, anew=any(batch.anew))
        numbers |= {"x_room": self._room("x", inputs)}
        numbers |= {"target_room": self._room("target", batch.targets)}
        for name, value in numbers.items():
            z.change(name, value)
        self.run_steps(z.filled(), None)
        done, bad = z.value("done"), z.value("bad")
        calls.turn = 1 - z.value("turn")
        if bad:
            what = "class indices" if bad == 1 else "targets"
            most = self.recurrence.read.size if bad == 1 else self.readout.outputs
            raise ConfigError(f"{what} must be 0 to {most - 1}")
        return StepsDone(
            done,
            self.nll[:done].copy(),
            self.norm[:done].copy(),
            self.update.healthy_P,
            calls.outputs[calls.turn],
        )

    def _one_after_the_other(self, x: NDArray[Any]) -> NDArray[Any]:
        """Gives the inputs of an update with those of a program one after the other, each of all
        members, in as many numbers a row; as they are where the program reads x alone."""
        if not self.places:
            return x
        parts = [x[..., where].ravel() for where in self.places]
        return np.concatenate(parts).reshape(*x.shape[:-1], -1)

    def _input_bytes(self) -> NDArray[np.int64]:
        """Gives for each input field the bytes of a row that lie before its input, and its own."""
        calls, item = self.recurrence.calls, self.kinds[0][0][0].itemsize
        assert calls is not None
        if not self.places:
            whole = [[0, self.row_bytes]] * len(calls.inputs)
            return np.array(whole, dtype=np.int64).T.copy()
        ends = np.cumsum([0, *map(len, self.places)])
        sizes = dict(
            zip(self.recurrence.places, zip(ends, np.diff(ends), strict=False), strict=True)
        )
        rows = [sizes[name] for name in calls.names]
        return np.array(rows, dtype=np.int64).T.copy() * item

    def _room(self, name: str, arrays: Sequence[NDArray[Any]]) -> int:
        """Gives the address of memory in which the bits of an update turn into reals, else 0."""
        if arrays[0].dtype != _BITS:
            return 0
        count = max(array.size for array in arrays)
        if self.rooms[name].numel() < count:
            self.rooms[name] = torch.empty(count, dtype=self.update.dtype, device=CPU)
        return self.rooms[name].data_ptr()

    def _steps(self, steps: Sequence[int], anew: Sequence[bool]) -> None:
        """Writes down how many steps updates have, whether they begin anew, and what follows."""
        calls = self.recurrence.calls
        assert calls is not None
        if max(steps) > calls.shape.steps:
            raise ConfigError(f"expected at most {calls.shape.steps} steps, got {max(steps)}")
        where = {each: ctypes.addressof(calls.sizes(each)) for each in set(steps)}
        sizes, rows, begin = self.integers[3:, : len(steps)]
        sizes[:] = [where[each] for each in steps]
        rows[:], begin[:] = np.multiply(steps, calls.shape.batch), anew

    def _numbers(self, updates: int, *, anew: bool) -> dict[str, int]:
        """Gives the numbers of the structure, with the addresses of the parts as they are now."""
        calls, kernel = self.recurrence.calls, self.recurrence.kernel
        assert calls is not None
        forth, back = calls.turns, calls.back
        names = calls.inputs
        for turn, structs in enumerate(forth):
            for name in names:
                if name not in structs.held:  # it has not been its turn yet
                    structs.share(name, back)
            for n, final in enumerate(calls.outputs[1 - turn]):
                structs.set(f"i{n}", final)
        self.columns = np.array([back.form.columns[name] for name in names], dtype=np.int64)
        self.bytes = self._input_bytes()
        self.sums = np.array([(t.data_ptr(), t.nbytes) for t in calls.sums], dtype=np.int64).T
        self.sums = np.ascontiguousarray(self.sums.reshape(2, -1))
        self.anew = calls.anew() if anew else forth  # copies cost more than a tiny cell
        if self.dh.numel() < calls.y.numel():
            self.dh = torch.empty_like(calls.y)
        address = ctypes.addressof
        readout = self.readout.training()
        assert readout is not None, "ready() says whether there was a single update before"
        return {
            "P": self.members,
            "updates": updates,
            "done": 0,
            "turn": 1 - calls.turn,
            "bad": 0,
            "forward": _entry(kernel.entries["f"]),
            "backward": _entry(kernel.entries["b"]),
            "forth": address(forth[0].filled()),
            "other": address(forth[1].filled()),
            "forth_anew": address(self.anew[0].filled()),
            "other_anew": address(self.anew[1].filled()),
            "back": address(back.filled()),
            "words": back.width,
            "fields": len(names),
            "columns": self.columns.ctypes.data,
            "starts": self.bytes[0].ctypes.data,
            "widths": self.bytes[1].ctypes.data,
            "row_bytes": self.row_bytes,
            "symbols": 0 if self.recurrence.read.dense else self.recurrence.read.size,
            "y": calls.y.data_ptr(),
            "y_member": calls.y.stride(0),
            "dh": self.dh.data_ptr(),
            "dy": back.form.columns["dy"],
            "readout": address(readout.filled()),
            "update": address(self.update.structs.filled()),
            "sums": self.sums.shape[1],
            "sum_at": self.sums[0].ctypes.data,
            "sum_bytes": self.sums[1].ctypes.data,
        }


def _entry(function: object) -> int:
    value = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert value is not None
    return value
