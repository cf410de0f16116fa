"""Numbers about results: frames in, frames out, no pixels.

`estimates.py` has means, intervals and best-of-n; `ranking.py` leaderboards; `draws.py` turns
results into arrays, `comparison.py` those into verdicts (`verdicts.py` has their words) by the test
of `permutation.py`; `synthesis.py` puts runs beside each other, `forest.py` one change over all of
them; `aggregate.py` makes scores over tasks, `boxes.py` box plots' numbers, `importance.py`
functional ANOVA; `floors.py` says whether a task was learned, `equivalence.py` what is equal,
`power.py` what a study can find, `progress.py` how differences change along training, `by_rung.py`
from rung to rung of a ladder,
`factorial.py` what changes do together, `steps.py` what each step from one cell to another brings;
`published.py` puts papers' numbers beside; `transfer.py` compares rankings on tasks,
`families.py` has associations over cells that are kin, `pareto.py` fronts of loss and cost,
`components.py` splits variance into seeds and hyperparameters, `studentised.py` is a second test;
`gradients.py` summarises measurements, `search.py` candidates, `superiority.py` the chance that one
of these is more than one of those; `simulation.py` makes studies whose truth is known. May import
storage and the rooms below; never torch, ray, matplotlib or what made the results. To
add a statistic: a function in the file of its subject, with a known answer in its tests, and a null
test in `checks/null_tests.py` if it claims a difference.
"""
