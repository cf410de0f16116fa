"""Mutations: named operators that change a cell by chance, one table with weights.

An operator is a pure function `(cell, rng) -> Cell` that raises `NotApplicable` with the reason.
`mutate` draws operators until one gives a legal cell that is another function of its weights, or
starts otherwise, than its parent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from odyssey.errors import CellError, suggest
from odyssey.expr.canonical import ABSENT_INPUT
from odyssey.expr.cell import Cell, parse_cell
from odyssey.registry import Registry, of_type
from odyssey.transforms import node_mutations as nodes
from odyssey.transforms import size_mutations as shaping
from odyssey.transforms import structure_mutations as structure
from odyssey.transforms.crossover import CROSSOVERS as CROSSOVERS
from odyssey.transforms.crossover import Crossover as Crossover
from odyssey.transforms.sites import NotApplicable as NotApplicable
from odyssey.wording import quoted

JOZEFOWICZ = "Jozefowicz et al. 2015"
OURS = "ours"
NO_CHANGE = "gives the same cell"


@dataclass(frozen=True)
class Mutation:
    """One row of the table of mutations.

    Attributes:
        name: Its name.
        about: What it does, in a line.
        apply: The operator; raises `NotApplicable` with the reason.
        weight: How often it is drawn, relative to the others.
        source: Where it comes from.
    """

    name: str
    about: str
    apply: Callable[[Cell, np.random.Generator], Cell]
    weight: float
    source: str


_ROWS = (
    Mutation(
        "replace_activation",
        "activation or linear map -> sigmoid, tanh, relu or a linear map with 0, 0.9, 1 or 1.1"
        " on its diagonal",
        nodes.replace_activation,
        2.0,
        JOZEFOWICZ,
    ),
    Mutation(
        "replace_operation",
        "sum, difference, product or quotient -> another one of the first three",
        nodes.replace_operation,
        2.0,
        JOZEFOWICZ,
    ),
    Mutation(
        "insert_activation",
        "an activation between a node and what it reads",
        nodes.insert_activation,
        2.0,
        JOZEFOWICZ,
    ),
    Mutation(
        "insert_operation",
        "add, subtract or multiply a variable of the same size",
        nodes.insert_operation,
        2.0,
        JOZEFOWICZ,
    ),
    Mutation(
        "remove_node",
        "an activation, a linear map or a sign -> what it is applied to",
        nodes.remove_node,
        2.0,
        JOZEFOWICZ,
    ),
    Mutation(
        "replace_by_ancestor",
        "a node -> something that it is computed from",
        nodes.replace_by_ancestor,
        2.0,
        JOZEFOWICZ,
    ),
    Mutation(
        "combine_ancestors",
        "a node -> sum, difference or product of an ancestor of it and one of any other node",
        nodes.combine_ancestors,
        2.0,
        JOZEFOWICZ,
    ),
    Mutation(
        "replace_function",
        "activation -> any other function of the language",
        nodes.replace_function,
        0.5,
        OURS,
    ),
    Mutation(
        "swap_operands",
        "exchange two values of one equation, such as the ends of a blend",
        nodes.swap_operands,
        1.0,
        OURS,
    ),
    Mutation(
        "add_map",
        "a linear map of the input, a state or an equation inside a function",
        structure.add_map,
        1.0,
        OURS,
    ),
    Mutation("remove_map", "drop a linear map of a sum", structure.remove_map, 1.0, OURS),
    Mutation(
        "add_gate", "weigh a variable or an activation by a new gate", structure.add_gate, 1.0, OURS
    ),
    Mutation(
        "add_update_gate",
        "blend a state's update with its previous value by a new gate",
        structure.add_update_gate,
        1.0,
        OURS,
    ),
    Mutation("remove_gate", "set a gate to 1", structure.remove_gate, 1.0, OURS),
    Mutation("couple_gates", "gate = 1 - other gate", structure.couple_gates, 0.5, OURS),
    Mutation(
        "add_peephole",
        "a diagonal map of a state inside a function",
        structure.add_peephole,
        0.5,
        OURS,
    ),
    Mutation("remove_peephole", "drop a peephole", structure.remove_peephole, 0.5, OURS),
    Mutation("add_state", "put a gated memory behind a value", structure.add_state, 0.5, OURS),
    Mutation(
        "add_delay",
        "a state that holds another one a step longer, and a linear map of it",
        structure.add_delay,
        0.5,
        OURS,
    ),
    Mutation(
        "remove_state",
        "a state becomes a plain equation; what read its past reads that of another",
        structure.remove_state,
        0.5,
        OURS,
    ),
    Mutation(
        "add_skip",
        "add to a value something that it is computed from, past an operation at least",
        structure.add_skip,
        1.0,
        OURS,
    ),
    Mutation(
        "diagonal_map",
        "a linear map of a previous state -> elementwise",
        structure.diagonal_map,
        0.25,
        "Li et al. 2018",
    ),
    Mutation(
        "multiply_maps",
        "multiply the maps of this step and of the past inside a function, besides adding them",
        structure.multiply_maps,
        0.25,
        "Wu et al. 2016",
    ),
    Mutation(
        "one_gate",
        "a gate of one number for all units, or of one a unit again",
        shaping.one_gate,
        0.25,
        OURS,
    ),
    Mutation(
        "bottleneck",
        "a linear map of low rank, through H/2, H/4 or H/8 numbers",
        shaping.bottleneck,
        0.25,
        OURS,
    ),
    Mutation(
        "add_transposed",
        "add or subtract the map by a matrix that is there, transposed, inside a function",
        shaping.add_transposed,
        0.25,
        OURS,
    ),
    Mutation(
        "normalise",
        "layer or RMS normalisation of what goes into a function, with a gain",
        shaping.normalise,
        0.25,
        OURS,
    ),
    Mutation(
        "compete",
        "the sigmoid of a gate -> softmax or cumax over the units",
        shaping.compete,
        0.25,
        OURS,
    ),
    Mutation(
        "add_context",
        "add the mean, sum or largest over all units of a value, with a weight a unit",
        shaping.add_context,
        0.25,
        OURS,
    ),
    Mutation(
        "change_start",
        "start a state at -1, 1, learned weights, or zero again",
        shaping.change_start,
        0.25,
        OURS,
    ),
    Mutation(
        "change_bias",
        "start a bias at another of -2, -1, 0, 1, 2",
        structure.change_bias,
        1.0,
        OURS,
    ),
)

MUTATIONS: Registry[Mutation] = Registry(
    "mutation",
    {row.name: row for row in _ROWS},
    problem=of_type(Mutation, "a Mutation (odyssey.transforms.mutations)"),
)


@dataclass(frozen=True)
class Mutant:
    """A cell made from another one.

    Attributes:
        cell: The new cell, named `m-` and the first 8 digits of its key.
        operator: The operator; several are joined by `+`.
        parents: Keys of the cell and, after a crossover, of its partner.
        attempts: Mutation -> how often it was drawn and did not apply, or changed nothing.
    """

    cell: Cell
    operator: str
    parents: tuple[str, ...]
    attempts: Mapping[str, int] = field(default_factory=dict)


def apply_operator(
    cell: Cell, name: str, rng: np.random.Generator, *, partner: Cell | None = None
) -> Cell:
    """Applies one operator of `MUTATIONS` or, with a partner, of `CROSSOVERS`.

    Returns:
        The new cell, with its name and lineage; its key is no parent's.

    Raises:
        CellError: There is no such operator, or a crossover has no partner.
        NotApplicable: It does not apply; the message says why.
    """
    known = {**MUTATIONS, **CROSSOVERS}
    if name not in known:
        raise CellError(suggest(name, known, what="mutation", see="odyssey mutate --list"))
    step = name
    if name in MUTATIONS:
        result = MUTATIONS[name].apply(cell, rng)
    elif partner is None:
        raise CellError(f"{name} needs a second cell")
    else:
        result = CROSSOVERS[name].apply(cell, partner, rng)
        step = f"{name}={partner.name}"
    if result.key == cell.key:
        raise NotApplicable(NO_CHANGE)
    if partner is not None and result.key == partner.key:
        raise NotApplicable("gives the other cell")
    # the canonical form holds what is left after algebra: in q * h + (1 - q) * h, h alone
    text = result.canonical_text
    if "x[t]" not in text.replace(ABSENT_INPUT, ""):
        raise NotApplicable("leaves an output that by algebra does not depend on the input")
    if result.recurrent and "[t-1]" not in text:
        raise NotApplicable("leaves an output that by algebra does not depend on a state")
    if result.shapes.square and (ABSENT_INPUT in text or not parse_cell(text).shapes.square):
        raise NotApplicable("leaves a bare input that by algebra is not there")
    return _named(result, (*(cell.lineage or (cell.name,)), step))


def _named(cell: Cell, lineage: tuple[str, ...]) -> Cell:
    return cell.renamed(f"m-{cell.key[:8]}", lineage=lineage, citation="")


def check_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """Gives the weight of every operator; those given replace those of the tables.

    Args:
        weights: Mutation -> weight; 0 is never drawn. None for the tables' own.

    Raises:
        CellError: A name is unknown, a weight is negative or no number, or all are 0.
    """
    known = {n: row.weight for n, row in MUTATIONS.items()}
    known |= {n: row.weight for n, row in CROSSOVERS.items()}
    for name, weight in (weights or {}).items():
        if name not in known:
            raise CellError(suggest(name, known, what="mutation", see="odyssey mutate --list"))
        if (
            isinstance(weight, bool)
            or not isinstance(weight, int | float)
            or not (0 <= weight < float("inf"))
        ):
            raise CellError(f"weight of {name}: expected a number >= 0, got {quoted(weight)}")
        known[name] = float(weight)
    if not any(known[name] for name in MUTATIONS):
        raise CellError("all mutations have weight 0; give one a weight")
    return known


def draw_operator(weights: Mapping[str, float], rng: np.random.Generator, *, crossing: bool) -> str:
    """Draws the name of an operator.

    Args:
        weights: Of all operators, from `check_weights`.
        rng: The source of chance.
        crossing: Whether there is a partner, so that crossovers are drawn as well.
    """
    names = [n for n, w in weights.items() if w and (crossing or n in MUTATIONS)]
    shares = np.cumsum([weights[n] for n in names])
    return names[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]


def crossover(first: Cell, second: Cell, rng: np.random.Generator) -> Cell:
    """Carries a named equation or a state's update of the second cell into the first.

    Returns:
        The new cell, with states and output of the first; its key is no parent's.

    Raises:
        NotApplicable: What was drawn does not fit, or what comes out is no legal cell.
    """
    weights = {name: row.weight for name, row in CROSSOVERS.items()}
    return apply_operator(first, draw_operator(weights, rng, crossing=True), rng, partner=second)


def mutate(
    cell: Cell,
    rng: np.random.Generator,
    *,
    weights: Mapping[str, float] | None = None,
    partner: Cell | None = None,
    tries: int = 20,
    steps: int = 1,
) -> Mutant:
    """Draws operators until one gives a legal cell whose key is no parent's.

    Args:
        cell: The parent.
        rng: The only source of chance: same cell, weights and state of it, same mutant.
        weights: Replaces weights of the tables; see `check_weights`.
        partner: A second parent; without one crossovers are not drawn.
        tries: Operators drawn at most, for each step.
        steps: Operators applied one after the other; Jozefowicz et al. 2015 use 1 to 3.

    Raises:
        NotApplicable: None of the drawn operators applied.
        CellError: The weights make no sense.
    """
    known = check_weights(weights)
    failed: Counter[str] = Counter()
    applied: list[str] = []
    seen = {cell.key, *([partner.key] if partner is not None else [])}
    result = cell
    for _ in range(steps):
        for _ in range(tries):
            name = draw_operator(known, rng, crossing=partner is not None)
            try:
                changed = apply_operator(result, name, rng, partner=partner)
                if changed.key in seen:  # a second step has undone the first
                    raise NotApplicable(NO_CHANGE)
            except NotApplicable:
                failed[name] += 1
                continue
            result = changed
            seen.add(result.key)
            applied.append(name)
            break
        else:
            drawn = ", ".join(f"{n} {c}" for n, c in failed.most_common())
            raise NotApplicable(f"{cell.name}: no mutation applied in {tries} tries ({drawn})")
    crossed = partner is not None and any(name in CROSSOVERS for name in applied)
    parents = (cell.key, partner.key) if crossed and partner is not None else (cell.key,)
    return Mutant(
        result, "+".join(applied), parents, MappingProxyType(dict(sorted(failed.items())))
    )
