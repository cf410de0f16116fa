"""The border to C: every structure once, as a table of its fields.

`tables.py` says what a table is, `structures.py` fills one; `member.py` and `training.py` are the
tables: of what a cell's code works on, and of a training step. Both sides read them:
`native.source` writes their text into the C files, `native.call` fills them.
"""
