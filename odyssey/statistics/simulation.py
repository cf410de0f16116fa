"""Made-up studies whose truth is known, to judge statistical procedures with.

A draw's loss is a floor plus a valley in the logarithm of the learning rate, a gain from hidden
size, a loss from input noise, and luck: bad luck has the heavy tail of Student's t with three
degrees of freedom, good luck has not, and a seed brings a part of it to all cells alike. Large
learning rates diverge.
Two names of one cell (`SimulatedCell()` twice) differ by luck only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from odyssey.statistics.permutation import Pair
from odyssey.storage.rungs import going_on
from odyssey.storage.schema import DIVERGED, FIRST, OK, RESULT_COLUMNS


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

SIMULATED_SYMBOLS = 32
CHANCE = 5.0  # bits per character of a guess among them: no draw that learns does worse
_SPREAD = 0.04  # bits per character
_KEPT = 0.7  # share of the variance of luck that a draw keeps from rung to rung of a ladder
_BETTER, _NARROWER = 0.15, 0.8  # bits that a rung brings, and how it widens the valley
_LOST = 0.01  # share of the draws that a later rung loses


@dataclass(frozen=True)
class SimulatedCell:
    """What a simulated cell is like.

    Attributes:
        shift: Loss added to every draw, bits per character.
        best_rate: log10 of the learning rate at the bottom of its valley.
        cliff: log10 of the learning rate at which half of the draws diverge.
        matrices: Square matrices it has, which make its parameters.
        luck: How wide its luck is, beside that of other cells.
    """

    shift: float = 0.0
    best_rate: float = -2.0
    cliff: float = -1.0
    matrices: int = 4
    luck: float = 1.0


def simulate_results(
    cells: Mapping[str, SimulatedCell],
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
    hyper = _Hyperparameters.draw(rng, draws)
    rows = []
    for place, task in enumerate(tasks):
        of_seed = _luck(rng, draws)
        for index, (name, cell) in enumerate(cells.items()):
            valid, test = _scores(rng, cell, hyper, of_seed, shared=shared, floor=0.5 * place)
            lost, size = np.isnan(valid), hyper.size
            rows.append(
                pd.DataFrame(
                    {
                        "trial": f"{place:08x}{index:08x}",
                        "trial_index": place * len(cells) + index,
                        "cell": name,
                        "spec": name,
                        "task": task,
                        "rung": 1,
                        "num_symbols": SIMULATED_SYMBOLS,
                        "member": np.arange(draws),
                        "seed": hyper.seed,
                        "hidden_size": size.astype(np.int64),
                        "num_layers": 1,
                        "num_parameters": (cell.matrices * size * (size + 40)).astype(np.int64),
                        "learning_rate": 10.0**hyper.rate,
                        "momentum": hyper.momentum,
                        "input_noise": hyper.noise,
                        "status": np.where(lost, DIVERGED, OK),
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


def simulate_pairs(
    cells: Sequence[SimulatedCell], *, rng: np.random.Generator, draws: int, shared: float = 0.5
) -> list[Pair]:
    """Makes what `simulate_results` makes on one task, without the records around it.

    Args:
        cells: The cells, the baseline first.
        rng: Makes everything; the same one makes the same scores as there.
        draws: Members of each.
        shared: As there.

    Returns:
        The baseline with every other cell.
    """
    hyper = _Hyperparameters.draw(rng, draws)
    of_seed = _luck(rng, draws)
    made = [_scores(rng, cell, hyper, of_seed, shared=shared) for cell in cells]
    valid, test = (np.stack(scores) for scores in zip(*made, strict=True))
    # As records are counted: a lost draw is the last, and it and what is worse count as guessing.
    valid = np.where(np.isnan(valid), np.inf, np.minimum(valid, CHANCE))
    test = np.where(np.isnan(test), CHANCE, np.minimum(test, CHANCE))
    return [Pair(valid[[0, k]], test[[0, k]]) for k in range(1, len(cells))]


def simulate_ladder(
    cells: Mapping[str, SimulatedCell],
    *,
    rng: np.random.Generator,
    rungs: Sequence[int] = (200, 50, 12),
    shared: float = 0.5,
) -> pd.DataFrame:
    """Makes all rows of a study on a ladder: who goes on is chosen as the engine does.

    A rung brings every draw 0.15 bits; a draw keeps most of its luck from rung to rung.

    Args:
        cells: The cells by name.
        rng: Makes everything.
        rungs: Draws of a cell on each rung, from the first on.
        shared: Share of the variance of luck that a seed gives all cells alike, from 0 to 1.
    """
    count = rungs[0]
    hyper = _Hyperparameters.draw(rng, count)
    of_seed = [_luck(rng, count) for _ in (*rungs, 0)]  # what lasts first, then rung by rung
    parts = []
    for index, (name, cell) in enumerate(cells.items()):
        scores = _climbing_scores(rng, cell, hyper, of_seed, shared=shared)
        members = list(range(count))
        for rung, (valid, test) in enumerate(scores, start=FIRST):
            lost = np.isnan(valid)
            rows = pd.DataFrame(
                {
                    "trial": f"{rung:08x}{index:08x}",
                    "trial_index": rung * len(cells) + index,
                    "rung": rung,
                    "cell": name,
                    "spec": name,
                    "task": "made-up",
                    "num_symbols": SIMULATED_SYMBOLS,
                    "member": np.arange(count),
                    "seed": hyper.seed,
                    "status": np.where(lost, DIVERGED, OK),
                    "valid_nats": valid * np.log(2),
                    "valid_bpc": valid,
                    "test_nats": test * np.log(2),
                    "test_bpc": test,
                }
            ).iloc[members]
            parts.append(rows)
            if rung < len(rungs):
                members = going_on(rows, rungs[rung])
    return pd.concat(parts, ignore_index=True).reindex(columns=list(RESULT_COLUMNS))


def _climbing_scores(
    rng: np.random.Generator,
    cell: SimulatedCell,
    hyper: _Hyperparameters,
    of_seed: Sequence[np.ndarray],
    *,
    shared: float,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gives validation and test bits of a cell's draws on every rung, had they all gone there."""
    draws, found = len(of_seed[0]), []
    away = np.abs(hyper.rate - cell.best_rate)
    lost = rng.random(draws) < 1 / (1 + np.exp(-(hyper.rate - cell.cliff) / 0.15))
    own = _luck(rng, draws)

    def mixed(seed: np.ndarray, cell: np.ndarray) -> np.ndarray:
        both: np.ndarray = np.sqrt(shared) * seed + np.sqrt(1 - shared) * cell
        return both

    for place, of_rung in enumerate(of_seed[1:]):
        luck = np.sqrt(_KEPT) * mixed(of_seed[0], own)
        luck = luck + np.sqrt(1 - _KEPT) * mixed(of_rung, _luck(rng, draws))
        bits = 1.2 + cell.shift - _BETTER * place + 0.3 * away**1.5 * _NARROWER**place
        bits = bits + 0.25 * np.log(200 / hyper.size) / np.log(10) + 0.15 * hyper.noise
        bits = np.minimum(bits + cell.luck * _SPREAD * (1 + away) * luck, CHANCE)
        lost = lost | (rng.random(draws) < _LOST * (place > 0))
        valid = np.where(lost, np.nan, bits + 0.01 * rng.normal(size=draws))
        test = np.where(lost, np.nan, bits + 0.02 + 0.01 * rng.normal(size=draws))
        found.append((valid, test))
    return found


