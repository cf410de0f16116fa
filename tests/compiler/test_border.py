"""The border to C and to torch: hostile arguments, ways of torch to call a module, the tables."""

import contextlib
import copy
import io
import pickle
import re
import subprocess
import sys
import warnings

import pytest
import torch
from support import hostile_calls
from support.driving import environment
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations, prune

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.compiler.backends.native.abi import member, structures, tables, training
from odyssey.compiler.backends.native.call import kernel, memory
from odyssey.compiler.backends.native.call.operator import LOOP
from odyssey.errors import ConfigError

SIZE, HIDDEN, STEPS, BATCH = 3, 4, 3, 2


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own tracers
        yield


def make(backend, spec="gru", **more):
    torch.manual_seed(0)
    return odyssey.RNN(odyssey.get_cell(spec), SIZE, HIDDEN, 2, backend=backend, **more)


def inputs(kind):
    torch.manual_seed(1)
    if kind == "classes":
        return torch.randint(SIZE, (STEPS, BATCH))
    return torch.randn(STEPS, BATCH, SIZE)


def numbers(y, state):
    return [y, *state]


def gradients(model, y, state):
    total = y.sum() + sum((s**2).sum() for s in state)
    return [y, *state, *torch.autograd.grad(total, list(model.parameters()))]


# hostile calls: a small part of checks/hostile_calls.py, in one process


def test_hostile_calls():
    found = []
    for seed in range(30):
        call = hostile_calls.draw(seed)
        native, eager = (hostile_calls.attempt(call, b) for b in ("native", "eager"))
        plain = hostile_calls.attempt(call, "eager", plain=True) if call.keeps_values else None
        verdict = hostile_calls.judge(call, native, eager, plain)
        if verdict:
            found.append(f"{call}: {verdict}")
    assert not found, "\n".join(found)


def lstm(backend, **more):
    return odyssey.RNN(odyssey.get_cell("lstm"), 3, 4, backend=backend, **more)


def replace(model, name, tensor):
    model.layers[0][name] = nn.Parameter(tensor, requires_grad=tensor.is_floating_point())
    return model


