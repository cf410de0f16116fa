"""Operations that records lack are worked out, and only where they can be known."""

from dataclasses import asdict

import pandas as pd
import pytest

from odyssey.specs import get_cell
from odyssey.storage.operations import with_operations
from odyssey.studies.trial import Trial
from odyssey.studies.work import trained_trial
from odyssey.tasks.registry import get_task
from odyssey.tasks.signature import Signature
from odyssey.training.config import TrainingConfig
from odyssey.training.model import count_model

SYMBOLS = 5
SHORT = {"updates_per_epoch": 1, "epochs": 1, "valid_characters": 50, "test_characters": 50}
SHORT |= {"batch_size": 2, "unroll": 8, "backend": "eager"}


def record(spec, *, hidden=3, layers=1, **changes):
    cell = get_cell(spec)
    signature = Signature.symbols(SYMBOLS)
    parameters, operations = count_model(
        cell, signature=signature, hidden_size=hidden, num_layers=layers
    )
    row = {"cell_text": cell.text, "num_symbols": SYMBOLS, "hidden_size": hidden}
    row |= {"num_layers": layers, "num_parameters": parameters, "operations": None} | changes
    return row, operations


def filled(*rows):
    frame = pd.DataFrame(rows).astype({"operations": "Int64", "num_symbols": "Int64"})
    return with_operations(frame)["operations"]


def test_the_operations_of_elman_are_counted_by_hand():
    # W x 30, U h 18, two sums 6, tanh 3; readout 30 and 5
    row, operations = record("elman")
    assert operations == 92
    assert filled(row).tolist() == [92]
    # a second layer of 18, 18, 6, 3
    row, operations = record("elman", layers=2)
    assert filled(row).tolist() == [operations] == [137]


@pytest.mark.parametrize("spec", ["lstm", "gru", "mut1", "lstm:no_forget_gate"])
def test_old_records_get_what_new_ones_say(spec):
    row, operations = record(spec, hidden=7)
    assert filled(row).tolist() == [operations]


def test_what_cannot_be_known_stays_missing():
    other, _ = record("gru", num_parameters=1234)  # the model reads something else
    unnamed, _ = record("gru", num_symbols=None)
    lost, _ = record("gru", num_parameters=0)
    broken, _ = record("gru", cell_text="no cell")
    assert filled(other, unnamed, lost, broken).isna().all()


def test_what_is_recorded_stays():
    row, _ = record("gru", operations=7)
    assert filled(row).tolist() == [7]
    assert "operations" not in with_operations(pd.DataFrame({"cell": ["gru"]}))


def test_a_trial_records_the_operations_that_are_counted():
    task = get_task("memorization@length=3")
    cell, config = get_cell("gru"), TrainingConfig(**SHORT)
    trial = Trial(
        index=0,
        spec="gru",
        cell_text=cell.text,
        cell_key=cell.key,
        lineage=(),
        task=task.name,
        members=({"member": 0, "seed": 1, "hidden_size": 6},),
        training=asdict(config),
    )
    (row,) = trained_trial(trial, task=task)[0].rows
    counts = count_model(cell, signature=task.signature, hidden_size=6, num_layers=1)
    assert (row["num_parameters"], row["operations"]) == counts
