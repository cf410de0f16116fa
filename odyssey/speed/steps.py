"""Sections `tiny` and `step`: whole training steps on class indices.

A training step is a batch, the cell forward and backward, readout, softmax and loss, clipping and
the optimiser. Shapes: P members, T steps, B streams, H hidden units.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from odyssey.compiler import RNN
from odyssey.hyperparameters import Member
from odyssey.specs import get_cell
from odyssey.speed.layers import CLASSES
from odyssey.speed.measure import Contender, repeats_for, sample_seconds, without_collection
from odyssey.speed.section import Case, Finding, Measurement, Settings, column
from odyssey.speed.tracing import traced
from odyssey.tasks.signature import Signature
from odyssey.tasks.text import TextTask
from odyssey.training import update
from odyssey.training.config import TrainingConfig
from odyssey.training.loop import train
from odyssey.training.model import SequenceModel
from odyssey.training.results import Epoch
from odyssey.training.step import make_recurrence

MEMBERS = (1, 4)
PARTS: Mapping[str, tuple[str, ...]] = {
    "batch": ("odyssey.training.batches:Draws.__next__", "odyssey.training.noise:Noise.draw"),
    "cell forward": ("odyssey.training.step:BackendRecurrence.forward",),
    "cell backward": ("odyssey.training.step:BackendRecurrence.backward",),
    "readout and loss": (
        "odyssey.compiler.backends.native.call.training_step:NativeReadout.differentiate",
    ),
    "update": ("odyssey.training.step:BackendUpdate.__call__",),
}
"""Part of a training step -> the functions that do it, without what another part does in them."""


def symbols_task(length: int) -> TextTask:
    """Makes a text of that many random symbols, 65 different ones: what they say costs nothing."""
    rng = np.random.default_rng(0)
    data = np.concatenate([np.arange(CLASSES), rng.integers(CLASSES, size=length)])
    return TextTask(
        "symbols",
        (data + 32).astype(np.uint8).tobytes(),
        unit="bytes",
        split=(Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)),
        facts={},
    )


def training_rounds(
    spec: str,
    task: TextTask,
    members: Sequence[Member],
    options: Mapping[str, Any],
    others: Mapping[str, Contender],
    *,
    rounds: int,
) -> dict[str, float]:
    """Gives the median seconds of an update by `train`, as "training", and of other steps.

    They take turns: a round is one epoch of the training and a sample of every other step. The
    validation in an epoch is one character.
    """
    repeats = {name: repeats_for(step) for name, step in others.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ("training", *others)}
    config = TrainingConfig(
        **options,
        epochs=rounds + 1,
        valid_characters=1,
        test_characters=1,
        eval_batch=1,
        eval_unroll=1,
        backend="native",
    )
    start = 0.0

    def turn(epoch: Epoch) -> None:
        nonlocal start
        mean = (time.perf_counter() - start) / config.updates_per_epoch
        if epoch.epoch > 1:  # the first one warms up
            seconds["training"].append(mean)
            for name, step in others.items():
                seconds[name].append(sample_seconds(step, repeats[name]))
        start = time.perf_counter()

    with without_collection():
        start = time.perf_counter()
        train(get_cell(spec), task, members, config, progress=turn)
    return {name: statistics.median(s) for name, s in seconds.items()}


# tiny: min-char-rnn


class _Plain(nn.Module):
    """A recurrent layer of either kind and a readout, as in an ordinary script."""

    def __init__(self, layer: nn.Module, hidden: int) -> None:
        super().__init__()
        self.layer, self.readout = layer, nn.Linear(hidden, CLASSES)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y_TBH, state = self.layer(x, state)
        return self.readout(y_TBH), state


def _script(
    layer: nn.Module, hidden: int, steps: int, optimizer: str, *, one_hot: bool
) -> Contender:
    """An ordinary torch training step, its next batch made beforehand; elements are clipped."""
    model = _Plain(layer, hidden)
    parameters = list(model.parameters())
    kinds = {"adagrad": torch.optim.Adagrad, "sgd": torch.optim.SGD}
    update = kinds[optimizer](parameters, lr=0.1)
    x_TB = torch.randint(CLASSES, (steps, 1))
    target_N = torch.randint(CLASSES, (steps,))
    x = functional.one_hot(x_TB, CLASSES).float() if one_hot else x_TB
    state: Any = None

    def run() -> None:
        nonlocal state
        logits, state = model(x, state)
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        loss = functional.cross_entropy(logits.flatten(0, 1), target_N)
        update.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_value_(parameters, 5.0)
        update.step()

    return run


def _tiny(optimizer: str, settings: Settings) -> Measurement:
    hidden, steps = (12, 5) if settings.quick else (100, 25)
    others = {
        "nn": _script(nn.RNN(CLASSES, hidden), hidden, steps, optimizer, one_hot=True),
        "native": _script(
            RNN(get_cell("elman"), CLASSES, hidden, backend="native"),
            *(hidden, steps, optimizer),
            one_hot=False,
        ),
    }
    seconds = training_rounds(
        "elman",
        symbols_task(20_000),
        [Member(0, 1, hidden_size=hidden, learning_rate=0.1, clip_value=5.0)],
        {
            "batch_size": 1,
            "unroll": steps,
            "optimizer": optimizer,
            "updates_per_epoch": 5 if settings.quick else 50,
        },
        others,
        rounds=settings.rounds,
    )
    return {
        "optimiser": optimizer,
        "H": hidden,
        "T": steps,
        "nn.RNN": 1e3 * seconds["nn"],
        "native in the same script": 1e3 * seconds["native"],
        "odyssey train": 1e3 * seconds["training"],
        "nn.RNN / script": seconds["nn"] / seconds["native"],
        "nn.RNN / train": seconds["nn"] / seconds["training"],
    }


def tiny_cases(settings: Settings) -> list[Case]:
    """Lists the optimisers."""
    return [
        Case(
            f"elman {name}",
            (5 if settings.quick else 30) * settings.rounds,
            partial(_tiny, name, settings),
        )
        for name in ("adagrad", "sgd")
    ]


def tiny_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the ratio to nn.RNN with min-char-rnn's optimiser."""
    found = []
    for row in rows:
        bound = 5.0 if row["optimiser"] == "adagrad" else None
        name = f"min-char-rnn's step against nn.RNN, {row['optimiser']}"
        found.append(Finding(name, float(row["nn.RNN / train"]), bound))
    return found


