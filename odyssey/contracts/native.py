"""The C of a primitive: compiled into a cell, it gives what NumPy's function and derivative do."""

from __future__ import annotations

import numpy as np
import torch

from odyssey.compiler import RNN
from odyssey.compiler.backends.native import missing
from odyssey.contracts.finding import Missing, Wrong, expect
from odyssey.expr.cell import parse_cell
from odyssey.expr.primitives import Primitive

# Far out, near zero and between; away from 0, where a function may jump.
_ARGUMENTS = np.concatenate([-np.geomspace(1e-3, 30, 40), np.geomspace(1e-3, 30, 40)])
_TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-8}  # of 1 + |value|


def check_c(name: str, row: Primitive) -> None:
    """Checks the C of a primitive on both types.

    A cell whose update is the primitive of its input alone runs natively and on eager.
    """
    if row.internal:
        return
    if not row.c:
        raise Missing("cells with it run on the slower eager backend")
    if reason := missing():
        raise Missing(f"not checked here: {reason}")
    other = ", V @ x[t]" * (row.arity - 1)
    text = f"cell tried\ninput x\nstate h\nh[t] = {name}(W @ x[t] + u * h[t-1]{other})\noutput h\n"
    cell = parse_cell(text)
    given = np.abs(_ARGUMENTS) if row.edge == "end" else _ARGUMENTS
    for dtype, tolerance in _TOLERANCE.items():
        x = torch.tensor(given, dtype=dtype)[:, None, None]
        results = {}
        for backend in ("native", "eager"):
            rnn = RNN(cell, 1, 1, backend=backend, dtype=dtype)
            if rnn.backend != backend:
                raise Wrong(f"the {backend} backend does not take a cell with it")
            with torch.no_grad():
                for parameter, value in rnn.named_parameters():
                    letter = parameter.rpartition(".")[2]
                    value.fill_({"W": 1.0, "V": -0.75, "u": 0.0}[letter])
            read = x.clone().requires_grad_()
            output, _ = rnn(read)
            (slope,) = torch.autograd.grad(output.sum(), read)
            results[backend] = (output.detach().double(), slope.double())
        for what, own, wanted in zip(
            ("value", "gradient"), results["native"], results["eager"], strict=True
        ):
            far = (own - wanted).abs() > tolerance * (1 + wanted.abs())
            far &= ~(own.isnan() & wanted.isnan())
            if bool(far.any()):
                at = int(far.flatten().to(torch.int8).argmax())
                expect(
                    False,
                    f"in {str(dtype).removeprefix('torch.')} the {what} at {given[at]:.6g} is"
                    f" {float(own.flatten()[at]):.9g} in C and {float(wanted.flatten()[at]):.9g}"
                    " in torch",
                )
