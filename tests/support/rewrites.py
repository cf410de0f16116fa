"""Random rewrites of a cell that do not change what it computes.

Each takes a cell and a generator and gives another cell: the same function under other names, in
another order, in another algebraic form, with dead code or with a state kept twice. A rewrite that
finds nothing to do gives the cell back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import sympy as sp

from odyssey.expr import Cell
from odyssey.expr.equations import Equation, Init
from odyssey.expr.primitives import PRIMITIVES, sigmoid
from odyssey.expr.terms import (
    Current,
    Input,
    Matrix,
    Named,
    Previous,
    Vector,
    add,
    is_negation,
    is_reciprocal,
    leaves,
    matmul,
    mul,
    neg,
    rebuild,
    replace,
    sub,
)

ONE = sp.Integer(1)
tanh = PRIMITIVES["tanh"].function


def everywhere(expr: sp.Expr, change: Callable[[sp.Expr], sp.Expr | None]) -> sp.Expr:
    """Rewrites from the leaves up; `change` gives None for what stays."""
    if expr.args and not is_reciprocal(expr):
        args = tuple(everywhere(a, change) for a in expr.args)
        expr = expr if args == expr.args else rebuild(expr, args)
    elif is_reciprocal(expr):
        expr = rebuild(expr, (everywhere(expr.args[0], change), expr.args[1]))
    new = change(expr)
    return expr if new is None else new


def mapped(cell: Cell, change: Callable[[sp.Expr], sp.Expr | None], **more: object) -> Cell:
    equations = tuple(
        dataclasses.replace(e, value=everywhere(e.value, change)) for e in cell.equations
    )
    return cell.replace(equations=equations, **more)


def rename(cell: Cell, rng: np.random.Generator) -> Cell:
    old = [cell.input, *cell.states, *(e.target for e in cell.equations), *cell.parameters]
    old = list(dict.fromkeys(old))
    numbers = rng.permutation(len(old))
    letters = rng.choice(list("abkpqruvwyzABCDEMNPQRSTUVWXYZ"), len(old))
    new = {n: f"{a}{k}" for n, a, k in zip(old, letters, numbers, strict=True)}

    def leaf(node: sp.Expr) -> sp.Expr | None:
        if isinstance(node, Matrix | Vector | Named | Input | Previous | Current):
            name, bracket, when = node.name.partition("[")
            return type(node)(new[name] + bracket + when)
        return None

    equations = tuple(
        dataclasses.replace(e, target=new[e.target], value=replace(e.value, leaf))
        for e in cell.equations
    )

    def declared(declarations):
        return tuple(dataclasses.replace(d, name=new[d.name]) for d in declarations)

    inits = tuple(
        Init(new[i.parameter], i.kind, i.args, new[i.source] if i.source else "")
        for i in cell.inits
    )
    return dataclasses.replace(
        cell,
        input=new[cell.input],
        states=tuple(new[str(s)] for s in rng.permutation(cell.states)),
        equations=equations,
        output=new[cell.output],
        inits=tuple(inits[k] for k in rng.permutation(len(inits))),
        state_sizes=declared(cell.state_sizes),
        weights=declared(cell.weights),
        starts=tuple(
            dataclasses.replace(s, state=new[s.state], weight=new.get(s.weight, ""))
            for s in cell.starts
        ),
    )


def _chain(expr: sp.Expr, kind: type) -> list[sp.Expr]:
    if isinstance(expr, kind) and not is_negation(expr) and not is_reciprocal(expr.args[1]):
        return [part for a in expr.args for part in _chain(a, kind)]
    return [expr]


def shuffle_terms(cell: Cell, rng: np.random.Generator) -> Cell:
    """Reorders and reassociates sums and products."""

    def change(node: sp.Expr) -> sp.Expr | None:
        for kind, build in ((sp.Add, add), (sp.Mul, mul)):
            if isinstance(node, kind):
                parts = _chain(node, kind)
                if len(parts) > 1:
                    parts = [parts[k] for k in rng.permutation(len(parts))]
                    while len(parts) > 1:
                        k = int(rng.integers(len(parts) - 1))
                        parts[k : k + 2] = [build(parts[k], parts[k + 1])]
                    return parts[0]
        return None

    return mapped(cell, change)


def shuffle_equations(cell: Cell, rng: np.random.Generator) -> Cell:
    """Reorders independent equations."""
    left = list(cell.equations)
    order: list[Equation] = []
    while left:
        waiting = {e.label for e in left}
        ready = [e for e in left if not waiting & {leaf.name for leaf in leaves(e.value)}]
        chosen = ready[int(rng.integers(len(ready)))]
        order.append(chosen)
        left.remove(chosen)
    return cell.replace(equations=tuple(order))


def blend(cell: Cell, rng: np.random.Generator) -> Cell:
    """Writes g*a + (1-g)*b as b + g*(a-b), and back."""

    def change(node: sp.Expr) -> sp.Expr | None:
        if not isinstance(node, sp.Add) or rng.random() < 0.2:
            return None
        for one, other in (node.args, node.args[::-1]):
            for g, a in (one.args, one.args[::-1]) if isinstance(one, sp.Mul) else ():
                if is_reciprocal(g) or is_reciprocal(a) or g == -1 or a == -1:
                    continue
                for rest, b in (other.args, other.args[::-1]) if isinstance(other, sp.Mul) else ():
                    if rest == sub(ONE, g):
                        return add(b, mul(g, sub(a, b)))
                if isinstance(a, sp.Add) and is_negation(a.args[1]) and a.args[1].args[1] == other:
                    return add(mul(g, a.args[0]), mul(sub(ONE, g), other))
        return None

    return mapped(cell, change)


def flip_functions(cell: Cell, rng: np.random.Generator) -> Cell:
    """Writes sigmoid(z) as 1 - sigmoid(-z) and tanh(z) as -tanh(-z)."""

    def change(node: sp.Expr) -> sp.Expr | None:
        if type(node) not in (sigmoid, tanh) or rng.random() < 0.5:
            return None
        flipped = type(node)(neg(node.args[0]))
        return sub(ONE, flipped) if type(node) is sigmoid else neg(flipped)

    return mapped(cell, change)


def distribute(cell: Cell, rng: np.random.Generator) -> Cell:
    """Writes W @ (a + b) as W @ a + W @ b, and a * (b + c) as a * b + a * c."""

    def change(node: sp.Expr) -> sp.Expr | None:
        if rng.random() < 0.3:
            return None
        if isinstance(node, matmul) and isinstance(node.args[1], sp.Add):
            a, b = node.args[1].args
            if a.free_symbols and b.free_symbols:  # W @ 1 is not of the language
                return add(matmul(node.args[0], a), matmul(node.args[0], b))
        if isinstance(node, sp.Mul) and isinstance(node.args[1], sp.Add):
            return add(*(mul(node.args[0], a) for a in node.args[1].args))
        return None

    return mapped(cell, change)


def _fresh(cell: Cell, stem: str) -> str:
    taken = {cell.input, *cell.states, *cell.parameters, *(e.target for e in cell.equations)}
    return next(f"{stem}{k}" for k in range(1000) if f"{stem}{k}" not in taken)


def add_dead_code(cell: Cell, rng: np.random.Generator) -> Cell:
    name, state = _fresh(cell, "dead"), _fresh(cell, "ghost")
    matrix, bias = Matrix(_fresh(cell, "Wd")), Vector(_fresh(cell, "bd"))
    dead = Equation(name, add(sigmoid(matmul(matrix, Input(f"{cell.input}[t]"))), bias))
    if rng.random() < 0.5:
        return cell.replace(equations=(dead, *cell.equations))
    ghost = Equation(state, tanh(add(Named(name), Previous(f"{state}[t-1]"))), updates_state=True)
    return cell.replace(equations=(dead, ghost, *cell.equations), states=(state, *cell.states))


def inline(cell: Cell, rng: np.random.Generator) -> Cell:
    """Puts a named equation in the places that use it, unless a size is declared for it."""
    plain = [e for e in cell.equations if not e.updates_state and not e.size]
    names = [e for e in plain if e.target != cell.output]
    if not names:
        return cell
    gone = names[int(rng.integers(len(names)))]
    equations = tuple(
        dataclasses.replace(
            e, value=replace(e.value, lambda n: gone.value if n == Named(gone.target) else None)
        )
        for e in cell.equations
        if e != gone
    )
    return cell.replace(equations=equations)


def extract(cell: Cell, rng: np.random.Generator) -> Cell:
    """Gives a subexpression a name of its own."""
    index = int(rng.integers(len(cell.equations)))
    equation = cell.equations[index]
    inside = [
        n
        for n in sp.preorder_traversal(equation.value)
        if n.args and not is_reciprocal(n) and n.free_symbols
    ]
    if not inside:
        return cell
    part = inside[int(rng.integers(len(inside)))]
    name = _fresh(cell, "part")
    value = replace(equation.value, lambda n: Named(name) if n == part else None)
    new = (Equation(name, part), dataclasses.replace(equation, value=value))
    return cell.replace(equations=(*cell.equations[:index], *new, *cell.equations[index + 1 :]))


def split_state(cell: Cell, rng: np.random.Generator) -> Cell:
    """Keeps a state twice and reads now one, now the other."""
    if not cell.states:
        return cell
    state = cell.states[int(rng.integers(len(cell.states)))]
    twin = _fresh(cell, "twin")

    def read(node: sp.Expr) -> sp.Expr | None:
        if isinstance(node, Previous) and node.name == f"{state}[t-1]" and rng.random() < 0.5:
            return Previous(f"{twin}[t-1]")
        return None

    equations = []
    for e in cell.equations:
        equations.append(dataclasses.replace(e, value=everywhere(e.value, read)))
        if e.label == f"{state}[t]":
            equations.append(Equation(twin, everywhere(e.value, read), updates_state=True))
    sizes = [dataclasses.replace(d, name=twin) for d in cell.state_sizes if d.name == state]
    starts = [dataclasses.replace(s, state=twin) for s in cell.starts if s.state == state]
    return cell.replace(
        equations=tuple(equations),
        states=(*cell.states, twin),
        state_sizes=(*cell.state_sizes, *sizes),
        starts=(*cell.starts, *starts),
    )


def turn_differences(cell: Cell, rng: np.random.Generator) -> Cell:
    """Writes a - b as -(b - a)."""

    def change(node: sp.Expr) -> sp.Expr | None:
        if isinstance(node, sp.Add) and is_negation(node.args[1]) and rng.random() < 0.7:
            return neg(sub(node.args[1].args[1], node.args[0]))
        return None

    return mapped(cell, change)


def factor(cell: Cell, rng: np.random.Generator) -> Cell:
    """Writes a * b + a * c as a * (b + c), and W @ a + W @ b as W @ (a + b)."""

    def change(node: sp.Expr) -> sp.Expr | None:
        if not isinstance(node, sp.Add) or rng.random() < 0.2:
            return None
        one, other = node.args
        if isinstance(one, matmul) and isinstance(other, matmul) and one.args[0] == other.args[0]:
            return matmul(one.args[0], add(one.args[1], other.args[1]))
        if isinstance(one, sp.Mul) and isinstance(other, sp.Mul):
            for a, b in (one.args, one.args[::-1]):
                for c, d in (other.args, other.args[::-1]):
                    if a == c and a != -1 and not any(map(is_reciprocal, (a, b, d))):
                        return mul(a, add(b, d))
        return None

    return mapped(cell, change)


def pad(cell: Cell, rng: np.random.Generator) -> Cell:
    """Writes a function's argument z as z + 0, 1 * z, identity(z), or 0.5 * z + 0.5 * z."""
    half = sp.Rational(1, 2)
    forms = (
        lambda z: add(z, sp.Integer(0)),
        lambda z: mul(ONE, z),
        PRIMITIVES["identity"].function,
        lambda z: add(mul(half, z), mul(half, z)),
    )

    def change(node: sp.Expr) -> sp.Expr | None:
        if type(node) not in (sigmoid, tanh) or rng.random() < 0.4:
            return None
        return type(node)(forms[int(rng.integers(len(forms)))](node.args[0]))

    return mapped(cell, change)


def tanh_as_sigmoid(cell: Cell, rng: np.random.Generator) -> Cell:
    """Writes tanh(z) as 2 * sigmoid(2 * z) - 1: for the fingerprint, the algebra does not know."""

    def change(node: sp.Expr) -> sp.Expr | None:
        if type(node) is not tanh or rng.random() < 0.3:
            return None
        return sub(mul(sp.Integer(2), sigmoid(mul(sp.Integer(2), node.args[0]))), ONE)

    return mapped(cell, change)


REWRITES = (
    rename,
    shuffle_terms,
    shuffle_equations,
    blend,
    flip_functions,
    distribute,
    add_dead_code,
    inline,
    extract,
    split_state,
    turn_differences,
    factor,
    pad,
)
