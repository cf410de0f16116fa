"""Reverse mode without a backend: one step run by NumPy, beside differences of its values."""

import functools

import numpy as np
import pytest
from support.random_cells import random_cell, random_wide_cell
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.compiler.autodiff import CHEAP, _Tape, differentiate, levels
from odyssey.compiler.lowering import lower
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Node, Program, reach
from odyssey.expr.reductions import REDUCTIONS
from odyssey.expr.sizes import is_matrix, resolve

ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
}
ROWS = {
    "spread": lambda a: a,  # NumPy broadcasts
    "equal": lambda a, b: (a == b) * 1.0,
    "reverse_cumsum": lambda a: np.cumsum(a[::-1])[::-1],
    **{name: row.numpy for name, row in REDUCTIONS.items()},
}
INPUTS, UNITS = 3, 4


def random_program(seed):
    rng = np.random.default_rng(seed)
    return lower(random_cell(rng, size=int(rng.integers(3, 26))))


def wide_program(seed):
    return lower(random_wide_cell(np.random.default_rng([3, seed]), size=3 + seed % 15))


def program(*equations):
    lines = ["cell one", "input x", "state h", *equations, "output h"]
    return lower(odyssey.parse_cell("\n".join(lines) + "\n"))


def holds_matrices(program):
    """Whether a value is a matrix: then torch differentiates."""
    return any(is_matrix(node.size) for node in program.nodes)


NAMED = {spec: lower(odyssey.get_cell(spec)) for spec in REPRESENTATIVES}
PROGRAMS = {
    # two products of different operands whose gradients are one value
    "two products": program(
        "a = tanh(W @ x[t] + h[t-1])", "b = sin(h[t-1])", "h[t] = tanh(U @ a + V @ b)"
    ),
    "nothing comes back": program("h[t] = tanh(0 * (U @ h[t-1]) + 0 * sin(h[t-1]) + W @ x[t])"),
    **{name: program for name, program in NAMED.items() if not holds_matrices(program)},
}
DRAWN = {  # made by the tests: every worker collects all of them and runs a third
    **{f"random {seed}": functools.partial(random_program, seed) for seed in range(60)},
    **{f"wide {seed}": functools.partial(wide_program, seed) for seed in range(30)},
}
each = pytest.mark.parametrize("name", [*PROGRAMS, *DRAWN])


@functools.cache
def get_program(name):
    return PROGRAMS[name] if name in PROGRAMS else DRAWN[name]()


def function(op):
    return ARITHMETIC.get(op) or ROWS.get(op) or PRIMITIVES[op].numpy


