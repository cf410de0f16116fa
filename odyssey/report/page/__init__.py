"""What all reports share: how a page, a table and a figure look, and how things are called.

`shell.py` fills the templates, `simple.py` makes a page of what is no run, `tables.py` turns frames
into text, `style.py` has the look of figures, `records.py` reads a run under the names that people
see, `units.py` says what losses are counted by, `entries.py` shows cells, `html.py` writes tables
of a page, `shown.py` and `shows.py` what a notebook shows of an object, `pictures.py` is a figure
with its caption and data.
"""
