"""A search: candidates that are trained in stages while others are being bred.

`plan.py` is what a study says about its search, `scores.py` turns rows into the numbers it decides
by, `candidate.py` is one candidate on its way, `evolution.py` all of them: the source of trials
that a runner pulls from. `board.py` is what there is to see meanwhile, `forecast.py` how long the
rest will take, `search.py` runs it into a run directory. Strategies live in `odyssey.strategies`.
"""