X = torch.zeros(5, 2, 3)
STATE = torch.zeros(1, 2, 4)
REFUSED = {
    "a half state": (lambda m: m(X, (STATE, STATE.half())), "state c .* got torch.float16"),
    "a double state": (lambda m: m(X, (STATE.double(), STATE)), "state h .* got torch.float64"),
    "a state elsewhere": (lambda m: m(X, (STATE.to("meta"), STATE)), "state h .* on meta"),
    "a bare state": (lambda m: m(X, STATE), r"in a tuple, got .*; write \(h, c\)"),
    "a state of numbers": (lambda m: m(X, (1.0, STATE)), "got a float, torch.float32"),
    "a sparse state": (lambda m: m(X, (STATE.to_sparse(), STATE)), r"call .to_dense\(\)"),
    "an array": (lambda m: m(X.numpy()), "as a tensor, got a ndarray"),
    "a list": (lambda m: m(X.tolist()), "as a tensor, got a list"),
    "packed wrongly": (
        lambda m: m(nn.utils.rnn.PackedSequence(X[0], torch.tensor([1, 2]))),
        r"batch_sizes \[1, 2\]: pack it with",
    ),
    "packed doubles": (
        lambda m: m(nn.utils.rnn.pack_padded_sequence(X.double(), [5, 5])),
        "x of type torch.float32 or torch.int64, got torch.float64; call",
    ),
    "x elsewhere": (lambda m: m(X.to("meta")), "x on cpu, where the parameters are; got meta"),
    "sparse x": (lambda m: m(X.to_sparse()), "plain dense tensor, got .*torch.sparse_coo"),
    "int32 classes": (lambda m: m(torch.zeros(5, 2, dtype=torch.int32)), "torch.int64, got torch"),
    "a half weight": (
        lambda m: replace(m, "U_f", torch.zeros(4, 4).half())(X),
        "parameter layers.0.U_f .* got torch.float16",
    ),
    "a half first weight": (
        lambda m: replace(m, "W_i", torch.zeros(4, 3).half())(X),
        "parameter layers.0.W_i .* got torch.float16",
    ),
    "a short weight": (lambda m: replace(m, "U_f", torch.zeros(4, 3))(X), r"\(4, 4\).*\(4, 3\)"),
    "a weight elsewhere": (
        lambda m: replace(m, "b_f", torch.zeros(4, device="meta"))(X),
        "layers.0.b_f .* on meta",
    ),
    "a freed weight": (
        lambda m: (m.layers[0]["U_f"].untyped_storage().resize_(0), m(X)),
        "storage of a tensor was freed",
    ),
    "other weights": (
        lambda m: torch.func.functional_call(m, {"layers.0.U_f": torch.zeros(4, 5)}, (X,)),
        r"layers.0.U_f .*\(4, 5\)",
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_both_backends_refuse_in_the_same_words(case, backend):
    call, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        call(lstm(backend))
    assert "\n" not in str(caught.value)


# the ways in which torch calls a module


def compiled(model, x):
    torch._dynamo.reset()
    return gradients(model, *torch.compile(model, fullgraph=True, backend="aot_eager")(x))


def exported(model, x):
    return numbers(*torch.export.export(model, (x,)).module()(x))


def traced(model, x):
    return gradients(model, *torch.jit.trace(model, (x,))(x))


def fake(model, x):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = numbers(*model(mode.from_tensor(x)))
    return [torch.tensor(t.shape) for t in found]


def meta(model, x):
    return [torch.tensor(t.shape) for t in numbers(*copy.deepcopy(model).to("meta")(x.to("meta")))]


def functional(model, x):
    other = {name: p.detach().double() / 2 for name, p in model.named_parameters()}
    x = x.double() if x.is_floating_point() else x
    return numbers(*torch.func.functional_call(model, other, (x,)))


def function_gradient(model, x):
    own = {name: p.detach() for name, p in model.named_parameters()}
    run = lambda p: torch.func.functional_call(model, p, (x,))[0].sum()  # noqa: E731
    return list(torch.func.grad(run)(own).values())


def mapped(model, x):
    return numbers(*torch.func.vmap(model)(torch.stack([x, x.flip(0)])))


def forward_mode(model, x):
    own = {name: p.detach() for name, p in model.named_parameters()}
    run = lambda p: torch.func.functional_call(model, p, (x,))[0]  # noqa: E731
    return list(torch.func.jvp(run, (own,), (own,)))


def parametrized(model, x):
    parametrizations.orthogonal(model.layers[0], "U_r")
    parametrizations.weight_norm(model.layers[0], "W_z")
    parametrizations.spectral_norm(model.layers[1], "U_n")
    return gradients(model.eval(), *model(x))


def pruned(model, x):
    prune.l1_unstructured(model.layers[0], "U_r", 0.5)
    nn.utils.weight_norm(model.layers[1], "U_z")
    model.layers[1].register_forward_pre_hook(lambda layer, _: setattr(layer, "seen", True))
    found = gradients(model, *model(x))
    assert model.layers[1].seen
    return found


def pickled(model, x):
    return numbers(*pickle.loads(pickle.dumps(model))(x))


def saved(model, x):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return numbers(*torch.load(file, weights_only=False)(x))


def copied(model, x):
    other = copy.deepcopy(model)
    return gradients(other, *other(x))


def autocast(model, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return numbers(*model(x))


def inference(model, x):
    with torch.inference_mode():
        return numbers(*model(x))


def elsewhere_by_default(model, x):
    with torch.device("meta"):
        return gradients(model, *model(x))


WAYS = (
    *(compiled, exported, traced, fake, meta, functional, function_gradient, mapped, forward_mode),
    *(parametrized, pruned, pickled, saved, copied, autocast, inference, elsewhere_by_default),
)


@pytest.mark.parametrize("kind", ["dense", "classes"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_gives_what_eager_gives(way, kind):
    found = [way(make(backend), inputs(kind)) for backend in ("native", "eager")]
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-4, atol=1e-5)


def test_two_directions_and_one_step_are_compiled():
    both = make("native", bidirectional=True)
    step = odyssey.RNNCell(both.cell, SIZE, HIDDEN, backend="native")
    for model, x in ((both, inputs("dense")[:, 0]), (step, inputs("dense")[0])):
        for ours, theirs in zip(compiled(model, x), gradients(model, *model(x)), strict=True):
            torch.testing.assert_close(ours, theirs)


# what eager spells in a way of its own, or by a formula; weights have the names of the GRU
SPELLED = """cell spelled
input x
state h
r    = step(W_r @ x[t] + U_r @ h[t-1] + b_r) + 0.5 * sign(U_z @ h[t-1])
n    = gelu(W_z @ x[t] + U_n @ h[t-1]) + modrelu(h[t-1], b_n)
h[t] = r * n + log(1 + square(n)) * sqrt(1 + abs(h[t-1]))
output h
"""


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_knows_how_functions_are_spelled(way):
    found = []
    for backend in ("native", "eager"):
        torch.manual_seed(0)
        cell = odyssey.parse_cell(SPELLED)
        found.append(way(odyssey.RNN(cell, SIZE, HIDDEN, 2, backend=backend), inputs("dense")))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-4, atol=1e-5)


SHAPED = compiled, exported, fake, meta, mapped, pickled, inference
WIDE = """
cell wide
input x
size R = 2 * H
state h
state c : R
state n : 1
weight a : 1
r : R = tanh(V @ x[t] + Q @ h[t-1])
c[t]  = 0.5 * c[t-1] + r * sigmoid(a + mean(h[t-1]))
n[t]  = 0.5 * n[t-1] + max(c[t])
h[t]  = tanh(P @ c[t] + U.T @ h[t-1] + cumsum(W @ x[t]) * n[t])
output h
"""


@pytest.mark.parametrize("kind", ["dense", "classes"])
@pytest.mark.parametrize("way", SHAPED, ids=lambda way: way.__name__)
def test_states_of_other_sizes_in_every_way_that_looks_at_shapes(way, kind):
    cell = odyssey.parse_cell(WIDE)
    found = []
    for backend in ("native", "eager"):
        torch.manual_seed(0)
        model = odyssey.RNN(cell, SIZE, HIDDEN, 2, backend=backend)
        found.append(way(model, inputs(kind)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-4, atol=1e-5)


def test_a_way_that_cannot_be_names_the_backend_that_can():
    model, x = make("native"), inputs("dense").requires_grad_()
    with pytest.raises(ConfigError, match="backend='eager'"):
        torch.autograd.grad(model(x)[0].sum(), x, create_graph=True)


@pytest.mark.parametrize("kind", ["dense", "classes"])
def test_the_operator_is_as_torch_wants_it(kind):
    model, calls = make("native"), []
    real = torch.ops.odyssey.loop.default
    from odyssey.compiler.backends.native.call import layer

    model.run_direct = None  # the usual way is the one with the operator in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "run_loop", lambda *given: calls.append(given) or real(*given))
        model(inputs(kind))
    for given in calls:
        given = [[t.detach().requires_grad_() for t in a] if type(a) is list else a for a in given]
        torch.library.opcheck(real, tuple(given), test_utils=("test_schema", "test_faketensor"))


LOAD = """
import sys, torch, odyssey.compiler
for backend in sys.argv[1:]:
    program = torch.export.load(f"{backend}/program.pt2").module()
    model = torch.load(f"{backend}/model.pt", weights_only=False)
    x, want = torch.load(f"{backend}/want.pt")
    for found in (program(x), model(x)):
        torch.testing.assert_close(found[0], want, rtol=1e-5, atol=1e-6, msg=backend)
"""


@pytest.mark.slow
def test_another_process_goes_on_with_the_same_values(tmp_path):
    for backend in BACKENDS:
        model, x, folder = make(backend), inputs("dense"), tmp_path / backend
        folder.mkdir()
        torch.export.save(torch.export.export(model, (x,)), folder / "program.pt2")
        torch.save(model, folder / "model.pt")
        torch.save((x, model(x)[0].detach()), folder / "want.pt")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *BACKENDS],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_parametrized_layer_is_not_drawn_anew():
    model = make("eager")
    parametrizations.orthogonal(model.layers[0], "U_r")
    assert not model.plain
    with pytest.raises(ConfigError, match=r"layers\.0 is parametrized or pruned"):
        model.reset_parameters()


# the gate itself


def call_of_the_loop(kind="dense"):
    """The arguments of one call of the operator."""
    model, calls = odyssey.RNN(odyssey.get_cell("lstm"), SIZE, HIDDEN, backend="native"), []
    from odyssey.compiler.backends.native.call import layer

    model.run_direct = None  # the usual way is the one with the operator in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "run_loop", lambda *given: calls.append(given) or LOOP(*given))
        with torch.no_grad():
            model(inputs(kind))
    return [a.detach().clone() if isinstance(a, torch.Tensor) else a for a in calls[0]]


@pytest.mark.parametrize("tamper", ["half", "double", "short", "more", "freed", "missing"])
@pytest.mark.parametrize("kind", ["dense", "classes"])
def test_nothing_wrong_passes_the_operator(kind, tamper):
    program, x, tensors, units, size = call_of_the_loop(kind)
    change = {
        "half": lambda t: t.half(),
        "double": lambda t: t.double(),
        "short": lambda t: t[..., :-1],
        "more": lambda t: t.unsqueeze(0),
        "freed": hostile_calls.BREAKING["freed"],
    }
    passed = []
    for k in range(len(tensors)):
        wrong = [t.detach().clone() for t in tensors]
        if tamper == "missing":
            del wrong[k]
        else:
            wrong[k] = change[tamper](wrong[k])
        with contextlib.suppress(ConfigError, RuntimeError):
            LOOP(program, x, wrong, units, size)
            passed.append(k)
    assert not passed


@pytest.mark.parametrize("bad", [-1, SIZE, 2**40])
def test_the_operator_looks_at_class_indices_itself(bad):
    program, x, tensors, units, size = call_of_the_loop("classes")
    x = x.clone()
    x[1, 0] = bad
    with pytest.raises(ConfigError, match=f"class indices must be 0 to {SIZE - 1}"):
        LOOP(program, x, tensors, units, size)


def every_table():
    code = kernel.code_of(make("native").program)
    return {
        "member": code.table,
        "sizes": member.CALL_SIZES,
        "readout": training.READOUT,
        "parameter": training.PARAMETER,
        "update": training.UPDATE,
    }


def test_tables_write_what_they_fill():
    for table in every_table().values():
        declared = re.findall(r"(\w+);", re.sub(r"/\*.*?\*/", "", table.text))
        assert tuple(declared) == table.names
        for call in "fb":
            assert set(table.of(call)) <= set(table.names)


def test_a_field_that_is_unknown_doubled_or_missing_is_an_error():
    form = structures.Form(
        training.PARAMETER, "f", lengths={"P": 2, "count": 3}, real=torch.float32
    )
    structs = structures.Structs(form)
    with pytest.raises(AssertionError, match="no field vale"):
        structs.put("vale", torch.zeros(2, 3))
    structs.put("value", torch.zeros(2, 3))
    with pytest.raises(AssertionError, match="value is filled twice"):
        structs.put("value", torch.zeros(2, 3))
    with pytest.raises(AssertionError, match="count is no input or output"):
        structs.put("count", torch.zeros(2, 3))
    with pytest.raises(AssertionError, match="count, gradient_member, place, value_member"):
        structs.filled()
    with pytest.raises(AssertionError, match="twice in a table"):
        tables.Table((tables.Field("h", "long"), tables.Field("h", "long")))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(2, 3).double(), "got torch.float64"),
        (torch.zeros(3, 2), r"\(2, 3\).*got torch.float32 \(3, 2\)"),
        (torch.zeros(2, 3, device="meta"), "on meta"),
        (torch.zeros(2, 3).to_sparse(), "to_dense"),
        (torch.zeros(3, 2).mT, "row-major"),
        (torch._neg_view(torch.zeros(2, 3)), "row-major"),
        (hostile_calls.BREAKING["freed"](torch.zeros(2, 3)), "freed or cut"),
        (hostile_calls.BREAKING["cut"](torch.zeros(2, 3)), "freed or cut"),
        (hostile_calls.BREAKING["fake"](torch.zeros(2, 2, 3))[1], "freed or cut"),
    ],
)
def test_a_tensor_that_is_not_what_its_row_says_gets_no_address(tensor, message):
    form = structures.Form(
        training.PARAMETER, "f", lengths={"P": 2, "count": 3}, real=torch.float32
    )
    with pytest.raises(ConfigError, match=message):
        structures.Structs(form).put("value", tensor)


def test_memory_is_lent_again_only_when_nobody_holds_it():
    memory._POOL.clear()
    lent = memory.borrow(100, torch.float32)
    start = lent.data_ptr()
    also = lent.detach()  # as autograd holds what it saved
    del lent
    other = memory.borrow(100, torch.float32)
    assert other.data_ptr() != start
    del also
    assert memory.borrow(100, torch.float32).data_ptr() == start


@pytest.mark.parametrize(
    ("how", "message"),
    [("cut", "freed or cut"), ("freed", "freed or cut"), ("nested", "a nested tensor")],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_state_without_its_memory_is_refused_before_layers_are_taken_from_it(
    backend, how, message
):
    model = odyssey.RNN(odyssey.get_cell("elman"), 3, 4, 2, backend=backend)
    model(torch.zeros(2, 2, 3))  # so that the next call is an ordinary one
    state = hostile_calls.BREAKING[how](torch.zeros(2, 2, 4))
    with pytest.raises(ConfigError, match=message):
        model(torch.zeros(2, 2, 3), (state,))
