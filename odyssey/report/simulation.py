"""Made-up studies whose truth is known, to judge statistical procedures with.

A draw's loss is a floor plus a valley in the logarithm of the learning rate, a gain from hidden
size, a loss from input noise, and luck: bad luck has the heavy tail of Student's t with three
degrees of freedom, good luck has not, and a seed brings a part of it to all cells alike. Large
learning rates diverge.
Two names of one cell (`Cell()` twice) differ by luck only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from odyssey.storage.schema import RESULT_COLUMNS


class ClosedForm(NamedTuple):
    """A function of inputs a, b, c, uniform on [0, 1], whose decomposition is known.

    Attributes:
        function: From (N, 3) to (N,).
        shares: True share of variance by effect; those not named are 0.
    """

    function: Callable[[np.ndarray], np.ndarray]
    shares: Mapping[str, float]


def _additive(x: np.ndarray) -> np.ndarray:
    """Gives 12 (a - 1/2)^2 + b."""
    value: np.ndarray = 12 * (x[:, 0] - 0.5) ** 2 + x[:, 1]
    return value


def _product(x: np.ndarray) -> np.ndarray:
    """Gives a b."""
    value: np.ndarray = x[:, 0] * x[:, 1]
    return value


def _ishigami(x: np.ndarray) -> np.ndarray:
    """Gives the function of Ishigami & Homma (1990) with a = 7, b = 0.1."""
    z = np.pi * (2 * x - 1)
    value: np.ndarray = (
        np.sin(z[:, 0]) + 7 * np.sin(z[:, 1]) ** 2 + 0.1 * z[:, 2] ** 4 * np.sin(z[:, 0])
    )
    return value


# Variances: of 12 (u - 1/2)^2 144/180, of u 1/12; of u v 7/144, of its mains 1/48 each.
CLOSED_FORMS: Mapping[str, ClosedForm] = {
    "12 (a - 1/2)² + b": ClosedForm(
        _additive, {"a": 0.8 / (0.8 + 1 / 12), "b": (1 / 12) / (0.8 + 1 / 12)}
    ),
    "a b": ClosedForm(_product, {"a": 3 / 7, "b": 3 / 7, "a x b": 1 / 7}),
    "Ishigami": ClosedForm(_ishigami, {"a": 0.3139, "b": 0.4424, "a x c": 0.2437}),
}

CHANCE = 5.0  # bits per character of a guess among 32 symbols: no draw that learns does worse
_SPREAD = 0.04  # bits per character


@dataclass(frozen=True)
class Cell:
    """What a simulated cell is like.

    Attributes:
        shift: Loss added to every draw, bits per character.
        best_rate: log10 of the learning rate at the bottom of its valley.
        cliff: log10 of the learning rate at which half of the draws diverge.
        matrices: Square matrices it has, which make its parameters.
    """

    shift: float = 0.0
    best_rate: float = -2.0
    cliff: float = -1.0
    matrices: int = 4


def simulate_results(
    cells: Mapping[str, Cell],
    *,
    rng: np.random.Generator,
    tasks: Sequence[str] = ("made-up",),
    draws: int = 200,
    shared: float = 0.5,
) -> pd.DataFrame:
    """Makes the results of a study, as `RESULT_COLUMNS`: the same draws for every cell.

    Args:
        cells: The cells by name.
        rng: Makes everything.
        tasks: Names of the tasks; a task more raises the floor by half a bit.
        draws: Members of a cell on a task.
        shared: Share of the variance of luck that a seed gives all cells alike, from 0 to 1.
    """
    rate = rng.uniform(-4.0, -0.5, draws)  # log10
    size = np.exp(rng.uniform(np.log(20), np.log(200), draws)).round()
    noise = rng.uniform(0, 1, draws)
    momentum = 1 - np.exp(rng.uniform(np.log(0.01), np.log(1.0), draws))
    seeds = rng.integers(2**31, size=draws)
    rows = []
    for place, task in enumerate(tasks):
        of_seed = _luck(rng, draws)
        for index, (name, cell) in enumerate(cells.items()):
            luck = np.sqrt(shared) * of_seed + np.sqrt(1 - shared) * _luck(rng, draws)
            away = rate - cell.best_rate
            lost = rng.random(draws) < 1 / (1 + np.exp(-(rate - cell.cliff) / 0.15))
            bits = 1.2 + 0.5 * place + cell.shift + 0.3 * np.abs(away) ** 1.5
            bits = bits + 0.25 * np.log(200 / size) / np.log(10) + 0.15 * noise
            bits = np.minimum(bits + _SPREAD * (1 + np.abs(away)) * luck, CHANCE)
            valid = np.where(lost, np.nan, bits + 0.01 * rng.normal(size=draws))
            test = np.where(lost, np.nan, bits + 0.02 + 0.01 * rng.normal(size=draws))
            rows.append(
                pd.DataFrame(
                    {
                        "trial": f"{place:08x}{index:08x}",
                        "trial_index": place * len(cells) + index,
                        "cell": name,
                        "spec": name,
                        "task": task,
                        "member": np.arange(draws),
                        "seed": seeds,
                        "hidden_size": size.astype(np.int64),
                        "num_layers": 1,
                        "num_parameters": (cell.matrices * size * (size + 40)).astype(np.int64),
                        "learning_rate": 10.0**rate,
                        "momentum": momentum,
                        "input_noise": noise,
                        "status": np.where(lost, "diverged", "ok"),
                        "reason": np.where(lost, "loss is not finite", ""),
                        "valid_nats": valid * np.log(2),
                        "valid_bpc": valid,
                        "valid_accuracy": np.exp(-0.5 * valid),
                        "test_nats": test * np.log(2),
                        "test_bpc": test,
                        "test_accuracy": np.exp(-0.5 * test),
                    }
                )
            )
    return pd.concat(rows, ignore_index=True).reindex(columns=list(RESULT_COLUMNS))


def _luck(rng: np.random.Generator, draws: int) -> np.ndarray:
    """Draws from Student's t(3), with its good side drawn in: losses have a floor."""
    drawn = rng.standard_t(3, draws)
    luck: np.ndarray = np.where(drawn > 0, drawn, -np.log1p(np.abs(drawn)))
    return luck
