"""What a person does, one module a job: a function with an object as its result.

`train.py` trains one cell on one task, with the options of `train_fields.py`, and leaves what
`trained_cell.py` describes; `search.py` runs a study or a search, or its rest; `extend.py` lets a
run grow; `compare.py` puts the cells of several runs into one table, `compare_settings.py` every
cell beside itself under other settings, `forest.py` one change over all of them; `power.py` says
what a study can find, `status.py` how far a run is; `report.py` makes its tables and pages,
`sample.py` lets its models write, `play.py` those of music play, `paint.py` those of digits paint,
`caption.py` those of pictures read. `gradients.py` measures how far gradients reach back,
`units.py` what units and gates follow, `mistakes.py` what models get wrong, and why; `choice.py`
says which models are meant. `export.py` writes a cell or a trained model for a world without
Odyssey. `cells.py` lists the library, `show.py` gives one cell in any form, `mutate.py` its
mutants, `data.py` tasks and data sets; `bench.py` measures speed, `tune.py` which tilings are
fastest, `doctor.py` what works on this machine, `check.py` puts a plug-in to the contract tests.

Options that travel together are a frozen dataclass, whose defaults are the command line's. A job
never prints: who calls it may watch. To add one: a module with its function, and its verb in
`odyssey.interface` if it is to be a name of the package. May import everything but `odyssey.cli`
and `odyssey.interface`.
"""
