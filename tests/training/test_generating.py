"""Outputs written from a condition: against enumeration, and against the model's own steps."""

import itertools
import math

import numpy as np
import pytest
import torch

import odyssey
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks.registry import get_task
from odyssey.tasks.sequences import DrawnTask
from odyssey.tasks.signature import ATTENTION, CLASSES, WAYS, Condition, Signature, Values
from odyssey.training.generating import Writing, write
from odyssey.training.model import SequenceModel

V, LONGEST, END = 4, 3, 3


class Tiny(DrawnTask):
    """Three symbols and a mark, conditioned on two numbers at each of three places."""

    start = end = END

    def __init__(self, way):
        signature = Signature(Values(CLASSES, V), Values(CLASSES, V), Condition((3, 2), way))
        super().__init__("tiny", signature=signature, symbols=tuple("abc."), counted="", facts={})

    def draw(self, rng, count, split):
        raise NotImplementedError


@pytest.fixture(params=WAYS)
def task(request):
    return Tiny(request.param)


def model_of(task, seed=0, members=1):
    cell = odyssey.get_cell("gru")
    model = SequenceModel(cell, task.signature, [5] * members, 1, dtype=torch.float64)
    for k in range(members):
        member = Member(k, seed + k, hidden_size=5, init_scale=3.0)
        model.initialise(k, member, "uniform_fan")
    with torch.no_grad():  # sharp, and not the same at every step
        model.readout *= 4
    return model


GIVEN = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)


def every_output():
    for length in range(LONGEST):
        for symbols in itertools.product(range(V - 1), repeat=length):
            yield symbols, True
    for symbols in itertools.product(range(V - 1), repeat=LONGEST):
        yield symbols, False


@torch.no_grad()
def nats_of(model, given, symbols, ended, member=0):
    """What an output costs, by one call of the model."""
    read, said = [END, *symbols], [*symbols, END]
    steps = len(said) if ended else len(symbols)
    x = torch.tensor(read[:steps]).view(1, -1, 1).expand(len(model.readout), -1, -1)
    own = torch.from_numpy(given)[None].double().expand(len(model.readout), 1, -1, -1)
    logits, _ = model(x, None, model.encode(own))
    log_p = torch.log_softmax(logits[member, :, 0], -1)
    return -sum(log_p[t, said[t]].item() for t in range(steps))


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_likeliest_of_all_outputs(task, seed):
    model = model_of(task, seed)
    answers = write(model, task, GIVEN, Writing(LONGEST, beams=V**LONGEST))
    for given, answer in zip(GIVEN, answers, strict=True):
        costs = {o: nats_of(model, given, *o) for o in every_output()}
        assert math.fsum(math.exp(-c) for c in costs.values()) == pytest.approx(1)
        best = min(costs, key=costs.get)
        assert (answer.symbols, answer.ended) == best
        assert answer.nats == pytest.approx(costs[best], rel=1e-9)


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_a_beam_says_what_its_output_costs_and_is_seldom_worse_than_a_narrower(task, beams):
    model = model_of(task, 1, members=2)
    for member in (0, 1):
        answers = write(model, task, GIVEN, Writing(LONGEST, beams=beams), member=member)
        for given, answer in zip(GIVEN, answers, strict=True):
            want = nats_of(model, given, answer.symbols, answer.ended, member)
            assert answer.nats == pytest.approx(want, rel=1e-9)
            steps = len(answer.symbols) + answer.ended
            if task.signature.condition.way == ATTENTION:
                assert answer.looks_TL.shape == (steps, 3)
                assert np.allclose(answer.looks_TL.sum(1), 1)
            else:
                assert answer.looks_TL is None


def test_what_a_beam_looked_at_is_what_the_output_looks_at():
    task = Tiny(ATTENTION)
    model = model_of(task, 2)
    for given, answer in zip(
        GIVEN, write(model, task, GIVEN, Writing(LONGEST, beams=3)), strict=True
    ):
        steps = len(answer.symbols) + answer.ended
        x = torch.tensor([END, *answer.symbols][:steps]).view(1, -1, 1)
        with torch.no_grad():
            memory = model.encode(torch.from_numpy(given)[None, None].double())
            _, _, want = model.attend(x, None, memory)
        assert answer.looks_TL == pytest.approx(want[0, :, 0].numpy(), abs=1e-6)


def test_one_beam_takes_the_likeliest_symbol_at_every_step(task):
    model = model_of(task, 3)
    for given, answer in zip(GIVEN, write(model, task, GIVEN, Writing(LONGEST)), strict=True):
        symbols, said = [], -1
        while said != END and len(symbols) < LONGEST:
            x = torch.tensor([END, *symbols]).view(1, -1, 1)
            with torch.no_grad():
                memory = model.encode(torch.from_numpy(given)[None, None].double())
                said = int(model(x, None, memory)[0][0, -1, 0].argmax())
            symbols += [] if said == END else [said]
        assert answer.symbols == tuple(symbols)


def test_samples_come_as_often_as_the_model_says(task):
    model, count = model_of(task, 4), 3000
    given = np.repeat(GIVEN[:1], count, 0)
    how = Writing(LONGEST, temperature=1.0)
    answers = write(model, task, given, how, rng=np.random.default_rng(0))
    for output in every_output():
        p = math.exp(-nats_of(model, GIVEN[0], *output))
        share = sum((a.symbols, a.ended) == output for a in answers) / count
        assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / count) + 1e-3
    cost = nats_of(model, GIVEN[0], answers[0].symbols, answers[0].ended)
    assert answers[0].nats == pytest.approx(cost, rel=1e-9)


def test_refusals():
    task = Tiny(ATTENTION)
    model = model_of(task)
    for options in ({"longest": 0}, {"longest": 3, "beams": 0}, {"longest": 3, "temperature": 0.0}):
        with pytest.raises(ConfigError):
            Writing(**options)
    with pytest.raises(ConfigError, match="draws nothing"):
        Writing(3, beams=2, temperature=1.0)
    with pytest.raises(ConfigError, match="nothing is written"):
        write(model, get_task("xml"), GIVEN, Writing(3))
