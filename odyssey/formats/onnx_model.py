"""A cell as an ONNX graph: written from its program, one `Scan` a layer.

What the compiler has before the loop stands before the `Scan`, what is in the loop in its body.
Steps and batch are open. The states are inputs with a value of their own, the one that the cell
starts at: who gives none begins anew, and what comes out can be given again. Numbers are float32.

`onnx` is imported where a graph is written: Odyssey needs it for nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr.program import MAIN_INPUT
from odyssey.expr.sizes import resolve
from odyssey.formats.onnx_condition import OnnxConditioner
from odyssey.formats.onnx_graph import BOOL, FLOAT, INT64, IR_VERSION, OPSET, OnnxGraph
from odyssey.formats.onnx_layer import OnnxLayer
from odyssey.formats.portable import ENCODER, Portable, Surroundings
from odyssey.tasks.signature import ATTENTION, EVERY
from odyssey.version import __version__

INPUT, OUTPUT = "input", "output"
"""Names of the graph's input and output; words of the language, so no state is called so."""
GIVEN, BEGIN, LOOKED = "given", "begin", "last_output"
"""What a conditioned model has besides: what is given; whether it is read before the first step;
the output of the step before, by which attention looks. With `_` behind it where a state has it."""


def write_onnx(portable: Portable) -> bytes:
    """Writes the model; its weights are those of `portable.used`.

    Inputs are `input`, (T, B, I) floats or (T, B) classes, every further input of the cell by its
    name, (T, B, N), and every state by its, (L, B, n); outputs `output` (T, B, H), or what the
    readout makes of it, and every state with `_n` behind its name. A trained model takes further
    inputs out of `input`, as in training. What sequences are conditioned on is `given`, (B, ...):
    where it is read before the first step, `begin` (true) says whether that is now; with attention
    `last_output` (1, B, H) goes with the states.

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


class _Model:
    """Writes the layers, and what is around them."""

    def __init__(self, portable: Portable) -> None:
        self.portable, self.program = portable, lower(portable.cell)
        self.sizes = portable.sizes()
        self.graph = OnnxGraph("v")
        self.layers = portable.num_layers

    def write(self) -> Any:
        graph, portable = self.graph, self.portable
        make = graph.helper.make_tensor_value_info
        around = portable.around
        classes = around is not None and around.classes
        inputs = around.inputs if around else self.sizes[0]
        shape = ["steps", "batch", *([] if classes else [inputs])]
        given = [make(INPUT, INT64 if classes else FLOAT, shape)]
        result = [
            make(OUTPUT, FLOAT, ["steps", "batch", around.outputs if around else self.sizes[1]])
        ]
        further = self._further(given)
        batch = graph.op("Gather", graph.op("Shape", INPUT), graph.whole(1), axis=0)
        starts = self._starts(batch, given)
        if around is not None and around.condition is not None:
            conditioned = _Conditioned(self, around, given)
            x, finals = conditioned.write(starts, batch, result)
        else:
            x, finals = self.layers_of(graph, INPUT, further, starts, classes=classes)
        if around is not None:
            weight = graph.store("readout.weight", around.arrays["readout.weight"])
            bias = graph.store("readout.bias", around.arrays["readout.bias"])
            x = graph.op("MatMul", x, graph.op("Transpose", weight, perm=[1, 0]))
            graph.op("Add", x, bias, name=OUTPUT)
        else:
            graph.op("Identity", x, name=OUTPUT)
        for name, final in finals.items():
            output = self.free(f"{name}_n")
            graph.op("Identity", final, name=output)
            shape = [self.layers, "batch", max(self._widths(name))]
            result.append(make(output, FLOAT, shape))
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

    def free(self, name: str) -> str:
        """Gives a name that no state and no input has: with `_` behind it."""
        while name in (*self.program.states, *self.program.inputs, INPUT, OUTPUT):
            name += "_"
        return name

    def layers_of(
        self,
        graph: OnnxGraph,
        x: str,
        further: Mapping[str, str],
        starts: Mapping[str, str],
        *,
        classes: bool = False,
        prefix: str = "",
    ) -> tuple[str, dict[str, str]]:
        """Writes all layers; gives the names of the output and of the last states, (L, B, n).

        Args:
            graph: Where they stand.
            x: What is read, (T, B, I) or classes (T, B); of a model all that a step has.
            further: Further inputs of a cell alone; a model takes them out of x.
            starts: States (L, B, n), by name.
            classes: Whether x is classes.
            prefix: How the names of values begin, where layers are written more than once.
        """
        around, finals = self.portable.around, []
        if around is not None and around.places:
            x, *taken = (graph.op("Gather", x, graph.whole(*p), axis=-1) for p in around.places)
            further = dict(zip(self.portable.cell.shapes.inputs, taken, strict=True))
        if around is not None and "embedding" in around.arrays:
            table = graph.store("embedding", around.arrays["embedding"])
            table = graph.op("Transpose", table, perm=[1, 0])
            x = graph.op("Gather", table, x, axis=0) if classes else graph.op("MatMul", x, table)
            classes = False
        for number in range(self.layers):
            first = self.sizes[0] if number == 0 else self.sizes[1]
            sizes, used = (first, self.sizes[1]), self.portable.used[number]
            states = [self._of_layer(graph, start, number, sizes) for start in starts.items()]
            layer = OnnxLayer(graph, self.program, number, sizes, used, prefix=prefix)
            x, final = layer.write({MAIN_INPUT: x, **further}, states, classes=classes)
            classes = False
            finals.append(final)
        names = zip(self.program.states, zip(*finals, strict=True), strict=True)
        return x, {name: self._of_all(graph, name, last) for name, last in names}

    def _further(self, given: list[Any]) -> dict[str, str]:
        """Adds the further inputs of a cell; those of a model are parts of its one input."""
        if self.portable.around is not None:
            return {}
        sizes = self.portable.cell.shapes.inputs
        for name, size in sizes.items():
            shape = ["steps", "batch", resolve(size, *self.sizes)]
            given.append(self.graph.helper.make_tensor_value_info(name, FLOAT, shape))
        return {name: name for name in sizes}

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
            given.append(graph.helper.make_tensor_value_info(name, FLOAT, shape))
            rows = graph.op("Concat", graph.whole(1), batch, graph.whole(1), axis=0)
            starts[name] = graph.op("Expand", name, rows)
        return starts

    def _of_layer(
        self, graph: OnnxGraph, start: tuple[str, str], number: int, sizes: tuple[int, int]
    ) -> str:
        """Takes the state of a layer, (B, n), out of that of all."""
        name, value = start
        own = graph.op("Gather", value, graph.constant(number, np.int64), axis=0)
        width = resolve(self.program.state_size(name), *sizes)
        if width == max(self._widths(name)):
            return own
        return graph.op("Slice", own, graph.whole(0), graph.whole(width), graph.whole(-1))

    def _of_all(self, graph: OnnxGraph, name: str, values: Sequence[str]) -> str:
        """Joins the states of all layers, (L, B, n)."""
        widths, rows = self._widths(name), []
        for value, width in zip(values, widths, strict=True):
            missing = max(widths) - width
            if missing:
                value = graph.op("Pad", value, graph.whole(0, 0, 0, missing))
            rows.append(graph.op("Unsqueeze", value, graph.whole(0)))
        return graph.op("Concat", *rows, axis=0)


class _Conditioned:
    """Writes how the layers of a model read what sequences are conditioned on.

    Args:
        model: The model.
        around: What it has around its layers.
        given: The graph's inputs, to which what is given is added.
    """

    def __init__(self, model: _Model, around: Surroundings, given: list[Any]) -> None:
        assert around.condition is not None
        self.model, self.around, self.condition = model, around, around.condition
        self.inputs, self.graph = given, model.graph
        name = model.free(GIVEN)
        make = model.graph.helper.make_tensor_value_info
        given.append(make(name, FLOAT, ["batch", *self.condition.shape]))
        self.conditioner = OnnxConditioner(model.graph, self.condition, around.arrays, name)

    def write(
        self, starts: Mapping[str, str], batch: str, result: list[Any]
    ) -> tuple[str, dict[str, str]]:
        """Writes encoder and layers; gives output and last states, as `layers_of` does."""
        x = self._dense()
        if self.condition.way == ATTENTION:
            return self._looking(x, starts, batch, result)
        graph, vector = self.graph, self.conditioner.vector()
        size = len(self.around.arrays[f"{ENCODER}vector_bias"])
        if self.condition.way == EVERY:
            steps = graph.op("Slice", graph.op("Shape", x), graph.whole(0), graph.whole(2))
            shape = graph.op("Concat", steps, graph.whole(size), axis=0)
            x = graph.op("Concat", x, graph.op("Expand", vector, shape), axis=-1)
        else:
            starts = self._begun(vector, starts)
            x = graph.op("Pad", x, graph.whole(0, 0, 0, 0, 0, size))
        return self.model.layers_of(graph, x, {}, starts)

    def _dense(self) -> str:
        if not self.around.classes:
            return INPUT
        depth = self.graph.constant(self.around.inputs, np.int64)
        return self.graph.op("OneHot", INPUT, depth, self.graph.constant([0.0, 1.0]))

    def _begun(self, vector: str, starts: Mapping[str, str]) -> dict[str, str]:
        """Reads the vector before the first step, unless a sequence goes on."""
        graph, name = self.graph, self.model.free(BEGIN)
        graph.store(name, np.array(True))
        self.inputs.append(graph.helper.make_tensor_value_info(name, BOOL, []))
        row = graph.op("Unsqueeze", vector, graph.whole(0))
        row = graph.op("Pad", row, graph.whole(0, 0, self.around.inputs, 0, 0, 0))
        _, begun = self.model.layers_of(graph, row, {}, starts, prefix="before/")
        return {n: graph.op("Where", name, begun[n], start) for n, start in starts.items()}

    def _looking(
        self, x: str, starts: Mapping[str, str], batch: str, result: list[Any]
    ) -> tuple[str, dict[str, str]]:
        """Writes a loop over steps: attention by the last output, then all layers for one step."""
        graph, model = self.graph, self.model
        make, units = graph.helper.make_tensor_value_info, model.sizes[1]
        name = model.free(LOOKED)
        graph.store(name, np.zeros((1, 1, units)))
        self.inputs.append(make(name, FLOAT, [1, f"rows of {name}", units]))
        rows = graph.op("Concat", batch, graph.whole(units), axis=0)
        h = graph.op("Expand", graph.op("Squeeze", name, graph.whole(0)), rows)
        body = OnnxGraph("look/step/", graph)
        before = {state: f"look/{state}" for state in starts}
        look = self.conditioner.look(body, "look/output")
        read = body.op("Unsqueeze", body.op("Concat", "look/x", look, axis=-1), body.whole(0))
        y, finals = model.layers_of(body, read, {}, before, prefix="look/")
        y = body.op("Squeeze", y, body.whole(0))
        after = [*finals.values(), y, body.op("Identity", y)]
        read_by_body = (*before.values(), "look/output", "look/x")
        step = body.helper.make_graph(
            body.nodes,
            "attention and layers",
            [make(one, FLOAT, None) for one in read_by_body],
            [make(one, FLOAT, None) for one in after],
        )
        *last, h, outputs = graph.scan(
            [*starts.values(), h, x], len(after), body=step, num_scan_inputs=1
        )
        output = model.free(f"{LOOKED}_n")
        graph.op("Unsqueeze", h, graph.whole(0), name=output)
        result.append(make(output, FLOAT, [1, "batch", units]))
        return outputs, dict(zip(starts, last, strict=True))