# step: a population of lstm


def cell_step(members: int, hidden: int, batch: int, steps: int) -> Contender:
    """Gives lstm alone, forward and backward from a given state, for a population."""
    model = SequenceModel(
        get_cell("lstm"), Signature.symbols(CLASSES), [hidden] * members, 1, backend="native"
    )
    model.rnn.reset_parameters()
    cell = make_recurrence(model, dense=False)
    x_PTB = torch.randint(CLASSES, (members, steps, batch))
    dy_PTBH = torch.randn(members, steps, batch, hidden)
    state = model.rnn.start_state(batch)

    def run() -> None:
        cell.forward(x_PTB, state)
        cell.backward(dy_PTBH)

    return run


def _step(members: int, settings: Settings) -> Measurement:
    hidden, batch, steps = (12, 4, 6) if settings.quick else (128, 50, 50)
    updates = 3 if settings.quick else 20
    alone = cell_step(members, hidden, batch, steps)
    people = [
        Member(m, m + 1, hidden_size=hidden, learning_rate=0.002, clip_norm=5.0)
        for m in range(members)
    ]
    options = {
        "batch_size": batch,
        "unroll": steps,
        "optimizer": "adam",
        "updates_per_epoch": updates,
    }
    task = symbols_task(4 * batch * steps)
    seconds = training_rounds(
        *("lstm", task, people, options),
        {"cell": alone},
        rounds=settings.rounds,
    )
    # one update at a time: what happens inside a call of several cannot be told apart
    with traced(PARTS) as spent, mock.patch.object(update, "make_several", return_value=None):
        training_rounds("lstm", task, people, options, {}, rounds=settings.rounds)
    count = updates * (settings.rounds + 1)
    part = {name: 1e3 * s / count for name, s in spent.items()}
    whole, cell = 1e3 * seconds["training"], 1e3 * seconds["cell"]
    rest = {
        "batch": part["batch"],
        "readout and loss": part["readout and loss"],
        "clip and optimiser": part["update"],
        "cell, more than alone": part["cell forward"] + part["cell backward"] - cell,
    }
    other = whole - cell - sum(rest.values())
    return {
        "P": members,
        "step": whole,
        "cell": cell,
        "step / cell": whole / cell,
        **rest,
        "other": other,
    }


def step_cases(settings: Settings) -> list[Case]:
    """Lists the sizes of the population."""
    return [
        Case(
            f"lstm P={members}",
            (20 if settings.quick else 700) * members * settings.rounds,
            partial(_step, members, settings),
        )
        for members in MEMBERS
    ]


def step_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the whole step over the cell alone, in the worst case."""
    worst = max(column(rows, "step / cell"))
    return [Finding("a training step over its cell alone", worst, 1.35, at_most=True)]
