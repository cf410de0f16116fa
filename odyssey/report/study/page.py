"""One self-contained page about a run: no network, no script, fit for printing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from odyssey.errors import StoreError
from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.names import escaped, short_names
from odyssey.report.page import pictures, tables
from odyssey.report.page.entries import entries
from odyssey.report.page.html import html_table, plain_table, time_span
from odyssey.report.page.records import Climb, read_records
from odyssey.report.page.shell import render
from odyssey.report.page.units import slash, symbols
from odyssey.report.study import pace, protocol
from odyssey.report.study import pictures as figures
from odyssey.report.study.baseline import (
    FIRST_RUNG,
    LAST_RUNG,
    BaselineComparison,
    compare_with_baseline,
)
from odyssey.report.study.factorial import (
    FACTORIAL_CAPTION,
    Factorial,
    effects_table,
    factorial_of,
)
from odyssey.report.study.floors import floors_text, learned_text, not_learned, task_record
from odyssey.report.study.spread import component_lines, transfer_lines
from odyssey.report.study.steps import STEPS_CAPTION, steps_of, steps_table
from odyssey.statistics import estimates, published, ranking
from odyssey.statistics.components import variance_components
from odyssey.statistics.floors import learning
from odyssey.statistics.importance import scales_of
from odyssey.statistics.pareto import COSTS, FRONT, pareto
from odyssey.statistics.transfer import transfer
from odyssey.storage import RunStore
from odyssey.storage.floors import floors_frame, read_floors
from odyssey.storage.operations import with_operations
from odyssey.storage.rungs import budget_of
from odyssey.storage.samples import KeptSample, read_samples
from odyssey.storage.schema import DIVERGED, FAILED, OK, RESULT_COLUMNS, TEST_BPC, VALID_BPC
from odyssey.wording import NATS_PER_BIT, baselines_of, plural

_MOST_MEMBERS = 12  # that a row of failures names


@dataclass(frozen=True)
class Content:
    """What a report says, before it has a form.

    Attributes:
        directory: The run directory.
        run: The facts of `run.json`.
        study_text: The resolved study.
        results: One row a member, with `label`.
        board: `statistics.ranking.leaderboard` of them.
        overall: `statistics.ranking.overall`, or None with a single task.
        pictures: The figures.
        samples: What a model wrote while it was trained, of a run of one training.
        ablation: The comparison with the study's baseline, where it names one.
        further: Those with its other baselines: tables without figures.
        beside: Our numbers beside those of papers.
        factorial: Effects of changes in all combinations; None where the study has none.
        steps: What each step of the study's path brings; None where it has none.
        transfer: Whether rankings agree between tasks, as `statistics.transfer`.
        components: How much is seeds, as `statistics.components`; no rows where none are repeated.
        floors: What the tasks cost without having learned them, as `FLOOR_COLUMNS`.
        learning: How far the baseline has come from there, as `statistics.floors.learning`.
        pareto: Models that are not dominated in loss and a cost, as `statistics.pareto.pareto`.
        climb: The rungs of a ladder; None without one.
    """

    directory: Path
    run: Mapping[str, Any]
    study_text: str
    results: pd.DataFrame = field(repr=False)
    board: pd.DataFrame = field(repr=False)
    overall: pd.DataFrame | None = field(repr=False)
    pictures: tuple[pictures.Picture, ...] = field(repr=False)
    samples: tuple[KeptSample, ...] = field(repr=False, default=())
    ablation: BaselineComparison | None = field(repr=False, default=None)
    further: tuple[BaselineComparison, ...] = field(repr=False, default=())
    beside: tuple[published.Beside, ...] = field(repr=False, default=())
    factorial: Factorial | None = field(repr=False, default=None)
    steps: pd.DataFrame | None = field(repr=False, default=None)
    transfer: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    components: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    floors: pd.DataFrame = field(repr=False, default_factory=lambda: floors_frame([]))
    learning: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    pareto: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    climb: Climb | None = field(repr=False, default=None)


def read_content(
    run_dir: str | Path,
    *,
    drawn: bool = True,
    floors: pd.DataFrame | None = None,
    margin: float | None = None,
    heard: pace.Heard = pace.ignore,
) -> Content:
    """Reads a run and computes what a report needs.

    Args:
        run_dir: The run directory.
        drawn: Whether its figures are drawn; its tables alone are quicker.
        floors: The floors of its tasks, as `FLOOR_COLUMNS`; those that lie in the run where it is
            None.
        margin: What differs by less counts as equal, in bits; what the study declared where it is
            None.
        heard: Hears of every figure that is drawn.

    Raises:
        StoreError: The directory is not a run or has no finished trial.
    """
    store = RunStore.open(run_dir)
    known = read_floors(Path(run_dir)) if floors is None else floors
    records = read_records(store, floors=known)
    results, curves, run = records.results, records.curves, records.run
    if results.empty:
        raise StoreError(
            f"{store.path} has no finished trial yet; "
            f"go on with `odyssey search --resume {store.path}`"
        )
    results = ranking.with_labels(with_operations(results))
    models = pareto(results)
    seed = abs(run["seed"]) if isinstance(run.get("seed"), int) else 0
    baseline = run.get("baseline")
    declared = run.get("margin")
    if margin is None and isinstance(declared, int | float):
        margin = float(declared)
    ablation = None
    if isinstance(baseline, str) and baseline:
        labelled = ranking.with_labels(curves)
        space = run.get("space")
        scales = scales_of(space if isinstance(space, Mapping) else {})
        ablation = compare_with_baseline(
            results,
            labelled if drawn else None,
            baseline=baseline,
            seed=seed,
            scales=scales,
            margin=margin,
            climb=records.climb,
            heard=heard,
        )
    more = run.get("more_baselines")
    more = [m for m in more if isinstance(m, str)] if isinstance(more, list) and ablation else []
    further = (
        compare_with_baseline(results, None, baseline=m, seed=seed, margin=margin) for m in more
    )
    label, climb = ablation.baseline if ablation else None, records.climb
    return Content(
        directory=Path(run_dir),
        run=run,
        study_text=records.study_text,
        results=results,
        board=ranking.leaderboard(results),
        overall=ranking.overall(results) if results["task"].nunique() > 1 else None,
        pictures=pace.drawn_and_heard(_drawn(results, curves, climb, seed=seed), heard)
        if drawn
        else (),
        samples=tuple(read_samples(store.path)),
        ablation=ablation,
        further=tuple(found for found in further if found),
        beside=tuple(published.beside(results, ablation.compared if ablation else None)),
        factorial=factorial_of(results, run, seed=seed),
        steps=steps_of(results, run, seed=seed),
        transfer=transfer(results, seed=seed),
        components=variance_components(results if climb is None else climb.first),
        floors=records.floors,
        learning=learning(results, records.floors, baseline=label),
        pareto=models[models[list(FRONT.values())].any(axis=1)],
        climb=climb,
    )


def _drawn(
    results: pd.DataFrame, curves: pd.DataFrame, climb: Climb | None, *, seed: int
) -> Iterator[pictures.Picture]:
    """Draws the figures about all draws: of a ladder those of its first rung, but for loss against
    cost, where each draw stands as in the tables, with the loss of its last."""
    if climb is None:
        yield from figures.pictures(results, curves, seed=seed)
        return
    for picture in figures.pictures(climb.first, climb.curves, seed=seed, models=results):
        said = LAST_RUNG if picture.name.endswith(figures.FRONTS) else FIRST_RUNG
        yield replace(picture, caption=picture.caption + said)


def write_study_page(content: Content, path: Path) -> None:
    """Writes the page of a report."""
    page = render(
        "study/report.html",
        title=str(content.run.get("study") or content.directory.resolve().name),
        description=str(content.run.get("description") or ""),
        facts=_facts(content),
        ladder=content.climb is not None,
        not_learned=not_learned(content.learning, content.run),
        tasks=_tasks(content),
        overall=None if content.overall is None else table_html(content.overall),
        protocol=_protocol(content),
        comparison=_comparison(content.ablation),
        factorial=_factorial(content.factorial),
        steps=_steps(content.steps),
        transfer=transfer_lines(content.transfer),
        components=component_lines(content.components),
        further=[_comparison(found) for found in content.further],
        beside=[(b.name, b.caption, table_html(b.table)) for b in content.beside],
        cells=entries(
            content.results, reference=content.ablation.baseline if content.ablation else ""
        ),
        hyperparameters=_hyperparameters(content),
        failures=_failures(content.results),
        origin=_origin(content),
        study_text=content.study_text,
        run_json=json.dumps(dict(content.run), indent=2, ensure_ascii=False),
    )
    path.write_text(page, encoding="utf-8")


def table_html(frame: pd.DataFrame) -> Markup:
    """Makes a table of a leaderboard: numbers to the right, the best of a column in bold."""
    columns = tables.shown_columns(frame)
    return html_table(
        [(column.header, not tables.is_words(name)) for name, column in columns.items()],
        tables.shown_cells(frame),
    )


def _facts(content: Content) -> list[tuple[str, str]]:
    """Lists what was compared: the head of the page."""
    results, board = content.results, content.board
    trials = content.climb.finished if content.climb else int(results["trial"].nunique())
    planned = content.run.get("trials")
    share = f"{trials} of {planned}" if planned not in (None, trials) else str(trials)
    counts = results["status"].value_counts()
    lost = [f"{counts[s]} {s}" for s in (DIVERGED, FAILED) if counts.get(s, 0)]
    per_cell = sorted(set(board["members"]))
    span = str(per_cell[0]) if len(per_cell) == 1 else f"{per_cell[0]} to {per_cell[-1]}"
    facts = [
        ("cells", str(results["label"].nunique())),
        ("tasks", ", ".join(name for name, _ in tables.by_task(board))),
        ("trials finished", share),
        ("members", f"{len(results)} ({span} a cell and task)" + "".join(f", {x}" for x in lost)),
    ]
    if content.climb:
        facts.append(("ladder", _climbed(content.climb)))
    done = results[results["status"] == OK]
    if done[["updates", "characters"]].notna().any().all():
        updates, characters = int(done["updates"].max()), int(done["characters"].max())
        budget = f"at most {updates:,} updates, {characters:,} {symbols()} a member"
        facts.append(("budget", budget))
    seconds = content.run.get("seconds") or results["seconds"].sum()
    if seconds and seconds == seconds:
        what = "wall time" if content.run.get("seconds") else "training time, summed"
        facts.append((what, time_span(float(seconds))))
    return facts


def _climbed(climb: Climb) -> str:
    """Says in short what a ladder is: `200 x 12, 50 x 50, 12 x 200 epochs`."""
    (*_, unit) = budget_of(climb.rungs[0])
    said = [f"{rung['draws']} x {budget_of(rung)[0]:,}" for rung in climb.rungs]
    return f"{', '.join(said)} {unit}"


def _tasks(content: Content) -> list[dict[str, Any]]:
    """Gathers the leaderboard, the winner and the figures of every task."""
    counted = content.run.get("counted")
    counted = counted if isinstance(counted, Mapping) else {}
    tasks = []
    for name, part in tables.by_task(content.board):
        spec = str(part["task"].iloc[0])
        tasks.append(
            {
                "name": name,
                "counted": str(counted.get(spec) or ""),
                "baselines": baselines_of(task_record(content.run, spec)),
                "floors": floors_text(content.floors, spec, content.run),
                "learned": learned_text(content.learning, spec, content.run),
                "lead": None if content.ablation else _lead(part),
                "board": table_html(part),
                "pareto": _pareto(content.pareto[content.pareto["task"] == spec]),
                "pictures": [p for p in content.pictures if p.task == name],
                "samples": [_sample(sample) for sample in content.samples],
            }
        )
    return tasks


def _pareto(models: pd.DataFrame) -> Markup | None:
    """Makes a table of the models that are not dominated; None where there is none."""
    if models.empty:
        return None
    heads = [("cell", False), ("member", True), *((name, True) for name in COSTS.values())]
    heads += [(f"valid {slash()}", True), (f"test {slash()}", True), ("least loss by", False)]
    rows = []
    for row in models.to_dict("records"):
        costs = [tables.NO_VALUE if pd.isna(row[c]) else f"{int(row[c]):,}" for c in COSTS]
        losses = [f"{row[c]:.3f}" for c in (VALID_BPC, TEST_BPC)]
        by = ", ".join(name for cost, name in COSTS.items() if row[FRONT[cost]])
        rows.append([str(row["label"]), str(row["member"]), *costs, *losses, by])
    return plain_table(heads, rows)


def _sample(sample: KeptSample) -> dict[str, str]:
    """Gathers a sample: when it was written, how good the model was, what it wrote."""
    about = []
    if sample.valid_nats is not None:
        about.append(f"validation {sample.valid_nats / NATS_PER_BIT:.3f} {slash()}")
    if sample.opened:
        about.append(
            f"{sample.closed} of {plural(sample.opened, 'bracket')} closed"
            f" ({sample.closed / sample.opened:.0%})"
        )
    return {
        "when": f"after {plural(sample.updates, 'update')}",
        "about": ", ".join(about),
        "text": escaped(sample.text),
    }


def _lead(board: pd.DataFrame) -> tuple[str, str] | None:
    """Names the cell whose best draws have the lowest mean, and says of how many draws that is."""
    known = board[board["ok"] > 0]
    if known.empty:
        return None
    first = known.sort_values("top_valid_bpc", kind="stable").iloc[0]
    top, members = int(first["top"]), int(first["members"])
    of = f"the best {top} of {members} draws" if top > 1 else f"the only one of {members} draws"
    of = "the one draw" if members == 1 else f"all {members} draws" if top == members else of
    test = "" if pd.isna(first["top_test_bpc"]) else f", {first['top_test_bpc']:.3f} on test"
    mean = "mean of " if top > 1 else ""
    return str(first["label"]), f"{first['top_valid_bpc']:.3f} {slash()}{test}: {mean}{of}"


def _comparison(found: BaselineComparison | None) -> dict[str, Any] | None:
    """Gathers the comparison with the baseline: a table a task, scores, figures."""
    if found is None:
        return None
    table = tables.comparison_table(found.compared)
    scores = None
    if found.scores is not None:
        scores = table_html(tables.aggregate_table(found.scores, found.compared))
    return {
        "baseline": found.baseline,
        "tables": [(task, table_html(part)) for task, part in tables.by_task(table)],
        "caption": found.caption,
        "scores": scores,
        "findings": protocol.claims(*found.claimed),
        "power": protocol.power_note(found.compared, finalists=found.finalists),
        "pictures": found.pictures,
    }


def _factorial(found: Factorial | None) -> dict[str, Any] | None:
    """Gathers the effects of changes in all combinations."""
    if found is None:
        return None
    table = effects_table(found.effects)
    return {
        "tables": [(task, table_html(part)) for task, part in tables.by_task(table)],
        "caption": FACTORIAL_CAPTION,
        "pictures": found.pictures,
    }


def _steps(steps: pd.DataFrame | None) -> dict[str, Any] | None:
    """Gathers the steps of a path."""
    if steps is None:
        return None
    found = tables.by_task(steps_table(steps))
    return {
        "tables": [(task, table_html(part)) for task, part in found],
        "caption": STEPS_CAPTION,
    }


def _protocol(content: Content) -> list[tuple[str, str]]:
    found = content.ablation
    return protocol.protocol(
        content.run,
        content.study_text,
        content.results,
        found.compared if found else None,
        baseline=found.baseline if found else "",
    )


def _hyperparameters(content: Content) -> list[tuple[str, Markup]]:
    """Makes a table a task: the draw of the best member of every cell, best cell first."""
    results = content.results
    usable = results[estimates.valid_rows(results)]
    extra = [c for c in map(str, results) if c not in RESULT_COLUMNS and c not in ("label", "run")]
    names = [c for c in (*HYPERPARAMETERS, *extra) if usable[c].notna().any()]
    made = []
    for task, part in tables.by_task(content.board):
        rows = []
        for place in part.dropna(subset=["best_member"]).to_dict("records"):
            here = usable[
                (usable["task"] == place["task"])
                & (usable["label"] == place["label"])
                & (usable["member"] == place["best_member"])
            ].iloc[0]
            rows.append([str(place["label"]), str(here["member"]), str(here["seed"])])
            rows[-1] += [_value(here[name]) for name in names]
        heads = [("cell", False), ("member", True), ("seed", True)]
        heads += [(name.replace("_", " "), True) for name in names]
        if rows:
            made.append((task, plain_table(heads, rows)))
    return made


def _failures(results: pd.DataFrame) -> Markup | None:
    """Makes a table of the members that gave no result, by cell; None without any."""
    lost = results[results["status"] != OK].fillna({"reason": "", "status": "unknown"})
    if lost.empty:
        return None
    names = short_names(results["task"].unique())
    sizes = results.groupby(["task", "label"]).size()
    rows = []
    for key, group in lost.groupby(["task", "label", "status"], sort=False):
        task, label, status = map(str, key)
        reasons = list(dict.fromkeys(group["reason"].astype(str)))
        others = f", and {len(reasons) - 1} like it" if len(reasons) > 1 else ""
        updates = sorted(group["diverged_at"].dropna().astype(int))
        span = [f"{u:,}" for u in dict.fromkeys(updates[:1] + updates[-1:])]
        members = [str(m) for m in sorted(group["member"])]
        more = f" and {len(members) - _MOST_MEMBERS} more" if len(members) > _MOST_MEMBERS else ""
        rows.append(
            [
                names[task],
                label,
                status,
                f"{len(group)} of {sizes[task, label]}",
                ", ".join(members[:_MOST_MEMBERS]) + more,
                " to ".join(span) or tables.NO_VALUE,
                (reasons[0] or tables.NO_VALUE) + others,
            ]
        )
    heads = [("task", False), ("cell", False), ("status", False), ("members", True)]
    heads += [("which", False), ("update", True), ("reason", False)]
    return plain_table(heads, rows)


def _origin(content: Content) -> list[tuple[str, str]]:
    """Lists where the numbers come from: versions, commit, seed, dates."""
    rows = []
    for name in ("seed", "versions", "commit", "created"):
        value = content.run.get(name)
        if value in (None, "") and name in content.results:
            value = ", ".join(content.results[name].dropna().unique()) if name != "seed" else None
        if isinstance(value, Mapping):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        if value not in (None, ""):
            rows.append((name, str(value)))
    history = content.run.get("history")
    for moment in history[1:] if isinstance(history, list) else ():
        grown = ", ".join(
            f"{n}: {len(b)} to {len(a)}" if isinstance(a, list) else f"{n}: {b} to {a}"
            for n, (b, a) in moment["changed"].items()
        )
        rows.append((f"grew {moment['when']}", f"{grown} ({moment['versions']})"))
    backends = content.results["backend"].dropna().unique()
    if len(backends):
        rows.append(("backend", ", ".join(backends)))
    return rows


def _value(value: Any) -> str:
    if pd.isna(value):
        return tables.NO_VALUE
    return value if isinstance(value, str) else f"{value:.4g}" if value % 1 else f"{value:.0f}"
