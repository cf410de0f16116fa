"""The report of a search: what it found, beside what chance would have found.

`statistics.py` has the numbers, `plots.py` and `figures.py` the pictures, `page.py` the page and its
files. May import what `odyssey.report` may: storage and expr.
"""
