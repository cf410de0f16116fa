"""The native training step against the torch one: readout, loss, gradients, clipping, update."""

import ctypes
import math
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.one_update import one_update
from torch import nn

import odyssey
from odyssey.compiler.backends import BACKENDS, native
from odyssey.compiler.backends.base import Averages, UpdateRules
from odyssey.compiler.backends.native import targets, toolchain
from odyssey.compiler.backends.native.abi.training import READOUT_KINDS, UPDATE_KINDS
from odyssey.compiler.backends.native.source.training_step import step_source
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks.examples import Example
from odyssey.tasks.registry import get_task
from odyssey.tasks.sequences import DrawnTask
from odyssey.tasks.signature import BITS, CLASSES, REALS, Signature, Values
from odyssey.training.config import TrainingConfig
from odyssey.training.group import Group
from odyssey.training.optimizer_rules import OPTIMIZERS
from odyssey.training.optimizers import FlatParameters, Optimizer
from odyssey.training.step import (
    RULES,
    TorchReadout,
    TorchUpdate,
    make_readout,
    make_update,
)

pytestmark = pytest.mark.skipif(bool(native.missing()), reason="needs a C compiler")
KINDS = (CLASSES, BITS, REALS)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 3e-6}
# P, T, B, H, V: one of everything, below and above the vectors, more rows than a block
SHAPES = [
    *[(1, 1, 1, 1, 1), (1, 3, 2, 5, 2), (2, 25, 1, 100, 65), (3, 7, 60, 33, 65)],
    *[(2, 9, 31, 16, 300), (1, 5, 40, 64, 17), (2, 4, 3, 8, 1), (1, 20, 20, 130, 29)],
]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=[name for name, row in BACKENDS.items() if row.training()])
def backend(request):
    """A backend with code of its own for training."""
    return request.param


