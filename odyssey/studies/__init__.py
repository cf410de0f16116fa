"""Many trials: studies, searches, and the runners that work through them.

`study.py` says what is to be done: `reading.py` reads its text and what is set from outside,
`absolute.py` makes its paths absolute; `trial.py` is one unit of it as plain data, `work.py` trains
one. `engine.py` works a run, from its directory to the last record, whatever its source of trials:
`source.py` says what that is, `listed.py` is the fixed list of a study, `evolve/` a search;
`growing.py` is what a run lacks of a larger study, `ladder.py` which draws go on to a larger
budget, `settings.py` says which cell takes which constants and sizes that a study draws,
`factorial.py` which cell has which of several changes, `floors.py` measures what the tasks of a run
cost without a memory; `board.py` is what there is to see meanwhile. `make/` writes studies out of
cells or of a search, `examples/` has some that are ready; `runners/` work trials here or under Ray.
`sealed.py` holds what a run began with,
`weights.py` and `trained.py` what it learned, `checkpoints.py` how far a single training is;
`memory.py` and `estimate.py` say before it starts whether it fits and how long it will take,
`cost.py` how much work a trial is; `placing.py` says on which device workers compute; `tracking.py`
copies curves and scores to trackers of other makers. May import training, strategies, specs and the
rooms below; never report or diagnostics.
"""
