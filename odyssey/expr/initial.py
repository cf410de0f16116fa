"""How weights start: the table of what an `init` line may say, and the drawing of all weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from odyssey.expr import given
from odyssey.expr.equations import Init
from odyssey.expr.primitives import Array
from odyssey.expr.terms import format_number

Arguments = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class InitialValue:
    """One row of the table of initial values.

    Attributes:
        counts: How many numbers an `init` line may give.
        complete: Fills in the numbers that were left out.
        draw: Draws an array of a shape.
        torch: The same in torch: statements that fill the tensor `{w}`, with `{0}`, `{1}` for the
            numbers; or the lines of a function of `shape` that gives the values. Empty where there
            is none: then a cell with it does not go to torch alone.
        objection: Says what is wrong with the numbers, or nothing.
        vectors: Whether vectors may start so; matrices may, unless it is `only_vectors`.
        only_vectors: Whether only vectors may start so.
        square: Whether a matrix must be square.
    """

    counts: tuple[int, ...]
    complete: Callable[[Arguments], Arguments] = lambda numbers: numbers
    draw: Callable[[Arguments, tuple[int, ...], np.random.Generator], Array]
    torch: str = ""
    objection: Callable[[Arguments], str] = lambda numbers: ""
    vectors: bool = True
    only_vectors: bool = False
    square: bool = False


def _orthogonal(numbers: Arguments, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diag(r))  # uniform over orthogonal matrices (Mezzadri 2007)
    return numbers[0] * (q if shape[0] >= shape[1] else q.T)


def _whole(name: str, number: float, *, most: int) -> str:
    if number in range(1, most + 1):
        return ""
    return f"{name}({number:g}): a whole number from 1 to {most} is expected"


INITIAL_VALUES: dict[str, InitialValue] = {
    "constant": InitialValue(
        counts=(1,),
        draw=lambda numbers, shape, rng: np.full(shape, numbers[0]),
        torch="nn.init.constant_({w}, {0})",
    ),
    "uniform": InitialValue(
        counts=(1, 2),
        complete=lambda numbers: numbers if len(numbers) == 2 else (-numbers[0], numbers[0]),
        draw=lambda numbers, shape, rng: rng.uniform(numbers[0], numbers[1], shape),
        torch="nn.init.uniform_({w}, {0}, {1})",
        objection=lambda numbers: (
            f"uniform({numbers[0]:g}, {numbers[1]:g}) is empty" if numbers[0] > numbers[1] else ""
        ),
    ),
    "normal": InitialValue(
        counts=(1, 2),
        complete=lambda numbers: numbers if len(numbers) == 2 else (0.0, numbers[0]),
        draw=lambda numbers, shape, rng: rng.normal(numbers[0], numbers[1], shape),
        torch="nn.init.normal_({w}, {0}, {1})",
        objection=lambda numbers: (
            f"a standard deviation of {numbers[1]:g} is negative" if numbers[1] < 0 else ""
        ),
    ),
    "identity": InitialValue(
        counts=(0, 1),
        complete=lambda numbers: numbers or (1.0,),
        draw=lambda numbers, shape, rng: numbers[0] * np.eye(shape[0], shape[1]),
        torch="nn.init.eye_({w}).mul_({0})",
        vectors=False,
        square=True,
    ),
    "orthogonal": InitialValue(
        counts=(0, 1),
        complete=lambda numbers: numbers or (1.0,),
        draw=_orthogonal,
        torch="nn.init.orthogonal_({w}, {0})",
        vectors=False,
    ),
    "chrono": InitialValue(  # ln U(1, T_max - 1), Tallec & Ollivier 2018
        counts=(1,),
        draw=lambda numbers, shape, rng: np.log(rng.uniform(1.0, numbers[0] - 1.0, shape)),
        torch="nn.init.uniform_({w}, 1, {0} - 1).log_()",
        objection=lambda numbers: (
            f"chrono({numbers[0]:g}): T_max must be at least 3 steps" if numbers[0] < 3 else ""
        ),
        only_vectors=True,
    ),
    "ramp": InitialValue(
        counts=(2,),
        draw=lambda numbers, shape, rng: given.ramp(shape, numbers[0], numbers[1]),
        torch="{w}.copy_({0} + {1} * torch.arange({w}.shape[-1]))",
    ),
    "log_ramp": InitialValue(
        counts=(2,),
        draw=lambda numbers, shape, rng: np.log(given.ramp(shape, numbers[0], numbers[1])),
        objection=lambda numbers: (
            f"log_ramp({numbers[0]:g}, {numbers[1]:g}): there is no logarithm of what is not > 0"
            if numbers[0] <= 0 or numbers[1] < 0
            else ""
        ),
        torch="{w}.copy_(({0} + {1} * torch.arange({w}.shape[-1])).log())",
    ),
    "periods": InitialValue(
        counts=(1,),
        draw=lambda numbers, shape, rng: given.periods(shape[0], numbers[0]),
        objection=lambda numbers: _whole("periods", numbers[0], most=30),
        only_vectors=True,
        torch="{w}.copy_(2.0 ** (torch.arange(len({w})) * {0} // len({w})))",
    ),
    "signs": InitialValue(
        counts=(1,),
        draw=lambda numbers, shape, rng: given.signs(shape[0], numbers[0]),
        objection=lambda numbers: (
            "" if 0 <= numbers[0] <= 1 else f"signs({numbers[0]:g}): a share lies in 0 to 1"
        ),
        only_vectors=True,
        torch="{w}.fill_(-1)[: round({0} * len({w}))] = 1",
    ),
    "ring": InitialValue(
        counts=(2,),
        draw=lambda numbers, shape, rng: given.ring(shape, numbers[0], numbers[1], rng),
        objection=lambda numbers: (
            ""
            if 0 <= numbers[0] < numbers[1] < 1
            else f"ring({numbers[0]:g}, {numbers[1]:g}): radii grow and lie between 0 and 1"
        ),
        only_vectors=True,
        torch="{w}.uniform_({0}**2, {1}**2).clamp_min_(1e-30).log_().mul_(-0.5).log_()",
    ),
    "legs": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: given.legs(shape),
        square=True,
        torch="""\
