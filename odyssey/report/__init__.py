"""Looking at results: numbers apart from pixels.

`statistics.py` turns values into estimates, `draws.py` results into arrays, `comparison.py` those
into verdicts, `aggregate.py` into scores over tasks, `importance.py` into functional ANOVA;
`tables.py` makes tables, `published.py` puts papers' numbers beside, `plots.py`,
`comparison_plots.py` and `importance_plots.py` turn tidy frames into Axes in the style of
`style.py`, `ablation.py` gathers a comparison, `protocol.py` says in words what was done and found,
`entries.py` shows the cells, `html.py` a run on one page, `write.py` all of it in files;
`simple_page.py` makes a page of what is no run, `shell.py` what all pages have around them.
`simulation.py` makes studies whose truth is known. May import
`odyssey.storage`, `odyssey.expr` and `odyssey.errors`; never torch, ray or what made the results.
To add a figure: one function `plot_x(frame, *, ax=None) -> Axes` in `plots.py`, a row in the list
of `figures.py`, and a look at it.
"""
