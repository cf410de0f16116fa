"""Training: one population of members of one cell on one task.

`config.py` and `space.py` are plain data (no torch): the training options with the papers' presets,
and random search spaces; `budget.py` counts passes over a text in updates. `seeds.py` derives every
random stream. `model.py` is the model, with the encoder and attention of `condition.py` where a
task has a condition, `sizes.py` counts what they read, `optimizers.py` the optimisers on flat
parameters with the table of `optimizer_rules.py`, `schedules.py` their rates, `averages.py` running
averages of weights, `batches.py` the batches of all members, `noise.py` noise and dropout, with the
streams of `masks.py`, `dropped_layers.py` dropout inside the recurrence and zoneout, `group.py`
trains members of like size side by side, `snapshots.py` is what it goes on from, `results.py` says
what it leaves, `loop.py` splits a population into such groups, `scores.py` measures held-out data,
`metrics.py` has the table of metrics that plug-ins add, `predictions.py` what they are given,
`sampling.py` generates text, `generating.py` writes outputs from what they are conditioned on, also
by beam search, `step.py` has the parts of a training step, `update.py` makes one update of them,
`captured.py` replays it as a CUDA graph, `devices.py` says where. May import compiler, tasks, specs
and transforms.
"""
