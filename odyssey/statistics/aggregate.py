"""Scores over tasks: one number, and what that number leaves out.

Losses of different tasks do not add up. A score puts them on one scale: by how much a draw is
better than the baseline's best draws, as a share of what guessing costs (ln V nats). 0 is what
tuning the baseline gives, 0.01 is better by a hundredth of the loss of guessing. The scale belongs
to the task and is never small, whatever the cells have learned. Interquartile mean and performance
profiles of such scores after Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the
Statistical Precipice. With three or four tasks the interval speaks for these tasks only, and the
comparisons task by task stay the result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.errors import ConfigError
from odyssey.statistics.draws import first_cell, task_draws, top_scores
from odyssey.statistics.estimates import TAILS, top_count
from odyssey.storage.schema import TEST_BPC, VALID_BPC

PROFILE_RANGE, PROFILE_POINTS = (-0.6, 0.1), 141


def interquartile_mean(values: object, *, axis: int | None = None) -> np.ndarray:
    """Gives the mean of the values without the lowest and the highest quarter of them."""
    trimmed: np.ndarray = np.asarray(stats.trim_mean(np.asarray(values, float), 0.25, axis=axis))
    return trimmed


def score_scales(
    results: pd.DataFrame,
    *,
    baseline: str | None = None,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
) -> pd.DataFrame:
    """Says what the scores 0 and 1 stand for on every task.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, with `num_symbols`.
        baseline: Label of the baseline; the first cell where it is None.
        valid: Column that chooses.
        test: Column that is scored.

    Returns:
        Columns task, tuned (mean test value of the baseline's best draws: score 0) and scale (the
        difference that makes a score of 1: from guessing to a perfect prediction).

    Raises:
        ConfigError: The baseline is not on a task, or the records do not say how many symbols a
            task has.
    """
    rows = []
    tasks = task_draws(results, valid=valid, test=test)
    first = first_cell(tasks) if baseline is None else baseline
    for draws in tasks:
        place = draws.place(first)
        here = draws.present[place]
        by_valid, by_test = draws.valid[place, here], draws.test[place, here]
        top = draws.top_count(len(by_valid))
        if not np.isfinite(draws.guess):
            raise ConfigError(
                f"{draws.task}: the records do not say of how many symbols, so scores have no"
                " scale; leave the task out"
            )
        perfect = 0.0 if draws.sign > 0 else -1.0
        tuned = draws.sign * float(top_scores(by_valid, by_test, top).mean())
        rows.append({"task": draws.task, "tuned": tuned, "scale": draws.guess - perfect})
    return pd.DataFrame(rows, columns=["task", "tuned", "scale"])


def aggregate_scores(
    results: pd.DataFrame,
    *,
    seed: int,
    baseline: str | None = None,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    resamples: int = 2_000,
) -> pd.DataFrame:
    """Gives the interquartile mean over tasks of the scores of every cell's best draws.

    The scales stay as they are; draws are resampled, the same ones for every cell and task,
    and the best are chosen anew in every resample.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        seed: Of the bootstrap.
        baseline: Label of the baseline; the first cell where it is None.
        valid: Column that chooses.
        test: Column that is scored.
        resamples: Bootstrap samples.

    Returns:
        One row a cell that met every task, on the draws that all of them made: label, tasks, draws,
        iqm, low, high, difference (to the baseline's iqm), difference_low, difference_high.
    """
    scored = _scored(results, baseline=baseline, valid=valid, test=test)
    tasks, draws = scored.valid.shape[1:]
    top = top_count(draws, counted=scored.counted)
    chosen = np.random.default_rng(seed).integers(draws, size=(resamples, draws))
    first = scored.labels.index(baseline) if baseline else 0
    middle, again = [], []
    for by_valid, score in zip(scored.valid, scored.score, strict=True):
        middle.append(float(interquartile_mean(top_scores(by_valid, score, top))))
        best = [top_scores(v[chosen], s[chosen], top) for v, s in zip(by_valid, score, strict=True)]
        again.append(interquartile_mean(np.concatenate(best, axis=1), axis=1))
    frame = pd.DataFrame({"label": scored.labels, "tasks": tasks, "draws": draws, "iqm": middle})
    samples = np.array(again)
    frame["low"], frame["high"] = _ends(samples.T)
    frame["difference"] = frame["iqm"] - middle[first]
    ends = _ends((samples - samples[first]).T)
    frame["difference_low"], frame["difference_high"] = ends
    return frame


def performance_profiles(
    results: pd.DataFrame,
    *,
    seed: int,
    baseline: str | None = None,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    resamples: int = 1_000,
) -> pd.DataFrame:
    """Gives the share of a cell's draws that reach a score, for every score, averaged over tasks.

    Shapes: R resamples, T tasks, N draws, G scores of the grid.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        seed: Of the bootstrap over draws, the same ones for every cell and task.
        baseline: Label of the baseline; the first cell where it is None.
        valid: Column that chooses.
        test: Column that is scored.
        resamples: Bootstrap samples.

    Returns:
        Columns label, score, share, low, high: `PROFILE_POINTS` rows a cell.
    """
    scored = _scored(results, baseline=baseline, valid=valid, test=test)
    tasks, draws = scored.valid.shape[1:]
    grid_G = np.linspace(*PROFILE_RANGE, PROFILE_POINTS)
    chosen_RN = np.random.default_rng(seed).integers(draws, size=(resamples, draws))
    # A resample takes every draw a number of times, and the draws below a score add up.
    row_starts = draws * np.arange(resamples)[:, None]
    times = np.bincount((chosen_RN + row_starts).ravel(), minlength=resamples * draws)
    times_RN = times.reshape(resamples, draws).astype(float)
    parts = []
    for label, score_TN in zip(scored.labels, scored.score, strict=True):
        below_NG = (score_TN[:, :, None] < grid_G).sum(0).astype(float)
        low, high = _ends(1.0 - times_RN @ below_NG / (tasks * draws))
        share = 1.0 - below_NG.sum(0) / (tasks * draws)
        columns = {"label": label, "score": grid_G, "share": share, "low": low, "high": high}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


class _Scored(NamedTuple):
    """The cells that met every task: order by validation and scores, both (C, T, N)."""

    labels: tuple[str, ...]
    valid: np.ndarray
    score: np.ndarray
    counted: int


def _scored(results: pd.DataFrame, *, baseline: str | None, valid: str, test: str) -> _Scored:
    tasks = task_draws(results, valid=valid, test=test)
    first = first_cell(tasks) if baseline is None else baseline
    if any(t.keys != tasks[0].keys for t in tasks):
        raise ConfigError("the tasks do not have the same draws: the results are not of one study")
    labels = [label for label in tasks[0].labels if all(label in t.labels for t in tasks)]
    rows = [[t.place(label) for label in labels] for t in tasks]
    here = np.stack([t.present[r] for t, r in zip(tasks, rows, strict=True)], axis=1)
    common = here.all(axis=(0, 1))
    if not labels or not common.any():
        raise ConfigError("no draw was made by every cell on every task; wait for the run to end")
    by_valid = np.stack([t.valid[r] for t, r in zip(tasks, rows, strict=True)], axis=1)
    by_test = np.stack([t.sign * t.test[r] for t, r in zip(tasks, rows, strict=True)], axis=1)
    scales = score_scales(results, baseline=first, valid=valid, test=test)
    tuned, scale = (scales[name].to_numpy()[:, None] for name in ("tuned", "scale"))
    gain = np.array([[t.sign] for t in tasks]) * (tuned - by_test)
    counted = max(t.counted for t in tasks)
    return _Scored(tuple(labels), by_valid[..., common], (gain / scale)[..., common], counted)


def _ends(samples: np.ndarray) -> np.ndarray:
    """Gives the ends of percentile intervals over the first axis; NaN without samples."""
    if not len(samples):
        return np.full((2, *samples.shape[1:]), np.nan)
    ends: np.ndarray = np.quantile(samples, TAILS, axis=0)
    return ends
