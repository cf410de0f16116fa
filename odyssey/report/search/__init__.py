"""The report of a search: what it found, beside what chance would have found.

`statistics.py` has the numbers, `plots.py` the pictures, `content.py` what is said, `page.py` the
page and the other files. May import what `odyssey.report` may: storage and expr.
"""
