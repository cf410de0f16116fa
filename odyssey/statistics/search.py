"""Frames of candidates into frames of what there is to say about them; no pixels.

`candidates` is always a frame of `storage.candidates.CANDIDATE_COLUMNS`. Scores are relative to the
baseline: more is better, the baseline has 1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.statistics.superiority import Chance, chance_to_be_more
from odyssey.storage.candidates import finished_candidates
from odyssey.storage.schema import FAILED, FINISHED, RANDOM_ARM, SEED_ARM, STOPPED, UNMEASURED

BAND = (0.05, 0.95)
RESAMPLES = 1000
BUDGET_GRID = 200


def best_so_far(rows: pd.DataFrame, *, start: float) -> pd.DataFrame:
    """Follows the best finished score of one arm along its budget.

    Args:
        rows: The candidates of one arm in order.
        start: The best score of the seeds, which cost the arm nothing.

    Returns:
        One row a candidate and one before them: candidates, characters (both summed up), best.
    """
    scores = _final(rows)
    best = np.fmax.accumulate(np.concatenate([[start], scores]))
    characters = np.concatenate([[0.0], rows["characters"].fillna(0.0).cumsum()])
    return pd.DataFrame(
        {"candidates": np.arange(len(best)), "characters": characters, "best": best}
    )


def _final(rows: pd.DataFrame) -> np.ndarray:
    """The final scores; NaN where there is none, and where a known cell was measured again."""
    new = rows["status"].eq(FINISHED) & rows["again"].eq(0)
    return rows["score"].where(new).to_numpy(float, na_value=np.nan)


def random_band(
    rows: pd.DataFrame, *, start: float, rng: np.random.Generator, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Says what random searches of every budget would have found.

    The candidates of the random arm in random orders: as they do not depend on one another, each
    order is as likely as the one that happened. The budget ends where the arm's ends.

    Args:
        rows: The candidates of the random arm.
        start: The best score of the seeds.
        rng: For the orders.
        resamples: Orders drawn.

    Returns:
        One row a budget: characters, low, median, high.
    """
    scores = _final(rows)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    characters = rows["characters"].fillna(0.0).to_numpy(float)
    grid = np.linspace(0.0, characters.sum(), BUDGET_GRID)
    found = np.empty((resamples, len(grid)))
    for n in range(resamples):
        order = rng.permutation(len(rows))
        spent = np.cumsum(characters[order])
        best = np.concatenate([[start], np.fmax(np.maximum.accumulate(scores[order]), start)])
        # rounding in sums of other orders must not cut the last candidate off
        found[n] = best[np.searchsorted(spent, grid * (1 + 1e-12), side="right")]
    low, median, high = np.quantile(found, [BAND[0], 0.5, BAND[1]], axis=0)
    return pd.DataFrame({"characters": grid, "low": low, "median": median, "high": high})


@dataclass(frozen=True)
class Duel:
    """A strategy beside random search.

    At the full budget of the random arm there is one random search and no band; at half of it
    there are many halves of the arm, and the band has width.

    Attributes:
        characters: Half the budget of the random arm, or what the strategy spent, if less.
        best: What the strategy had found by then.
        low: Lower end of the band of random search there.
        median: Its median.
        high: Its upper end.
        final_characters: The largest budget that both spent.
        final_best: What the strategy had found by then.
        final_random: What the random arm had found by then.
        superiority: The chance that a new cell of the strategy comes further, or scores higher,
            than one of the random arm; ties count half, 0.5 is no difference. Known cells that were
            measured again do not count: they skip the screen, and were chosen. Its interval takes
            candidates to be independent of one another, which those of a strategy are not quite.
    """

    characters: float
    best: float
    low: float
    median: float
    high: float
    final_characters: float
    final_best: float
    final_random: float
    superiority: Chance

    @property
    def verdict(self) -> str:
        """What can be said, in words."""
        if self.best > self.high:
            return "above the band of random search"
        if self.best < self.low:
            return "below the band of random search"
        return "within the band of random search: not to be told from chance"


def duel(candidates: pd.DataFrame, *, strategy: str, start: float, band: pd.DataFrame) -> Duel:
    """Compares a strategy with the random arm and its `random_band`; `start` as there."""
    parts = [candidates[candidates["arm"] == arm] for arm in (strategy, RANDOM_ARM)]
    mine, chance = (best_so_far(part, start=start) for part in parts)
    ends = [float(path["characters"].iloc[-1]) for path in (mine, chance)]
    half, full = min(ends[0], ends[1] / 2), min(ends)
    there = _at(band, half)
    return Duel(
        characters=half,
        best=float(_at(mine, half)["best"]),
        low=float(there["low"]),
        median=float(there["median"]),
        high=float(there["high"]),
        final_characters=full,
        final_best=float(_at(mine, full)["best"]),
        final_random=float(_at(chance, full)["best"]),
        superiority=_superiority(*(_ranks(part) for part in parts)),
    )


