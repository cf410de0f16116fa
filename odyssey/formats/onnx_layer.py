"""One layer of a cell in ONNX, written from its program: what is in the loop is a `Scan`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from odyssey.errors import ConfigError
from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES, Array
from odyssey.expr.program import MAIN_INPUT, Node, Program
from odyssey.expr.reductions import REDUCTIONS, RESHAPINGS
from odyssey.expr.sizes import axes, is_matrix, resolve
from odyssey.formats.onnx_graph import FLOAT, OnnxGraph


class OnnxLayer:
    """Writes one layer.

    Args:
        graph: The graph.
        program: The lowered cell.
        number: Which layer it is.
        sizes: I and H.
        weights: Its weights as the equations read them.
        prefix: How the names of its values begin, where it is written more than once.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        program: Program,
        number: int,
        sizes: tuple[int, int],
        weights: Mapping[str, Array],
        *,
        prefix: str = "",
    ) -> None:
        self.graph, self.program, self.sizes = graph, program, sizes
        self.body = OnnxGraph(f"{prefix}layer{number}/step/", graph)
        self.weights = {n: graph.store(f"layers.{number}.{n}", w) for n, w in weights.items()}
        self.turned: dict[str, str] = {}
        self.values: dict[int, str] = {}
        self.scanned: dict[int, str] = {}  # a value of all steps -> its name in the body

    def write(
        self, read: Mapping[str, str], states: list[str], *, classes: bool
    ) -> tuple[str, list[str]]:
        """Writes the layer; gives the names of its output and of its last states.

        Args:
            read: Names in the graph of the inputs: of x as `MAIN_INPUT`, of further ones by name.
            states: Names of the states before the first step, (B, n) each.
            classes: Whether x is class indices.
        """
        program, body, graph = self.program, self.body, self.graph
        self.read, self.classes = read, classes
        for k, node in enumerate(program.nodes):
            if node.region != "step":
                self.values[k] = self._value(graph, node)
        if not program.states:
            return self._as_output(), []
        before = [f"{body.prefix}{name}" for name in program.states]
        self.before = dict(zip(program.states, before, strict=True))
        for k, node in enumerate(program.nodes):
            if node.region == "step":
                self.values[k] = self._value(body, node)
        after = [
            self._new_state(name, update)
            for name, update in zip(program.states, program.updates, strict=True)
        ]
        inside = program.nodes[program.output].region == "step"
        if inside:
            after.append(body.op("Identity", self._operand(body, program.output)))
        if not self.scanned:  # the output reads x, and no state does
            raise ConfigError(f"{program.name}: no state reads the input: ONNX has no loop for it")
        make = body.helper.make_tensor_value_info
        whole = body.helper.make_graph(
            body.nodes,
            f"step of {program.name}"[:80],
            [make(name, FLOAT, None) for name in (*before, *self.scanned.values())],
            [make(name, FLOAT, None) for name in after],
        )
        names = graph.scan(
            [*states, *(self.values[k] for k in self.scanned)],
            len(after),
            body=whole,
            num_scan_inputs=len(self.scanned),
        )
        return (names[-1] if inside else self._as_output()), names[: len(states)]

    def _as_output(self) -> str:
        """Gives an output that no step computes, (T, B, H)."""
        k = self.program.output
        if self.program.nodes[k].region == "sequence":
            return self.values[k]
        graph = self.graph
        x = self.read[MAIN_INPUT]
        rows = graph.op("Slice", graph.op("Shape", x), graph.whole(0), graph.whole(2))
        shape = graph.op("Concat", rows, graph.whole(self.sizes[1]), axis=0)
        return graph.op("Expand", self.values[k], shape)

    def _new_state(self, name: str, update: int) -> str:
        body, node = self.body, self.program.nodes[update]
        size = self.program.state_size(name)
        smaller = node.region == "once" or node.size != size
        value = self._operand(body, update)
        if is_matrix(size):
            shape = [resolve(axis, *self.sizes) for axis in axes(size)]
            if smaller:
                old = body.op("Reshape", self.before[name], body.whole(0, *shape))
                value = body.op("Expand", value, body.op("Shape", old))
            return body.op("Reshape", value, body.whole(0, shape[0] * shape[1]))
        if smaller:
            return body.op("Expand", value, body.op("Shape", self.before[name]))
        return body.op("Identity", value)

    def _operand(self, graph: OnnxGraph, k: int) -> str:
        """Gives the name of a value where it is read."""
        node = self.program.nodes[k]
        if graph is self.body and node.region == "sequence":
            return self.scanned.setdefault(k, f"{graph.prefix}of{k}")
        return self.values[k]

    def _value(self, graph: OnnxGraph, node: Node) -> str:
        match node.op:
            case "constant":
                return graph.constant(float(node.value))
            case "input":
                return self._dense() if node.name == MAIN_INPUT else self.read[node.name]
            case "vector":
                return self.weights[node.name]
            case "previous":
                name = self.before[node.name]
                if is_matrix(node.size):
                    shape = [resolve(axis, *self.sizes) for axis in axes(node.size)]
                    return graph.op("Reshape", name, graph.whole(0, *shape))
                return name
            case "matmul":
                return self._product(graph, node)
        args = [self._operand(graph, a) for a in node.args]
        over_units = REDUCTIONS.get(node.op) or RESHAPINGS.get(node.op)
        if over_units is not None:  # others take rows and matrices as they are
            return graph.formula(_required(over_units.onnx, node.op), args)
        if is_matrix(node.size):  # a number of a row is one of all the matrix
            args = [self._widened(graph, a, name) for a, name in zip(node.args, args, strict=True)]
        if node.op in ARITHMETIC:
            return graph.op(ARITHMETIC[node.op].onnx, *args)
        return graph.formula(_required(PRIMITIVES[node.op].onnx, node.op), args)

    def _widened(self, graph: OnnxGraph, k: int, name: str) -> str:
        node = self.program.nodes[k]
        if node.op == "constant" or is_matrix(node.size):
            return name
        return graph.op("Unsqueeze", name, graph.whole(-1))

    def _dense(self) -> str:
        x = self.read[MAIN_INPUT]
        if not self.classes:
            return x
        values = self.graph.constant([0.0, 1.0])
        depth = self.graph.constant(self.sizes[0], np.int64)
        return self.graph.op("OneHot", x, depth, values)

    def _product(self, graph: OnnxGraph, node: Node) -> str:
        weight = self.weights[node.name]
        if not node.transposed:
            if weight not in self.turned:
                self.turned[weight] = self.graph.op("Transpose", weight, perm=[1, 0])
            weight = self.turned[weight]
        operand = self.program.nodes[node.args[0]]
        if self.classes and (operand.op, operand.name) == ("input", MAIN_INPUT):
            x = self.read[MAIN_INPUT]
            return graph.op("Gather", weight, x, axis=0)  # one-hot rows take columns
        return graph.op("MatMul", self._operand(graph, node.args[0]), weight)


def _required(formula: str, name: str) -> str:
    if not formula:
        raise ConfigError(f"{name} cannot be written in ONNX yet")
    return formula
