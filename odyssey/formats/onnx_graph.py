"""A cell as an ONNX graph: written from its program, one `Scan` a layer.

What the compiler has before the loop stands before the `Scan`, what is in the loop in its body.
Steps and batch are open. The states are inputs with a value of their own, the one that the cell
starts at: who gives none begins anew, and what comes out can be given again. Numbers are float32.

`onnx` is imported where a graph is written: Odyssey needs it for nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr.arithmetic import ARITHMETIC, read_formula
from odyssey.expr.primitives import PRIMITIVES, Array
from odyssey.expr.program import MAIN_INPUT, Node, Program
from odyssey.expr.reductions import REDUCTIONS, RESHAPINGS
from odyssey.expr.sizes import axes, is_matrix, resolve
from odyssey.formats.portable import Portable
from odyssey.version import __version__

OPSET = 18
IR_VERSION = 9
_FLOAT, _INT64 = 1, 7  # as onnx.TensorProto has them
INPUT, OUTPUT = "input", "output"
"""Names of the graph's input and output; words of the language, so no state is called so."""


def write_onnx(portable: Portable) -> bytes:
    """Writes the model; its weights are those of `portable.used`.

    Inputs are `input`, (T, B, I) floats or (T, B) classes, every further input of the cell by its
    name, (T, B, N), and every state by its, (L, B, n); outputs `output` (T, B, H), or what the
    readout makes of it, and every state with `_n` behind its name. A trained model takes further
    inputs out of `input`, as in training.

    Raises:
        ConfigError: `onnx` is missing, or has no operator for a primitive of the cell.
    """
    try:
        import onnx
    except ImportError:
        raise ConfigError(
            "ONNX files are written by onnx, which is missing: pip install 'odyssey-cells[onnx]'"
        ) from None
    model = _Model(portable).write()
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


class OnnxGraph:
    """Nodes under construction: the whole graph, or the body of a `Scan`, which sees its values.

    Args:
        prefix: How the names of its values begin.
        outer: The graph around it; constants lie in the outermost.
    """

    def __init__(self, prefix: str, outer: OnnxGraph | None = None) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper = helper, numpy_helper
        self.prefix, self.outer = prefix, outer
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.constants: dict[tuple[Any, ...], str] = {}

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Adds a node; gives the name of its output."""
        name = name or self._next()
        self.nodes.append(self.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def scan(self, inputs: list[str], count: int, **attributes: Any) -> list[str]:
        """Adds a `Scan`; gives the names of its outputs, of which there are `count`."""
        first = self._next()
        names = [first, *(f"{first}/{k}" for k in range(1, count))]
        self.nodes.append(self.helper.make_node("Scan", inputs, names, **attributes))
        return names

    def _next(self) -> str:
        return f"{self.prefix}{len(self.nodes)}"

    def store(self, name: str, value: Array) -> str:
        """Adds an array by name."""
        kind = np.int64 if value.dtype.kind in "iu" else np.float32
        tensor = self.numpy_helper.from_array(np.asarray(value, dtype=kind, order="C"), name)
        self.initializers.append(tensor)
        return name

    def constant(self, value: Any, kind: type = np.float32) -> str:
        """Gives a constant, the same for equal values."""
        if self.outer is not None:
            return self.outer.constant(value, kind)
        array: Array = np.asarray(value, dtype=kind)
        key = (kind, array.shape, array.tobytes())
        if key not in self.constants:
            name = f"constant/{len(self.constants)}"
            self.constants[key] = self.store(name, array)
        return self.constants[key]

    def whole(self, *values: int) -> str:
        """Gives a list of whole numbers, as axes and shapes are."""
        return self.constant(list(values), np.int64)

    def formula(self, text: str, args: list[str]) -> str:
        """Writes a formula of the tables; see `Primitive.onnx`."""
        names = dict(zip("ab", args, strict=False))
        for name, value in (("last", [-1]), ("above", [-2]), ("axis", -1)):
            if name in text:
                names[name] = self.constant(value, np.int64)
        return read_formula(
            text,
            names=names,
            number=lambda value: self.constant(float(value)),
            apply=lambda op, *values: self.op(
                ARITHMETIC[op].onnx if op in ARITHMETIC else op, *values
            ),
        )


class _Layer:
    """Writes one layer.

    Args:
        graph: The graph.
        program: The lowered cell.
        number: Which layer it is.
        sizes: I and H.
        weights: Its weights as the equations read them.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        program: Program,
        number: int,
        sizes: tuple[int, int],
        weights: Mapping[str, Array],
    ) -> None:
        self.graph, self.program, self.sizes = graph, program, sizes
        self.body = OnnxGraph(f"layer{number}/step/", graph)
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
            [make(name, _FLOAT, None) for name in (*before, *self.scanned.values())],
            [make(name, _FLOAT, None) for name in after],
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


