"""The numeric fingerprint: a second opinion on whether two cells are the same function.

A few steps on fixed inputs, at three units. Names must not matter, so no parameter may have weights
of its own at first: every matrix is the same fixed matrix A and every vector the same fixed vector
a, except for one parameter at a time, which is B or b. How the output reacts to each parameter
alone tells where that parameter is used. In a last run every parameter gets weights that are drawn
from this reaction, so that they act together. All states start at one fixed vector, since many a
cell stays at zero when it starts there. The outputs of all these runs, rounded and sorted, make the
fingerprint.

What is rounded is the value of the function, not what came of one way to compute it: the runs in
float64 are made three times side by side, twice with small errors in every operation, and where
these could change a digit, as in sums of large numbers that cancel, the run is made again in more
and more bits until they cannot. A value that stays open, such as 1 / (a - b) at equal weights, is
not a number, and a run ends with the step in which the output grows large.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from odyssey.expr.precise import run_precisely
from odyssey.expr.primitives import Array
from odyssey.expr.program import MAIN_INPUT, Program
from odyssey.expr.properties import apply_properties
from odyssey.expr.running import run_program
from odyssey.expr.sizes import ONE, PLAIN, axes
from odyssey.expr.sizes import UNITS as H

UNITS = 3  # input size and hidden size
STEPS = 4
SCALE = 0.6  # of all weights and states
DIGITS = 7  # significant digits kept
DECIMALS = 9  # decimals kept
MAX_OUTPUT = 1e12  # of an output; what comes after it is not looked at
JITTER = 2.0**-50  # relative error of an operation, several times that of float64
MARGIN = 16.0  # the error of a value is taken for so many times what the jitter did to it
PATTERNS = 61  # of jitter, used in turn
BITS = (120, 240, 480, 960)  # of the numbers that settle what float64 leaves open
MAX_WORK = 400_000  # operations on such numbers for one cell; what is open after them stays so


def _fixed() -> tuple[Array, ...]:
    rng = np.random.default_rng(20150319)
    a, b = rng.normal(0.0, SCALE, (2, UNITS, UNITS))
    u, v, start = rng.normal(0.0, SCALE, (3, UNITS))
    return a, b, u, v, start, rng.normal(0.0, 1.0, (STEPS, UNITS))


def _jitter() -> Array:
    """Factors of the runs of a triple: none for the first, errors of all signs for the others."""
    rng = np.random.default_rng(42)
    errors_KCBN = rng.choice([-1.0, 1.0], (PATTERNS, 3, 1, UNITS)) * rng.uniform(
        0.5, 1.0, (PATTERNS, 3, 1, UNITS)
    )
    errors_KCBN[:, 0] = 0.0
    return 1.0 + JITTER * errors_KCBN


_A, _B, _U, _V, _START, _X_TI = _fixed()
_JITTER_KCBN = _jitter()


@dataclass(frozen=True)
class Reactions:
    """What the runs gave, rounded.

    Attributes:
        base: All parameters at A or a.
        alone: For each parameter that the output sees, the run in which it alone is B or b.
        together: All parameters at weights drawn from `alone`.
        sizes: The sizes of states and parameters where they are not I or H: the runs have as many
            units of all sizes but 1.
    """

    base: str
    alone: dict[str, str]
    together: str
    sizes: tuple[str, ...] = ()

    def digest(self, *more: str) -> str:
        """Gives 16 hex digits of all of it, and of more lines."""
        lines = [self.base, *sorted(self.alone.values()), self.together, *self.sizes, *more]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def react(program: Program) -> Reactions:
    """Runs a cell, of which nothing is dead, on the fixed weights and inputs."""
    runs = _Runs(program)
    parameters = program.parameters()
    weights: dict[str, Array] = {}
    for number, name in enumerate(parameters, start=1):
        sizes = program.axes_of(name)
        base, other = (_A, _B) if len(sizes) == 2 else (_U, _V)
        own = tuple(slice(_units(size)) for size in sizes)
        base, other = (_used(program, name, w[own]) for w in (base, other))
        weights[name] = np.repeat(base[None], len(parameters) + 1, axis=0)
        weights[name][number] = other
    rows = runs.rows(weights)
    # a parameter that the output does not see says nothing: dead equations do not count
    alone = {n: r for n, r in zip(parameters, rows[1:], strict=True) if r != rows[0]}
    drawn = {
        name: _used(program, name, _drawn(alone.get(name, ""), weights[name].shape[1:]))[None]
        for name in parameters
    }
    return Reactions(rows[0], alone, runs.rows(drawn)[0], _special_sizes(program, alone))


def _units(size: str) -> int:
    return 1 if size == ONE else UNITS


def _used(program: Program, name: str, weight: Array) -> Array:
    """Makes what the properties of a parameter make of it; blocks go uncut, for want of units."""
    properties = [p for p in program.properties.get(name, ()) if not p.startswith("heads")]
    made: Array = apply_properties(np, weight, properties)
    return made


def _special_sizes(program: Program, alone: Mapping[str, str]) -> tuple[str, ...]:
    """Describes the sizes of states and parameters that are not I or H, names apart."""
    states = (program.state_size(s) for s in program.states)
    lines = [f"state : {size}" for size in states if size != H]
    lines += [f"input {name} : {size}" for name, size in program.inputs.items()]
    shapes = program.matrices | {name: (size,) for name, size in program.vectors.items()}
    lines += [
        f"{alone.get(name, '')} : {', '.join(sizes)}"
        for name, sizes in shapes.items()
        if set(sizes) - set(PLAIN)
    ]
    lines += [
        f"{alone.get(name, '')} is {', '.join(words)}" for name, words in program.properties.items()
    ]
    return tuple(sorted(lines))


def _drawn(row: str, shape: tuple[int, ...]) -> Array:
    seed = int.from_bytes(hashlib.sha256(row.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(0.0, SCALE, shape)


class _Runs:
    """Runs one cell, as precisely as its digits need.

    Shapes: P members, N values of a run, K patterns of jitter; B is 1.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.inputs = {MAIN_INPUT: _X_TI} | {
            name: _further_input(name, size) for name, size in program.inputs.items()
        }
        self.work = 0

    def rows(self, weights: dict[str, Array]) -> list[str]:
        """Gives the outputs of each member, rounded."""
        members = max((len(w) for w in weights.values()), default=1)
        jitter = np.tile(_JITTER_KCBN, (1, members, 1, 1))
        tripled = {name: np.repeat(w, 3, axis=0) for name, w in weights.items()}
        inputs = {
            name: np.broadcast_to(x[:, None, None], (STEPS, 3 * members, 1, x.shape[1]))
            for name, x in self.inputs.items()
        }
        start = {}
        for name in self.program.states:
            first = _starting(self.program, name)
            start[name] = np.broadcast_to(first, (3 * members, 1, *first.shape))
            start[name] = start[name] + _first(self.program, name, tripled)[..., None, :]
        with np.errstate(all="ignore"):
            y_TPBH, _ = run_program(self.program, tripled, inputs, start, jitter_KPBN=jitter)
            y_PCN = np.moveaxis(y_TPBH, 1, 0).reshape(members, 3, -1)
            value_PN = y_PCN[:, 0]
            moved_PN = np.abs(y_PCN[:, 1:] - value_PN[:, None]).max(axis=1)
            error_PN = MARGIN * (moved_PN + JITTER * np.abs(value_PN))
            open_PN = _may_straddle(value_PN, error_PN)
        found = []
        for member, (values, errors) in enumerate(zip(value_PN, error_PN, strict=True)):
            texts = [_round(v) for v in values.tolist()]
            end = _end(texts)
            if open_PN[member, :end].any() and not _settled(values[:end], errors[:end]):
                own = {name: w[member] for name, w in weights.items()}
                texts = self._precisely(own, len(texts))
                end = _end(texts)
            found.append(" ".join(texts[:end]))
        return found

    def _precisely(self, weights: dict[str, Array], count: int) -> list[str]:
        """Gives the outputs of one member by numbers of more and more bits, `nan` where open."""
        texts = ["nan"] * count
        for bits in BITS:
            self.work += 2 * STEPS * UNITS * len(self.program.nodes)
            if self.work > MAX_WORK:
                break
            start = {
                s: _starting(self.program, s) + _first(self.program, s, weights)
                for s in self.program.states
            }
            runs = (
                run_precisely(
                    self.program, weights, self.inputs, start, bits=bits, rng=random.Random(seed)
                )
                for seed in (1, 2)
            )
            pairs = [
                pair for steps in zip(*runs, strict=False) for pair in zip(*steps, strict=True)
            ]
            for k, (one, other) in enumerate(pairs):
                error = abs(one - other) * 64 + abs(one) * 2.0 ** (16 - bits)
                low, high = _round(float(one - error)), _round(float(one + error))
                texts[k] = low if low == high else "nan"
            if "nan" not in texts[: min(len(pairs), _end(texts))]:
                break
        return texts


