"""Ablations: named operators that take one thing away from a cell, or put one in its place.

Each is a pure function `(cell, *arguments) -> Cell` that raises `CellError` with the reason where
it does not apply. Gates are known by the letters of the literature: i input, f forget, o output,
r reset, z update; g and n are candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from odyssey.errors import CellError, suggest
from odyssey.expr.cell import Cell
from odyssey.expr.equations import Declaration, Equation, IllegalCellError, Init
from odyssey.expr.forms import BY_FUNCTION, LANGUAGE
from odyssey.expr.reductions import UNIT_FORMS
from odyssey.expr.sizes import UNITS
from odyssey.expr.terms import (
    Current,
    Matrix,
    Named,
    Previous,
    Vector,
    add,
    fold,
    is_negation,
    leaves,
    matmul,
    mul,
    rebuild,
    replace,
    sub,
    subexpressions,
)
from odyssey.registry import Registry, View, of_type
from odyssey.transforms import families
from odyssey.transforms.named import GATE_LETTERS as GATE_LETTERS
from odyssey.transforms.named import find_equation, multiplies, with_equations
from odyssey.transforms.named import gates as gates
from odyssey.transforms.recurrent_maps import is_recurrent
from odyssey.transforms.settings import set_value, settings
from odyssey.wording import quoted


def drop_gate(cell: Cell, gate: str) -> Cell:
    """Sets a gate to 1 and removes its equation and parameters."""
    equation = find_equation(cell, gate, what="gate")
    if equation.updates_state:
        raise CellError(
            f"{cell.name}: {gate!r} is a state here; drop it before full_gate_recurrence"
        )
    if not multiplies(cell, equation):
        raise CellError(
            f"{cell.name}: {gate!r} multiplies nothing, so it is not a gate;"
            f" gates: {', '.join(gates(cell)) or 'none'}"
        )
    if gate == cell.output:
        raise CellError(f"{cell.name}: {gate!r} is the output")
    one = sp.Integer(1)
    changed: dict[str, Equation | None] = {
        e.target: e.with_value(fold(replace(e.value, lambda n: one if n == Named(gate) else None)))
        for e in cell.equations
    }
    return with_equations(cell, changed | {gate: None})


def _activation_in(cell: Cell, equation: Equation) -> sp.Expr:
    """Finds the activation of an equation: the outermost, or the only one."""
    if type(equation.value) in BY_FUNCTION and len(equation.value.args) == 1:
        return equation.value
    found = [n for n in subexpressions(equation.value) if type(n) in BY_FUNCTION]
    if len(found) != 1 or len(found[0].args) != 1:
        raise CellError(
            f"{cell.name}: {equation.label} has {len(found) or 'no'} activation"
            f"{'s' if len(found) > 1 else ''}; name an equation with one"
        )
    return found[0]


def _swap_activation(cell: Cell, name: str, make: Callable[[sp.Expr], sp.Expr]) -> Cell:
    equation = find_equation(cell, name)
    old = _activation_in(cell, equation)
    value = replace(equation.value, lambda n: make(old.args[0]) if n == old else None)
    if value == equation.value:
        raise CellError(f"{cell.name}: {equation.label} has that activation already")
    return with_equations(cell, {name: equation.with_value(value)})


def drop_activation(cell: Cell, equation: str) -> Cell:
    """Replaces the activation of an equation by the identity."""
    return _swap_activation(cell, equation, lambda a: a)


def no_input_activation(cell: Cell) -> Cell:
    """Drops the activation of the candidate, g or n."""
    for name in ("g", "n"):
        if cell.equation(name):
            return drop_activation(cell, name)
    raise CellError(f"{cell.name}: no candidate g or n; use drop_activation=EQUATION")


def no_output_activation(cell: Cell) -> Cell:
    """Drops the activation of the output, as in h = o * c."""
    return drop_activation(cell, cell.output)


def activation(cell: Cell, equation: str, function: str) -> Cell:
    """Replaces the activation of an equation by another function."""
    known = {name: row for name, row in LANGUAGE.items() if row.arity == 1} | UNIT_FORMS
    if function not in known:
        raise CellError(suggest(function, known, what="activation", see="docs/language.md"))
    return _swap_activation(cell, equation, known[function].function)


def couple(cell: Cell, gate: str, other: str) -> Cell:
    """Replaces a gate by one minus another: gate = 1 - other."""
    first, second = find_equation(cell, gate, what="gate"), find_equation(cell, other, what="gate")
    for e in (first, second):
        if e.updates_state or e.target not in gates(cell):
            raise CellError(
                f"{cell.name}: {e.target!r} is not a gate;"
                f" gates: {', '.join(gates(cell)) or 'none'}"
            )
    if gate == other:
        raise CellError(f"{cell.name}: cannot couple {gate!r} to itself")
    coupled = Equation(gate, sub(sp.Integer(1), Named(other)))
    order = [e for e in cell.equations if e.target != gate]
    order.insert(
        max(order.index(second) + 1, min(cell.equations.index(first), len(order))), coupled
    )
    return cell.replace(equations=tuple(order))


def _drop_terms(
    expr: sp.Expr, unwanted: Callable[[sp.Expr], bool], *, additive: bool = True
) -> sp.Expr:
    """Drops the terms of sums, wherever a sum stands, that are not wanted."""
    if additive and unwanted(expr):
        return sp.Integer(0)
    inside = isinstance(expr, sp.Add) or is_negation(expr) or type(expr) in BY_FUNCTION
    args = tuple(
        a if isinstance(a, Matrix) else _drop_terms(a, unwanted, additive=inside) for a in expr.args
    )
    return expr if args == expr.args else fold(rebuild(expr, args))


def _drop_everywhere(
    cell: Cell, only: str | None, unwanted: Callable[[sp.Expr], bool], *, what: str
) -> Cell:
    targets = [find_equation(cell, only)] if only else list(cell.equations)
    changed: dict[str, Equation | None] = {}
    for e in targets:
        value = _drop_terms(e.value, unwanted)
        if value != e.value:
            changed[e.target] = e.with_value(value)
    if not changed:
        raise CellError(f"{cell.name}: {only or 'the cell'} has no {what} to drop")
    return with_equations(cell, changed)


def is_peephole(term: sp.Expr) -> bool:
    """Says whether a term is `p * state`."""
    return (
        isinstance(term, sp.Mul)
        and any(isinstance(a, Vector) for a in term.args)
        and any(isinstance(a, Previous | Current) for a in term.args)
    )


def no_peepholes(cell: Cell, equation: str | None = None) -> Cell:
    """Drops all peepholes, or those of one equation: the terms `p * state` of a sum."""
    return _drop_everywhere(cell, equation, is_peephole, what="peephole")


def no_bias(cell: Cell, equation: str | None = None) -> Cell:
    """Drops all biases, or those of one equation."""
    return _drop_everywhere(cell, equation, lambda t: isinstance(t, Vector), what="bias")


def no_recurrent(cell: Cell, equation: str) -> Cell:
    """Drops the recurrent input of an equation: its linear maps of anything the past reaches."""
    found = find_equation(cell, equation)
    zero = sp.Integer(0)
    value = fold(replace(found.value, lambda n: zero if is_recurrent(cell, n) else None))
    if value == found.value:
        raise CellError(f"{cell.name}: {found.label} has no recurrent input to drop")
    return with_equations(cell, {equation: found.with_value(value)})


def peepholes(cell: Cell, state: str = "c") -> Cell:
    """Adds a peephole from a state to every gate that has none.

    A gate whose value the state's update needs reads the old state; others (the output gate)
    read the new one, as in Graves & Schmidhuber 2005.
    """
    if state not in cell.states:
        raise CellError(
            f"{cell.name}: no state {quoted(state)} to look at;"
            f" states: {', '.join(cell.states) or 'none'}"
        )
    before = reach_now(cell, f"{state}[t]")
    order = [e.label for e in cell.equations]
    update = order.index(f"{state}[t]")
    changed: dict[str, Equation] = {}
    late: list[str] = []  # gates that stand before the update and must move behind it
    for name in gates(cell):
        gate = find_equation(cell, name)
        if any(is_peephole(n) for n in subexpressions(gate.value)):
            continue
        weight = f"p_{name}"
        if weight in cell.parameters:
            raise CellError(f"{cell.name}: the name {weight!r} is taken")
        new = gate.label not in before
        source = Current(f"{state}[t]") if new else Previous(f"{state}[t-1]")
        inner = add(gate.value.args[0], mul(Vector(weight), source))
        changed[name] = gate.with_value(type(gate.value)(inner))
        if new and order.index(gate.label) < update:
            late.append(name)
    if not changed:
        reason = "every gate has a peephole already" if gates(cell) else "there are no gates"
        raise CellError(f"{cell.name}: {reason}")
    equations = [changed.get(e.target, e) for e in cell.equations]
    moved = [e for e in equations if e.target in late]
    first = [e for e in equations[: update + 1] if e.target not in late]
    return cell.replace(equations=(*first, *moved, *equations[update + 1 :]))


def reach_now(cell: Cell, label: str) -> set[str]:
    """Gives the labels of this step that a label depends on."""
    reads = {e.label: {leaf.name for leaf in leaves(e.value)} for e in cell.equations}
    found: set[str] = set()
    todo = [label]
    while todo:
        for name in reads.get(todo.pop(), set()) - found:
            found.add(name)
            todo.append(name)
    return found


def full_gate_recurrence(cell: Cell) -> Cell:
    """Feeds every gate the previous values of all gates (FGR of Greff et al. 2015)."""
    names = [g for g in gates(cell) if not find_equation(cell, g).updates_state]
    if not names:
        raise CellError(f"{cell.name}: no gates that could feed each other")
    taken = {f"U_{a}{b}" for a in names for b in names} & set(cell.parameters)
    if taken:
        raise CellError(f"{cell.name}: the name {min(taken)!r} is taken")

    def now(node: sp.Expr) -> sp.Expr | None:
        return (
            Current(f"{node.name}[t]") if isinstance(node, Named) and node.name in names else None
        )

    changed: dict[str, Equation | None] = {}
    declared: list[Declaration] = []
    for e in cell.equations:
        value = replace(e.value, now)
        if e.target in names:
            inner = value.args[0]
            for source in names:
                inner = add(
                    inner, matmul(Matrix(f"U_{source}{e.target}"), Previous(f"{source}[t-1]"))
                )
            changed[e.target] = Equation(e.target, type(value)(inner), updates_state=True)
            if (size := cell.shapes.equations[e.target]) != UNITS:
                declared.append(Declaration(e.target, (e.size or size,)))
        else:
            changed[e.target] = e.with_value(value)
    sizes = (*cell.state_sizes, *declared)
    return with_equations(cell, changed, states=(*cell.states, *names), state_sizes=sizes)


def _bias_of(cell: Cell, name: str) -> str:
    equation = find_equation(cell, name)
    found: list[str] = []

    def note(term: sp.Expr) -> bool:
        if isinstance(term, Vector):
            found.append(term.name)
        return False

    _drop_terms(equation.value, note)
    if len(set(found)) != 1:
        raise CellError(
            f"{cell.name}: {equation.label} has {len(set(found)) or 'no'} biases, not one"
        )
    return found[0]


def _with_init(cell: Cell, init: Init) -> Cell:
    kept = tuple(i for i in cell.inits if i.parameter != init.parameter)
    return cell.replace(inits=(*kept, init))


def bias(cell: Cell, equation: str, value: str) -> Cell:
    """Sets the initial bias of an equation."""
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not abs(number) <= 1e6:
        raise CellError(f"{cell.name}: an initial bias must be a number, got {quoted(value)}")
    return _with_init(cell, Init(_bias_of(cell, equation), "constant", (number,)))


def forget_bias(cell: Cell, value: str) -> Cell:
    """Sets the initial bias of the forget gate f."""
    return bias(cell, "f", value)


def chrono(cell: Cell, steps: str) -> Cell:
    """Starts the forget bias at ln U(1, T-1) and the input bias at its negative.

    Tallec & Ollivier 2018, Can Recurrent Neural Networks Warp Time?, arXiv 1804.11188.
    """
    if not steps.isdecimal() or not 3 <= int(steps) <= 10**6:
        raise CellError(
            f"{cell.name}: chrono needs a number of steps from 3 to 1000000, got {quoted(steps)}"
        )
    forget = _bias_of(cell, "f")
    cell = _with_init(cell, Init(forget, "chrono", (float(steps),)))
    if cell.equation("i") and "i" in gates(cell):
        cell = _with_init(cell, Init(_bias_of(cell, "i"), "negated", source=forget))
    return cell


def _letter(gate: str) -> Callable[[Cell], Cell]:
    return lambda cell: drop_gate(cell, gate)


@dataclass(frozen=True)
class Ablation:
    """One row of the table of ablations.

    Attributes:
        apply: The operator.
        arguments: What its arguments mean; a trailing `?` marks one that may be left out.
        says: What it does, in a line.
        short: Abbreviation in the literature.
        examples: Arguments as they are written in a spec, to try it with; whatever tries every
            ablation (tests, catalogues) reads them here.
    """

    apply: Callable[..., Cell]
    arguments: tuple[str, ...]
    says: str
    short: str = ""
    examples: tuple[str, ...] = ("",)


_ROWS = {
    "no_input_gate": Ablation(_letter("i"), (), "input gate i = 1", "NIG"),
    "no_forget_gate": Ablation(_letter("f"), (), "forget gate f = 1", "NFG"),
    "no_output_gate": Ablation(_letter("o"), (), "output gate o = 1", "NOG"),
    "no_reset_gate": Ablation(_letter("r"), (), "reset gate r = 1"),
    "no_update_gate": Ablation(_letter("z"), (), "update gate z = 1"),
    "no_input_activation": Ablation(
        no_input_activation, (), "candidate without activation", "NIAF"
    ),
    "no_output_activation": Ablation(no_output_activation, (), "output without activation", "NOAF"),
    "coupled_gates": Ablation(lambda cell: couple(cell, "f", "i"), (), "f = 1 - i", "CIFG"),
    "no_peepholes": Ablation(
        no_peepholes, ("equation?",), "no peepholes", "NP", examples=("", "i", "o")
    ),
    "full_gate_recurrence": Ablation(
        full_gate_recurrence, (), "every gate sees all previous gates", "FGR"
    ),
    "peepholes": Ablation(
        peepholes,
        ("state?",),
        "add a peephole from a state (c) to every gate",
        examples=("", "h", "c"),
    ),
    "drop_gate": Ablation(drop_gate, ("gate",), "set any gate to 1", examples=("i", "r", "f")),
    "drop_activation": Ablation(
        drop_activation, ("equation",), "activation -> identity", examples=("g", "n", "h")
    ),
    "activation": Ablation(
        activation,
        ("equation", "function"),
        "activation -> another function",
        examples=("g:relu", "n:sin", "h:softplus"),
    ),
    "couple": Ablation(
        couple, ("gate", "other"), "gate = 1 - other", examples=("f:i", "z:r", "r:z")
    ),
    "no_bias": Ablation(no_bias, ("equation?",), "no biases", examples=("", "f", "n")),
    "no_recurrent": Ablation(
        no_recurrent, ("equation",), "no recurrent input", examples=("i", "z", "n")
    ),
    "bias": Ablation(
        bias,
        ("equation", "value"),
        "initial bias of an equation",
        examples=("f:2", "z:-1.5", "g:0.25"),
    ),
    "forget_bias": Ablation(
        forget_bias, ("value",), "initial bias of the forget gate f", examples=("1",)
    ),
    "chrono": Ablation(
        chrono,
        ("steps",),
        "chrono initialisation of f and i for dependencies of T",
        examples=("50",),
    ),
    "independent": Ablation(
        families.independent,
        ("equation?",),
        "maps of previous states -> elementwise",
        examples=("", "n", "h"),
    ),
    "multiplicative_integration": Ablation(
        families.multiplicative_integration,
        ("equation?",),
        "W x + U h + b -> alpha (W x)(U h) + beta U h + gamma W x + b",
        examples=("", "g", "h"),
    ),
    "product_integration": Ablation(
        families.product_integration,
        ("equation?",),
        "W x + U h + b -> (W x)(U h) + b",
        examples=("", "n", "h"),
    ),
    "multiplicative": Ablation(
        families.multiplicative,
        ("state?",),
        "maps see m = (W_m x)(U_m h) in place of h",
        examples=("", "h"),
    ),
    "layer_norm": Ablation(
        families.layer_norm,
        ("equation?",),
        "maps of input and past normalised apart, with gains and a bias",
        examples=("", "n", "h"),
    ),
    "residual": Ablation(families.residual, (), "the layer puts out h + x"),
}

ABLATIONS: Registry[Ablation] = Registry(
    "ablation", _ROWS, problem=of_type(Ablation, "an Ablation (odyssey.transforms.ablations)")
)

SHORT: View[str, str] = View(
    lambda: {row.short: name for name, row in ABLATIONS.items() if row.short}, ABLATIONS
)


def ablate(cell: Cell, operator: str) -> Cell:
    """Applies one ablation, written `name` or `name=argument:argument`, or sets a constant or size.

    Args:
        cell: The cell.
        operator: For example `no_forget_gate`, `NFG`, `forget_bias=2`, `activation=g:relu`; for a
            cell that has such a constant or size `dt=0.05`, `R=16`, `R=H/2`.

    Returns:
        The new cell; its name and lineage say how it was made.

    Raises:
        CellError: There is no such operator, or it does not apply; the message says why.
    """
    name, equals, rest = operator.partition("=")
    name = name.strip()
    if name in settings(cell):
        value = "".join(rest.split())  # names have no spaces
        return _named(cell, set_value(cell, name, value), f"{name}={value}")
    name = SHORT.get(name, name)
    if name not in ABLATIONS:
        known = [*ABLATIONS, *settings(cell)]
        raise CellError(suggest(name, known, what="ablation", see="odyssey cells --ablations"))
    row = ABLATIONS[name]
    given = [argument.strip() for argument in rest.split(":")] if equals else []
    least = sum(not a.endswith("?") for a in row.arguments)
    if not least <= len(given) <= len(row.arguments) or not all(given):
        usage = name + ("=" + ":".join(row.arguments) if row.arguments else "")
        raise CellError(f"ablation {quoted(operator)}: write {usage}")
    try:
        result = row.apply(cell, *given)
    except IllegalCellError as error:
        raise CellError(f"{cell.name}: {operator[:60]} leaves no legal cell: {error}") from None
    return _named(cell, result, name + ("=" + ":".join(given) if equals else ""))


def _named(cell: Cell, result: Cell, step: str) -> Cell:
    """Gives a cell that was made from another the name and lineage that say so."""
    joint = "+" if ":" in cell.name else ":"
    lineage = (*(cell.lineage or (cell.name,)), step)
    return result.renamed(f"{cell.name}{joint}{step}", lineage=lineage)
