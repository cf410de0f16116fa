"""How fast cells are beside the best that torch offers, side by side in one run.

`registry.py` lists the sections and runs them, `names.py` has their names without loading torch;
`section.py` says what one is; `measure.py` takes the medians; `layers.py`, `cells.py`, `rates.py`,
`building.py`, `steps.py`, `throughput.py` and `pair.py` are the sections.
`handwritten.py` writes the eager loop that cells unknown to torch are measured against, on the
library's cells and those of `random.cells`; `tracing.py` says where the time of a step goes;
`instructions.py` holds all that is measured to one instruction set, before it is loaded;
`machine.py` says what it ran on, `document.py` writes the Markdown and `record.py` the JSON that
two dates are compared by. `tuning.py` finds the fastest tiling of matrix products for a size
(`odyssey tune`), `matrix_products.py` are those of a layer alone. May import training, specs,
tasks and the compiler; nothing but its jobs and the command line imports it.

To add a section: its cases and goals in a file here, its row in `SECTIONS`, its name in `names.py`.
"""
