"""The `odyssey` command. Thin: parses, calls a job, prints; nothing is computed here.

`main.py` holds the table of commands and the exit codes; each command has a module with its
`arguments(parser)`, a `run(args)` and `EXAMPLES` of its use, imported when it is called, so that
`odyssey --help` is quick: `ablate.py`, `bench.py`, `caption.py`, `cells.py`, `compare.py`,
`check.py`, `data.py`, `doctor.py`, `errors.py`, `export.py`, `extend.py`, `gradients.py`,
`mutate.py`, `path.py`, `promote.py`, `report.py`, `sample.py`, `search.py`, `show.py`, `status.py`,
`train.py`, `tune.py` and `units.py`. `arguments.py` has what they share; `completion.py` answers
shells. `printing.py` writes tables and JSON, `signals.py` ends a command in order.

What a command does is a job's (`odyssey.jobs`). To add one: such a module, and its row in
`main.COMMANDS`, which says whether it can take long. May import everything; nothing but
`odyssey.__main__` imports it.
"""
