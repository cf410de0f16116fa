"""The report of a search: what it found, beside what chance would have found.

`content.py` is what is said, `plots.py` has the pictures, `page.py` the page and the other files.
"""
