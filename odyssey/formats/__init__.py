"""What a cell leaves Odyssey as: texts and bytes for other programs, and for people.

`portable.py` is what is written: cell, sizes, weights and the model around them, as plain data.
`torch_alone/` writes a module in torch alone, `onnx_model.py` a graph for ONNX of what
`onnx_layer.py` and `onnx_condition.py` write by the nodes of `onnx_graph.py`, `cell_data.py` the
cell as data for JSON. `diagram.py` reads the flow of a step, `mermaid.py` writes it for Mermaid,
`layout.py` and `svg.py` draw it. LaTeX is `expr.notation`.

What a primitive, a property or an initial value is in torch and ONNX stands in its row in `expr`.
May import the language, signatures of tasks and the compiler's lowering. To add a form: a file with
a function that gives its text or bytes, and a row of `EXPORT_FORMS` in `jobs/export.py`.
"""
