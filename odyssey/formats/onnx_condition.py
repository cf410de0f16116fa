"""What a conditioned model has beside its layers, as nodes of ONNX: an encoder, and attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from odyssey.expr.primitives import Array
from odyssey.formats.onnx_graph import OnnxGraph
from odyssey.formats.portable import ENCODER
from odyssey.tasks.signature import ATTENTION, Condition


class OnnxConditioner:
    """Writes the encoder once, and what a step of the layers reads of it.

    Args:
        graph: The whole graph.
        condition: What is given.
        arrays: Those of the model; its own begin with `ENCODER`.
        given: The name of what is given, (B, ...).
    """

    def __init__(
        self, graph: OnnxGraph, condition: Condition, arrays: Mapping[str, Array], given: str
    ) -> None:
        self.graph, self.condition, self.arrays = graph, condition, arrays
        self.places = self._encoded(given)
        if condition.way == ATTENTION:
            self.keys = graph.op("Add", self._mapped(graph, self.places, "key"), self._own("place"))

    def vector(self) -> str:
        """Gives the vector (B, D) of `first` and `every`."""
        graph = self.graph
        flat = graph.op("Reshape", self.places, graph.whole(0, -1))
        mean, variance = (self.arrays[f"{ENCODER}vector_{n}"] for n in ("mean", "variance"))
        x = graph.op("Add", self._mapped(graph, flat, "vector"), self._own("vector_bias"))
        x = graph.op("Sub", x, graph.constant(mean))
        return graph.op("Div", x, graph.constant(np.sqrt(variance + np.float32(1e-5))))

    def look(self, body: OnnxGraph, h: str) -> str:
        """Gives the weighted sum of places (B, F), by the last output h (B, H), within a step."""
        query = body.op("Add", self._mapped(body, h, "query"), self._own("query_bias"))
        column = body.op("Unsqueeze", query, body.whole(-1))
        scores = body.op("Squeeze", body.op("MatMul", self.keys, column), body.whole(-1))
        scale = float(np.sqrt(len(self.arrays[f"{ENCODER}key"])))
        weights = body.op("Softmax", body.op("Div", scores, body.constant(scale)), axis=-1)
        row = body.op("Unsqueeze", weights, body.whole(1))
        return body.op("Squeeze", body.op("MatMul", row, self.places), body.whole(1))

    def _own(self, name: str) -> str:
        return self.graph.store(f"{ENCODER}{name}", self.arrays[f"{ENCODER}{name}"])

    def _mapped(self, graph: OnnxGraph, x: str, name: str) -> str:
        return graph.op("MatMul", x, graph.op("Transpose", self._own(name), perm=[1, 0]))

    def _encoded(self, given: str) -> str:
        """Gives the places (B, L, F) of pictures; a grid as it is, and a vector as one place."""
        graph = self.graph
        if len(self.condition.shape) == 1:
            return graph.op("Unsqueeze", given, graph.whole(1))
        if len(self.condition.shape) == 2:
            return given
        x = graph.op("Transpose", given, perm=[0, 3, 1, 2])
        for number in range(3):
            kernel = self._own(f"kernel_{number}"), self._own(f"kernel_bias_{number}")
            x = graph.op("Relu", graph.op("Conv", x, *kernel, pads=[1, 1, 1, 1]))
            if number < 2:
                x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        features = len(self.arrays[f"{ENCODER}kernel_bias_2"])
        x = graph.op("Reshape", x, graph.whole(0, features, -1))
        ones = graph.constant(np.ones(features, np.float32))
        x = graph.op("Transpose", x, perm=[0, 2, 1])
        return graph.op("LayerNormalization", x, ones, axis=-1, epsilon=1e-5)
