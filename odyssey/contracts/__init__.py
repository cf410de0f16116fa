"""Contracts of the tables: what every row must keep, checked on the row itself.

`finding.py` has what a check says; `primitives.py`, `native.py` and `onnx_formula.py` (its C and
its ONNX), `cells.py`, `transforms.py` (ablations and mutations), `tasks.py`, `strategies.py`,
`probes.py`, `optimizers.py` and `metrics.py` have the checks of one table each, and `plugin.py`
puts all rows of a plug-in to them. `odyssey check` prints what they find; the tests of the package
put its own rows to them, so that a row of a plug-in and a row of the package are judged by the same
code.

May import everything but jobs and the command line. To add a check: a function of the name of a row
and the row that raises `Wrong` or `Missing`, and its line in the `CHECKS` of its file.
"""
