"""Several updates in one call: the cell, the readout, the loss and the update, one after the other.

What Python does between two calls into C costs more than a small cell, so a batch of updates is
handed over at once: the addresses of their class indices, and what each divides its loss by. The
parts are those of single updates (`training_layer`, `training_step`), with the structures that the
last single update filled in; so one of those comes first, and again whenever something moved.
"""

from __future__ import annotations

import ctypes

import numpy as np
import torch

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


def native_steps(
    recurrence: LayerRecurrence, readout: ReadoutLoss, update: UpdateStep
) -> NativeSteps | None:
    """Gives several updates in one call; None where a part is not this backend's own, or what is
    predicted are no classes."""
    if (
        isinstance(recurrence, NativeRecurrence)
        and isinstance(readout, NativeReadout)
        and readout.kind == CLASSES
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
        ints = torch.zeros(3, MOST, dtype=torch.int64, device=CPU)
        self.addresses = ints.numpy()  # in the same memory, as all below
        reals = torch.zeros(4, MOST, P, dtype=torch.float64, device=CPU)
        self.scale, self.counted, self.nll, self.norm = reals.numpy()
        corrections = torch.ones(MOST, 2, dtype=torch.float64, device=CPU)
        self.corrections = corrections.numpy()
        mean = torch.zeros(P, dtype=torch.float64, device=CPU)
        lengths = {"P": P, "most": MOST, "two": 2}
        self.structs = z = Structs(Form(STEPS, "f", lengths=lengths, real=dtype))
        for name, tensor in {
            **dict(zip(("x", "target", "weight"), ints, strict=True)),
            **dict(zip(("scale", "counted", "nll", "norm"), reals, strict=True)),
            "corrections": corrections,
            "mean": mean,
        }.items():
            z.put(name, tensor)
        numbers = [name for name, field in STEPS.of("f").items() if field.role == "number"]
        for name in numbers:
            z.number(name, 0)

    def ready(self, state: State) -> bool:
        """See `base.SeveralSteps`."""
        calls = self.recurrence.calls
        if calls is None or not self.recurrence.unmoved() or not self.update.settled():
            return False
        if any(len(parts) > 1 for parts in calls.gradients.values()):
            return False  # which are added up between the calls
        finals = calls.outputs[calls.turn]
        return self.readout.settled(calls.y) and all(
            s.data_ptr() == f.data_ptr() and s.numel() == f.numel()
            for s, f in zip(state, finals, strict=True)
        )

    def run(self, batch: StepsBatch) -> StepsDone:
        """See `base.SeveralSteps`."""
        calls, z = self.recurrence.calls, self.structs
        assert calls is not None
        updates, P = len(batch.inputs), self.members
        shape = (P, *calls.size)
        for row, (arrays, dtype) in enumerate(
            (
                (batch.inputs, np.int64),
                (batch.targets, np.int64),
                (batch.weights, np.bool_),
            )
        ):
            for k, array in enumerate(arrays):
                if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
                    raise ConfigError(
                        f"expected {np.dtype(dtype).name} {shape}, row-major,"
                        f" got {array.dtype} {array.shape}"
                    )
                self.addresses[row, k] = array.__array_interface__["data"][0]
        self.scale[:updates], self.counted[:updates] = batch.scale, batch.counted
        self.corrections[:updates] = batch.corrections
        for name, value in self._numbers(updates).items():
            z.change(name, value)
        self.run_steps(z.filled(), None)
        done, bad = z.value("done"), z.value("bad")
        calls.turn = 1 - z.value("turn")
        if bad:
            what = "class indices" if bad == 1 else "targets"
            raise ConfigError(f"{what} must be 0 to {self.recurrence.symbols - 1}")
        return StepsDone(
            done,
            self.nll[:done].copy(),
            self.norm[:done].copy(),
            self.update.healthy_P,
            calls.outputs[calls.turn],
        )

    def _numbers(self, updates: int) -> dict[str, int]:
        """Gives the numbers of the structure, with the addresses of the parts as they are now."""
        calls, kernel = self.recurrence.calls, self.recurrence.kernel
        assert calls is not None
        forth, back = calls.turns, calls.back
        names = [f"x{n}_index" for n in range(len(kernel.plan.stacks))]
        for turn, structs in enumerate(forth):
            for name in names:
                if name not in structs.held:  # it has not been its turn yet
                    structs.share(name, back)
            for n, final in enumerate(calls.outputs[1 - turn]):
                structs.set(f"i{n}", final)
        self.columns = np.array([back.form.columns[name] for name in names], dtype=np.int64)
        self.sums = np.array([(t.data_ptr(), t.nbytes) for t in calls.sums], dtype=np.int64).T
        self.sums = np.ascontiguousarray(self.sums.reshape(2, -1))
        address = ctypes.addressof
        readout = self.readout.structs(calls.y)
        return {
            "P": self.members,
            "updates": updates,
            "done": 0,
            "turn": 1 - calls.turn,
            "bad": 0,
            "forward": _entry(kernel.entries["f"]),
            "backward": _entry(kernel.entries["b"]),
            "sizes": address(calls.sizes),
            "forth": address(forth[0].filled()),
            "other": address(forth[1].filled()),
            "back": address(back.filled()),
            "words": back.width,
            "fields": len(names),
            "columns": self.columns.ctypes.data,
            "count": calls.size[0] * calls.size[1],
            "symbols": self.recurrence.symbols,
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
