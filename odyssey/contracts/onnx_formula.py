"""An ONNX formula of the table of primitives, computed by onnx's own reference implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.formats.onnx_graph import OPSET, OnnxGraph


def by_onnx(formula: str, args: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
    """Computes a formula of `a` and `b` (float32 arrays of one shape); needs onnx."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    graph = OnnxGraph("v")
    names = ["a", "b"][: len(args)]
    result = graph.formula(formula, names)
    graph.op("Identity", result, name="result")
    info = helper.make_tensor_value_info
    whole = helper.make_graph(
        graph.nodes,
        "formula",
        [info(n, TensorProto.FLOAT, None) for n in names],
        [info("result", TensorProto.FLOAT, None)],
        initializer=graph.initializers,
    )
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)])
    given = dict(zip(names, args, strict=True))
    found: NDArray[Any] = ReferenceEvaluator(model).run(None, given)[0]
    return found