def _at(path: pd.DataFrame, characters: float) -> pd.Series[Any]:
    return path[path["characters"] <= characters * (1 + 1e-12)].iloc[-1]


def _ranks(rows: pd.DataFrame) -> list[tuple[int, float]]:
    """Gives what new cells are compared by: stages passed, then score."""
    rows = rows[rows["again"].eq(0) & rows["cell_key"].ne("")]
    scores = rows["score"].fillna(-np.inf)
    return [(int(p), float(s)) for p, s in zip(rows["passed"], scores, strict=True)]


def _superiority(mine: list[tuple[int, float]], chance: list[tuple[int, float]]) -> Chance:
    place = {rank: n for n, rank in enumerate(sorted({*mine, *chance}))}
    return chance_to_be_more(*([place[r] for r in ranks] for ranks in (mine, chance)))


NOISE_COLUMNS = (
    *("stage", "cells", "spread", "again", "measurements", "noise", "noise_low", "noise_high"),
    *("reliability", "reliability_low", "reliability_high"),
)


def fitness_noise(candidates: pd.DataFrame, stages: Sequence[str]) -> pd.DataFrame:
    """Says how far the score of a cell is luck, from known cells that were measured again.

    The noise is the standard deviation of a cell's score over fresh seeds and draws, pooled over
    the cells that were measured more than once. The reliability of a score is the share of the
    variance between new cells that is not noise: the correlation that a second measurement of the
    same cells would have with the first. Both are of what came to a stage, and of later stages only
    cells that passed the earlier ones do, so that they differ less.

    Args:
        candidates: Of a search.
        stages: Its stages.

    Returns:
        One row a stage with scores: stage, cells (new ones), spread (standard deviation of their
        scores), again (cells that were measured more than once), measurements (of these),
        noise and reliability with 95 % intervals; NaN where nothing was measured again.
    """
    measured = candidates[candidates["twin"].isna() & candidates["cell_key"].ne("")]
    found = measured["scores"].map(json.loads)
    again = set(measured.loc[measured["again"] > 0, "cell_key"])
    rows = []
    for stage in stages:
        score = found.map(lambda scores, s=stage: scores.get(s)).astype("float64").dropna()
        if score.empty:
            continue
        here = measured.loc[score.index]
        new = score[here["again"].eq(0) & here["arm"].ne(SEED_ARM)]
        known = score[here["cell_key"].isin(again)]
        cells = known.groupby(here.loc[known.index, "cell_key"])
        several = known[cells.transform("size") > 1]
        excess = (several - cells.transform("mean")[several.index]).to_numpy()
        count = int((cells.size() > 1).sum())
        rows.append((stage, *_noise(new, excess, cells=count)))
    return pd.DataFrame(rows, columns=list(NOISE_COLUMNS))


def _noise(new: pd.Series[float], excess: np.ndarray, *, cells: int) -> tuple[float, ...]:
    """Gives the columns of `fitness_noise` behind the stage.

    Args:
        new: Scores of the new cells.
        excess: Of all measurements of cells with several: the difference from the cell's mean.
        cells: How many such cells there are.
    """
    spread = float(new.std()) if len(new) > 1 else np.nan
    free = len(excess) - cells
    ends = [np.nan] * 3
    if free:
        total = float((excess**2).sum())
        ends = [total / free, *(total / stats.chi2.ppf(p, free) for p in (0.975, 0.025))]
    noise, low, high = np.sqrt(ends)
    reliable = [float(np.maximum(0.0, 1 - v / spread**2)) if spread > 0 else np.nan for v in ends]
    shares = (reliable[0], reliable[2], reliable[1])
    return (len(new), spread, cells, len(excess), float(noise), float(low), float(high), *shares)


