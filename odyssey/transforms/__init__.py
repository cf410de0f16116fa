"""Cell -> Cell, pure: what takes a cell apart or changes it.

`ablations.py` holds named, composable operators with the row that describes each in `ABLATIONS`.
May import expr only. To add an ablation: one function and one row in `ABLATIONS`; the contract
tests then try it on every cell of the library.
"""
