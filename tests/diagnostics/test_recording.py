"""Recordings hold what the oracle computes; gates are recognised; saturation is counted."""

import numpy as np
import pytest
import torch
from support import oracle
from support.representatives import REPRESENTATIVES
from torch import nn

import odyssey
from odyssey.diagnostics.recording import record, record_model, saturation
from odyssey.errors import CellError, ConfigError
from odyssey.specs import get_cell
from odyssey.tasks.signature import Signature
from odyssey.training.model import SequenceModel

STEPS = 6


def by_the_oracle(cell, name, parameters, x):
    """The value of one equation or state after each step."""
    lines = [line for line in cell.text.splitlines() if not line.startswith("output ")]
    zeros = {s: np.zeros((1, 4)) for s in cell.states}
    text = "\n".join([*lines, f"output {name}"])
    return oracle.run(text, parameters, x[:, None], zeros)[0][:, 0]


@pytest.mark.parametrize("spec", REPRESENTATIVES)
def test_every_named_value_is_the_oracles(spec):
    cell = get_cell(spec)
    torch.manual_seed(1)
    size = 4 if odyssey.RNN(cell, 4, 4).program.square else 3
    rnn = odyssey.RNN(cell, size, 4, 2, population=2, dtype=torch.float64)
    x = torch.randn(STEPS, size, dtype=torch.float64)
    recording = record(rnn, x, member=1)
    assert len(recording) == STEPS
    names = {(t.layer, t.name) for t in recording.tracks}
    assert {(layer, s) for layer in (0, 1) for s in cell.states} <= names
    below = x.numpy()
    for layer, parameters in enumerate(rnn.layer_parameters()):
        own = {n: p[1].detach().numpy() for n, p in parameters.items()}
        for track in recording.tracks:
            if track.layer == layer:
                expected = by_the_oracle(cell, track.name, own, below)
                np.testing.assert_allclose(track.values_TH, expected, rtol=0, atol=1e-6)
        below = by_the_oracle(cell, cell.output, own, below)


@pytest.mark.parametrize(
    ("spec", "gates", "values"),
    [
        ("lstm", {"i", "f", "o"}, {"g"}),
        ("gru", {"r", "z"}, {"n"}),
        ("elman", set(), set()),
        ("lstm:CIFG", {"f", "o"}, {"g"}),
    ],
)
def test_gates_are_what_lies_between_zero_and_one(spec, gates, values):
    recording = record(odyssey.RNN(get_cell(spec), 3, 4), torch.randn(5, 3))
    kinds = {t.name: t.kind for t in recording.tracks}
    found = {n for n, kind in kinds.items() if kind == "gate"}
    assert gates <= found
    assert values <= {n for n, kind in kinds.items() if kind == "value"}
    assert found & {"h", "c", "g", "n"} == set()


def test_modules_of_torch_give_their_states():
    torch.manual_seed(1)
    lstm = nn.LSTM(3, 4, num_layers=2, batch_first=True)
    x = torch.randn(STEPS, 3)
    recording = record(lstm, x)
    output, (h, c) = lstm(x[None])
    np.testing.assert_allclose(recording.track("h", 1).values_TH, output[0].detach(), atol=1e-6)
    for layer in (0, 1):
        for name, last in (("h", h), ("c", c)):
            track = recording.track(name, layer)
            assert track.kind == "state"
            np.testing.assert_allclose(track.values_TH[-1], last[layer, 0].detach(), atol=1e-6)


@pytest.mark.parametrize("spec", ["gru", "mut1"])  # mut1 embeds its input
def test_a_model_reads_class_indices(spec):
    cell = get_cell(spec)
    model = SequenceModel(cell, Signature.symbols(7), [5], 1)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    symbols = np.random.default_rng(1).integers(7, size=STEPS)
    output, _ = model.hidden(torch.as_tensor(symbols)[None, :, None], None)
    recording = record_model(model, symbols)
    found = recording.track(cell.output).values_TH
    np.testing.assert_allclose(found, output[0, :, 0].detach(), atol=1e-5)


def test_saturation_counts_steps():
    rnn = odyssey.RNN(get_cell("lstm"), 1, 3)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.zero_()
        # unit 0 follows its input, unit 1 is always open, unit 2 always shut
        rnn.layers[0]["W_f"][0, 0] = 100.0
        rnn.layers[0]["b_f"][:] = torch.tensor([0.0, 5.0, -5.0])
    x = torch.tensor([1.0, 1.0, 1.0, -1.0])[:, None]
    frame = saturation(record(rnn, x))
    forget = frame[frame.gate == "f"].set_index("unit")
    assert list(forget.right) == [0.75, 1.0, 0.0]
    assert list(forget.left) == [0.25, 0.0, 1.0]
    assert (frame[frame.gate == "i"][["left", "right"]] == 0).all(axis=None)
    assert saturation(record(odyssey.RNN(get_cell("elman"), 1, 3), x)).empty


def test_what_cannot_be_recorded_says_why():
    flat = odyssey.parse_cell(
        "cell flat\ninput x\nnot recurrent\nh = tanh(W @ x[t] + b)\noutput h\n"
    )
    with pytest.raises(CellError, match="flat has no recurrence"):
        record(odyssey.RNN(flat, 3, 4), torch.randn(5, 3))
    rnn = odyssey.RNN(get_cell("elman"), 3, 4)
    with pytest.raises(ConfigError, match="one sequence"):
        record(rnn, torch.randn(5, 2, 3))
    with pytest.raises(ConfigError, match="a step or more"):
        record(rnn, torch.randn(0, 3))
    with pytest.raises(ConfigError, match="member 1"):
        record(rnn, torch.randn(5, 3), member=1)
    with pytest.raises(ConfigError, match="no track 'q'"):
        record(rnn, torch.randn(5, 3)).track("q")
    with pytest.raises(ConfigError, match="no recurrent module: Linear"):
        record(nn.Linear(3, 4), torch.randn(5, 3))
