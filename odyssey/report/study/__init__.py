"""The report of a study: `page.py` is the page, `files.py` all files around it, `printed.py`
what a terminal shows.

`baseline.py` gathers a comparison, `protocol.py` says in words what was done and found, `floors.py`
what tasks cost without a memory; `factorial.py` and `steps.py` are tables of their own, `spread.py`
sentences about tasks and seeds, `pace.py` how long figures take. `pictures.py` lists the pictures,
which `plots.py`, `box_plots.py`, `comparison_plots.py`, `factorial_plots.py`, `forest_plots.py` and
`importance_plots.py` draw.
"""