def arms_table(candidates: pd.DataFrame) -> pd.DataFrame:
    """Counts what became of the candidates of every arm."""
    rows = []
    fates = [FINISHED, STOPPED, FAILED]
    fates += [UNMEASURED] if (candidates["status"] == UNMEASURED).any() else []
    for arm, part in candidates.groupby("arm", sort=False):
        done = finished_candidates(part)
        rows.append(
            {
                "arm": arm,
                "told": len(part),
                **{s: int((part["status"] == s).sum()) for s in fates},
                "no cell": int((part["status"] == "none").sum()),
                "proposals": int(part["attempts"].sum()),
                "characters": float(part["characters"].sum()),
                "best score": float(done["score"].max()) if len(done) else np.nan,
                "median score": float(done["score"].median()) if len(done) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def refused_table(candidates: pd.DataFrame) -> pd.DataFrame:
    """Counts what was refused before any training: one row a reason, a column an arm."""
    counts: dict[str, Counter[str]] = {}
    for arm, text in zip(candidates["arm"], candidates["refused"], strict=True):
        counts.setdefault(str(arm), Counter()).update(json.loads(text))
    counts.pop(SEED_ARM, None)
    frame = pd.DataFrame(counts).fillna(0).astype(int)
    frame = frame.assign(total=frame.sum(axis=1)).sort_values("total", ascending=False)
    return frame.rename_axis("reason").reset_index()


def operators_table(candidates: pd.DataFrame) -> pd.DataFrame:
    """Counts how often each operator was drawn, applied, measured, and did good.

    `better` counts the cells that beat their first parent, in stages passed or in score.
    A cell made by several operators counts for each.
    """
    ranks = {
        int(number): (int(passed), -np.inf if pd.isna(score) else float(score))
        for number, passed, score in zip(
            candidates["number"], candidates["passed"], candidates["score"], strict=True
        )
    }
    counts: dict[str, Counter[str]] = {}
    for row in candidates[candidates["arm"] != SEED_ARM].to_dict("records"):
        parents = parents_of(row)
        better = bool(parents) and ranks[int(row["number"])] > ranks.get(parents[0], (0, np.inf))
        for name in str(row["operators"] or "").split():
            found = counts.setdefault(name, Counter())
            found["measured"] += 1
            found["finished"] += row["status"] == FINISHED
            found["better"] += better
        for column, what in (("refused_operators", "refused"), ("missed_operators", "missed")):
            for name, times in json.loads(row[column]).items():
                counts.setdefault(name, Counter())[what] += times
    rows = []
    for name, found in sorted(counts.items()):
        made = found["measured"] + found["refused"]
        drawn = made + found["missed"]
        rows.append(
            {
                "operator": name,
                "drawn": drawn,
                "applies": made / drawn if drawn else np.nan,
                "measured": found["measured"],
                "finished": found["finished"],
                "better than parent": found["better"],
                "better share": found["better"] / found["measured"]
                if found["measured"] and name != "scratch"
                else np.nan,
            }
        )
    columns = ["operator", "drawn", "applies", "measured", "finished"]
    columns += ["better than parent", "better share"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(["measured", "operator"], ascending=[False, True], ignore_index=True)


def parents_of(row: Mapping[Any, Any]) -> list[int]:
    """Gives the numbers of a candidate's parents."""
    parents = row["parents"]
    return [] if pd.isna(parents) else [int(n) for n in str(parents).split()]


def ancestry(candidates: pd.DataFrame, numbers: Sequence[int]) -> pd.DataFrame:
    """Gives these candidates and all they descend from, in order."""
    rows = {int(n): i for i, n in enumerate(candidates["number"])}
    todo, seen = list(numbers), set[int]()
    texts = candidates["parents"].tolist()
    while todo:
        number = todo.pop()
        if number not in seen and number in rows:
            seen.add(number)
            todo += parents_of({"parents": texts[rows[number]]})
    return candidates[candidates["number"].isin(seen)]


def stage_scores(candidates: pd.DataFrame, stages: Sequence[str]) -> pd.DataFrame:
    """Gives the score after every stage, a column a stage, NaN where there is none."""
    found = [json.loads(text) for text in candidates["scores"]]
    columns = {s: [np.nan if f.get(s) is None else float(f[s]) for f in found] for s in stages}
    return pd.DataFrame(columns, index=candidates.index)


@dataclass(frozen=True)
class Audit:
    """Whether stopping at a stage would have lost one of the best.

    Attributes:
        stage: The stage.
        stopped: Candidates that its rule stopped.
        audited: Those of them that were measured to the end all the same.
        would_be_top: Audited that reached the score of the last of the top.
        low: Lower end of the exact 95 % interval of their share.
        high: Its upper end.
        tau: Kendall's rank correlation of the stage's score with the final one; NaN with fewer
            than three pairs.
        pairs: Candidates that the correlation is over: those that went on, and the audited.
    """

    stage: str
    stopped: int
    audited: int
    would_be_top: int
    low: float
    high: float
    tau: float
    pairs: int


def audits(candidates: pd.DataFrame, stages: Sequence[str], *, top: int = 10) -> Iterator[Audit]:
    """Checks every stage but the last by the candidates that were measured on regardless."""
    measured = candidates[candidates["arm"] != SEED_ARM]
    scores = stage_scores(measured, stages)
    final = scores[stages[-1]]
    best = finished_candidates(measured)["score"].head(top)
    least = float(best.iloc[-1]) if len(best) == top else -np.inf
    for stage in stages[:-1]:
        stopped = measured["status"].eq(STOPPED) & measured["stage"].eq(stage)
        audited = stopped & measured["audited"].eq(1) & final.notna()
        count, lost = int(audited.sum()), int((final[audited] >= least).sum())
        low, high = (
            stats.binomtest(lost, count).proportion_ci(method="exact") if count else (0.0, 1.0)
        )
        both = scores[stage].notna() & final.notna()
        tau = (
            float(stats.kendalltau(scores[stage][both], final[both]).statistic)
            if both.sum() >= 3
            else np.nan
        )
        yield Audit(
            stage, int(stopped.sum()), count, lost, float(low), float(high), tau, int(both.sum())
        )
