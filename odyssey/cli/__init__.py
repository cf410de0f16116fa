"""The `odyssey` command. Thin: parses, calls, prints; nothing is computed here.

`main.py` holds the parser and the exit codes; each command has a module with a `run(args)`,
imported when it is called, so that `odyssey --help` is quick. Commands are `ablate.py`, `bench.py`,
`cells.py`, `data.py`, `doctor.py`, `errors.py`, `gradients.py`, `mutate.py`, `promote.py`,
`report.py`, `sample.py`, `search.py` (and `dry_search.py`), `show.py`, `status.py`, `train.py` and
`units.py`. `printing.py` is the one way to the terminal, `screen.py` a part of it that is drawn
over and over, by `live.py` and `live_search.py`; `signals.py` ends a command in order. May import
everything.
"""
