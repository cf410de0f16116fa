"""One step at a time is the same as a sequence, for every cell, and takes the weights of an RNN."""

import copy
import pickle

import pytest
import torch
from support.judge import refused
from support.representatives import REPRESENTATIVES
from torch import nn

import odyssey
from odyssey.compiler.backends import BACKENDS, native
from odyssey.diagnostics.recording import record
from odyssey.errors import CellError, ConfigError

SIZE, HIDDEN, STEPS, BATCH = 3, 5, 4, 2


def pair(spec, hidden=HIDDEN, **options):
    """An RNN of one layer, and one of its steps."""
    cell = odyssey.get_cell(spec)
    largest = max(hidden) if isinstance(hidden, list) else hidden
    size = largest if odyssey.RNN(cell, 4, 4).program.square else SIZE
    torch.manual_seed(0)
    rnn = odyssey.RNN(cell, size, hidden, dtype=torch.float64, **options)
    step = odyssey.RNNCell(cell, size, hidden, dtype=torch.float64, **options)
    step.load_state_dict(rnn.state_dict())
    return rnn, step


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("hidden", [HIDDEN, [3, 5, 4]], ids=["alone", "population"])
@pytest.mark.parametrize("spec", REPRESENTATIVES)
def test_steps_are_a_sequence(spec, hidden, backend):
    if refused(odyssey.get_cell(spec), backend):
        return
    people = {} if hidden == HIDDEN else {"population": 3}
    lead, axis = ((3,), 1) if people else ((), 0)
    rnn, step = pair(spec, hidden, backend=backend, **people)
    classes = [] if rnn.program.square else [torch.randint(SIZE, (*lead, STEPS, BATCH))]
    for x in (torch.randn(*lead, STEPS, BATCH, rnn.input_size, dtype=torch.float64), *classes):
        start = tuple(torch.randn_like(s).requires_grad_() for s in rnn.start_state(BATCH))
        y, final = rnn(x, start)
        outputs, state = [], tuple(s.squeeze(axis) for s in start)
        for x_t in x.unbind(axis):
            output, state = step(x_t, state)
            outputs.append(output)
        z = torch.stack(outputs, axis)
        close(z, y)
        for a, b in zip(state, final, strict=True):
            close(a, b.squeeze(axis))
        found = [
            torch.autograd.grad((o**2).sum(), [*start, *module.parameters()], allow_unused=True)
            for o, module in ((y, rnn), (z, step))
        ]
        for a, b in zip(*found, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                close(b, a)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"population": 2}], ids=repr)
def test_no_batch_is_a_batch_of_one(options, backend):
    _, step = pair("lstm", backend=backend, **options)
    lead, axis = ((2,), 1) if options else ((), 0)
    x = torch.randn(*lead, SIZE, dtype=torch.float64)
    for given in (x, torch.randint(SIZE, lead)):
        y, state = step(given)
        for _ in range(2):
            assert {tuple(s.shape) for s in (y, *state)} == {(*lead, HIDDEN)}
            z, other = step(given.unsqueeze(axis), tuple(s.unsqueeze(axis) for s in state))
            y, state = step(given, state)
            close(y, z.squeeze(axis))
            for a, b in zip(state, other, strict=True):
                close(a, b.squeeze(axis))


@pytest.mark.skipif(bool(native.missing()), reason="needs a C compiler")
def test_an_ordinary_step_goes_straight_to_c(monkeypatch):
    _, step = pair("lstm", backend="native")
    monkeypatch.setattr(step, "call_with_checks", None)
    x = torch.randn(BATCH, SIZE, dtype=torch.float64)
    state = step(x)[1]
    step(x, state)
    step(torch.randint(SIZE, (BATCH,)), state)


def exported(step, x, state):
    return torch.export.export(step, (x, state)).module()(x, state)


def mapped(step, x, state):
    y, new = torch.func.vmap(step)(x.unsqueeze(1), tuple(s.unsqueeze(1) for s in state))
    return y.squeeze(1), tuple(s.squeeze(1) for s in new)


def each(step, x, state):
    y, new = torch.func.vmap(step)(x, state)
    return y, new


def pickled(step, x, state):
    return pickle.loads(pickle.dumps(step))(x, state)


def copied(step, x, state):
    return copy.deepcopy(step)(x, list(state))


def low(step, x, state):
    with torch.autocast("cpu", torch.bfloat16):
        return step(x.float().double(), state)


@pytest.mark.parametrize("way", [exported, mapped, each, pickled, copied, low])
@pytest.mark.parametrize("backend", BACKENDS)
def test_ways_of_torch(backend, way):
    _, step = pair("lstm", backend=backend)
    x = torch.randn(BATCH, SIZE).double()
    state = tuple(torch.randn_like(s) for s in step.start_state(BATCH))
    y, new = way(step, x, state)
    want, last = step(x, state)
    for a, b in zip((y, *new), (want, *last), strict=True):
        close(a.detach(), b.detach())


def test_diagnostics_run_it_over_a_sequence():
    rnn, step = pair("lstm")
    x = torch.randn(STEPS, SIZE, dtype=torch.float64)
    for a, b in zip(record(rnn, x).tracks, record(step, x).tracks, strict=True):
        assert (a.name, a.values_TH.tolist()) == (b.name, b.values_TH.tolist())


def test_the_state_dict_of_an_rnn_fits_and_that_of_two_layers_does_not():
    rnn, step = pair("gru")
    assert list(rnn.state_dict()) == list(step.state_dict())
    rnn.load_state_dict(step.state_dict())
    deep = odyssey.RNN(rnn.cell, SIZE, HIDDEN, 2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        step.load_state_dict(deep.state_dict())


X, STATE = torch.zeros(BATCH, SIZE).double(), torch.zeros(BATCH, HIDDEN).double()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(X[None]), r"\(B, 3\) or \(3\), or int64 \(B\) or \(\), got \(1, 2, 3\)"),
        (lambda m: m(X[:, :2]), "size 3, got 2"),
        (lambda m: m(X.float()), "float64"),
        (lambda m: m(X.tolist()), "got a list"),
        (lambda m: m(torch.full((BATCH,), SIZE)), "0 to 2"),
        (lambda m: m(X, (STATE[None], STATE[None])), r"shape \(2, 5\), got \(1, 2, 5\)"),
        (lambda m: m(X, (STATE, STATE[0])), r"shape \(2, 5\), got \(2, 5\), \(5,\)"),
        (lambda m: m(X[0], (STATE, STATE)), r"shape \(5,\), got \(2, 5\)"),
        (lambda m: m(X, STATE), r"write \(h, c\)"),
        (lambda m: m(X, (STATE, STATE.float())), r"state c .*float64 \(2, 5\)"),
        (lambda m: m(nn.utils.rnn.pack_sequence([X])), "use an RNN"),
        (lambda m: odyssey.RNNCell(m.cell, SIZE, HIDDEN, bias=False), "no_bias"),
    ],
)
def test_errors_say_what_was_expected(call, message, backend):
    with pytest.raises((CellError, ConfigError), match=message) as caught:
        call(pair("lstm", backend=backend)[1])
    assert "\n" not in str(caught.value)