class Step:
    """One step of a program and its backward step; inputs, parameters and gradients are drawn."""

    def __init__(self, program, seed=1):
        self.program, self.backward = program, differentiate(program)
        self.groups = [g for g in program.groups if g.region == "step"]
        rng = np.random.default_rng(seed)
        inputs = UNITS if program.square else INPUTS
        self.matrices = {
            name: rng.normal(0, 0.6, program.shape(name, inputs, UNITS))
            for name in program.matrices
        }
        self.leaves = {
            k: rng.normal(0, 0.6, self.units(n.size))
            for k, n in enumerate(program.nodes)
            if n.op in ("input", "previous", "vector") or (n.region != "step" and n.op == "matmul")
        }
        values = self.forward({})
        # what comes from outside the loop varies on its own
        self.leaves |= {
            k: values[k]
            for k, n in enumerate(program.nodes)
            if n.region != "step" and n.op != "constant"
        }
        self.later = {s: rng.normal(size=self.units(program.state_size(s))) for s in program.states}
        self.output_gradient = rng.normal(size=UNITS)

    def units(self, size):
        return resolve(size, UNITS if self.program.square else INPUTS, UNITS)

    def matrix(self, k, matrices=None):
        """What a product multiplies by."""
        node = self.program.nodes[k]
        matrix = (matrices or self.matrices)[node.name]
        return matrix.T if node.transposed else matrix

    def forward(self, changes, matrices=None):
        values = []
        for k, node in enumerate(self.program.nodes):
            if k in changes or k in self.leaves:
                values.append(changes[k] if k in changes else self.leaves[k])
            elif node.op == "constant":
                values.append(np.array([node.value]))
            elif node.op == "matmul":
                operand = np.broadcast_to(values[node.args[0]], self.matrix(k).shape[1])
                values.append(self.matrix(k, matrices) @ operand)
            else:
                values.append(function(node.op)(*(values[a] for a in node.args)))
        return values

    def loss(self, changes, matrices=None):
        values = self.forward(changes, matrices)
        pairs = zip(self.program.states, self.program.updates, strict=True)
        total = sum((self.later[s] * values[u]).sum() for s, u in pairs)
        if self.program.nodes[self.program.output].region == "step":
            total += (self.output_gradient * values[self.program.output]).sum()
        return total

    def back(self, read=None):
        """Runs the backward step; `read` gives a forward value."""
        values, forward = {}, self.forward({})
        read = read or forward.__getitem__
        count = self.backward.forward

        def value(k):
            return read(k) if k < count else values[k]

        for k, node in enumerate(self.backward.nodes[count:], count):
            if node.op == "later":
                values[k] = self.later[node.name]
            elif node.op == "output_gradient":
                values[k] = self.output_gradient
            elif node.op == "constant":
                values[k] = np.array([node.value])
            elif node.op == "inverse":
                values[k] = np.array([1 / self.units(node.name)])
            elif node.op == "transpose":
                values[k] = self.transposed(self.backward.transposes[k], value)
            else:
                values[k] = function(node.op)(*map(value, node.args))
            values[k] = np.broadcast_to(values[k], self.units(node.size))
        return {k: value(k) for k in self.backward.sinks}, value

    def transposed(self, group, value):
        """The gradient of a group's operand, from those of its products."""
        results = self.backward.results
        return sum(self.matrix(r).T @ value(results[r]) for r in group.results if r in results)


def slope(loss, value, direction):
    """Differences at two steps: the longer may reach across a kink."""
    return [
        (loss(value + step * direction) - loss(value - step * direction)) / (2 * step)
        for step in (1e-5, 1e-6)
    ]


def assert_slope(loss, value, gradient):
    direction = np.random.default_rng(3).normal(size=np.shape(value))
    got = float((np.broadcast_to(gradient, np.shape(value)) * direction).sum())
    wants = slope(loss, value, direction)
    assert any(got == pytest.approx(want, rel=1e-6, abs=1e-7) for want in wants)


@each
def test_gradients_of_a_step(name):
    step = Step(get_program(name))
    program, backward = step.program, step.backward
    _, value = step.back()
    for k, node in enumerate(program.nodes):
        if k not in step.leaves:
            continue
        if node.op == "previous":
            gradient = np.zeros(step.units(node.size))
            if node.name in backward.previous:
                gradient = gradient + value(backward.previous[node.name])
            if node.name in backward.carried:
                gradient = gradient + step.transposed(backward.carried[node.name], value)
        else:
            gradient = value(backward.leaves[k]) if k in backward.leaves else 0.0
        assert_slope(lambda v, k=k: step.loss({k: v}), step.leaves[k], gradient)
    for matrix in program.matrices:
        gradient, values = np.zeros_like(step.matrices[matrix]), step.forward({})
        for group in step.groups:
            for r in group.results:
                if program.nodes[r].name == matrix and r in backward.results:
                    part = np.outer(value(backward.results[r]), values[group.operand])
                    gradient += part.T if program.nodes[r].transposed else part
        assert_slope(
            lambda v, m=matrix: step.loss({}, {**step.matrices, m: v}),
            step.matrices[matrix],
            gradient,
        )