def problem(P, T, B, H, V, kind=CLASSES, *, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    arguments = [
        torch.randn(P, T, B, H, dtype=dtype),
        torch.randn(P, V, H, dtype=dtype),
        torch.randn(P, V, dtype=dtype),
        torch.randint(0, V, (P, T, B)),
        torch.rand(P, T, B) < 0.7,
    ]
    if kind != CLASSES:
        h, weight, bias = arguments[:3]
        weight /= H**0.5  # or float32 has few digits left of a difference
        y = torch.baddbmm(bias[:, None], h.flatten(1, 2), weight.mT).view(P, T, B, V)
        near = y + 0.2 * torch.rand(P, T, B, 1, dtype=dtype) * torch.randn_like(y)
        arguments[3] = near if kind == REALS else (near > 0).to(dtype)
        if kind == BITS:
            arguments[3][:, 0, 0] = 0.0
    return arguments, torch.rand(P, dtype=torch.float64) + 0.5


def readout_of(backend, units, kind):
    readout = make_readout(backend, units, Values(kind, 0))
    assert not isinstance(readout, TorchReadout)
    return readout


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_equal_those_of_torch(backend, kind, shape, dtype):
    arguments, scale = problem(*shape, kind, dtype=dtype)
    ours = readout_of(backend, [shape[3]] * shape[0], kind)
    nll, gradients = ours.differentiate(arguments, scale)
    want, reference = TorchReadout(kind).differentiate(arguments, scale)
    assert nll.dtype == torch.float64
    torch.testing.assert_close(nll, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    for a, b in zip(gradients, reference, strict=True):
        size = max(float(b.abs().max()), 1.0)
        torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE[dtype] * size)
    nats, right = ours.measure(arguments)
    assert torch.equal(nats, nll)
    hits = TorchReadout(kind).measure(arguments)[1]
    torch.testing.assert_close(right, hits, rtol=1e-13 if kind == BITS else 0, atol=0)


def test_right_numbers_are_counted(backend):
    """Some of them are right, or the test above compares nothing."""
    for kind in (BITS, REALS):
        arguments, _ = problem(2, 9, 31, 16, 3, kind)
        _, right = readout_of(backend, [16] * 2, kind).measure(arguments)
        counted = arguments[4].sum((1, 2))
        assert bool(((right > 0.05 * counted) & (right < 0.99 * counted)).all())


def test_loss_of_uniform_logits_is_ln_v(backend):
    arguments, scale = problem(1, 4, 6, 3, 65)
    arguments[1].zero_()
    arguments[2].zero_()
    arguments[4].fill_(True)
    nll, _ = readout_of(backend, [3], CLASSES).differentiate(arguments, scale)
    assert float(nll[0]) == pytest.approx(24 * math.log(65), rel=1e-14)


@pytest.mark.parametrize("outputs", [1, 63, 64, 65, 200])
def test_a_bit_that_may_be_either_costs_ln_2(backend, outputs):
    for dtype in TOLERANCE:
        arguments, scale = problem(1, 4, 6, 3, outputs, BITS, dtype=dtype)
        arguments[1].zero_()
        arguments[2].zero_()
        arguments[4].fill_(True)
        nll, _ = readout_of(backend, [3], BITS).differentiate(arguments, scale)
        assert float(nll[0]) == pytest.approx(24 * outputs * math.log(2), rel=TOLERANCE[dtype])


def test_a_number_that_is_off_costs_its_square(backend):
    arguments, scale = problem(1, 4, 6, 3, 2, REALS)
    arguments[1].zero_()
    arguments[2].zero_()
    arguments[3].fill_(0.5)
    arguments[4].fill_(True)
    nll, (_, _, db) = readout_of(backend, [3], REALS).differentiate(arguments, scale)
    assert float(nll[0]) == pytest.approx(24 * 2 * 0.25, rel=1e-14)
    torch.testing.assert_close(db, -24 * scale * torch.ones_like(db), rtol=1e-14, atol=0)


def test_large_logits_do_not_overflow(backend, kind):
    for dtype in TOLERANCE:
        arguments, scale = problem(1, 5, 7, 6, 65, kind, dtype=dtype)
        arguments[1].mul_(1e4)
        nll, (dh, *_) = readout_of(backend, [6], kind).differentiate(arguments, scale)
        want, (reference, *_) = TorchReadout(kind).differentiate(arguments, scale)
        torch.testing.assert_close(nll, want, rtol=1e-5, atol=0)
        torch.testing.assert_close(dh, reference, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["h", "weight", "bias"])
def test_what_is_not_finite_is_so_in_both_and_stays_with_its_member(backend, kind, place, value):
    clean, scale = problem(3, 6, 9, 10, 12, kind)
    arguments = [t.clone() for t in clean]
    arguments[["h", "weight", "bias"].index(place)][1].flatten()[2] = value
    ours = readout_of(backend, [10] * 3, kind)
    nll, gradients = ours.differentiate(arguments, scale)
    found = [nll, *(g.clone() for g in gradients)]
    want, reference = TorchReadout(kind).differentiate(arguments, scale)
    assert bool(torch.isfinite(nll[1])) == bool(torch.isfinite(want[1]))
    assert torch.isnan(nll[1]) == torch.isnan(want[1])
    assert [bool(torch.isfinite(g[1]).all()) for g in found[1:]] == [
        bool(torch.isfinite(g[1]).all()) for g in reference
    ]
    nll, gradients = ours.differentiate(clean, scale)
    for a, b in zip(found, [nll, *gradients], strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_member_does_not_depend_on_its_neighbours_to_the_bit(backend, kind, dtype):
    units = [20, 13, 16]
    arguments, scale = problem(3, 11, 23, 20, 30, kind, dtype=dtype)
    together = readout_of(backend, units, kind)
    nll, gradients = together.differentiate(arguments, scale)
    nll, gradients = nll.clone(), [g.clone() for g in gradients]
    for k, n in enumerate(units):
        own = [t[k : k + 1] for t in arguments]
        own[0], own[1] = own[0][..., :n].contiguous(), own[1][..., :n].contiguous()
        alone = readout_of(backend, [n], kind)
        one, (dh, dw, db) = alone.differentiate(own, scale[k : k + 1])
        assert torch.equal(one[0], nll[k])
        assert torch.equal(dh[0], gradients[0][k, ..., :n])
        assert torch.equal(dw[0], gradients[1][k, :, :n])
        assert torch.equal(db[0], gradients[2][k])
        assert not gradients[0][k, ..., n:].any()
        assert not gradients[1][k, :, n:].any()


def test_targets_may_be_shared(backend, kind):
    arguments, _ = problem(3, 4, 5, 6, 7, kind)
    arguments[3] = arguments[3][:1].expand_as(arguments[3])
    arguments[4] = arguments[4][:1].expand(3, -1, -1)
    ours = readout_of(backend, [6] * 3, kind)
    torch.testing.assert_close(
        ours.measure(arguments), TorchReadout(kind).measure(arguments), rtol=1e-12, atol=0
    )


def test_targets_must_be_what_they_are(backend):
    arguments, _ = problem(3, 4, 5, 6, 7)
    ours = readout_of(backend, [6] * 3, CLASSES)
    for wrong in (7, -1):
        arguments[3] = torch.full((3, 4, 5), wrong)
        with pytest.raises(ConfigError, match="60 targets are no symbols: expected 0 to 6"):
            ours.measure(arguments)
    for bad in (torch.zeros(3, 4, 5, 6, dtype=torch.float64), torch.zeros(3, 4, 5, 7)):
        arguments[3] = bad
        with pytest.raises(ConfigError, match="values"):
            readout_of(backend, [6] * 3, BITS).measure(arguments)


class Some(nn.Module):
    """Parameters of odd sizes, three members."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(1)
        self.W = nn.Parameter(torch.randn(3, 7, 19, dtype=dtype))
        self.b = nn.Parameter(torch.randn(3, 5, dtype=dtype))
        self.c = nn.Parameter(torch.randn(3, 600, dtype=dtype))


def updates(backend, name, nesterov, dtype, *, momentum=(0.9, 0.0, 0.5)):
    """Twenty updates; the third member diverges at the twelfth."""
    model = Some(dtype)
    flat = FlatParameters(model, 3)

    def vector(*values):
        return torch.tensor(values, dtype=dtype)

    inside_PN = torch.rand(3, 738, generator=torch.Generator().manual_seed(2)) < 0.8
    inside_PN[2, 7 * 19 + 5 + 5] = True  # where the third member diverges
    rules = UpdateRules(
        torch.tensor([True, True, True]),
        vector(0.01, 0.003, 0.02),
        vector(1.0, math.inf, 40.0),
        vector(math.inf, 0.5, 0.3),
        100.0,
        inside_PN,
        vector(0.1, 0.0, 2.0),
        Averages(flat.values_PN, vector(0.1, 1.0, 0.7)),
    )
    optimizer = Optimizer(name, vector(*momentum), nesterov=nesterov)
    step = make_update(backend, flat, optimizer, rules)
    assert isinstance(step, TorchUpdate) == (BACKENDS[backend].training() is None)
    seen = []
    for k in range(20):
        g = [torch.sin(p.detach() * (k + 1)) for p in flat.parameters]
        g[0] = g[0].mT.contiguous().mT  # strides of their own
        g[2] = torch.cat([g[2], g[2]], 1)[:, :600]
        if k == 4:
            g[1] = None
        if k == 11:
            g[2][2, 5] = math.inf
        if k == 15:
            rules.rate_P[0] *= 0.5
        mean = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        optimizer.count()
        norm, healthy = step(g, mean_P=mean)
        rules.alive_P.logical_and_(healthy)
        seen.append((norm.double().clone(), healthy.clone()))
    assert rules.alive_P.tolist() == [True, True, False]
    averaged = rules.averages.values_PN
    assert torch.equal(averaged[1], flat.row(1))
    values_PN = torch.cat([flat.values_PN, averaged])
    return values_PN, seen, [optimizer.state[n] for n in optimizer.running_values]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("name", "nesterov"), [*((name, False) for name in OPTIMIZERS), ("sgd", True)]
)
def test_updates_equal_those_of_torch(backend, name, nesterov, dtype):
    ours, norms, state = updates(backend, name, nesterov, dtype)
    want, reference, kept = updates("eager", name, nesterov, dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-4
    torch.testing.assert_close(ours, want, rtol=tolerance, atol=tolerance)
    for (a, ok), (b, fine) in zip(norms, reference, strict=True):
        torch.testing.assert_close(a[:2], b[:2], rtol=tolerance, atol=0)
        assert ok.tolist()[:2] == fine.tolist()[:2]
    assert norms[11][1].tolist() == reference[11][1].tolist() == [True, True, False]
    for a, b in zip(state, kept, strict=True):  # without momentum, or frozen, none is kept up
        torch.testing.assert_close(a[:1], b[:1], rtol=tolerance, atol=tolerance)


def test_without_momentum_nothing_is_kept(backend):
    ours, _, state = updates(backend, "sgd", True, torch.float64, momentum=(0, 0, 0))
    want, *_ = updates("eager", "sgd", True, torch.float64, momentum=(0, 0, 0))
    torch.testing.assert_close(ours, want, rtol=0, atol=1e-12)
    assert state == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, 101.0])
def test_a_loss_out_of_bounds_is_no_update(bad):
    for backend in BACKENDS:
        flat = FlatParameters(Some(torch.float32), 3)
        before = flat.values_PN
        free = torch.full((3,), math.inf)
        rules = UpdateRules(torch.tensor([True] * 3), torch.full((3,), 0.1), free, free, 100.0)
        step = make_update(backend, flat, Optimizer("sgd", torch.zeros(3)), rules)
        mean = torch.tensor([1.0, bad, 100.0], dtype=torch.float64)
        norm, healthy = step([torch.ones_like(p) for p in flat.parameters], mean_P=mean)
        assert healthy.tolist() == [True, False, True]
        assert norm.tolist() == pytest.approx([math.sqrt(738)] * 3)
        moved = (flat.values_PN - before).abs()
        assert not moved[1].any()
        torch.testing.assert_close(moved[[0, 2]], torch.full((2, 738), 0.1), rtol=0, atol=1e-6)


class Doubled(DrawnTask):
    """Writes class k and the one before as bits."""

    def __init__(self):
        signature = Signature(Values(CLASSES, 8), Values(BITS, 6))
        super().__init__("doubled", signature=signature, counted="all", facts={})

    def draw(self, rng, count, split):
        x_NT = rng.integers(8, size=(count, 9))
        own_NTK = (x_NT[..., None] >> np.arange(3)) & 1
        before_NTK = np.roll(own_NTK, 1, axis=1)
        return [
            Example(x, np.concatenate(y, 1))
            for x, *y in zip(x_NT, own_NTK, before_NTK, strict=True)
        ]


@pytest.mark.parametrize("task", ["xml", "adding@length=7", "bits"])
@pytest.mark.parametrize("spec", ["lstm", "mut1"])
@pytest.mark.parametrize("loss", ["mean", "sum"])
def test_training_on_all_backends_gives_the_same_numbers(spec, loss, task):
    config = TrainingConfig(
        batch_size=3, unroll=6, optimizer="adam", dtype="float64", loss=loss
    )  # fmt: skip
    members = [
        Member(0, 1, hidden_size=9, learning_rate=0.02, clip_norm=1.0),
        Member(1, 2, hidden_size=6, learning_rate=0.05, input_noise=0.1),
        Member(2, 3, hidden_size=7, learning_rate=1e6),
    ]
    found = {}
    for backend in BACKENDS:
        cell = odyssey.get_cell(spec)
        learned = Doubled() if task == "bits" else get_task(task)
        group = Group(cell, learned, members, replace(config, backend=backend))
        assert group.several is None or task == "xml"
        state, nats = None, []
        for _ in range(12):
            state, nll, count = one_update(group, state)
            nats.append(nll / np.maximum(count, 1))
        measured = group.measure("valid", 150)
        found[backend] = np.array(nats), group.flat.values_PN[:2], group.alive_P.tolist(), measured
    a, p, alive, m = found["eager"]
    assert alive == [True, True, False]
    for b, q, living, n in found.values():
        np.testing.assert_allclose(b[:, :2], a[:, :2], rtol=1e-9)
        torch.testing.assert_close(q, p, rtol=1e-8, atol=1e-9)
        assert living == alive
        for one, other in ((n.nats, m.nats), (n.accuracy, m.accuracy)):
            np.testing.assert_allclose(one[:2], other[:2], rtol=1e-8)


def test_the_outputs_of_c_are_those_of_training():
    assert set(READOUT_KINDS) == set(RULES)


def test_the_optimizers_of_c_are_some_of_training():
    assert set(UPDATE_KINDS) <= set(OPTIMIZERS)


@pytest.mark.parametrize("target", targets.TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_source_compiles_for_every_target(target, dtype, tmp_path, monkeypatch):
    row = targets.TARGETS[target]
    if row.machine == toolchain.machine():  # those of another are plain C
        flags = f"{shlex.join(toolchain.compiler())} {row.flags}"  # this one may be narrower
        monkeypatch.setenv("CC", flags)
    path = tmp_path / "step.so"
    toolchain.compile_source(step_source(dtype=dtype, target=target), path)
    library = ctypes.CDLL(str(path))
    assert library.odyssey_readout
    assert library.odyssey_update
