"""Pixels and pages: what `odyssey.statistics` computed, for people to look at.

`page/` is what all reports share, `study/` the report of a study, `search/` that of a search,
`inside/` what gradients, units and errors look like. May import statistics, storage, expr and the
rooms below; never torch, ray or what made the results.
To add a figure: a function `plot_x(frame, *, ax=None) -> Axes` in the file of its subject, a row in
that report's list of pictures, and a look at it.
"""
