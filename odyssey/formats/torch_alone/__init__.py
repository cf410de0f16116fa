"""A cell as one file of Python that needs torch alone.

`Cell` is a step, with the equations as they stand in the cell's text, `RNN` runs layers of it over
a sequence and, where a trained model is written, `Model` has what is around them. Further inputs of
a cell are arguments behind x, by their names. Parameters are called as in `odyssey.RNN`, so that
weights go either way. The text is as ruff formats it.

`file.py` puts the parts together: `step.py` writes `Cell`, with how its weights start from
`starting.py`, `running.py` writes `RNN`, `Model` and `load`, `condition.py` what a conditioned
model has beside them. What all of them know, names above all, is in `draft.py`; `equations.py`
prints expressions, `text.py` sets lines.
"""
