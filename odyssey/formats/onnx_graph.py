"""Nodes of ONNX under construction, which the files beside it write."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.expr.arithmetic import ARITHMETIC, read_formula
from odyssey.expr.primitives import Array

OPSET = 18
IR_VERSION = 9
FLOAT, INT64, BOOL = 1, 7, 9  # as onnx.TensorProto has them


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
        """Adds an array by name, where it is not there already; arrays lie in the outermost."""
        if self.outer is not None:
            return self.outer.store(name, value)
        if any(tensor.name == name for tensor in self.initializers):
            return name
        kind = {"i": np.int64, "u": np.int64, "b": np.bool_}.get(value.dtype.kind, np.float32)
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