class _Hyperparameters(NamedTuple):
    """The draws that all cells of a study share, (N) each; rate is its log10."""

    rate: np.ndarray
    size: np.ndarray
    noise: np.ndarray
    momentum: np.ndarray
    seed: np.ndarray

    @staticmethod
    def draw(rng: np.random.Generator, draws: int) -> _Hyperparameters:
        return _Hyperparameters(
            rate=rng.uniform(-4.0, -0.5, draws),
            size=np.exp(rng.uniform(np.log(20), np.log(200), draws)).round(),
            noise=rng.uniform(0, 1, draws),
            momentum=1 - np.exp(rng.uniform(np.log(0.01), np.log(1.0), draws)),
            seed=rng.integers(2**31, size=draws),
        )


def _scores(
    rng: np.random.Generator,
    cell: SimulatedCell,
    hyper: _Hyperparameters,
    of_seed: np.ndarray,
    *,
    shared: float,
    floor: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Gives validation and test bits of a cell's draws; NaN where they diverged."""
    draws = len(of_seed)
    luck = np.sqrt(shared) * of_seed + np.sqrt(1 - shared) * _luck(rng, draws)
    away = hyper.rate - cell.best_rate
    lost = rng.random(draws) < 1 / (1 + np.exp(-(hyper.rate - cell.cliff) / 0.15))
    bits = 1.2 + floor + cell.shift + 0.3 * np.abs(away) ** 1.5
    bits = bits + 0.25 * np.log(200 / hyper.size) / np.log(10) + 0.15 * hyper.noise
    bits = np.minimum(bits + cell.luck * _SPREAD * (1 + np.abs(away)) * luck, CHANCE)
    valid = np.where(lost, np.nan, bits + 0.01 * rng.normal(size=draws))
    test = np.where(lost, np.nan, bits + 0.02 + 0.01 * rng.normal(size=draws))
    return valid, test


def _luck(rng: np.random.Generator, draws: int) -> np.ndarray:
    """Draws from Student's t(3), with its good side drawn in: losses have a floor."""
    drawn = rng.standard_t(3, draws)
    luck: np.ndarray = np.where(drawn > 0, drawn, -np.log1p(np.abs(drawn)))
    return luck
