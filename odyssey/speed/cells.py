"""Section `cells`: cells that torch does not have, beside a loop over time in torch.

Shapes: T steps, B batch rows, I input, H hidden units.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, partial
from importlib import resources

import torch

from odyssey.compiler import RNN, lower
from odyssey.expr import Cell, parse_cell
from odyssey.expr.program import LEAF_OPS
from odyssey.specs import get_cell
from odyssey.speed.handwritten import PlainLoop
from odyssey.speed.layers import effort, layer_step
from odyssey.speed.measure import geometric_mean, interleaved
from odyssey.speed.rates import best_product
from odyssey.speed.section import Case, Finding, Measurement, Settings, column

NAMED = ("lstm_peephole", "mut1", "mut2", "mut3", "gru", "mgu")
GOALS = {64: 5.0, 256: 2.2}
"""Hidden size -> how many times as fast as the handwritten loop the goal is, on average."""


@cache
def random_cells() -> dict[str, Cell]:
    """Reads the fixed random cells by name: twenty of 5 to 20 operations, and one of 40."""
    text = resources.files(__package__).joinpath("random.cells").read_text("utf-8")
    parts = re.split(r"^(?=cell )", text, flags=re.M)[1:]
    return {cell.name: cell for cell in map(parse_cell, parts)}


def count_operations(cell: Cell) -> int:
    """Counts the operations of one step after lowering: products, functions and arithmetic."""
    return sum(n.op not in LEAF_OPS for n in lower(cell).nodes)


def count_flops(cell: Cell) -> int:
    """Counts the operations of matrix products, forward and backward, a step and row over H^2.

    With I = H, and without the gradient of the input. A product is one of matrix and vector
    forward; backward, its matrix has a gradient, and so has what it reads if parameters or states
    have a part in it.
    """
    program = lower(cell)
    learned = program.reached(("matmul", "vector", "previous"))
    products = [n for n in program.nodes if n.op == "matmul" and n.region != "once"]
    return sum(2 * (3 if any(learned[a] for a in n.args) else 2) for n in products)


def chosen(settings: Settings) -> dict[str, Cell]:
    """Gives the cells to measure by name; a few of them for a quick run."""
    found = random_cells()
    drawn = {name: cell for name, cell in found.items() if count_operations(cell) <= 20}
    every = {**{name: get_cell(name) for name in NAMED}, **drawn}
    return dict(list(every.items())[5:7]) if settings.quick else every


def _measure(name: str, cell: Cell, hidden: int, batch: int, settings: Settings) -> Measurement:
    x_TBI = torch.randn(settings.steps, batch, hidden)
    dy_TBH = torch.randn(settings.steps, batch, hidden)
    ours, eager = (RNN(cell, hidden, hidden, backend=b) for b in ("native", "eager"))
    loop = PlainLoop(cell, hidden, hidden)
    loop.copy_from(ours)
    eager.load_state_dict(ours.state_dict())
    product = best_product(hidden, batch, settings)
    runs = {
        "native": layer_step(ours, x_TBI, dy_TBH),
        "loop": layer_step(loop, x_TBI, dy_TBH),
        "sgemm": product.run,  # not before native, whose data it would drive from the cache
        "eager": layer_step(eager, x_TBI, dy_TBH),
    }
    seconds = interleaved(runs, rounds=settings.rounds)
    rate = product.operations / seconds.pop("sgemm")
    flops = count_flops(cell) * hidden * hidden * batch * settings.steps
    return {
        "cell": name,
        "operations": count_operations(cell),
        "H": hidden,
        "B": batch,
        **{name: 1e3 * s for name, s in seconds.items()},
        "loop / native": seconds["loop"] / seconds["native"],
        "eager / native": seconds["eager"] / seconds["native"],
        "loop / BLAS": flops / seconds["loop"] / rate,
    }


def cell_cases(settings: Settings) -> list[Case]:
    """Lists every hidden size and cell."""
    return [
        Case(
            f"{name} H={hidden} B={batch}",
            3 * effort(3, hidden, batch, settings),
            partial(_measure, name, cell, hidden, batch, settings),
        )
        for hidden in settings.hidden_sizes(64, 256)
        for batch in settings.batch_sizes(32)
        for name, cell in chosen(settings).items()
    ]


def cell_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the mean ratio to the loop by hidden size; tells that to our eager backend.

    Beside it stands the loop's own share of the rate of plain products: where that is high already,
    little is left to gain.
    """
    found = []
    for hidden in dict.fromkeys(row["H"] for row in rows):
        some = [row for row in rows if row["H"] == hidden]
        for name, what in (("loop", "a handwritten eager loop"), ("eager", "backend eager")):
            mean = geometric_mean(column(some, f"{name} / native"))
            bound = GOALS.get(int(hidden)) if name == "loop" else None
            found.append(Finding(f"against {what}, H = {hidden}, geometric mean", mean, bound))
        share = geometric_mean(column(some, "loop / BLAS"))
        name = f"the loop's share of the sgemm rate, H = {hidden}, geometric mean"
        found.append(Finding(name, share, neutral=True))
    return found
