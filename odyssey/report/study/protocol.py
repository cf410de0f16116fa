"""What a run did and what it may claim, in words: the protocol and the findings of a page.

Sentences are made from records. A difference is claimed only where the corrected test says so;
everything else is said to be undecided, with the interval that remains.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from odyssey.distributions import DISTRIBUTION_KINDS, FIXED, LISTS, STEP
from odyssey.names import printable, short_names
from odyssey.report.page.units import per, symbols
from odyssey.statistics.estimates import rungs_of
from odyssey.statistics.permutation import CONFIDENCE, EXACT_DRAWS, MOST_SWAPS
from odyssey.statistics.verdicts import (
    BETTER,
    DECIDED,
    EQUAL,
    NO_TEST,
    UNCLEAR,
    UNDECIDED,
    UNKNOWN,
    WORSE,
)
from odyssey.storage.rungs import LADDER, budget_of, rung_draws
from odyssey.storage.schema import FIRST
from odyssey.wording import plural

ALPHA = 0.05
_MOST_NAMES = 12
_MOST_DRAWS = 100  # more cannot lower the least p-value of `MOST_SWAPS` swaps


class Claim(NamedTuple):
    """What the comparison on one task says.

    Attributes:
        task: The task, as people see it.
        claim: What the corrected test shows.
        rest: What stays open, and how far.
    """

    task: str
    claim: str
    rest: str


def protocol(
    run: Mapping[str, Any],
    study_text: str,
    results: pd.DataFrame,
    compared: pd.DataFrame | None,
    *,
    baseline: str = "",
) -> list[tuple[str, str]]:
    """Says how the numbers of a page were made, as pairs of a name and a sentence.

    Args:
        run: The facts of `run.json`.
        study_text: The resolved study; read for what `run.json` lacks.
        results: As `RESULT_COLUMNS`, with `label`.
        compared: As `comparison.compare`, where there is a baseline.
        baseline: Its label.
    """
    training, space = _settings(run, study_text)
    rows = [("draws", _draws(results, space)), ("scores", _scores(run, results))]
    if rung_draws(run):
        rows.append(("ladder", ladder_text(run, results)))
    if training:
        rows.append(("training", _training(training, results, _whole(run))))
    if space:
        rows.append(("hyperparameters", _space(space)))
    if isinstance(run.get("plugins"), Mapping) and run["plugins"]:
        rows.append(("plug-ins", _plugins(run["plugins"])))
    if compared is not None:
        rows += _tests(compared, baseline)
    return rows


def ladder_text(run: Mapping[str, Any], results: pd.DataFrame) -> str:
    """Says what the ladder of a run is, how many draws went on, and which rung the tables are of.

    Args:
        run: The facts of `run.json`, with a ladder.
        results: One row a draw, with `label`.
    """
    rungs = run[LADDER]
    said = []
    for rung in rungs:
        budget, unit = budget_of(rung)
        said.append(f"{plural(rung['draws'], 'draw')} with {budget:,} {unit}")
    parts = []
    names = short_names(results["task"].unique())
    for task, here in results.groupby("task", sort=False):
        last = int(here["rung"].max())
        went = [
            _span((here["rung"] >= rung).astype(int).groupby(here["label"]).sum())
            for rung in range(2, last + 1)
        ]
        on = f", to which {' and then '.join(went)} draws went on" if went else ""
        parts.append(f"{names[str(task)]}: rung {last} of {len(rungs)}{on}")
    return (
        f"{', then the best '.join(said)}, of each cell on each task by validation; each rung "
        f"trains from the start. Tables are of {'; '.join(parts)}."
    )


def _span(counts: pd.Series[int]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _plugins(records: Mapping[str, Any]) -> str:
    """Names what the run was made with that is no part of the package."""
    named = (f"{printable(n)} (sha256 {str(r['sha256'])[:12]})" for n, r in records.items())
    return f"made with {', '.join(named)}; the code is in the run's folder plugins"


def claims(
    compared: pd.DataFrame,
    baseline: str,
    settling: pd.DataFrame | None = None,
    studentised: pd.DataFrame | None = None,
) -> list[Claim]:
    """Says task by task what the comparison with the baseline shows, and no more.

    Args:
        compared: As `comparison.compare` gives it.
        baseline: Label of the baseline.
        settling: As `statistics.progress.Progress.settling`, where there are learning curves.
        studentised: As `studentised.studentised`.
    """
    names = short_names(compared["task"].unique())
    found = []
    for task, here in compared[~compared["baseline"]].groupby("task", sort=False):
        draws = int(here["draws"].max())
        claims = []
        for verdict in (WORSE, BETTER):
            cells = here.loc[here["verdict"] == verdict, "label"]
            claims.append(f"{len(cells)} {verdict}{_named(cells)}")
        claims.append(f"{int((here['verdict'] == UNCLEAR).sum())} undecided")
        if others := int((~here["verdict"].isin((*DECIDED, UNCLEAR))).sum()):
            claims.append(f"{others} without a verdict")
        claim = (
            f"{plural(len(here), 'cell')} against {baseline} on {plural(draws, 'draw')}: "
            f"{', '.join(claims)}."
        )
        if "within" in here:
            claim += " " + _within(here)
        rest = list(_open(here))
        if studentised is not None:
            rest += _otherwise(here, studentised[studentised["task"] == task])
        if settling is not None:
            rest += _unsettled(settling[settling["task"] == task])
        found.append(Claim(names[str(task)], claim, " ".join(rest)))
    return found


def _within(here: pd.DataFrame) -> str:
    """Says which cells are equal to the baseline within the margin, and which nobody knows."""
    parts = [
        f"{int((here['within'] == word).sum())} {word}"
        + _named(here.loc[here["within"] == word, "label"])
        for word in (EQUAL, UNKNOWN)
    ]
    return f"Within {here['margin'].max():g} {per()}: {', '.join(parts)}."


def _otherwise(here: pd.DataFrame, studentised: pd.DataFrame) -> Iterable[str]:
    """Says of which cells a studentised statistic decides otherwise."""
    p = dict(zip(studentised["label"], studentised["p_holm"], strict=True))
    tested = here[here["verdict"].isin((*DECIDED, UNCLEAR))]
    found = [
        f"{row.label} p {p[row.label]:.3f}"
        for row in tested.itertuples()
        if row.label in p
        and p[row.label] == p[row.label]
        and (p[row.label] <= ALPHA) != (row.verdict in DECIDED)
    ]
    if found:
        yield (
            f"With a studentised statistic (Janssen 1997), Holm as before, {len(found)} would be "
            f"decided otherwise{_named(pd.Series(found))}."
        )


def _unsettled(settling: pd.DataFrame) -> Iterable[str]:
    """Says of which cells the difference still moves between half of the budget and its end.

    Of a ladder that is between the last two rungs.
    """
    moving = settling[settling["moving"].astype(bool)]
    if len(moving):
        half = f"{int(moving['half'].max()):,} {symbols()}"
        what = "validation"
        if "rung" in moving:
            half, what = f"rung {int(moving['rung'].max())} ({half})", "test"
        changes = [f"{row.label} {row.change:+.3f}" for row in moving.itertuples()]
        yield (
            f"Not flattened: between {half} and the end the {what} difference of "
            f"{len(moving)} of {len(settling)} still moved{_named(pd.Series(changes))}: a larger "
            "budget may say otherwise."
        )


def least_p(draws: int, comparisons: int) -> float:
    """Gives a bound below which no p-value of the test can fall after Holm's correction.

    A swap of all names leaves the size of a difference as it is, so at least 2 of 2^N swaps reach
    it; Holm multiplies the smallest p-value by the number of comparisons.
    """
    drawn = 0.0 if draws <= EXACT_DRAWS else 1 / (1 + MOST_SWAPS)
    return min(1.0, max(2.0 ** (1 - draws), drawn) * comparisons)


def comparisons_text(count: int) -> str:
    """Says over how many comparisons a correction goes."""
    return "1 comparison" if count == 1 else f"all {count} comparisons"


def swaps_text(compared: pd.DataFrame) -> str:
    """Says how many swaps the p-values of a table were counted over."""
    tested = compared[compared["swaps"].notna()]
    exact = tested["exact"].fillna(False).to_numpy(dtype=bool)
    if exact.all():
        return "all swaps counted: p is exact"
    drawn = tested.loc[~exact, "swaps"].astype(int)
    span = f"{drawn.min():,}" + (f" to {drawn.max():,}" if drawn.max() > drawn.min() else "")
    return (
        f"{span} random swaps, as many as all verdicts together take to be those of all swaps with "
        f"{100 * CONFIDENCE:.0f} % confidence, and {MOST_SWAPS:,} at most"
    )


def margin_text(compared: pd.DataFrame) -> str:
    """Says what equal means in a comparison with a margin."""
    return (
        "With margin: equal where two one-sided permutation tests (of shifts by the margin of "
        f"{compared['margin'].max():g} {per()}, Holm over all comparisons) show that the cells "
        "differ by less; else better or worse where the verdict is; else unknown."
    )


def ladder_note(finalists: int) -> str:
    """Says how draws of a ladder are ordered and tested."""
    return (
        "On a ladder the best draws are the best half of "
        f"the {plural(finalists, 'finalist')}: draws are ordered by the rung that they reached, "
        "and by validation within a rung; a swap of names takes the rungs with it, so that the "
        "halving is part of the test."
    )


def power_note(compared: pd.DataFrame, *, finalists: int = 0) -> str:
    """Says so where no difference, however large, could have come out significant; else nothing.

    Args:
        compared: As `comparison.compare`.
        finalists: Of a ladder, draws of a cell on the last rung: what is swapped elsewhere changes
            nothing.
    """
    others = compared[~compared["baseline"]]
    if others.empty:
        return ""
    draws = int(others["draws"].max())
    least = least_p(min(draws, 2 * finalists or draws), len(others))
    if least <= ALPHA:
        return ""
    if finalists:
        return (
            f"With {plural(finalists, 'finalist')} a cell and {plural(len(others), 'comparison')} "
            f"no corrected p-value can fall below {least:.2g}: this study cannot show that a cell "
            "differs. A ladder that ends with more draws, twelve or so, could."
        )
    enough = draws
    while least_p(enough, len(others)) > ALPHA and enough < _MOST_DRAWS:
        enough += 1
    remedy = (
        f" {plural(enough, 'draw')} could." if enough < _MOST_DRAWS else " Compare fewer cells."
    )
    return (
        f"With {plural(draws, 'draw')} and {plural(len(others), 'comparison')} no corrected "
        f"p-value can fall below "
        f"{least:.2g}: this study cannot show that a cell differs.{remedy} Its intervals, each for "
        "one comparison, say how large differences may be."
    )


def _open(here: pd.DataFrame) -> Iterable[str]:
    """Says what stays open on a task."""
    near = here.loc[here["verdict"] == UNDECIDED, "label"]
    if len(near):
        yield (
            f"{MOST_SWAPS:,} random swaps do not tell on which side of {ALPHA:g} the corrected p "
            f"of {len(near)} lies{_named(near)}: no verdict."
        )
    undecided = here[here["verdict"] == UNCLEAR]
    if len(undecided):
        ends = undecided[["low", "high"]]
        finite = ends[(ends.abs() != float("inf")).all(axis=1)].dropna()
        unbounded = len(undecided) - len(finite)
        yield "Undecided is not equal:"
        if len(finite):
            yield (
                f"their 95 % intervals lie between {finite['low'].min():+.3f} and "
                f"{finite['high'].max():+.3f} {per()}"
                + (f", {unbounded} have an open end." if unbounded else ".")
            )
        else:
            yield "none of their intervals has both ends."
        hints = undecided[(undecided["low"] > 0) | (undecided["high"] < 0)]
        if len(hints):
            yield (
                f"Before correction {len(hints)} of them leave out nought{_named(hints['label'])}, "
                f"where chance alone makes about {ALPHA * len(here):.1f} of {len(here)}: a reason "
                "to look again on fresh draws, and no finding."
            )
    theirs = here["odyssey_verdict"].isin(DECIDED) & (here["odyssey_verdict"] != here["verdict"])
    if theirs.any():
        yield (
            f"The Odyssey's procedure also calls {int(theirs.sum())} different"
            f"{_named(here.loc[theirs, 'label'])}."
        )
    untested = here["verdict"] == NO_TEST
    if untested.any():
        cells = here.loc[untested, "label"]
        yield f"No test was possible for {len(cells)}{_named(cells)}."


def _named(labels: pd.Series[Any]) -> str:
    """Lists cells in brackets, the first of very many."""
    names = [str(label) for label in labels]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f" ({', '.join(names[:_MOST_NAMES])}{more})" if names else ""


def _settings(
    run: Mapping[str, Any], study_text: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Gives training options and hyperparameter space, of older runs as the study wrote them."""
    try:
        study = tomllib.loads(study_text)
    except tomllib.TOMLDecodeError:
        study = {}
    both = [run.get(name) or study.get(name) for name in ("training", "space")]
    training, space = (b if isinstance(b, Mapping) else {} for b in both)
    return training, space


