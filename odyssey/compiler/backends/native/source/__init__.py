"""What writes the C: `writer.py` the file of a cell, `training_step.py` that of a training step,
`shared.py` that of the functions which all cells share.

`frame.py` has the parts that no cell changes, `functions.py` the functions of the language,
`pointwise.py` the code between products, `rows.py` functions over the units of a row, `blocks.py`
what happens once a block of steps; `addresses.py` says where values lie.
"""