order = torch.arange(shape[0], dtype=torch.float64)
root = (2 * order + 1).sqrt()
if len(shape) == 1:
    return root
return torch.outer(root, root).tril(-1) + (order + 1).diag()
""",
    ),
    "legs_frequencies": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: given.legs_frequencies(shape[0]),
        only_vectors=True,
        torch="""\
order = torch.arange(2 * shape[0], dtype=torch.float64)
low, root = (order + 0.5).sqrt(), (2 * order + 1).sqrt()
below = torch.outer(root, root).tril(-1)
normal = torch.outer(low, low) - below - (order + 1).diag()
return torch.linalg.eigvalsh(1j * (normal - normal.mT) / 2)[shape[0] :]
""",
    ),
    "legt": InitialValue(
        counts=(1,),
        draw=lambda numbers, shape, rng: given.legt(shape, numbers[0]),
        objection=lambda numbers: (
            "" if numbers[0] >= 1 else f"legt({numbers[0]:g}): a window has at least one step"
        ),
        square=True,
        torch="""\
order = torch.arange(shape[0], dtype=torch.float64)
gap = order[:, None] - order
joined = torch.zeros(len(order) + 1, len(order) + 1, dtype=torch.float64)
joined[:-1, :-1] = torch.where(gap < 0, -1.0, (-1.0) ** (gap + 1))
joined[:-1, -1] = (-1.0) ** order
joined[:-1] *= (2 * order[:, None] + 1) / {0}
held = torch.linalg.matrix_exp(joined)
return held[:-1, -1] if len(shape) == 1 else held[:-1, :-1]
""",
    ),
    "shift": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: np.roll(np.eye(shape[0]), 1, axis=0),
        vectors=False,
        square=True,
        torch="{w}.copy_(torch.eye(len({w})).roll(1, 0))",
    ),
    "permutation": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: rng.permutation(np.eye(shape[0])),
        vectors=False,
        square=True,
        torch="{w}.copy_(torch.eye(len({w}))[torch.randperm(len({w}))])",
    ),
    "quarter_turns": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: given.quarter_turns(shape[0]),
        vectors=False,
        square=True,
        torch="""\
