"""Families of cells: what the literature makes of any cell, by one change in all its sums.

Independent recurrence, multiplicative integration, an intermediate state that the input sets, layer
normalisation, a residual connection. The changes act on places: `state_maps` and `mixed_sums` list
them, so that an ablation changes all of a cell or of an equation, and a mutation one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation, Init
from odyssey.expr.forms import BY_FUNCTION
from odyssey.expr.reductions import UNIT_FORMS
from odyssey.expr.sizes import ONE, is_matrix
from odyssey.expr.terms import (
    MAPS,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    add,
    matmul,
    mul,
    neg,
    rebuild,
    replace,
    sub,
)
from odyssey.transforms.named import find_equation, reads_past
from odyssey.transforms.sites import (
    Names,
    Path,
    Signed,
    Site,
    input_of,
    is_activation,
    leaf_of,
    previous,
    signed_terms,
    sites,
)
from odyssey.wording import quoted

_NORMS = tuple(UNIT_FORMS[name].function for name in ("layer_norm", "rms_norm"))
_UNIT_FUNCTIONS = {row.function for row in UNIT_FORMS.values()}.difference(_NORMS)


class _Parts(NamedTuple):
    """A sum taken apart: the linear maps of this step, those of the past, and the rest."""

    now: list[Signed]
    past: list[Signed]
    rest: list[Signed]


def _is_function(kind: type) -> bool:
    """Whether it is a function, of a value or over the units, but no normalisation."""
    return kind in BY_FUNCTION or kind in _UNIT_FUNCTIONS


def _sum(terms: Sequence[Signed]) -> sp.Expr:
    """Builds the sum of terms, at least one."""
    (negative, value), *others = terms
    total = neg(value) if negative else value
    for negative, value in others:
        total = sub(total, value) if negative else add(total, value)
    return total


def _parts(cell: Cell, site: Site, value: sp.Expr) -> _Parts:
    """Takes a sum apart; the terms are those of `value`, which may be changed further inside."""
    found = _Parts([], [], [])
    for (_, old), new in zip(signed_terms(site.node), signed_terms(value), strict=True):
        if type(old) not in MAPS:
            found.rest.append(new)
        elif reads_past(cell, old):
            found.past.append(new)
        else:
            found.now.append(new)
    return found


def _sums(cell: Cell) -> list[Site]:
    """Lists the sums that go into a function, also those that have a name; no single numbers."""
    arguments = [s for s in sites(cell) if _is_function(type(s.above))]
    single = [signed_terms(s.node)[0][1] for s in arguments if not isinstance(s.node, sp.Add)]
    named = {value for value in single if isinstance(value, Named)}
    whole = [
        Site(k, (), e.value, None)
        for k, e in enumerate(cell.equations)
        if not e.updates_state and Named(e.target) in named
    ]
    sizes = [(s, cell.shapes.of(s.node)) for s in (*arguments, *whole)]
    return [s for s, size in sizes if size != ONE and not is_matrix(size)]


def mixed_sums(cell: Cell) -> list[Site]:
    """Lists the sums inside functions that hold linear maps both of this step and of the past."""
    found = [(s, _parts(cell, s, s.node)) for s in _sums(cell)]
    return [s for s, parts in found if parts.now and parts.past]


def state_maps(cell: Cell) -> list[Site]:
    """Lists the square linear maps of a previous state, bare or under gates."""
    return [s for s in sites(cell) if type(s.node) in MAPS and _is_square(cell, s.node)]


def _is_square(cell: Cell, node: sp.Expr) -> bool:
    matrix, operand = node.args
    rows, columns = cell.shapes.matrices[matrix.name]
    return rows == columns != ONE and any(isinstance(f, Previous) for f in _factors(operand))


def _factors(value: sp.Expr) -> list[sp.Expr]:
    return [f for a in value.args for f in _factors(a)] if isinstance(value, sp.Mul) else [value]


def _rewritten(
    cell: Cell, places: Iterable[Site], change: Callable[[Site, sp.Expr], sp.Expr]
) -> list[Equation]:
    """Gives the equations with other values at several places, which may lie in each other.

    Args:
        cell: The cell.
        places: Where to change something.
        change: Gives the new value, from the place and its value with all places inside changed.
    """
    wanted = {(s.index, s.path): s for s in places}

    def rebuilt(node: sp.Expr, index: int, path: Path) -> sp.Expr:
        args = tuple(rebuilt(a, index, (*path, k)) for k, a in enumerate(node.args))
        value = node if args == node.args else rebuild(node, args)
        site = wanted.get((index, path))
        return value if site is None else change(site, value)

    return [e.with_value(rebuilt(e.value, k, ())) for k, e in enumerate(cell.equations)]


def _in_equation(cell: Cell, places: list[Site], equation: str | None, *, what: str) -> list[Site]:
    """Keeps the places in one equation, if one is named.

    Raises:
        CellError: There is no such equation, or nothing is left.
    """
    if equation:
        index = cell.equations.index(find_equation(cell, equation))
        places = [s for s in places if s.index == index]
    if not places:
        raise CellError(f"{cell.name}: {equation or 'the cell'} has no {what}")
    return places


def make_diagonal(cell: Cell, places: Sequence[Site]) -> Cell:
    """Makes linear maps elementwise: `U @ h[t-1]` becomes `u * h[t-1]`.

    One vector stands for one matrix. It starts as the diagonal of the matrix where that says
    something about a vector: at 1 for the identity, at the same draw for a uniform or normal one.
    """
    names = Names(cell)
    vectors: dict[str, str] = {}
    for site in places:
        matrix = site.node.args[0].name
        if matrix not in vectors:
            vectors[matrix] = names.fresh(matrix[0].lower() + matrix[1:])
    equations = _rewritten(
        cell, places, lambda site, node: mul(Vector(vectors[node.args[0].name]), node.args[1])
    )
    kinds = {"identity": "constant", "constant": "constant", "uniform": "uniform"}
    kinds["normal"] = "normal"
    inits = [
        Init(vectors[i.parameter], kinds[i.kind], i.args)
        for i in cell.inits
        if i.parameter in vectors and i.kind in kinds
    ]
    return cell.replace(equations=tuple(equations), inits=(*cell.inits, *inits))


def independent(cell: Cell, equation: str | None = None) -> Cell:
    """Lets every unit see its own past alone: square maps of previous states become elementwise.

    Li et al. 2018, IndRNN, arXiv 1803.04831. A state under a gate counts as the state: in a GRU
    `U @ (r * h[t-1])` becomes `u * (r * h[t-1])`. Maps of anything else stay.
    """
    what = "square linear map of a previous state"
    return make_diagonal(cell, _in_equation(cell, state_maps(cell), equation, what=what))


_MIXED = "sum of a linear map of this step and one of the past in a function"


def integrate(cell: Cell, places: Sequence[Site]) -> Cell:
    """Multiplies maps of this step with those of the past: `alpha*p*q + beta*q + gamma*p + rest`.

    p and q are the two sums of maps, as equations of their own. The three weights start at 1.
    """
    names = Names(cell)
    before: defaultdict[int, list[Equation]] = defaultdict(list)
    inits = list(cell.inits)

    def change(site: Site, value: sp.Expr) -> sp.Expr:
        parts, target = _parts(cell, site, value), cell.equations[site.index].target
        p, q = (Named(names.weight(letter, target)) for letter in "pq")
        before[site.index] += [
            Equation(p.name, _sum(parts.now)),
            Equation(q.name, _sum(parts.past)),
        ]
        weights = [names.weight(word, target) for word in ("alpha", "beta", "gamma")]
        inits.extend(Init(weight, "constant", (1.0,)) for weight in weights)
        alpha, beta, gamma = map(Vector, weights)
        products = [mul(mul(alpha, p), q), mul(beta, q), mul(gamma, p)]
        return _sum([*((False, product) for product in products), *parts.rest])

    rows = _rewritten(cell, places, change)
    equations = [row for k, e in enumerate(rows) for row in (*before[k], e)]
    return cell.replace(equations=tuple(equations), inits=tuple(inits))


def multiplicative_integration(cell: Cell, equation: str | None = None) -> Cell:
    """Multiplies what comes from this step with what comes from the past, besides adding them.

    `W @ x[t] + U @ h[t-1] + b` becomes `alpha*p*q + beta*q + gamma*p + b` with p = W @ x[t] and
    q = U @ h[t-1] (Wu et al. 2016, eq. 4, arXiv 1606.06630). The paper starts the three weights at
    values chosen for each task; here they start at 1.
    """
    return integrate(cell, _in_equation(cell, mixed_sums(cell), equation, what=_MIXED))


def product_integration(cell: Cell, equation: str | None = None) -> Cell:
    """Multiplies what comes from this step with what comes from the past, in place of adding them.

    `W @ x[t] + U @ h[t-1] + b` becomes `(W @ x[t]) * (U @ h[t-1]) + b` (Wu et al. 2016, eq. 2).
    """

    def change(site: Site, value: sp.Expr) -> sp.Expr:
        parts = _parts(cell, site, value)
        return _sum([(False, mul(_sum(parts.now), _sum(parts.past))), *parts.rest])

    places = _in_equation(cell, mixed_sums(cell), equation, what=_MIXED)
    return cell.replace(equations=tuple(_rewritten(cell, places, change)))


def multiplicative(cell: Cell, state: str | None = None) -> Cell:
    """Puts `m = (W_m @ x[t]) * (U_m @ h[t-1])` in place of h[t-1] in every linear map.

    The input chooses what the maps of the past see (Sutskever et al. 2011; Krause et al. 2016,
    arXiv 1609.07959). Without the name of a state every state that is mapped gets such an m.
    """
    if state is not None and state not in cell.states:
        raise CellError(
            f"{cell.name}: no state {quoted(state)} to multiply;"
            f" states: {', '.join(cell.states) or 'none'}"
        )
    wanted = [s for s in cell.states if state in (None, s) and not is_matrix(cell.shapes.states[s])]
    written = {d.name: d.sizes[0] for d in cell.state_sizes}
    rows, names = list(cell.equations), Names(cell)
    new: list[Equation] = []
    for name in wanted:
        leaf, m = previous(name), names.fresh("m", "W", "U")
        changed = [e.with_value(_mapped(e.value, leaf, Named(m))) for e in rows]
        if changed == rows:
            names.taken -= {m, f"W_{m}", f"U_{m}"}
            continue
        rows = changed
        value = mul(
            matmul(Matrix(f"W_{m}"), input_of(cell)), matmul(Matrix(f"U_{m}"), previous(name))
        )
        new.append(Equation(m, value, size=written.get(name, "")))
    if not new:
        whose = f"{state}[t-1]" if state else "a previous state"
        raise CellError(f"{cell.name}: there is no linear map of {whose}")
    return cell.replace(equations=(*new, *rows))


def _mapped(value: sp.Expr, leaf: Leaf, other: Leaf) -> sp.Expr:
    """Puts another leaf in place of one wherever a linear map reads it."""

    def in_map(node: sp.Expr) -> sp.Expr | None:
        if type(node) not in MAPS:
            return None
        operand = replace(node.args[1], lambda n: other if n == leaf else None)
        return node.func(node.args[0], operand)

    return replace(value, in_map)


def layer_norm(cell: Cell, equation: str | None = None) -> Cell:
    """Normalises what goes into functions over the units, with gains that start at 1, and a bias.

    As in the LSTM and the GRU of Ba et al. 2016 (arXiv 1607.06450, appendix) the maps of this step
    and those of the past are normalised apart, each with a gain; their simple network, which has
    one normalisation of both, is an exception to that. Biases and other terms are added after
    it. Where a named equation has a function without linear maps inside, what goes into it is
    normalised whole: `layer_norm=h` is the `tanh(c[t])` of that LSTM.
    """
    mapped = [s for s in _sums(cell) if any(_parts(cell, s, s.node)[:2])]
    if equation:
        here = cell.equations.index(find_equation(cell, equation))
        if not any(s.index == here for s in mapped):
            whole = [s for s in _sums(cell) if is_activation(s.above)]
            mapped = [s for s in whole if s.index == here and not _is_normal(s.node)]
    places = _in_equation(cell, mapped, equation, what="sum in a function to normalise")
    names = Names(cell)
    inits = list(cell.inits)

    def normal(letter: str, target: str, terms: Sequence[Signed]) -> Signed:
        gain = names.weight(letter, target)
        inits.append(Init(gain, "constant", (1.0,)))
        return False, mul(Vector(gain), _NORMS[0](_sum(terms)))

    def change(site: Site, value: sp.Expr) -> sp.Expr:
        target = cell.equations[site.index].target
        now, past, rest = _parts(cell, site, value)
        if not (now or past):
            now, rest = rest, []
        sides = [normal(*side) for side in (("s", target, now), ("v", target, past)) if side[2]]
        if not any(isinstance(term, Vector) for _, term in rest):
            rest = [*rest, (False, Vector(names.weight("b", target)))]
        return _sum([*sides, *rest])

    equations = tuple(_rewritten(cell, places, change))
    return cell.replace(equations=equations, inits=tuple(inits))


def _is_normal(value: sp.Expr) -> bool:
    """Says whether a term of a sum is normalised already."""
    return any(type(f) in _NORMS for _, term in signed_terms(value) for f in _factors(term))


def residual(cell: Cell) -> Cell:
    """Adds the input to what the layer puts out: `y = h[t] + x[t]`; the recurrence stays.

    The identity of He et al. 2016 between recurrent layers (Wu et al. 2016, arXiv 1609.08144), so
    that input and hidden size are one. The skip of Kim et al. 2017, inside the output gate and
    through a map, is the library's residual_lstm.
    """
    output = find_equation(cell, cell.output)
    if input_of(cell) in _unmapped(output.value):
        raise CellError(f"{cell.name}: {output.label} has a skip from the input already")
    y = Equation(Names(cell).fresh("y"), add(leaf_of(output), input_of(cell)))
    return cell.replace(equations=(*cell.equations, y), output=y.target)


def _unmapped(value: sp.Expr) -> list[sp.Expr]:
    """Lists the leaves of an expression that no linear map stands before."""
    if isinstance(value, Leaf):
        return [value]
    if type(value) in MAPS:
        return []
    return [leaf for a in value.args for leaf in _unmapped(a)]
