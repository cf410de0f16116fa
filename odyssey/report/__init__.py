"""Looking at results: numbers apart from pixels.

`statistics.py` turns values into estimates, `tables.py` results into leaderboards, `plots.py` tidy
frames into Axes, `html.py` a run into one page, `write.py` all of it into files. May import
`odyssey.storage`, `odyssey.expr` and `odyssey.errors`; never torch, ray or what made the results.
To add a figure: one function `plot_x(frame, *, ax=None) -> Axes` in `plots.py`, a row in the list
of `figures.py`, and a look at it.
"""
