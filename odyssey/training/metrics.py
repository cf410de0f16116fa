"""Metrics: further numbers about what a trained model predicts on test data; no torch here.

The package has no row of its own: loss, accuracy and the share of sequences that are right are
measured anyway. A plug-in adds rows; each becomes a column `metric.NAME` of the results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import ConfigError
from odyssey.registry import Registry, of_type
from odyssey.tasks.signature import BITS, CLASSES, REALS, Kind, Values
from odyssey.wording import quoted


@dataclass(frozen=True)
class Predictions:
    """What one member predicts at the N counted targets of the test data, in reading order.

    Attributes:
        kind: What the outputs are: `classes`, `bits` or `reals`.
        size: How many classes, or how many bits or numbers K at a step.
        targets: What was to be predicted: classes (N,) int64; bits or reals (N, K) float64.
        predicted: Of classes the likeliest (N,) int64; of bits their probabilities, of reals their
            values (N, K) float64.
        nats: The loss at each (N,) float64: nats, or the squared error of reals.
        rank: Of classes, how many are likelier than the target (N,) int64; else empty.
        confidence: Of classes, the probability of the likeliest (N,) float64; else empty.
        sequence: Which sequence each belongs to (N,) int64, any numbers; of a stream without
            sequences, which of the parallel streams.
    """

    kind: Kind
    size: int
    targets: NDArray[Any]
    predicted: NDArray[Any]
    nats: NDArray[np.float64]
    rank: NDArray[np.int64]
    confidence: NDArray[np.float64]
    sequence: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One row of the table of metrics.

    Attributes:
        about: What it measures, in a line.
        measure: Gives the number; NaN where there is none to give.
        better: Which end is better: `high` or `low`.
        kinds: The kinds of outputs that it is for; on tasks with others it is left out.
        chance: What a uniform guess scores, given the size of the outputs; None where nobody knows.
    """

    about: str
    measure: Callable[[Predictions], float]
    better: Literal["high", "low"]
    kinds: tuple[Kind, ...] = (CLASSES,)
    chance: Callable[[int], float] | None = None


def _problem(name: str, row: Any) -> str:
    if why := of_type(Metric, "a Metric (odyssey.training.metrics)")(name, row):
        return why
    if not name.isidentifier():
        return f"{quoted(name)} cannot name a metric: use letters, digits and _"
    if row.better not in ("high", "low"):
        return f"{quoted(name)}: better must be 'high' or 'low', got {row.better!r}"
    if not row.kinds or not set(row.kinds) <= {CLASSES, BITS, REALS}:
        return f"{quoted(name)}: kinds must be of classes, bits, reals, got {row.kinds!r}"
    return ""


METRICS: Registry[Metric] = Registry("metric", {}, problem=_problem)


def metrics_of(kind: Kind) -> dict[str, Metric]:
    """Gives the metrics for outputs of a kind."""
    return {name: row for name, row in METRICS.items() if kind in row.kinds}


def measured(predictions: Predictions) -> dict[str, float]:
    """Applies all metrics for its kind to what a member predicts.

    Raises:
        ConfigError: A metric fails, or gives no number.
    """
    found = {}
    for name, row in metrics_of(predictions.kind).items():
        try:
            found[name] = float(row.measure(predictions))
        except Exception as error:
            raise ConfigError(f"metric {name}: {type(error).__name__}: {error}") from None
    return found


def describe_metrics(outputs: Mapping[str, Values]) -> dict[str, dict[str, Any]]:
    """Gives what run.json says of the metrics of a run, by name.

    Args:
        outputs: The outputs of its tasks, by spec.
    """
    return {
        name: {
            "about": row.about,
            "better": row.better,
            "chance": {
                task: float(row.chance(values.size))
                for task, values in outputs.items()
                if row.chance is not None and values.kind in row.kinds
            },
        }
        for name, row in METRICS.items()
    }
