"""Weights go from torch.nn to us and back, and nothing else is taken for one of torch's cells."""

import itertools

import pytest
import torch
from support.representatives import REPRESENTATIVES
from torch import nn
from torch.nn.utils import parametrizations

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.compiler.torch_cells import MODES, torch_cell
from odyssey.errors import CellError, ConfigError
from odyssey.expr.fingerprint import react

SIZE, HIDDEN, BATCH = 3, 5, 2
SEQUENCES = {
    "elman": nn.RNN,
    "elman_relu": lambda *sizes, **more: nn.RNN(*sizes, nonlinearity="relu", **more),
    "lstm": nn.LSTM,
    "gru_torch": nn.GRU,
}
STEPS = {
    "elman": nn.RNNCell,
    "elman_relu": lambda *sizes, **more: nn.RNNCell(*sizes, nonlinearity="relu", **more),
    "lstm": nn.LSTMCell,
    "gru_torch": nn.GRUCell,
}
RENAMED = """cell mine
input u
state memory, out
keep = sigmoid(B @ out[t-1] + A @ u[t] + k)
write = sigmoid(D @ out[t-1] + C @ u[t] + w)
new = tanh(F @ out[t-1] + E @ u[t] + n)
open = 1 - sigmoid(H @ out[t-1] * (-1) - G @ u[t] - o)
memory[t] = new * write + keep * memory[t-1]
out[t] = tanh(memory[t]) * open
init k = 3
output out
"""


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def outputs(module, x, steps=False):
    """The outputs of a module, or of a cell run over steps, of torch or ours."""
    if not steps:
        return module(x)[0]
    state, found = None, []
    for x_t in x:
        if isinstance(module, odyssey.RNNCell):
            output, state = module(x_t, state)
        else:
            state = module(x_t, state)
            output = state[0] if isinstance(state, tuple) else state
        found.append(output)
    return torch.stack(found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bias", [True, False])
def test_the_table_has_the_cells_of_the_library(mode, bias):
    own = torch_cell(mode, bias).cell
    twin = odyssey.get_cell(own.name)
    assert own.identity == twin.identity
    assert own.text.splitlines() == [t for t in twin.text.splitlines() if t[:4] != "cite"]
    rows = react(own.live).alone
    assert len(set(rows.values())) == len(rows) == len(own.parameters), "no two look alike"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [False, True], ids=["sequence", "cell"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("spec", SEQUENCES)
def test_there_and_back(spec, bias, steps, backend):
    x = torch.randn(4, BATCH, SIZE, dtype=torch.float64)
    torch.manual_seed(2)
    make = (STEPS if steps else SEQUENCES)[spec]
    theirs = make(SIZE, HIDDEN, bias=bias, dtype=torch.float64)
    ours = odyssey.from_torch(theirs, backend=backend)
    assert ours.backend == backend
    assert ours.cell.key == odyssey.get_cell(spec if bias else f"{spec}:no_bias").key
    close(outputs(ours, x, steps), outputs(theirs, x, steps))
    back = ours.to_torch()
    assert type(back) is type(theirs)
    close(outputs(back, x, steps), outputs(theirs, x, steps))
    again = odyssey.from_torch(back)
    for a, b in zip(again.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b), "one bias: the second is zero, and the sum exact"
    with torch.no_grad():
        next(ours.parameters()).add_(1.0)
    assert torch.equal(outputs(back, x, steps), outputs(again.to_torch(), x, steps)), "copies"


def test_options_are_carried_over():
    for layers, two, first in itertools.product((1, 2), (True, False), (True, False)):
        dropout, training = (0.25, two) if first else (0.0, not two)
        given = {
            "num_layers": layers,
            "bidirectional": two,
            "batch_first": first,
            "dropout": dropout if layers > 1 else 0.0,
            "dtype": torch.float64 if two else torch.float32,
        }
        theirs = nn.GRU(SIZE, HIDDEN, **given).train(training)
        ours = odyssey.from_torch(theirs)
        back = ours.to_torch()
        for module in (ours, back):
            assert module.training == training
            for name, value in given.items():
                found = next(module.parameters()).dtype if name == "dtype" else module
                assert (found if name == "dtype" else getattr(module, name)) == value
        x = torch.randn(4, BATCH, SIZE, dtype=given["dtype"])
        results = []
        for module in (theirs, ours, back):
            torch.manual_seed(5)
            results.append(module(x)[0])
        for found in results[1:]:
            torch.testing.assert_close(found, results[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", ["lstm:forget_bias=3", "elman:bias=h:0.5", "mine"])
def test_names_and_initial_values_do_not_matter(spec):
    cell = odyssey.parse_cell(RENAMED) if spec == "mine" else odyssey.get_cell(spec)
    ours = odyssey.RNN(cell, SIZE, HIDDEN, 2, dtype=torch.float64, bidirectional=True)
    with torch.no_grad():
        for p in ours.parameters():
            p.normal_()
    x = torch.randn(4, BATCH, SIZE, dtype=torch.float64)
    theirs = ours.to_torch()
    close(theirs(x)[0], ours(x)[0])


NOT_TORCHS = ["gru", "lstm_peephole", "lstm:no_bias=i", "gru_torch:no_bias=n", "lstm:CIFG"]


@pytest.mark.parametrize("spec", sorted({*REPRESENTATIVES, *NOT_TORCHS, *SEQUENCES}))
def test_only_what_is_the_same_function_goes_to_torch(spec):
    cell = odyssey.get_cell(spec)
    model = odyssey.RNN(cell, HIDDEN, HIDDEN, dtype=torch.float64)
    if cell.fingerprint in {odyssey.get_cell(s).fingerprint for s in SEQUENCES}:
        x = torch.randn(4, BATCH, HIDDEN, dtype=torch.float64)
        close(model.to_torch()(x)[0], model(x)[0])
        return
    with pytest.raises(CellError, match=r"no cell of torch\.nn, which has elman, ") as caught:
        model.to_torch()
    assert "\n" not in str(caught.value)


def with_function_between():
    model = odyssey.RNN(odyssey.get_cell("lstm"), 2, 4, 2)
    model.between_layers = lambda h, layer: h
    return model


def test_weights_are_taken_as_they_are_used():
    x = torch.randn(4, BATCH, SIZE)
    theirs = parametrizations.weight_norm(nn.GRU(SIZE, HIDDEN), "weight_hh_l0")
    ours = odyssey.from_torch(theirs)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    parametrizations.orthogonal(ours.layers[0], "U_n")
    torch.testing.assert_close(ours.to_torch()(x)[0], ours(x)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: odyssey.from_torch(nn.Linear(2, 2)), "expected a torch.nn.RNN, .* got Linear"),
        (lambda: odyssey.from_torch(nn.LSTM(2, 4, proj_size=3)), "proj_size=3"),
        (
            lambda: odyssey.RNN(odyssey.get_cell("lstm"), 2, 4, population=3).to_torch(),
            "no populations",
        ),
        (lambda: with_function_between().to_torch(), "no between_layers"),
        (lambda: odyssey.RNNCell(odyssey.get_cell("mut1"), 4, 4).to_torch(), "odyssey.RNN, or"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, message):
    with pytest.raises((CellError, ConfigError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
