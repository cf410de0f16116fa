"""Cell -> Cell, pure: what takes a cell apart or changes it, and what judges a cell unrun.

`ablations.py` holds named, composable operators with the row that describes each in `ABLATIONS`;
those that make families of cells stand in `families.py`. `named.py` finds equations and gates by
name, `applicable.py` tries which of them apply to a cell. `settings.py` sets constants and declared
sizes, `recurrent_maps.py` finds recurrent maps and masks what they read, `zoneout.py` lets states
keep what they were, both by masks that are `constant_states.py`. `mutations.py` holds the table of
random operators, `MUTATIONS`, and `mutate`; the operators stand in `node_mutations.py`,
`structure_mutations.py`, `size_mutations.py` and `crossover.py`, and choose among the places that
`sites.py` lists. `random_cells.py` draws cells from scratch, `constraints.py` measures and limits
them, `neighbours.py` lists the cells one change away, `chains.py` finds ways from one cell to
another, `readings.py` makes reads of states replaceable, `degenerate.py` finds what is not worth
training, `features.py` puts the graph of a cell in numbers. May import expr only.

To add an ablation or a mutation: one function and one row in its table; the contract tests then
try it on every cell of the library.
"""
