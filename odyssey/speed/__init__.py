"""How fast cells are beside the best that torch offers, side by side in one run.

`registry.py` lists the sections and runs them; `section.py` says what one is; `measure.py` takes
the medians; `layers.py`, `cells.py`, `rates.py`, `building.py` and `steps.py` are the sections.
`handwritten.py` writes the eager loop that cells unknown to torch are measured against, on the
library's cells and those of `random.cells`; `tracing.py` says where the time of a step goes;
`machine.py` and `document.py` write the Markdown. `tuning.py` finds the fastest tiling of matrix
products for a size (`odyssey tune`), `matrix_products.py` are those of a layer alone. May import
training, specs, tasks and the compiler; nothing but the jobs imports it.

To add a section: its cases and goals in a file here, and its row in `SECTIONS`.
"""
