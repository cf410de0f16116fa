"""Further inputs of a cell: on every backend against the oracle, and every way to call a module."""

import numpy as np
import pytest
import torch
from support.judge import check
from support.random_cells import random_further_cell
from torch.nn.utils.rnn import pack_padded_sequence

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError, ConfigError

T, B, I, H = 6, 3, 4, 5  # noqa: E741
WAITING = odyssey.parse_cell(
    """cell waiting
input x
size K = 2 * I
input gap : 1
input seen : I
input more : K
input context : 7
state h
state last : I

e       = exp(-square(w_e * gap[t]))
last[t] = seen[t] * x[t] + (1 - seen[t]) * e * last[t-1]
d       = exp(-square(w_d * gap[t]))
r       = sigmoid(W_r @ last[t] + V_r @ seen[t] + C_r @ context[t] + U_r @ (d * h[t-1]) + b_r)
n       = tanh(W @ x[t] + M @ more[t-1] + G @ gap[t] + U @ (r * h[t-1]))
h[t]    = h[t-1] + r * (n - h[t-1])

output h
"""
)
STACKED = odyssey.parse_cell(
    """cell stacked
input x
input gap : 1
input context : 7
state h

h[t] = tanh(W @ x[t] + C @ context[t] + exp(-square(gap[t])) * (U @ h[t-1]))

output h
"""
)
each = pytest.mark.parametrize("backend", BACKENDS)


def drawn(cell, *lead, seed=0, dtype=torch.float64):
    """x and the further inputs, which all lead with the same axes."""
    g = torch.Generator().manual_seed(seed)
    sizes = {"1": 1, "I": I, "2*I": 2 * I, "7": 7}
    x = torch.randn(*lead, I, generator=g, dtype=dtype)
    return x, {
        name: torch.randn(*lead, sizes[size], generator=g, dtype=dtype)
        for name, size in cell.shapes.inputs.items()
    }


def built(cell, backend, *sizes, seed=1, **options):
    torch.manual_seed(seed)
    return odyssey.RNN(cell, I, *(sizes or (H,)), backend=backend, dtype=torch.float64, **options)


@each
@pytest.mark.parametrize("seed", range(60))
def test_random_cells(seed, backend):
    rng = np.random.default_rng([31, seed])
    cell = random_further_cell(rng, size=int(rng.integers(3, 20)))
    sizes = (int(rng.integers(1, 6)), int(rng.integers(1, 5)), int(rng.integers(1, 6)))
    check(cell, backend, seed=seed, sizes=(*sizes, int(rng.integers(1, 10))))


@each
def test_all_layers_read_them(backend):
    check(STACKED, backend, seed=3, layers=3)


@each
def test_one_step_of_many_is_one_call(backend):
    rnn = built(WAITING, backend)
    step = odyssey.RNNCell(WAITING, I, H, backend=backend, dtype=torch.float64)
    step.load_state_dict(rnn.state_dict())
    x, inputs = drawn(WAITING, T, B)
    y, final = rnn(x, None, inputs)
    state = None
    for t in range(T):
        h, state = step(x[t], state, {n: v[t] for n, v in inputs.items()})
        torch.testing.assert_close(h, y[t])
    for mine, whole in zip(state, final, strict=True):
        torch.testing.assert_close(mine, whole[0])
    single, _ = step(x[0, 1], None, {n: v[0, 1] for n, v in inputs.items()})
    torch.testing.assert_close(single, y[0, 1])


@each
def test_layouts_agree(backend):
    x, inputs = drawn(WAITING, T, B)
    y, _ = built(WAITING, backend)(x, inputs=inputs)
    first, _ = built(WAITING, backend, batch_first=True)(
        x.transpose(0, 1), inputs={n: v.transpose(0, 1) for n, v in inputs.items()}
    )
    torch.testing.assert_close(first.transpose(0, 1), y)
    row, _ = built(WAITING, backend)(x[:, 2], inputs={n: v[:, 2] for n, v in inputs.items()})
    torch.testing.assert_close(row, y[:, 2])


@each
def test_the_reverse_direction_reads_them_backwards(backend):
    rnn = built(STACKED, backend, H, 2, bidirectional=True)
    x, inputs = drawn(STACKED, T, B)
    y, _ = rnn(x, inputs=inputs)
    for layer in range(2):
        ways = []
        for own, flip in ((rnn.layers, False), (rnn.layers_reverse, True)):
            one = odyssey.RNN(STACKED, x.shape[-1], H, backend=backend, dtype=torch.float64)
            one.load_state_dict({f"layers.0.{n}": p for n, p in own[layer].named_parameters()})
            read = [v.flip(0) if flip else v for v in (x, *inputs.values())]
            out, _ = one(read[0], inputs=dict(zip(inputs, read[1:], strict=True)))
            ways.append(out.flip(0) if flip else out)
        x = torch.cat(ways, -1)
    torch.testing.assert_close(y, x)


