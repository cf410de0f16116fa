"""What to try next: ask/tell strategies, duplicates and promotion, in plain Python.

`registry.py` is the table of strategies; `random_search.py`, `aging.py`, `jozefowicz.py` and
`nsga2.py` are one each. `proposal.py` holds what they say and hear, `breeding.py` how cells are
made, `gatekeeper.py` what is refused before training, `promotion.py` which candidate goes on. May
import expr and transforms; never torch, ray or pandas. To add a strategy: one file with a class
that has `ask` and `tell`, and its row in `registry.STRATEGIES`; the contract tests run on it.
"""
