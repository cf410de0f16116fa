"""Sequences: several updates in one native call give what single ones and torch give."""

import itertools

import numpy as np
import pytest
import torch

from odyssey.compiler.backends import native
from odyssey.compiler.backends.native.call import kernel, training_steps
from odyssey.hyperparameters import Member
from odyssey.specs import get_cell
from odyssey.tasks import get_task, list_tasks
from odyssey.training import group, update
from odyssey.training.config import TrainingConfig
from odyssey.training.group import Group
from odyssey.training.step import BackendRecurrence

pytestmark = pytest.mark.skipif(bool(native.missing()), reason="needs a C compiler")
SPECS = [
    *list_tasks(sequences=True),
    "digits@read=rows",
    "sentiment@unit=words",
    "jsb-chorales@steps=4",  # cut: some batches go on, others begin anew
    "nottingham@first=predicted,steps=4",
]
UPDATES = 20
TOLERANCE = {"float32": 1e-6, "float64": 1e-10}
WITH_ENCODER = {"float32": 1e-5, "float64": 1e-10}
"""Of what reads pictures, whose encoder torch learns: in single precision roundings grow along the
updates. On `icons`, on an AMD EPYC, torch is 1e-5 from double precision after 25, ours 8e-6."""
ONE = [Member(0, 1, hidden_size=9, learning_rate=0.01, momentum=0.5)]
THREE = [
    *ONE,
    Member(1, 2, hidden_size=12, learning_rate=0.02, clip_norm=0.5),
    Member(2, 3, hidden_size=7, learning_rate=0.05),
]


def trained(spec, task, members, **options):
    """Gives the losses and counts of all updates, the weights behind them, and the group."""
    given = {"batch_size": 3, "unroll": 5, "optimizer": "sgd", "backend": "native"}
    own = Group(get_cell(spec), task, members, TrainingConfig(**{**given, **options}))
    told = []
    while len(told) < UPDATES:
        told += own._advance(UPDATES - len(told))
    return np.array(told), own.flat.values_PN.clone(), own


@pytest.fixture
def made(monkeypatch):
    """How many updates each call made, and their steps."""
    run, calls = training_steps.NativeSteps.run, []

    def noting(self, batch):
        done = run(self, batch)
        calls.append([w.shape[1] for w in batch.weights[: done.updates]])
        return done

    monkeypatch.setattr(training_steps.NativeSteps, "run", noting)
    monkeypatch.setattr(group, "SECONDS_AT_A_TIME", 1e9)  # as many as fit, however slow
    return calls


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("spec", SPECS)
def test_losses_and_weights_are_those_of_single_updates_and_of_torch(
    spec, dtype, corpora, made, monkeypatch
):
    task = get_task(spec)
    told, weights, own = trained("lstm", task, ONE, dtype=dtype)
    if task.signature.condition is None:  # else an encoder is learned in torch
        assert isinstance(own.update.recurrence, BackendRecurrence)
        assert max(map(len, made)) > 5
    monkeypatch.setattr(update, "make_several", lambda *parts: None)
    one_by_one, same, _ = trained("lstm", task, ONE, dtype=dtype)
    assert np.array_equal(told, one_by_one)
    assert torch.equal(weights, same)
    slow, alike, _ = trained("lstm", task, ONE, dtype=dtype, backend="eager")
    near = (TOLERANCE if task.signature.condition is None else WITH_ENCODER)[dtype]
    assert np.array_equal(told[:, 1], slow[:, 1])
    np.testing.assert_allclose(told[:, 0], slow[:, 0], rtol=10 * near)
    torch.testing.assert_close(weights, alike, rtol=near, atol=near)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm_peephole", "lstm:no_bias"])
@pytest.mark.parametrize("spec", ["dates", "frames", "adding@length=6", "jsb-chorales@steps=4"])
def test_a_population_of_many_sizes(spec, cell, corpora, made, monkeypatch):
    task = get_task(spec)
    told, weights, _ = trained(cell, task, THREE, dtype="float64")
    assert max(map(len, made)) > 1
    monkeypatch.setattr(update, "make_several", lambda *parts: None)
    one_by_one, same, _ = trained(cell, task, THREE, dtype="float64")
    assert np.array_equal(told, one_by_one)
    assert torch.equal(weights, same)
    slow, alike, _ = trained(cell, task, THREE, dtype="float64", backend="eager")
    np.testing.assert_allclose(told, slow, rtol=1e-9)
    torch.testing.assert_close(weights, alike, rtol=0, atol=1e-10)


def test_lengths_differ_within_a_call_and_longer_ones_come_first_alone(made):
    _, _, own = trained("lstm", get_task("dates"), ONE)
    assert any(len(set(steps)) > 3 for steps in made)
    assert max(itertools.chain(*made)) <= own.several.longest


@pytest.mark.parametrize("noise", [{"input_noise": 0.3}, {"input_dropout": 0.3}])
def test_noise_on_inputs_needs_no_autograd(noise, made):
    members = [ONE[0].replace(**noise)]
    told, weights, own = trained("lstm", get_task("frames"), members, dtype="float64")
    assert isinstance(own.update.recurrence, BackendRecurrence)
    assert not made
    slow, alike, _ = trained("lstm", get_task("frames"), members, dtype="float64", backend="eager")
    np.testing.assert_allclose(told, slow, rtol=1e-9)
    torch.testing.assert_close(weights, alike, rtol=0, atol=1e-10)


def test_sizes_that_are_forgotten_meanwhile_are_those_of_the_call(made, monkeypatch):
    monkeypatch.setattr(kernel, "MOST_REMEMBERED", 4)  # so every other length forgets all before
    task = get_task("dates")
    told, weights, _ = trained("lstm", task, THREE, dtype="float64")
    assert any(len(set(steps)) > 3 for steps in made)
    monkeypatch.setattr(update, "make_several", lambda *parts: None)
    one_by_one, same, _ = trained("lstm", task, THREE, dtype="float64")
    assert np.array_equal(told, one_by_one)
    assert torch.equal(weights, same)
