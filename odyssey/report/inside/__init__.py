"""What is inside a model: gradients through time, units while they read, errors, looks at pictures.

`gradient_study.py` writes a gradient study, with `gradient_plots.py`, `growth_plots.py` and
`animation.py`; `units_page.py` is the page of units, `unit_plots.py` their figures, `lstmvis.py`
an export; `error_plots.py` draws categories of errors, `painted.py` sheets of pictures; `midi.py`
writes music that a model makes, `piano_roll.py` draws it; `readings.py` shows what was read in
pictures, and `readings_page.py` is its page.
"""
