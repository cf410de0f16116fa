"""Training: one population of members of one cell on one task.

`config.py` and `space.py` are plain data (no torch): the training options with the papers' presets,
and random search spaces. `seeds.py` derives every random stream. `model.py` is the model, with the
encoder and attention of `condition.py` where a task has a condition, `sizes.py` counts what they
read, `optimizers.py` the optimisers on flat parameters, `batches.py` the batches of all members,
`loop.py` the training loop, `scores.py` measures held-out data, `sampling.py` generates text,
`generating.py` writes outputs from what they are conditioned on, also by beam search,
`step.py` has the parts of a training step. May import compiler, tasks, specs and transforms.
"""