@each
def test_what_is_saved_is_enough_and_no_more(name):
    """The backward step runs on saved values, states and what is outside; cheap ones are redone."""
    step = Step(get_program(name))
    program, saved = step.program, set(step.backward.saved)
    forward = step.forward({})

    def at_hand(k, saved):
        node = program.nodes[k]
        return k in saved or node.region != "step" or node.op == "previous" or k in program.updates

    def reader(saved):
        def read(k):
            if at_hand(k, saved):
                return forward[k]
            node = program.nodes[k]
            if node.op not in CHEAP:
                raise LookupError(k)
            return function(node.op)(*map(read, node.args))

        return read

    want, _ = step.back()
    got, _ = step.back(reader(saved))
    for k, value in want.items():
        np.testing.assert_allclose(got[k], value, rtol=1e-12)
    # what a maximum is compared with must be the same to the bit
    nodes, count = step.backward.nodes, step.backward.forward
    live = reach(step.backward.sinks, lambda k: nodes[k].args if k >= count else ())
    compared = {a for k in live if nodes[k].op == "equal" for a in nodes[k].args}
    assert all(at_hand(a, saved) for a in compared)
    for k in saved:
        assert program.nodes[k].region == "step"
        assert not at_hand(k, saved - {k})
        operands = all(at_hand(a, saved) for a in program.nodes[k].args)
        assert program.nodes[k].op not in CHEAP or not operands or k in compared
    # nothing is kept that nobody reads
    seen = set()
    step.back(lambda k: seen.add(k) or forward[k])
    redone = {k for k in seen if not at_hand(k, saved)}
    for k in sorted(redone, reverse=True):
        redone |= {a for a in program.nodes[k].args if not at_hand(a, saved)}
    read = seen | {a for k in redone for a in program.nodes[k].args}
    assert saved <= read


@each
def test_nothing_is_multiplied_by_one_or_zero(name):
    backward = differentiate(get_program(name))
    nodes = backward.nodes
    for node in nodes[backward.forward :]:
        constants = [nodes[a].value for a in node.args if nodes[a].op == "constant"]
        if node.op == "mul":
            assert not {0.0, 1.0} & set(constants)
        if node.op == "add":
            assert 0.0 not in constants
        if node.op == "neg":
            assert nodes[node.args[0]].op not in ("neg", "constant")
    assert len(set(nodes[backward.forward :])) == len(nodes) - backward.forward
    assert "constant" not in {nodes[k].op for k in backward.sinks}


def test_the_tape_folds_what_it_can():
    program = Program(
        name="p",
        states=(),
        nodes=(Node("input", size="I"), Node("constant", value=2.0, size="1")),
        updates=(),
        output=0,
    )
    tape = _Tape(program)
    zero, one = tape.constant(0.0), tape.constant(1.0)
    assert tape.constant(1.0) == one
    for a, b, want in ((0, one, 0), (one, 0, 0), (zero, 0, zero), (0, zero, zero), (1, one, 1)):
        assert tape.apply("mul", a, b) == want
    assert tape.apply("add", 0, zero) == tape.apply("add", zero, 0) == 0
    assert tape.value(tape.apply("neg", 1)) == -2.0
    assert tape.apply("neg", tape.apply("neg", 0)) == 0
    product = tape.apply("mul", 1, 0)
    assert tape.nodes[product] == Node("mul", (1, 0), size="I")
    assert tape.nodes[tape.apply("mul", 1, 1)].size == "1"
    with pytest.raises(AssertionError, match="cannot read the formula"):
        tape.formula("a if b else a", {"a": 0, "b": 1})


def test_levels_by_hand():
    """Two products, one after the other: %2 = W @ %1, %5 = V @ %4."""
    nodes = (
        Node("previous", name="h"),  # 0
        Node("neg", (0,)),  # 1: read by the first product
        Node("matmul", (1,), name="W"),  # 2
        Node("tanh", (0,)),  # 3: read by what follows the second product only
        Node("tanh", (2,)),  # 4
        Node("matmul", (4,), name="V"),  # 5
        Node("mul", (3, 5)),  # 6
        Node("neg", (0,)),  # 7: leaves the step, although 6's reader comes late
        Node("add", (6, 7)),  # 8
        Node("sigmoid", (0,)),  # 9: read by nobody
    )
    members, products = set(range(1, 10)), {2, 5}
    found = levels(nodes, members, products, {7, 8})
    assert found == {1: 0, 2: 1, 3: 2, 4: 1, 5: 2, 6: 2, 7: 0, 8: 2, 9: 0}
    # a value that does not leave the step waits for its reader
    assert levels(nodes, members, products, {8})[7] == 2