def _draws(results: pd.DataFrame, space: Mapping[str, Any]) -> str:
    per_cell = sorted(set(results.groupby(["task", "label"]).size()))
    least = f"{per_cell[0]} to " if len(per_cell) > 1 else ""
    crossed = any(isinstance(value, Mapping) and "grid" in value for value in space.values())
    draw = "combination" if crossed else "random draw"
    network = "draw" if rungs_of(results).max() > FIRST else "trained network"
    return (
        f"{least}{plural(per_cell[-1], draw)} of hyperparameters a cell and task, "
        f"{plural(len(results), network)} in all. A draw has a number; the same number "
        "has the same hyperparameters, the same seed and reads the same data for every cell."
    )


def _scores(run: Mapping[str, Any], results: pd.DataFrame) -> str:
    counted = run.get("counted")
    counted = counted if isinstance(counted, Mapping) else {}
    specs = list(dict.fromkeys(results["task"].astype(str)))
    names = short_names(specs)
    what = "; ".join(f"on {names[s]} over {counted[s]}" for s in specs if counted.get(s))
    return (
        f"Cross-entropy in {per()}{', ' + what if what else ''}. Validation chooses the "
        "moment of training and the draws; test is read off once, at that moment."
    )


def _whole(run: Mapping[str, Any]) -> bool:
    """Tells whether the tasks of a run are of whole sequences, to which the unroll is nothing."""
    tasks = run.get("tasks")
    records = list(tasks.values()) if isinstance(tasks, Mapping) else []
    return bool(records) and all(isinstance(r, Mapping) and "inputs" in r for r in records)


