"""Ordinary calls go straight to C, with the same result; anything else takes the usual way."""

import contextlib

import pytest
import torch
from support.representatives import REPRESENTATIVES
from torch.nn.utils import parametrizations, prune

import odyssey
from odyssey.compiler.backends import native
from odyssey.errors import ConfigError

pytestmark = pytest.mark.skipif(bool(native.missing()), reason="needs a C compiler")
SIZE = HIDDEN = 6


def build(spec="lstm", **options):
    torch.manual_seed(0)
    return odyssey.RNN(odyssey.get_cell(spec), SIZE, HIDDEN, backend="native", **options)


def spied(model):
    """The model, and whether each of its calls went straight to C."""
    direct, taken = model.run_direct, []

    def spy(*arguments):
        found = direct(*arguments)
        taken.append(found is not None)
        return found

    model.run_direct = spy
    return model, taken


def results(model, x, state):
    for p in model.parameters():
        p.grad = None
    x = x.detach().clone().requires_grad_(x.is_floating_point())
    y, final = model(x, state)
    (y.sum() + sum((s**2).sum() for s in final)).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    return [y, *final, *grads.values(), *([x.grad] if x.is_floating_point() else [])]


@pytest.mark.parametrize("kind", ["dense", "classes"])
@pytest.mark.parametrize("given", [False, True], ids=["no state", "state"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"population": 3}], ids=repr)
@pytest.mark.parametrize("spec", REPRESENTATIVES)
def test_both_ways_give_the_same(spec, options, given, kind):
    model, taken = spied(build(spec, **options))
    lead = (3,) if "population" in options else ()
    torch.manual_seed(1)
    x = torch.randn(*lead, 4, 5, SIZE)
    if kind == "classes" and not model.program.square:
        x = torch.randint(SIZE, (*lead, 4, 5))
    shape = (*lead, model.num_layers, 5, HIDDEN)
    state = tuple(torch.randn(shape) for _ in model.cell.states) if given else None
    found = results(model, x, state)
    assert all(taken) == bool(model.implementation.direct_inputs)
    model.run_direct = None
    for a, b in zip(found, results(model, x, state), strict=True):
        assert torch.equal(a, b)


def test_most_cells_of_the_library_take_it():
    direct = [spec for spec in REPRESENTATIVES if build(spec).implementation.direct_inputs]
    assert len(direct) > len(REPRESENTATIVES) // 2


def hook(model):
    model.layers[0].register_forward_hook(lambda *given: None)


def everywhere(model):
    model.removal = torch.nn.modules.module.register_module_forward_hook(lambda *given: None)


@pytest.mark.parametrize(
    "change",
    [
        hook,
        everywhere,
        lambda model: parametrizations.spectral_norm(model.layers[0], "U_i"),
        lambda model: prune.random_unstructured(model.layers[0], "U_i", 0.5),
        lambda model: model.double(),
    ],
    ids=["hook", "global hook", "parametrized", "pruned", "doubles"],
)
def test_a_layer_that_is_changed_takes_the_usual_way(change):
    model, taken = spied(build())
    change(model)
    try:
        model(torch.randn(4, 5, SIZE, dtype=model.like.dtype))
    finally:
        if hasattr(model, "removal"):
            model.removal.remove()
    assert taken == [model.like.dtype == torch.float64]  # another type has code of its own


class Strange(torch.Tensor):
    """A tensor of another class."""


@pytest.mark.parametrize(
    ("change", "around"),
    [
        (lambda x: x.as_subclass(Strange), contextlib.nullcontext),
        (
            lambda x: x.to_sparse().to_dense()[:, :, :],
            torch.utils._python_dispatch.TorchDispatchMode,
        ),
    ],
    ids=["another class", "dispatch mode"],
)
def test_a_call_that_is_watched_takes_the_usual_way(change, around):
    model, taken = spied(build())
    x = change(torch.randn(4, 5, SIZE))
    with contextlib.suppress(TypeError, NotImplementedError), around():
        model(x)
    assert not any(taken)


def test_transforms_and_compilers_take_the_usual_way():
    model, taken = spied(build())
    x = torch.randn(4, 5, SIZE)
    torch.func.grad(lambda x: model(x)[0].sum())(x)
    torch.export.export(model, (x,))
    assert not any(taken)


@pytest.mark.parametrize(
    "x",
    [
        torch.randn(4, 5, SIZE + 1),
        torch.randn(4, 5, SIZE).double(),
        torch.randn(4, 0, SIZE),
        torch.full((4, 5), SIZE),
        torch.randn(4, 5, SIZE).to_sparse(),
        torch.randn(SIZE),
    ],
    ids=["wide", "double", "empty", "no class", "sparse", "flat"],
)
def test_what_is_wrong_is_said_in_the_same_words(x):
    model, taken = spied(build())
    with pytest.raises(ConfigError) as found:
        model(x)
    assert not any(taken)
    model.run_direct = None
    with pytest.raises(ConfigError) as usual:
        model(x)
    assert str(found.value) == str(usual.value)


def test_a_state_that_is_wrong_is_refused():
    model, taken = spied(build())
    x, state = torch.randn(4, 5, SIZE), torch.zeros(1, 5, HIDDEN)
    for wrong in ((state,), (state, state[:, :4]), (state, state.double()), [state], (state, 1)):
        with pytest.raises(ConfigError, match="state"):
            model(x, wrong)
    assert not any(taken)
    model(x, [state, state])  # a list is no ordinary call, and right


def test_zero_states_are_nobody_elses():
    """The zeros that a call begins with are kept; no result may share their memory."""
    model = build()
    y, final = model(torch.randn(4, 5, SIZE))
    with torch.no_grad():
        for tensor in (y, *final):
            tensor.fill_(7.0)
    again = model(torch.randn(4, 5, SIZE))[0]
    fresh = build()
    torch.manual_seed(3)
    x = torch.randn(4, 5, SIZE)
    assert torch.equal(model(x)[0], fresh(x)[0])
    assert again.shape == y.shape
