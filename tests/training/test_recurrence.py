"""Training without autograd equals training with it."""

import pytest
import torch
from support.representatives import REPRESENTATIVES
from support.wide_cells import WIDE_CELLS

import odyssey
from odyssey.compiler.backends import BACKENDS, native
from odyssey.errors import ConfigError
from odyssey.tasks.signature import Signature
from odyssey.training.model import SequenceModel
from odyssey.training.step import BackendRecurrence, TorchRecurrence, make_recurrence

SPECS = (
    *REPRESENTATIVES,
    *(
        "lstm:couple=f:i",
        "lstm_peephole:FGR",
        "gru:drop_gate=r",
        "lstm:no_bias",
        "lstm:no_recurrent=i",
    ),
)
SIZES = [5, 19, 12]  # of three members
SYMBOLS, STEPS, BATCH = 11, 7, 3


@pytest.fixture(scope="module", autouse=True)
def _compiler():
    if native.missing():
        pytest.skip(native.missing())


def make_model(spec, sizes=tuple(SIZES), backend="native"):
    torch.manual_seed(1)
    model = SequenceModel(
        odyssey.parse_cell(WIDE_CELLS[spec]) if spec in WIDE_CELLS else odyssey.get_cell(spec),
        Signature.symbols(SYMBOLS),
        list(sizes),
        1,
        backend=backend,
        dtype=torch.float64,
    )
    for p in model.rnn.parameters():
        torch.nn.init.normal_(p, std=0.4)
    if model.rnn.masked:  # what is padding is zero, as training keeps it
        model.rnn.reset_parameters()
    return model


@pytest.mark.parametrize("sizes", [(19, 19, 19), tuple(SIZES), (4,)])
@pytest.mark.parametrize("spec", [*SPECS, *WIDE_CELLS])
@pytest.mark.parametrize("backend", [name for name, row in BACKENDS.items() if row.training()])
def test_outputs_states_and_gradients_of_carried_segments(backend, spec, sizes):
    model = make_model(spec, sizes, backend)
    ours, theirs = make_recurrence(model, dense=False), TorchRecurrence(model)
    members, state, other = len(sizes), None, None
    for _ in range(3):
        x = torch.randint(SYMBOLS, (members, STEPS, BATCH))
        h, state = ours.forward(x, state)
        expected, other = theirs.forward(x, other)
        assert not h.requires_grad
        torch.testing.assert_close(h, expected, rtol=1e-12, atol=1e-13)
        for s, o in zip(state, other, strict=True):
            torch.testing.assert_close(s, o, rtol=1e-12, atol=1e-13)
        dh = torch.randn_like(h) * (h != 0)
        found, wanted = ours.backward(dh), theirs.backward(dh)
        for p in model.rnn.parameters():
            zero = torch.zeros_like(p)
            a, b = (zero if g is None else g for g in (found.get(p), wanted.get(p)))
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_a_new_length_or_batch():
    model = make_model("lstm")
    ours, theirs = make_recurrence(model, dense=False), TorchRecurrence(model)
    for steps, batch in ((4, 2), (9, 5), (4, 2)):
        x = torch.randint(SYMBOLS, (len(SIZES), steps, batch))
        torch.testing.assert_close(ours.forward(x, None)[0], theirs.forward(x, None)[0])


def test_parameters_are_read_where_they_are():
    model = make_model("gru")
    ours = make_recurrence(model, dense=False)
    x = torch.randint(SYMBOLS, (len(SIZES), STEPS, BATCH))
    before = ours.forward(x, None)[0].clone()
    with torch.no_grad():
        for p in model.rnn.parameters():
            p.mul_(0.5)
    after = ours.forward(x, None)[0]
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, TorchRecurrence(model).forward(x, None)[0])


def test_which_models_need_autograd():
    plain = make_model("lstm")
    assert isinstance(make_recurrence(plain, dense=False), BackendRecurrence)
    assert isinstance(make_recurrence(plain, dense=True), BackendRecurrence)
    # what torch computes before the loop, as transposed maps of x, would need its gradients
    for wide in WIDE_CELLS:
        assert isinstance(make_recurrence(make_model(wide), dense=False), BackendRecurrence)
    embedded = make_model("mut1")
    assert embedded.embedding is not None
    assert isinstance(make_recurrence(embedded, dense=False), TorchRecurrence)
    deep = SequenceModel(
        odyssey.get_cell("lstm"), Signature.symbols(SYMBOLS), [4], 2, backend="native"
    )
    assert isinstance(make_recurrence(deep, dense=False), TorchRecurrence)
    slow = SequenceModel(
        odyssey.get_cell("lstm"), Signature.symbols(SYMBOLS), [4], 1, backend="eager"
    )
    assert isinstance(make_recurrence(slow, dense=False), TorchRecurrence)


@pytest.mark.parametrize("bad", [-1, SYMBOLS])
def test_what_is_no_symbol_is_refused(bad):
    recurrence = make_recurrence(make_model("elman"), dense=False)
    x = torch.zeros(len(SIZES), STEPS, BATCH, dtype=torch.int64)
    x[1, 2, 0] = bad
    with pytest.raises(ConfigError, match=f"class indices must be 0 to 10, got .*{bad}"):
        recurrence.forward(x, None)