class _Model:
    """Writes the layers, and what is around them."""

    def __init__(self, portable: Portable) -> None:
        self.portable, self.program = portable, lower(portable.cell)
        self.sizes = portable.sizes()
        self.graph = OnnxGraph("v")
        self.layers = portable.num_layers

    def write(self) -> Any:
        graph, portable, program = self.graph, self.portable, self.program
        make = graph.helper.make_tensor_value_info
        around = portable.around
        classes = around is not None and around.classes
        inputs = around.inputs if around else self.sizes[0]
        shape = ["steps", "batch", *([] if classes else [inputs])]
        given = [make(INPUT, _INT64 if classes else _FLOAT, shape)]
        result = [
            make(OUTPUT, _FLOAT, ["steps", "batch", around.outputs if around else self.sizes[1]])
        ]
        x, further = self._inputs(given)
        batch = graph.op("Gather", graph.op("Shape", INPUT), graph.whole(1), axis=0)
        if around is not None and "embedding" in around.arrays:
            table = graph.store("embedding", around.arrays["embedding"])
            table = graph.op("Transpose", table, perm=[1, 0])
            x = graph.op("Gather", table, x, axis=0) if classes else graph.op("MatMul", x, table)
            classes = False
        starts, finals = self._starts(batch, given), []
        for number in range(self.layers):
            first = self.sizes[0] if number == 0 else self.sizes[1]
            sizes = first, self.sizes[1]
            states = [self._of_layer(start, number, sizes) for start in starts.items()]
            layer = _Layer(graph, program, number, sizes, portable.used[number])
            x, final = layer.write({MAIN_INPUT: x} | further, states, classes=classes)
            classes = False
            finals.append(final)
        if around is not None:
            weight = graph.store("readout.weight", around.arrays["readout.weight"])
            bias = graph.store("readout.bias", around.arrays["readout.bias"])
            x = graph.op("MatMul", x, graph.op("Transpose", weight, perm=[1, 0]))
            graph.op("Add", x, bias, name=OUTPUT)
        else:
            graph.op("Identity", x, name=OUTPUT)
        for name, last in zip(program.states, zip(*finals, strict=True), strict=True):
            self._last(name, list(last), result)
        whole = graph.helper.make_graph(
            graph.nodes, portable.name, given, result, initializer=graph.initializers
        )
        model = graph.helper.make_model(
            whole,
            producer_name="odyssey",
            producer_version=__version__,
            opset_imports=[graph.helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        graph.helper.set_model_props(model, self._facts())
        return model

    def _inputs(self, given: list[Any]) -> tuple[str, dict[str, str]]:
        """Gives the names of x and of the further inputs, which are parts of a model's input."""
        graph, around = self.graph, self.portable.around
        sizes = self.portable.cell.shapes.inputs
        if around is None:
            for name, size in sizes.items():
                shape = ["steps", "batch", resolve(size, *self.sizes)]
                given.append(graph.helper.make_tensor_value_info(name, _FLOAT, shape))
            return INPUT, {name: name for name in sizes}
        if not around.places:
            return INPUT, {}
        x, *further = (graph.op("Gather", INPUT, graph.whole(*p), axis=-1) for p in around.places)
        return x, dict(zip(sizes, further, strict=True))

    def _facts(self) -> dict[str, str]:
        cell, around = self.portable.cell, self.portable.around
        facts = {"cell": cell.text, "key": cell.key, "citation": cell.citation}
        facts["notes"] = "\n".join(self.portable.notes)
        facts["symbols"] = json.dumps(around.symbols) if around and around.symbols else ""
        return {name: value for name, value in facts.items() if value}

    def _widths(self, name: str) -> list[int]:
        """Gives the size of a state in every layer."""
        size = self.program.state_size(name)
        inputs, units = self.sizes
        return [resolve(size, inputs if n == 0 else units, units) for n in range(self.layers)]

    def _starts(self, batch: str, given: list[Any]) -> dict[str, str]:
        """Adds the states as inputs that may be left out; gives them as (L, B, n), by name."""
        graph, starts = self.graph, {}
        for name in self.program.states:
            widths = self._widths(name)
            value = np.zeros((self.layers, 1, max(widths)))
            start = self.program.starts.get(name, 0.0)
            for number, width in enumerate(widths):
                own = self.portable.used[number][start] if isinstance(start, str) else start
                value[number, 0, :width] = own
            graph.store(name, value)
            shape = [self.layers, f"rows of {name}", max(widths)]
            given.append(graph.helper.make_tensor_value_info(name, _FLOAT, shape))
            rows = graph.op("Concat", graph.whole(1), batch, graph.whole(1), axis=0)
            starts[name] = graph.op("Expand", name, rows)
        return starts

    def _of_layer(self, start: tuple[str, str], number: int, sizes: tuple[int, int]) -> str:
        """Takes the state of a layer, (B, n), out of that of all."""
        graph, (name, value) = self.graph, start
        own = graph.op("Gather", value, graph.constant(number, np.int64), axis=0)
        width = resolve(self.program.state_size(name), *sizes)
        if width == max(self._widths(name)):
            return own
        return graph.op("Slice", own, graph.whole(0), graph.whole(width), graph.whole(-1))

    def _last(self, name: str, values: list[str], result: list[Any]) -> None:
        """Adds the last states of all layers, (L, B, n), as an output."""
        graph, widths = self.graph, self._widths(name)
        rows = []
        for value, width in zip(values, widths, strict=True):
            missing = max(widths) - width
            if missing:
                value = graph.op("Pad", value, graph.whole(0, 0, 0, missing))
            rows.append(graph.op("Unsqueeze", value, graph.whole(0)))
        output = f"{name}_n"
        while output in (*self.program.states, *self.program.inputs):
            output += "_"
        graph.op("Concat", *rows, axis=0, name=output)
        shape = [self.layers, "batch", max(widths)]
        result.append(graph.helper.make_tensor_value_info(output, _FLOAT, shape))


def _required(formula: str, name: str) -> str:
    if not formula:
        raise ConfigError(f"{name} cannot be written in ONNX yet")
    return formula
