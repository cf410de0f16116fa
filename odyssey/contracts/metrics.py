"""The contract of metrics: a number, from any predictions, with the direction that it claims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.contracts.finding import Checks, Missing, expect
from odyssey.tasks.signature import BITS, CLASSES, Kind
from odyssey.training.metrics import Metric, Predictions

_N, _SIZE = 600, 5


def predictions(kind: Kind, *, skill: float, seed: int = 0) -> Predictions:
    """Makes predictions of 600 targets in 60 sequences; with skill 0 guesses, with 1 nearly sure.

    Args:
        kind: Of the outputs; they have 5 classes, bits or numbers.
        skill: How much of the truth is in them, from 0 to 1.
        seed: Of the noise.
    """
    rng = np.random.default_rng(seed)
    sequence = np.repeat(np.arange(_N // 10), 10)
    empty = np.zeros(0)
    if kind == CLASSES:
        targets: NDArray[Any] = rng.integers(_SIZE, size=_N)
        logits = rng.normal(0.0, 1.0 - 0.9 * skill, (_N, _SIZE))
        logits[np.arange(_N), targets] += 8 * skill
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        own = logs[np.arange(_N), targets]
        return Predictions(
            kind,
            _SIZE,
            targets,
            predicted=logits.argmax(1),
            nats=-own,
            rank=(logs > own[:, None]).sum(1),
            confidence=np.exp(logs.max(1)),
            sequence=sequence,
        )
    truth = rng.normal(size=(_N, _SIZE))
    noise = rng.normal(size=(_N, _SIZE)) * (1 - 0.95 * skill)
    if kind == BITS:
        targets = (truth > 0).astype(np.float64)
        said = 1 / (1 + np.exp(-(6 * skill * (2 * targets - 1) + noise)))
        nats = -np.log(np.where(targets == 1, said, 1 - said)).sum(1)
    else:
        targets, said = truth, skill * truth + noise
        nats = np.square(said - truth).sum(1)
    none = empty.astype(np.int64)
    return Predictions(kind, _SIZE, targets, said, nats, none, empty, sequence)


def check_row(name: str, row: Metric) -> None:
    """Checks the words of a metric."""
    expect(bool(row.about), "about is empty: what does it measure?")


def check_number(name: str, row: Metric) -> None:
    """Checks that it gives one number, the same at every call, and leaves predictions alone."""
    for kind in row.kinds:
        given = predictions(kind, skill=0.3)
        before = given.nats.copy()
        one, other = row.measure(given), row.measure(given)
        expect(np.ndim(one) == 0, f"gives {type(one).__name__}, not one number")
        expect(math.isfinite(float(one)), f"gives {float(one)} of 600 predictions")
        expect(float(one) == float(other), "gives another number at the second call")
        expect(np.array_equal(before, given.nats), "changes the predictions")


def check_direction(name: str, row: Metric) -> None:
    """Checks that predictions that are nearly all right are better than guesses."""
    for kind in row.kinds:
        worse, better = (float(row.measure(predictions(kind, skill=s))) for s in (0.0, 1.0))
        right = better > worse if row.better == "high" else better < worse
        expect(
            right,
            f"better is {row.better!r}, and guesses have {worse:.4g}, good predictions"
            f" {better:.4g}",
        )


def check_chance(name: str, row: Metric) -> None:
    """Checks that chance is a number, and not better than good predictions."""
    if row.chance is None:
        raise Missing("chance is None: tables do not say what a guess scores")
    value = float(row.chance(_SIZE))
    expect(math.isfinite(value), f"chance of {_SIZE} classes is {value}")
    for kind in row.kinds:
        good = float(row.measure(predictions(kind, skill=1.0)))
        beaten = good >= value if row.better == "high" else good <= value
        expect(beaten, f"chance is {value:.4g}, better than good predictions with {good:.4g}")


CHECKS: Checks = {
    "complete": check_row,
    "gives a number": check_number,
    "direction": check_direction,
    "chance": check_chance,
}