@each
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences_are_each_its_own(backend, bidirectional):
    rnn = built(STACKED, backend, H, 2, bidirectional=bidirectional)
    x, inputs = drawn(STACKED, T, B)
    lengths = torch.tensor([4, 6, 1])

    def pack(value):
        return pack_padded_sequence(value, lengths, enforce_sorted=False)

    packed, final = rnn(pack(x), None, {n: pack(v) for n, v in inputs.items()})
    y, where = torch.nn.utils.rnn.pad_packed_sequence(packed)
    for row, length in enumerate(where.tolist()):
        own, state = rnn(
            x[:length, [row]], inputs={n: v[:length, [row]] for n, v in inputs.items()}
        )
        torch.testing.assert_close(y[:length, [row]], own)
        torch.testing.assert_close(final[0][:, [row]], state[0])
    others = pack_padded_sequence(inputs["gap"], torch.tensor([6, 4, 1]), enforce_sorted=False)
    for wrong in (inputs["gap"], others):
        with pytest.raises(ConfigError, match="input gap must be a PackedSequence"):
            rnn(pack(x), None, {"gap": wrong, "context": pack(inputs["context"])})


@each
def test_class_indices_go_with_dense_further_inputs(backend):
    rnn = built(STACKED, backend, H, 2)
    index = torch.randint(0, I, (T, B), generator=torch.Generator().manual_seed(0))
    _, inputs = drawn(STACKED, T, B)
    hot = torch.nn.functional.one_hot(index, I).double()
    y, _ = rnn(index, inputs=inputs)
    torch.testing.assert_close(y, rnn(hot, inputs=inputs)[0])
    for use in (index, hot):
        rnn.zero_grad()
        rnn(use, inputs=inputs)[0].square().sum().backward()
        grads = [p.grad.clone() for p in rnn.parameters()]
        if use is index:
            first = grads
    torch.testing.assert_close(grads, first)


@each
@pytest.mark.parametrize("hidden", [H, [H, 3]])
def test_members_of_a_population_are_modules(backend, hidden):
    rnn = built(WAITING, backend, hidden, population=2)
    x, inputs = drawn(WAITING, 2, T, B)
    y, _ = rnn(x, None, inputs)
    sizes = [hidden] * 2 if isinstance(hidden, int) else hidden
    for member, units in enumerate(sizes):
        one = built(WAITING, backend, units)
        with torch.no_grad():
            for name, p in one.named_parameters():
                whole = rnn.get_parameter(name)[member]
                p.copy_(whole[tuple(slice(n) for n in p.shape)])
        own, _ = one(x[member], None, {n: v[member] for n, v in inputs.items()})
        torch.testing.assert_close(y[member][..., :units], own)
        assert not y[member][..., units:].any()


@each
def test_it_compiles_and_exports(backend):
    rnn = odyssey.RNN(STACKED, I, H, backend=backend)
    x, inputs = drawn(STACKED, T, B, dtype=torch.float32)
    y, _ = rnn(x, None, inputs)
    compiled = torch.compile(rnn, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, None, inputs)[0], y)
    exported = torch.export.export(rnn, (x, None, inputs)).module()
    torch.testing.assert_close(exported(x, None, inputs)[0], y)


@each
def test_autocast_takes_lower_types(backend):
    rnn = odyssey.RNN(STACKED, I, H, backend=backend)
    x, inputs = drawn(STACKED, T, B, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = rnn(x, None, inputs)
    whole = {n: v.float() for n, v in inputs.items()}
    torch.testing.assert_close(y, rnn(x.float(), None, whole)[0])


def test_native_code_runs_them():
    assert odyssey.RNN(WAITING, I, H).backend == "native"


def test_a_dead_input_is_asked_for_and_not_read():
    text = STACKED.text.replace("output h", "dead = Z @ unused[t]\noutput h")
    cell = odyssey.parse_cell(text.replace("state h", "input unused : 2\nstate h"))
    assert cell.key == STACKED.key
    assert cell.fingerprint == STACKED.fingerprint
    x, inputs = drawn(STACKED, T, B)
    y, _ = built(STACKED, "eager")(x, None, inputs)
    rnn = built(cell, "eager")
    torch.testing.assert_close(
        rnn(x, None, inputs | {"unused": torch.randn(T, B, 2).double()})[0], y
    )
    with pytest.raises(ConfigError, match="unused was not given"):
        rnn(x, None, inputs)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: None, "and gap, context was not given"),
        (lambda v: {"gap": v["gap"]}, "and context was not given"),
        (lambda v: v | {"gpa": v["gap"]}, "has no further input 'gpa'"),
        (lambda v: v | {"gap": v["gap"][:2]}, r"expected input gap as a tensor, .* got"),
        (lambda v: v | {"gap": v["gap"][..., 0]}, r"\(6, 3, 1\)"),
        (lambda v: v | {"gap": v["gap"].float()}, r"call .to\('cpu', torch.float64\)"),
        (lambda v: v | {"gap": v["gap"].to("meta")}, "on cpu, got torch.float64"),
        (lambda v: v | {"gap": 3.0}, "got a float"),
        (lambda v: [v["gap"]], "expected inputs as a dict of tensors by name, got a list"),
    ],
)
def test_mistakes_are_said_in_one_line(change, reason):
    x, inputs = drawn(STACKED, T, B)
    with pytest.raises(ConfigError, match=reason) as caught:
        built(STACKED, "auto")(x, None, change(inputs))
    assert "\n" not in str(caught.value)


def test_a_cell_without_further_inputs_takes_none():
    with pytest.raises(ConfigError, match="lstm has no further input 'gap'"):
        odyssey.RNN(odyssey.get_cell("lstm"), I, H)(torch.zeros(T, B, I), None, {"gap": 1})
    with pytest.raises(CellError, match="has the size of x"):
        odyssey.RNN(WAITING, I, H, 2)
