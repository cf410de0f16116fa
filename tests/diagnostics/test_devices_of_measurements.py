"""What is measured is measured where it is asked for: on a device without values nothing is mixed.

Values that come from there are ones, so what is checked are shapes.
"""

import numpy as np
import pytest
import torch
from support.fake_device import DEVICE, FakeDevice

import odyssey
from odyssey.diagnostics import conditions
from odyssey.diagnostics.conditions import Condition, of_model, on_noise, on_task, task_windows
from odyssey.diagnostics.measure import measure
from odyssey.diagnostics.predictions import predict
from odyssey.diagnostics.recording import record, record_model
from odyssey.diagnostics.recurrence import as_recurrence
from odyssey.hyperparameters import Member
from odyssey.tasks.registry import get_task
from odyssey.training.model import SequenceModel
from odyssey.training.sampling import sample

CONDITION = Condition(hidden_size=4, steps=6, rows=2, inputs=3, forget_bias=None)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(conditions, "float64_device", lambda name: DEVICE)
    with FakeDevice() as watched:
        yield watched


def model_there(cell):
    task = get_task("xml")
    model = SequenceModel(odyssey.get_cell(cell), task.signature, [4], 1)
    model.initialise(0, Member(0, 1, hidden_size=4), "uniform")
    return model.to(DEVICE), task


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "scrn", "sru"])
def test_gradients_are_measured_there(fake, cell):
    subject = on_noise(odyssey.get_cell(cell), CONDITION, [1, 2])
    assert subject.trajectory.states[-1][0].device == DEVICE
    here = measure_here(cell)
    there = measure(subject, at_initialisation=False)
    for name, frame in here.frames().items():
        found = there.frames()[name]
        if name != "horizons":  # how many there are is the same, whatever the values
            assert found.shape == frame.shape, name
        assert list(found.columns) == list(frame.columns)


def measure_here(cell):
    with torch.utils._python_dispatch._disable_current_modes(), pytest.MonkeyPatch.context() as own:
        own.setattr(conditions, "float64_device", torch.device)
        subject = on_noise(odyssey.get_cell(cell), CONDITION, [1, 2])
        return measure(subject, at_initialisation=False)


def test_gradients_on_a_task_and_of_a_model(fake):
    task = get_task("xml")
    subject = on_task(odyssey.get_cell("lstm"), task, CONDITION, [1])
    assert subject.injected.device == DEVICE
    model, task = model_there("sru")
    subject = of_model(model, task_windows(task, steps=6, rows=2))
    assert subject.injected.device == subject.trajectory.outputs[-1].device == DEVICE


@pytest.mark.parametrize("module", [torch.nn.LSTM(3, 4), torch.nn.GRUCell(3, 4)])
def test_modules_of_torch(fake, module):
    recurrence = as_recurrence(module.to(DEVICE))
    assert recurrence.device == DEVICE
    assert {s.device for s in recurrence.start_state(2)} == {DEVICE}


@pytest.mark.parametrize("cell", ["lstm", "sru"])
def test_units_are_recorded_there(fake, cell):
    model, task = model_there(cell)
    recording = record_model(model, np.zeros(9, dtype=np.int64))
    assert {track.values_TH.shape for track in recording.tracks} == {(9, 4)}
    assert (recording.tracks[0].values_TH == 1).all()
    rnn = odyssey.RNN(odyssey.get_cell(cell), 4, 4, 2, device=DEVICE)
    assert len(record(rnn, torch.zeros(5, 4))) == 5
    assert len(predict(model, task, characters=20)) == 20


def test_a_model_writes_there(fake):
    model, task = model_there("gru")
    rng = np.random.default_rng(0)
    written = list(sample(model, task.sample_prime(), length=5, temperature=1.0, rng=rng, top_k=3))
    assert len(written) == 5
