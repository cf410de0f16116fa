"""Training: one population of members of one cell on one task.

`config.py` and `space.py` are plain data (no torch): the training options with the papers' presets,
and random search spaces; `budget.py` counts passes over a text in updates. `seeds.py` derives every
random stream. `model.py` is the character model, `optimizers.py` the optimisers on flat parameters,
`batches.py` the batches of all members, `loop.py` the training loop, `sampling.py` generates text,
`step.py` has the parts of a training step. May import compiler, tasks, specs and transforms.
"""
