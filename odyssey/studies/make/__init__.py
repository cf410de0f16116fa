"""Studies out of something else: `ablation.py` out of one cell, `path.py` of two, `promotion.py` of
a search.

To add one: a file with a function that gives a `Study`, written as the text a user could have
written.
"""
