"""The comparison of a study's cells with its baseline, ready to be printed: tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import pandas as pd

from odyssey.errors import ConfigError
from odyssey.names import file_name, short_names
from odyssey.report.page import style
from odyssey.report.page.pictures import Picture
from odyssey.report.page.records import Climb
from odyssey.report.page.units import per
from odyssey.report.study import box_plots, comparison_plots, importance_plots, plots
from odyssey.report.study.pace import Heard, drawn_and_heard, ignore
from odyssey.report.study.protocol import comparisons_text, ladder_note, margin_text, swaps_text
from odyssey.statistics import aggregate, boxes, comparison, equivalence, importance
from odyssey.statistics.by_rung import difference_by_rung
from odyssey.statistics.estimates import finalists_of
from odyssey.statistics.progress import Progress, difference_by_characters
from odyssey.statistics.studentised import studentised
from odyssey.statistics.verdicts import NO_TEST
from odyssey.wording import plural

LAST_RUNG = " On the ladder every draw has the loss of the last rung that it reached."
FIRST_RUNG = " Of the first rung of the ladder, where all draws have one budget."
_FEW = 20  # values of a choice


@dataclass(frozen=True)
class BaselineComparison:
    """What a comparison with a baseline says.

    Attributes:
        baseline: Label of the baseline.
        compared: As `comparison.compare`.
        scores: As `aggregate.aggregate_scores`; None with one task, or where no scale exists.
        settling: As `statistics.progress.Progress.settling`; None without curves.
        studentised: As `studentised.studentised`; None without curves.
        finalists: Of a ladder, draws of a cell on the last rung; else 0.
        pictures: The figures, task by task, those over all tasks with an empty task.
        caption: How the table was made, in full: what a referee asks.
    """

    baseline: str
    compared: pd.DataFrame = field(repr=False)
    scores: pd.DataFrame | None = field(repr=False)
    pictures: tuple[Picture, ...] = field(repr=False)
    caption: str = field(repr=False)
    settling: pd.DataFrame | None = field(repr=False, default=None)
    studentised: pd.DataFrame | None = field(repr=False, default=None)
    finalists: int = 0

    @property
    def claimed(self) -> tuple[pd.DataFrame, str, pd.DataFrame | None, pd.DataFrame | None]:
        """What `protocol.claims` is about."""
        return self.compared, self.baseline, self.settling, self.studentised


def compare_with_baseline(
    results: pd.DataFrame,
    curves: pd.DataFrame | None,
    *,
    baseline: str,
    seed: int,
    scales: Mapping[str, str] = importance.SCALES,
    margin: float | None = None,
    climb: Climb | None = None,
    heard: Heard = ignore,
) -> BaselineComparison | None:
    """Compares all cells with the baseline; None where there is nothing to compare yet.

    Args:
        results: As `RESULT_COLUMNS`, with `label`.
        curves: As `CURVE_COLUMNS`, with `label`; None for the tables alone, without figures.
        baseline: The baseline as the study names it, or its label.
        seed: Of all resamples.
        scales: Of the hyperparameters whose importance is judged.
        margin: What differs by less counts as equal, in bits; None where none is declared.
        climb: The rungs of a ladder: what is about all draws is drawn of the first one.
        heard: Hears of every figure that is drawn.
    """
    of_spec = results.loc[results["spec"] == baseline, "label"]
    label = str(of_spec.iloc[0]) if len(of_spec) else baseline
    there = results.groupby("task")["label"].agg(lambda names: label in set(names))
    results = results[results["task"].isin(there.index[there.to_numpy(dtype=bool)])]
    if results["label"].nunique() < 2:
        return None
    compared = comparison.compare(results, seed=seed, baseline=label)
    if margin:
        compared = equivalence.with_equivalence(compared, results, margin=margin, seed=seed)
    scores = None
    if results["task"].nunique() > 1:
        try:
            scores = aggregate.aggregate_scores(results, seed=seed, baseline=label)
        except ConfigError:
            scores = None  # a task without a scale, or a run that has not met all tasks
    finalists = max(finalists_of(part) for _, part in results.groupby("task"))
    caption = _caption(compared, label, finalists)
    if curves is None:
        return BaselineComparison(label, compared, scores, (), caption, finalists=finalists)
    if climb is None:
        progress = difference_by_characters(curves, results, baseline=label, seed=seed)
    else:
        progress = difference_by_rung(climb.tables, baseline=label, seed=seed)
    every = results if climb is None else climb.first[climb.first["task"].isin(results["task"])]
    drawn = chain(
        _pictures(results, every, curves, compared, baseline=label, seed=seed, scales=scales),
        _progress_pictures(progress, compared, baseline=label),
        _pictures_over_tasks(
            every, compared, scores, baseline=label, seed=seed, climbs=climb is not None
        ),
    )
    figures = drawn_and_heard(drawn, heard)
    again = studentised(results, baseline=label, seed=seed)
    return BaselineComparison(
        label, compared, scores, figures, caption, progress.settling, again, finalists
    )


def _progress_pictures(
    progress: Progress, compared: pd.DataFrame, *, baseline: str
) -> Iterator[Picture]:
    """Draws how differences change along training, task by task."""
    names = short_names(compared["task"].unique())
    for place, task in enumerate(compared["task"].unique(), start=1):
        here = progress.curve[progress.curve["task"] == task]
        if here.empty:
            continue
        if "rung" in here:
            yield Picture(
                f"{place}_{file_name(names[str(task)])}_rungs",
                names[str(task)],
                f"Difference to {baseline} by rung on {names[str(task)]}",
                "Mean test score of the best draws, cell minus baseline, at every rung as if the "
                "ladder ended there: both cells have that budget, and the best half of the draws "
                "that reached it count. Bands: pointwise 95 % percentile bootstrap over draws, "
                "the same for both cells and all rungs. One panel a cell, each on its own scale.",
                plots.small_multiples(here, plots.plot_rungs, shared=False),
                here,
            )
            continue
        yield Picture(
            f"{place}_{file_name(names[str(task)])}_progress",
            names[str(task)],
            f"Difference to {baseline} along training on {names[str(task)]}",
            "Mean validation loss of the best draws, chosen anew at every checkpoint by their best "
            "so far, cell minus baseline. Bands: pointwise 95 % percentile bootstrap over draws, "
            "the same for both cells. A curve that is not flat at its end says nothing about a "
            "larger budget. One panel a cell, each on its own scale.",
            plots.small_multiples(here, plots.plot_progress, shared=False),
            here,
        )


def _caption(compared: pd.DataFrame, baseline: str, finalists: int) -> str:
    draws = int(compared["draws"].max())
    margin = f" {margin_text(compared)}" if "margin" in compared else ""
    others = comparisons_text(int((~compared["baseline"]).sum()))
    top, swaps = int(compared["top"].max()), swaps_text(compared)
    climb = f" {ladder_note(finalists)}" if finalists else ""
    return (
        f"Every cell against {baseline}, on the same {plural(draws, 'draw')} of hyperparameters "
        f"and seeds a task: test score of the best {plural(top, 'draw')} by validation, mean, and "
        f"difference of means in {per()}. p: permutation test that swaps the two cells "
        f"draw by draw and chooses the best anew after every swap, {swaps}, corrected by Holm for "
        f"{others}. "
        "Interval: the shifts that this test does not reject at 5 %, for one comparison, not "
        "corrected. Chance to be better: that one of the cell's best draws beats one of the "
        "baseline's. The Odyssey's p (Greff et al. 2015): Welch's t-test on the same best draws, "
        "times the comparisons of the task; it treats chosen draws as a sample, so the verdict to "
        "go by is the first. Draws that diverged or failed (lost) are the worst of their cell, and "
        "count as guessing, and so does a score that is worse than that. Where some of the best "
        "draws of a cell or of the baseline count as guessing, a column says of how many."
        f"{climb}{margin}"
    )


def _pictures(
    results: pd.DataFrame,
    every: pd.DataFrame,
    curves: pd.DataFrame,
    compared: pd.DataFrame,
    *,
    baseline: str,
    seed: int,
    scales: Mapping[str, str],
) -> Iterator[Picture]:
    """Draws the figures of every task; `every` has all draws at one budget."""
    names = short_names(compared["task"].unique())
    summary = boxes.box_summary(every)
    first = FIRST_RUNG if every is not results else ""
    winners = boxes.winner_curves(curves, results) if len(curves) else None
    budgets = comparison.difference_by_budget(every, seed=seed, baseline=baseline)
    for place, (task, here) in enumerate(compared.groupby("task", sort=False), start=1):
        name = names[str(task)]
        stem = f"{place}_{file_name(name)}"
        of_task = summary[summary["task"] == task]
        if here["verdict"].ne(NO_TEST).sum() < 2:
            continue
        yield Picture(
            f"{stem}_boxes",
            name,
            f"All draws and the best on {name}",
            "Boxes span the quartiles, whiskers the whole range, the line is the median, the "
            "diamond the mean; colours are our verdicts. Draws that are lost, or worse than "
            "guessing, count as it, and their number stands beside the box; what is far off leaves "
            f"the picture. Grey bars: mean parameters. After figure 3 of Greff et al. 2015.{first}",
            box_plots.boxes_figure(of_task, here, unit=f"test {per()}"),
            of_task,
        )
        yield Picture(
            f"{stem}_effects",
            name,
            f"Differences to {baseline} on {name}",
            "Mean test score of the best draws, cell minus baseline, with the interval of one "
            "comparison; an arrow is an end that too few draws leave open, or off the scale. Left "
            "is better.",
            style.figure_of(comparison_plots.plot_effects(here, unit=f"test {per()}")),
            here,
        )
        budget = budgets[budgets["task"] == task].rename(columns={"difference": "expected"})
        if len(budget):
            yield Picture(
                f"{stem}_budget",
                name,
                f"Difference to {baseline} by tuning budget on {name}",
                "Expected test score of the draw that is best by validation of n, cell minus "
                "baseline (Dodge et al. 2019, without replacement). Bands: pointwise 95 % "
                f"percentile bootstrap over draws. One panel a cell, the others in grey.{first}",
                plots.small_multiples(budget, plots.plot_budget),
                budget,
            )
        if winners is not None and (winners["task"] == task).any():
            of_winners = winners[winners["task"] == task]
            yield Picture(
                f"{stem}_winners",
                name,
                f"Learning curves of the best draws on {name}",
                "Validation loss of the best draws by validation: median and quartiles.",
                plots.small_multiples(of_winners, plots.plot_learning_curves),
                of_winners,
            )
        chosen = every[(every["task"] == task) & (every["label"] == baseline)]
        try:
            found = importance.importance(chosen, seed=seed, scales=scales)
        except ConfigError:
            continue  # too few draws, or nothing varied
        yield from _importance_pictures(found, stem=stem, task=name, cell=baseline, note=first)
        try:
            again = importance.importance(
                importance.draws_that_learn(chosen), seed=seed, scales=scales
            )
        except ConfigError:
            continue
        yield Picture(
            f"{stem}_importance_learning",
            name,
            f"What decides the result of {baseline} on {name}, of the draws that learn",
            "As before, of the draws whose validation loss has come three quarters of the best "
            "one's way from guessing, at least the best quarter: where most of a range learns "
            "nothing, shares over all draws say that and little else. Shares are over the values "
            f"that these draws have. {again.verdict}{first}",
            style.figure_of(importance_plots.plot_importance(again)),
            again.effects,
        )


def _pictures_over_tasks(
    every: pd.DataFrame,
    compared: pd.DataFrame,
    scores: pd.DataFrame | None,
    *,
    baseline: str,
    seed: int,
    climbs: bool,
) -> Iterator[Picture]:
    """Draws the figures that show all tasks at once; `every` has all draws at one budget."""
    if compared["task"].nunique() > 1 and compared["relative"].notna().any():
        yield Picture(
            "differences",
            "",
            f"Differences to {baseline} on all tasks",
            "Test score of the best draws, per cent of the baseline's; bold where our verdict is "
            "better or worse; a star where some of the best draws count as guessing.",
            style.figure_of(comparison_plots.plot_heat_map(compared, unit=f"test {per()}")),
            compared,
        )
    if scores is not None:
        yield Picture(
            "scores",
            "",
            "Interquartile mean score over tasks",
            "By how much a draw is better than the baseline's best draws, as a share of guessing's "
            "loss; the mean of the middle half of the best draws of all tasks, with 95 % "
            "percentile bootstrap over draws (Agarwal et al. 2021). It speaks of these tasks only, "
            "and tests nothing: the verdicts on the tasks stay the result.",
            style.figure_of(comparison_plots.plot_aggregate(scores)),
            scores,
        )
        profiles = aggregate.performance_profiles(every, seed=seed, baseline=baseline)
        first = profiles["label"] == baseline
        profiles = pd.concat([profiles[first], profiles[~first]], ignore_index=True)
        few = profiles["label"].nunique() <= style.MOST_LINES
        yield Picture(
            "profiles",
            "",
            "Performance profiles over tasks",
            "Share of all draws that reach a score, averaged over tasks (Agarwal et al. 2021); "
            "scores as before, a vertical line at 0. A curve to the right needs less tuning. "
            "Bands: pointwise 95 % percentile bootstrap over draws."
            + ("" if few else f" One panel a cell; dashed: {baseline}; the others in grey.")
            + (FIRST_RUNG if climbs else ""),
            style.figure_of(comparison_plots.plot_profiles(profiles))
            if few
            else plots.small_multiples(profiles, comparison_plots.plot_profiles),
            profiles,
        )


def _importance_pictures(
    found: importance.Importance, *, stem: str, task: str, cell: str, note: str
) -> Iterator[Picture]:
    yield Picture(
        f"{stem}_importance",
        task,
        f"What decides the result of {cell} on {task}",
        "Functional ANOVA (Hutter et al. 2014) of the test score over the distributions that were "
        f"drawn from, on a random forest. {found.verdict} Intervals: 95 %, forests on halves of "
        f"the draws. Draws that are lost or worse than guessing count as guessing.{note}",
        style.figure_of(importance_plots.plot_importance(found)),
        found.effects,
    )
    yield Picture(
        f"{stem}_marginals",
        task,
        f"{cell} on {task} along each hyperparameter",
        f"Mean test score over all other hyperparameters, with 95 % bands as before.{note}",
        importance_plots.marginals_figure(found, unit=f"test {per()}"),
        found.marginals,
    )
    if found.ranked and len(found.inputs) > 1:
        yield Picture(
            f"{stem}_pairs",
            task,
            f"{cell} on {task} over pairs of hyperparameters",
            "Mean test score over all other hyperparameters; one scale of colours. The share is "
            "what the pair explains beyond both main effects. The CSV has every fifth point of the "
            f"grid in each direction.{note}",
            importance_plots.pairs_figure(found, unit=f"test {per()}"),
            _thinned(found.pairs),
        )


def _thinned(pairs: pd.DataFrame) -> pd.DataFrame:
    """Keeps every fifth value of an input on a grid, all of a choice."""
    kept = pd.Series(data=True, index=pairs.index)
    groups = pairs.groupby(["first", "second"])
    for name in ("first_value", "second_value"):
        rank, largest = groups[name].rank(method="dense"), groups[name].transform("nunique")
        kept &= (largest <= _FEW) | (rank % 5 == 3)
    return pairs[kept]
