"""The columns of a record: what every row says, in which type and unit.

`RESULT_COLUMNS` is one row per member of a population (a cell, a task, a draw of hyperparameters
and a seed). `CURVE_COLUMNS` is one row per measurement along training. Hyperparameters that a study
adds beyond these become columns of their own, as float64.
"""

from __future__ import annotations

from odyssey.hyperparameters import HYPERPARAMETERS

FIRST = 1  # the rung of draws that no ladder has chosen

# What became of a member.
OK, DIVERGED, FAILED = "ok", "diverged", "failed"
UNMEASURED = "unmeasured"  # stopped at the limit of a search

KIND = "search"  # of a run that has candidates, in its run.json
SEED_ARM = "seed"  # the cells that evolution begins with
RANDOM_ARM = "random"  # random search beside the strategy

# What became of a candidate, besides `FAILED` and `UNMEASURED`.
FINISHED, STOPPED = "finished", "stopped"

# The columns by which members are chosen and reported.
VALID_BPC, TEST_BPC = "valid_bpc", "test_bpc"
METRIC = "metric."  # begins the columns of metrics that plug-ins add
VALID_NATS, TEST_NATS = "valid_nats", "test_nats"
VALID_ACCURACY, TEST_ACCURACY = "valid_accuracy", "test_accuracy"
TEST_EXACT, SHUFFLED_NATS, BLANK_NATS = "test_exact", "shuffled_nats", "blank_nats"

# name -> (pandas dtype, meaning)
RESULT_COLUMNS: dict[str, tuple[str, str]] = {
    "trial": ("string", "id of the trial: hash of everything that decides its result"),
    "trial_index": ("int64", "place of the trial in the logical order of the study"),
    "group": ("string", "label given by the study"),
    "rung": ("int64", "rung of a ladder of budgets, from 1; without a ladder 1"),
    "cell": ("string", "name of the cell"),
    "spec": ("string", "the cell as the study names it"),
    "cell_key": ("string", "content key of the cell: sha256 of its canonical text"),
    "cell_text": ("string", "the cell's equations"),
    "lineage": ("string", "how the cell was made, oldest first, joined by ' > '"),
    "task": ("string", "task spec"),
    "num_symbols": (
        "Int64",
        "symbols V of the task: a uniform guess costs ln V nats; missing: bits",
    ),
    "guess_nats": ("float64", "what a guess that knows nothing costs, nats; NaN: it has no scale"),
    "member": ("int64", "number of the member: the same number is the same draw for every cell"),
    "seed": ("int64", "seed of the member"),
    "num_parameters": ("int64", "trained parameters, embedding and readout included"),
    "operations": (
        "Int64",
        "multiplications, additions and functions of a character, forward, readout included",
    ),
    **{row.name: (row.dtype, row.about) for row in HYPERPARAMETERS.values()},
    "status": ("string", "ok, diverged, failed, or unmeasured: stopped at the limit of a search"),
    "reason": ("string", "why, when not ok"),
    "diverged_at": ("Int64", "update at which the member diverged"),
    "stopped_at": ("Int64", "update at which early stopping ended training; missing: it did not"),
    "updates": ("int64", "updates made"),
    "best_update": ("Int64", "update of the best validation loss, where the test is taken"),
    "characters": ("int64", "characters trained on"),
    "seconds": ("float64", "wall time of the trial, divided by its members"),
    "processor_seconds": ("float64", "processor time of the trial, divided by its members"),
    "train_nats": ("float64", "training loss of the last interval, nats per character or byte"),
    VALID_NATS: ("float64", "best validation loss, nats per counted character or byte"),
    VALID_BPC: ("float64", "the same in bits per character or byte; a squared error as it is"),
    VALID_ACCURACY: ("float64", "next-symbol accuracy on validation, at the best loss"),
    TEST_NATS: ("float64", "test loss at the best validation loss, nats per character or byte"),
    TEST_BPC: ("float64", "the same in bits per character or byte"),
    TEST_ACCURACY: ("float64", "next-symbol accuracy on test"),
    TEST_EXACT: ("float64", "share of test sequences that are wholly right; NaN: not measured"),
    SHUFFLED_NATS: ("float64", "test loss with another sequence's condition; NaN: there is none"),
    BLANK_NATS: ("float64", "test loss with the mean of the test data's conditions"),
    "longer_nats": ("float64", "test loss on longer sequences; NaN: the task has none"),
    "longer_accuracy": ("float64", "accuracy on them"),
    "longer_exact": ("float64", "share of them that are wholly right"),
    "backend": ("string", "compiler backend"),
    "device": ("string", "what it was trained on: cpu, cuda or mps; older records: cpu"),
    "versions": ("string", "odyssey, python, torch, numpy; target and tilings of native code"),
    "commit": ("string", "git commit of the working directory, with '+' when dirty"),
}

# Columns that legitimately differ between two runs of the same study.
VOLATILE_COLUMNS: tuple[str, ...] = ("seconds", "processor_seconds", "versions", "commit")

# What rows mean that were recorded before there was the column.
FORMER_VALUES: dict[str, str | int] = {"device": "cpu", "rung": 1}

CURVE_COLUMNS: dict[str, tuple[str, str]] = {
    "trial": ("string", "id of the trial"),
    "trial_index": ("int64", "place of the trial in the logical order of the study"),
    "cell": ("string", "name of the cell"),
    "spec": ("string", "the cell as the study names it"),
    "task": ("string", "task spec"),
    "member": ("int64", "number of the member"),
    "update": ("int64", "updates made so far"),
    "characters": ("int64", "characters trained on so far"),
    "metric": (
        "string",
        f"train_nats, smooth_nats, {VALID_NATS}, {VALID_ACCURACY} or learning_rate",
    ),
    "value": ("float64", "the measurement"),
}

# Folder of a run -> its columns, and what its rows are sorted by.
COLUMNS: dict[str, dict[str, tuple[str, str]]] = {
    "results": RESULT_COLUMNS,
    "curves": CURVE_COLUMNS,
}
ORDERS: dict[str, tuple[str, ...]] = {
    "results": ("trial_index", "trial", "member"),
    "curves": ("trial_index", "trial", "member", "update", "metric"),
}
