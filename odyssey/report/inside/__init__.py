"""What is inside a model: gradients through time, units while they read, kinds of errors.

`gradient_study.py` writes a gradient study, with `gradient_plots.py`, `growth_plots.py` and
`animation.py`; `units_page.py` is the page of units, `unit_plots.py` their figures, `lstmvis.py`
an export; `error_plots.py` draws categories of errors, `painted.py` sheets of pictures.
"""