def _training(training: Mapping[str, Any], results: pd.DataFrame, whole: bool) -> str:
    known = dict(training)
    text = []
    if whole and {"epochs", "updates_per_epoch", "batch_size", "unroll"} <= set(known):
        epochs, updates, batch = (
            int(known.pop(n)) for n in ("epochs", "updates_per_epoch", "batch_size")
        )
        for name in ("unroll", "passes"):
            known.pop(name, None)
        most = int(results["characters"].max())
        text.append(
            f"{epochs} epochs of {updates} updates at most, {batch} whole sequences each: "
            f"{most:,} steps a draw at most"
        )
    elif {"epochs", "updates_per_epoch", "batch_size", "unroll"} <= set(known):
        epochs, updates, batch, unroll = (
            int(known.pop(n)) for n in ("epochs", "updates_per_epoch", "batch_size", "unroll")
        )
        passes = int(known.pop("passes", 0))
        if passes:
            text.append(
                f"{passes} passes over the text at most, updates of {batch} sequences of {unroll} "
                f"{symbols()} each"
            )
        else:
            text.append(
                f"{epochs} epochs of {updates} updates at most, {batch} sequences of {unroll} "
                f"{symbols()} each: {epochs * updates * batch * unroll:,} {symbols()} a draw"
            )
    elif results["characters"].notna().any():
        text.append(f"{int(results['characters'].max()):,} {symbols()} a draw at most")
    if known.get("patience") == 0:
        text.append("no early stopping")
        known.pop("patience")
    # How fast it ran, and numbers that only another option would read, decide no result.
    schedule, optimizer = known.get("schedule", "plateau"), known.get("optimizer", "rmsprop")
    idle = ["threads", "backend", "padding", "eval_batch", "eval_unroll"]
    idle += ["halvings"] if schedule != "plateau" else []
    idle += ["decay", "decay_after", "decay_every"] if schedule != "decay" else []
    usual = {"start": "anywhere", "smoothing": 0.0, "decay_every": 1, "accumulate": 1}
    idle += [name for name, value in usual.items() if known.get(name) == value]
    idle += ["rmsprop_decay"] if optimizer != "rmsprop" else []
    idle += ["nesterov"] if optimizer != "sgd" else []
    text += [
        f"{name.replace('_', ' ')} {_plain(value)}"
        for name, value in known.items()
        if name not in idle
    ]
    return ", ".join(text) + "."