def _further_input(name: str, size: str) -> Array:
    """Gives what a further input is in all runs, (T, N): its own, for it is fed by name."""
    seed = int.from_bytes(hashlib.sha256(f"input {name}".encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(0.0, 1.0, (STEPS, _units(size)))


def _starting(program: Program, state: str) -> Array:
    """Gives what a state starts at in all runs, (N,), of a matrix (N, N)."""
    first, *columns = (_START[: _units(size)] for size in axes(program.state_size(state)))
    return np.outer(first, *columns) if columns else first


def _first(program: Program, state: str, weights: Mapping[str, Array]) -> Array:
    """Gives what a state starts at in the cell, (1,) or (..., N)."""
    start = program.starts.get(state, 0.0)
    return weights[start] if isinstance(start, str) else np.full(1, start)


def _end(texts: list[str]) -> int:
    """Gives the number of values up to the first step that is large or not a number, with it."""
    wild = next(
        (k for k, text in enumerate(texts) if not abs(float(text)) <= MAX_OUTPUT), len(texts)
    )
    return min(len(texts), (wild // UNITS + 1) * UNITS)


def _may_straddle(value: Array, error: Array) -> Array:
    """Marks values whose digits an error may change; no others need a closer look."""
    least = 10.0**-DECIMALS
    size = np.maximum(np.abs(value), least)
    unit: Array = np.maximum(10.0 ** (np.floor(np.log10(size)) - DIGITS + 1), least)
    near = np.zeros(value.shape, bool)
    # rounded to decimals first, and then to digits: the first moves a boundary of the second
    for step, moved in ((unit, least), (np.full(value.shape, least), 0.0)):
        places = value / step
        near = near | ~(np.abs(places - np.floor(places) - 0.5) * step > error + moved)
    return near


def _settled(values: Array, errors: Array) -> bool:
    low, high = (values - errors).tolist(), (values + errors).tolist()
    return bool(np.isfinite(errors).all()) and list(map(_round, low)) == list(map(_round, high))


def _round(value: float) -> str:
    # + 0.0: no minus zero; infinities print by name
    return f"{round(value, DECIMALS) + 0.0:.{DIGITS - 1}e}"


def fingerprint(program: Program) -> str:
    """Gives the fingerprint of a cell, 16 hex digits; equal functions have equal ones.

    Initial values are not part of it; cells that differ in `init` lines only share it.
    """
    return react(program).digest()
