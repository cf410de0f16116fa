"""The flat optimisers against torch.optim, and against the formulas where torch has another."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from odyssey.compiler.backends import BACKENDS
from odyssey.compiler.backends.base import UpdateRules
from odyssey.hyperparameters import Member
from odyssey.training.averages import averaged_weights
from odyssey.training.optimizer_rules import OPTIMIZERS
from odyssey.training.optimizers import FlatParameters, Optimizer, clip
from odyssey.training.step import make_update

RATES = [0.01, 0.003]
MOMENTA = [0.9, 0.0]


class Two(nn.Module):
    """Two members with a matrix and a vector each."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.W = nn.Parameter(torch.randn(2, 3, 4, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(2, 3, dtype=torch.float64))


def loss(W, b, k):
    return ((torch.sin(W * (k + 1)).sum(-1) + b) ** 2).sum()


def trajectory(name, steps=7, **options):
    model = Two()
    flat = FlatParameters(model, 2)
    optimizer = Optimizer(name, torch.tensor(MOMENTA, dtype=torch.float64), **options)
    for k in range(steps):
        g = flat.joined(torch.autograd.grad(loss(model.W, model.b, k), flat.parameters))
        rate = torch.tensor(RATES, dtype=torch.float64)
        optimizer.count()
        flat.assign(optimizer.step(flat.values_PN, g, rate_P=rate))
    return model


REFERENCES = {
    ("sgd", False): lambda p, m: torch.optim.SGD(p, RATES[m], momentum=MOMENTA[m]),
    ("sgd", True): lambda p, m: torch.optim.SGD(
        p, RATES[m], momentum=MOMENTA[m], nesterov=MOMENTA[m] > 0
    ),
    ("adam", False): lambda p, m: torch.optim.Adam(p, RATES[m]),
    ("rmsprop", False): lambda p, m: torch.optim.RMSprop(p, RATES[m], alpha=0.95),
}


@pytest.mark.parametrize(("name", "nesterov"), REFERENCES)
def test_equals_torch_for_each_member(name, nesterov):
    ours = trajectory(name, nesterov=nesterov)
    start = Two()
    for m in range(2):
        W = start.W.detach()[m].clone().requires_grad_()
        b = start.b.detach()[m].clone().requires_grad_()
        reference = REFERENCES[name, nesterov]([W, b], m)
        for k in range(7):
            reference.zero_grad()
            loss(W, b, k).backward()
            reference.step()
        torch.testing.assert_close(ours.W[m], W, rtol=0, atol=1e-12)
        torch.testing.assert_close(ours.b[m], b, rtol=0, atol=1e-12)


DECAYS, AVERAGES = [0.1, 0.0], [0.9, 0.0]  # of the weights, and of their averages


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_decoupled_decay_and_averages_are_those_of_torch(backend, name):
    model, free = Two(), torch.full((2,), torch.inf, dtype=torch.float64)
    flat = FlatParameters(model, 2)
    members = [Member(m, m, ema_decay=d) for m, d in enumerate(AVERAGES)]
    average = averaged_weights(members, flat)
    vectors = [torch.tensor(v, dtype=torch.float64) for v in (RATES, DECAYS)]
    rules = UpdateRules(
        torch.tensor([True, True]),
        vectors[0],
        free,
        free,
        1e9,
        weight_decay_P=vectors[1],
        averages=average.moved,
    )
    optimizer = Optimizer(name, torch.zeros(2, dtype=torch.float64))
    step = make_update(backend, flat, optimizer, rules)
    for k in range(7):
        g = torch.autograd.grad(loss(model.W, model.b, k), flat.parameters)
        optimizer.count()
        step(g, mean_P=torch.zeros(2, dtype=torch.float64))
        average.begin()
    start = Two()
    for m in range(2):
        own = nn.ParameterList([start.W.detach()[m].clone(), start.b.detach()[m].clone()])
        if name == "adamw":
            reference = torch.optim.AdamW(own, RATES[m], weight_decay=DECAYS[m])
        else:  # without momentum, coupled and decoupled decay are the same
            reference = torch.optim.SGD(own, RATES[m], weight_decay=DECAYS[m])
        mean = AveragedModel(own, multi_avg_fn=get_ema_multi_avg_fn(AVERAGES[m]))
        for k in range(7):
            reference.zero_grad()
            loss(own[0], own[1], k).backward()
            reference.step()
            mean.update_parameters(own)
        with average.shown():
            torch.testing.assert_close(model.W[m], mean.module[0], rtol=0, atol=1e-12)
            torch.testing.assert_close(model.b[m], mean.module[1], rtol=0, atol=1e-12)
        torch.testing.assert_close(model.W[m], own[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(model.b[m], own[1], rtol=0, atol=1e-12)
        assert bool((average.moved.values_PN[m] == flat.row(m)).all()) == (AVERAGES[m] == 0)


def test_adamw_is_adam_with_the_decay_of_torch():
    own = inspect.signature(torch.optim.AdamW).parameters["weight_decay"].default
    assert OPTIMIZERS["adamw"].weight_decay == own
    assert OPTIMIZERS["adamw"].step is OPTIMIZERS["adam"].step


def test_adagrad_is_that_of_min_char_rnn():
    values = np.array([0.3, -0.2])
    memory = np.zeros(2)
    optimizer = Optimizer("adagrad", torch.zeros(1, dtype=torch.float64))
    flat = torch.tensor(values[None])
    for k in range(5):
        g = np.cos(values * (k + 1))
        memory += g * g
        values = values - 0.1 * g / np.sqrt(memory + 1e-8)
        flat = optimizer.step(
            flat, torch.cos(flat * (k + 1)), rate_P=torch.tensor([0.1], dtype=torch.float64)
        )
    np.testing.assert_allclose(flat[0].numpy(), values, rtol=1e-12)


def test_clipping_is_per_member():
    g = torch.tensor([[3.0, 4.0], [0.3, 0.4], [30.0, -40.0]])
    clipped = clip(
        g,
        norm_P=g.norm(dim=1),
        clip_norm_P=torch.tensor([1.0, 1.0, torch.inf]),
        clip_value_P=torch.tensor([torch.inf, torch.inf, 5.0]),
    )
    want = torch.tensor([[0.6, 0.8], [0.3, 0.4], [5.0, -5.0]])
    torch.testing.assert_close(clipped, want)


def test_a_parameter_without_gradient_stays():
    model = Two()
    flat = FlatParameters(model, 2)
    g = flat.joined(torch.autograd.grad(model.W.sum(), flat.parameters, allow_unused=True))
    assert (g[:, :12] == 1).all()
    assert not g[:, 12:].any()