def _space(space: Mapping[str, Any]) -> str:
    parts = []
    for name, value in space.items():
        drawn = dict(value) if isinstance(value, Mapping) else {FIXED: [value]}
        step = drawn.pop(STEP, None)
        ((how, given),) = drawn.items()
        values = [_plain(v) for v in given]
        if how in DISTRIBUTION_KINDS:
            words = DISTRIBUTION_KINDS[how].words.format(*values)
            words += f", in steps of {_plain(step)}" if step else ""
        else:
            words = f"{LISTS[how]} {', '.join(values)}" if how in LISTS else values[0]
        parts.append(f"{name.replace('_', ' ')} {words}")
    if "parameters" in space:
        how = "Cells are matched by parameters: each takes the hidden size that meets the number."
    else:
        how = "Cells share hidden sizes, so that their parameters differ; see the table."
    return f"{'; '.join(parts)}. {how}"


def _tests(compared: pd.DataFrame, baseline: str) -> list[tuple[str, str]]:
    others = compared[~compared["baseline"]]
    draws = int(compared["draws"].max())
    top = int(compared["top"].max())
    tasks = others["task"].nunique()
    family = -(-len(others) // max(tasks, 1))
    return [
        (
            "our test",
            f"Statistic: mean test score of a cell's best {top} of {plural(draws, 'draw')} by "
            f"validation, minus that of {baseline}. Permutation test: the two names are swapped "
            "draw by draw and the best chosen anew each time, so that choosing is part of the test "
            f"({swaps_text(compared)}). Holm over {comparisons_text(len(others))} at "
            f"{100 * ALPHA:.0f} %. Interval: shifts that this test does not reject, for one "
            "comparison. All of it is about this one test text.",
        ),
        (
            "the Odyssey's test",
            f"Greff et al. (2015): Welch's t-test on those best, Bonferroni "
            f"over the {plural(family, 'comparison')} of a task. It takes chosen draws for a "
            "sample; its verdict stands beside ours for comparison, and claims here rest on ours.",
        ),
        (
            "lost draws",
            "A draw that diverged or failed is the worst of its cell, and counts in every number "
            "of draws; its score counts as guessing, and so does every score that is worse. Where "
            "some of the best draws do, the tables say of how many.",
        ),
    ]


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