turn = torch.zeros(shape)
first = torch.arange(0, shape[0] - 1, 2)
turn[first, first + 1], turn[first + 1, first] = -1.0, 1.0
return turn
""",
    ),
    "dft_real": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: given.fourier(shape[0]).real,
        vectors=False,
        square=True,
        torch='{w}.copy_(torch.fft.fft(torch.eye(len({w})).double(), norm="ortho").real)',
    ),
    "dft_imaginary": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: given.fourier(shape[0]).imag,
        vectors=False,
        square=True,
        torch='{w}.copy_(torch.fft.fft(torch.eye(len({w})).double(), norm="ortho").imag)',
    ),
    "averages": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: np.full(shape, 1 / shape[1]),
        vectors=False,
        torch="nn.init.constant_({w}, 1 / {w}.shape[1])",
    ),
    "repeated": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: given.picking(shape, apart=False),
        vectors=False,
        torch="""\
rows, columns = {w}.shape
{w}.copy_(torch.eye(columns)[torch.arange(rows) * columns // rows])
""",
    ),
    "tiled": InitialValue(
        counts=(0,),
        draw=lambda numbers, shape, rng: given.picking(shape, apart=True),
        vectors=False,
        torch="""\
rows, columns = {w}.shape
{w}.copy_(torch.eye(columns)[torch.arange(rows) % columns])
""",
    ),
    "reservoir": InitialValue(
        counts=(2,),
        draw=lambda numbers, shape, rng: given.reservoir(shape[0], numbers[0], numbers[1], rng),
        objection=lambda numbers: (
            ""
            if 0 < numbers[0] <= 1 and numbers[1] >= 0
            else f"reservoir({numbers[0]:g}, {numbers[1]:g}): a share in 0 to 1, a radius >= 0"
        ),
        vectors=False,
        square=True,
        torch="""\
drawn = torch.empty(shape).uniform_(-1, 1) * (torch.rand(shape) < {0})
return drawn * {1} / torch.linalg.eigvals(drawn).abs().max().clamp_min(1e-6)
""",
    ),
}
NEGATED = "negated"  # the kind of a weight that starts at another one's value, sign turned


def format_init(init: Init) -> str:
    """Prints the right-hand side of an `init` line."""
    if init.kind == NEGATED:
        return f"-{init.source}"
    numbers = ", ".join(map(format_number, init.args))
    if init.kind == "constant":
        return numbers
    row = INITIAL_VALUES[init.kind]
    bare = 0 in row.counts and row.complete(()) == init.args
    return init.kind if bare else f"{init.kind}({numbers})"


def draw_init(init: Init, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draws one array of weights by an `init` line that is no copy of another weight."""
    return INITIAL_VALUES[init.kind].draw(init.args, shape, rng)


def draw_weights(
    inits: Iterable[Init],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    default: Callable[[str, tuple[int, ...]], Array],
    rng: np.random.Generator,
    networks: int | None = None,
) -> dict[str, Array]:
    """Draws the weights of a cell, in the order in which their shapes are given.

    Args:
        inits: The cell's `init` lines.
        shapes: Name of a weight -> its shape.
        default: Draws a weight that no line speaks of, given its name and the shape to draw.
        rng: The only source of chance.
        networks: Draws so many networks, stacked in a first axis; None draws one without it.

    Returns:
        Name -> float64 array.
    """
    by_name = {i.parameter: i for i in inits}

    def draw(init: Init, shape: tuple[int, ...]) -> Array:
        if networks is None:
            return draw_init(init, shape, rng)
        return np.stack([draw_init(init, shape, rng) for _ in range(networks)])

    values: dict[str, Array] = {}
    for name, shape in shapes.items():
        init = by_name.get(name)
        if init is not None and init.kind != NEGATED:
            values[name] = draw(init, shape)
        else:
            values[name] = default(name, shape if networks is None else (networks, *shape))
    for init in by_name.values():
        if init.kind == NEGATED and init.parameter in values:
            source = values.get(init.source)
            if source is None:  # dead code, but its initial value is wanted
                line = by_name.get(init.source)
                source = draw(line, shapes[init.parameter]) if line else np.zeros(1)
            values[init.parameter] = np.zeros_like(values[init.parameter]) - source
    return values
