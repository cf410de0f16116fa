"""`odyssey gradients`: how far gradients reach back through any cells, and along which paths."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import ConfigError, suggest
from odyssey.expr import Cell
from odyssey.specs import expand, get_cell, list_cells
from odyssey.wording import plural, quoted

if TYPE_CHECKING:
    from odyssey.diagnostics.conditions import Condition
    from odyssey.diagnostics.measure import Measurements
    from odyssey.tasks.base import Task

MOST_CELLS = 24
MOST_BYTES = 8e9
SWEEPS: dict[str, type] = {
    "forget_bias": float,
    "init_scale": float,
    "spectral_radius": float,
    "hidden_size": int,
    "steps": int,
}
# what a trained model has settled
NOT_TRAINED = (
    *("hidden_size", "num_layers", "inputs", "seeds", "init", "init_scale", "forget_bias"),
    *("spectral_radius", "train", "updates", "every", "learning_rate", "clip_norm", "settings"),
    "sweep",
)


def run(args: argparse.Namespace) -> None:
    """Measures, writes the files, and prints one row a cell."""
    from odyssey.diagnostics.conditions import check_recurrent

    if any(_is_run(spec) for spec in args.specs):
        _measure_runs(args)
        return
    _refuse(args, ("cell", "member", "text"), "goes with the trained models of a run")
    cells = _cells(args.specs)
    for cell in cells.values():
        check_recurrent(cell)
    if args.sweep and args.train:
        raise ConfigError("--sweep measures at initialisation; leave --train or --sweep out")
    if args.settings and not args.train:
        raise ConfigError("--set goes with --train")
    condition = _condition(args)
    if args.sweep:
        name, values = _sweep(args.sweep)
        measured, labels = _swept(args, cells, condition, name, values), name
    elif args.train:
        measured, labels = _trained(args, cells, condition), ""
    else:
        measured, labels = _at_start(args, cells, condition), ""
    state = next(iter(cells.values())).output
    layers = f".{args.num_layers - 1}" if args.num_layers > 1 else ""
    animated = "" if args.no_animation or args.sweep else state + layers
    _report(args, measured, over=plural(args.seeds, "seed"), sweep=labels, animate=animated)


def _report(
    args: argparse.Namespace, measured: Measurements, *, over: str, animate: str, sweep: str = ""
) -> None:
    from odyssey.report.inside.gradient_study import write_gradient_study
    from odyssey.statistics.gradients import summary

    files = write_gradient_study(measured.frames(), args.out, sweep=sweep, animate=animate)
    rows = _rows(measured, sweep)
    table = summary(**{n: rows[n] for n in ("norms", "horizons", "exponents")})
    if args.json:
        print_json({"summary": table.to_dict("records"), "files": files})
        return
    print_rows([{str(k): v for k, v in row.items()} for row in table.to_dict("records")])
    print(f"median [10 %, 90 %] over {over}; what they mean: docs/diagnostics.md")
    for kind, path in files.items():
        print(f"{kind}: {path}")


def _is_run(spec: str) -> bool:
    """Tells a run from a cell; a folder that is called like a cell of the library is no run."""
    return spec not in list_cells() and Path(spec).is_dir()


def _refuse(args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """Raises `ConfigError` for an option that was given and would do nothing."""
    for name in names:
        if getattr(args, name) != args.defaults[name]:
            raise ConfigError(f"--{'set' if name == 'settings' else name.replace('_', '-')} {why}")


def _measure_runs(args: argparse.Namespace) -> None:
    """Measures trained models: the best of every cell that the runs have kept."""
    from odyssey.diagnostics.conditions import check_recurrent, of_model, task_windows
    from odyssey.diagnostics.measure import join_measurements, measure
    from odyssey.studies.trained import load_all_trained

    cells = [spec for spec in args.specs if not _is_run(spec)]
    if cells:
        raise ConfigError(
            f"{cells[0]} is no run, others are: give cells, or runs of trained models"
        )
    _refuse(args, NOT_TRAINED, "goes with cells, not with the trained models of a run")
    rows = 8 if args.rows is None else args.rows
    if args.steps < 1 or rows < 1:
        raise ConfigError(f"--steps and --rows must be at least 1, got {args.steps} and {rows}")
    parts, states = [], []
    for directory in dict.fromkeys(args.specs):
        models = load_all_trained(
            directory, cell=args.cell, task=args.task or "", member=args.member, text=args.text
        )
        for trained in models:
            cell = trained.model.rnn.cell
            check_recurrent(cell)
            label = str(trained.row["spec"])
            if len(args.specs) > 1:
                label = f"{Path(directory).name}: {label}"
            windows = task_windows(trained.task, steps=args.steps, rows=rows)
            subject = of_model(trained.model, windows, label)
            parts.append(measure(subject, at_initialisation=False).labelled(label=label))
            top = trained.model.rnn.num_layers - 1
            states.append(cell.output + (f".{top}" if top else ""))
            if len(parts) > MOST_CELLS:
                raise ConfigError(
                    f"more than {MOST_CELLS} models; choose some with --cell or --member"
                )
    _report(
        args,
        join_measurements(parts),
        over=f"{plural(rows, 'stretch', 'stretches')} of validation data",
        animate="" if args.no_animation else states[0],
    )


def _cells(specs: list[str]) -> dict[str, Cell]:
    cells = {}
    for spec in dict.fromkeys(expand(specs)):
        cell = get_cell(spec)
        label = cell.name if "/" in spec or spec.endswith(".cell") else spec
        if label in cells:
            raise ConfigError(
                f"two cells are called {quoted(label)}; rename one of the files' cells"
            )
        cells[label] = cell
    if len(cells) > MOST_CELLS:
        raise ConfigError(f"{len(cells)} cells; at most {MOST_CELLS} are compared at a time")
    return cells


def _condition(args: argparse.Namespace) -> Condition:
    from odyssey.diagnostics.conditions import Condition

    if not 1 <= args.seeds <= 1000:
        raise ConfigError(f"--seeds must lie in 1 to 1000, got {args.seeds}")
    rows = args.rows if args.rows is not None else 8 if args.task or args.train else 1
    condition = Condition(
        hidden_size=args.hidden_size,
        num_layers=args.num_layers,
        steps=args.steps,
        rows=rows,
        inputs=args.inputs,
        init=args.init,
        init_scale=args.init_scale,
        forget_bias=args.forget_bias,
        spectral_radius=args.spectral_radius,
    )
    _check_size(condition, args.seeds)
    return condition


def _check_size(condition: Condition, seeds: int) -> None:
    """Refuses what would not fit into the memory of an ordinary machine."""
    units = condition.hidden_size * condition.num_layers
    states = condition.steps * condition.rows * units * 16
    weights = units * (condition.hidden_size + condition.inputs) * 16
    needed = 8.0 * seeds * (states + weights)
    if needed > MOST_BYTES:
        raise ConfigError(
            f"{seeds} seeds of {condition.hidden_size} units over {condition.steps} steps take"
            f" about {needed / 1e9:.0f} GB; take fewer or smaller"
        )


def _sweep(text: str) -> tuple[str, list[Any]]:
    name, equals, given = text.partition("=")
    name = name.strip().replace("-", "_")
    if name not in SWEEPS:
        raise ConfigError(suggest(name, SWEEPS, what="setting to sweep"))
    try:
        values = [SWEEPS[name](v) for v in given.split(",")] if equals else []
    except ValueError:
        values = []
    if not values or not all(math.isfinite(v) for v in values):
        raise ConfigError(
            f"--sweep {name}: expected numbers, as in {name}=1,2,5; got {quoted(given)}"
        )
    return name, sorted(set(values))


def _task(spec: str | None) -> Task | None:
    from odyssey.tasks.registry import get_task

    return get_task(spec) if spec else None


def _at_start(
    args: argparse.Namespace, cells: dict[str, Cell], condition: Condition
) -> Measurements:
    from odyssey.diagnostics.conditions import on_noise, on_task
    from odyssey.diagnostics.measure import join_measurements, measure

    seeds, task = range(1, args.seeds + 1), _task(args.task)
    parts = []
    for label, cell in cells.items():
        subject = (
            on_task(cell, task, condition, seeds, name=label)
            if task
            else on_noise(cell, condition, seeds, name=label)
        )
        parts.append(measure(subject).labelled(label=label))
    return join_measurements(parts)


def _swept(
    args: argparse.Namespace,
    cells: dict[str, Cell],
    condition: Condition,
    name: str,
    values: list[Any],
) -> Measurements:
    from odyssey.diagnostics.conditions import on_noise, on_task
    from odyssey.diagnostics.measure import join_measurements, measure_decay

    seeds, task = range(1, args.seeds + 1), _task(args.task)
    conditions = [dataclasses.replace(condition, **{name: value}) for value in values]
    for changed in conditions:
        _check_size(changed, args.seeds)
    parts = []
    for label, cell in cells.items():
        for value, changed in zip(values, conditions, strict=True):
            subject = (
                on_task(cell, task, changed, seeds, name=label)
                if task
                else on_noise(cell, changed, seeds, name=label)
            )
            parts.append(measure_decay(subject).labelled(label=label, **{name: value}))
    return join_measurements(parts)


def _trained(
    args: argparse.Namespace, cells: dict[str, Cell], condition: Condition
) -> Measurements:
    from odyssey.diagnostics.measure import MeasuredTraining, along_training, join_measurements
    from odyssey.studies.study import parse_setting

    options: dict[str, Any] = {"optimizer": "adam"}
    for setting in args.settings:
        key, value = parse_setting(setting)
        options[key.removeprefix("training.")] = value
    hyperparameters = {"learning_rate": args.learning_rate}
    if args.clip_norm:
        hyperparameters["clip_norm"] = args.clip_norm
    task = _task(args.train)
    assert task is not None
    parts = []
    for label, cell in cells.items():

        def progress(updates: int, label: str = label) -> None:
            if not args.json:
                print(f"{label}: update {updates:,}", flush=True)

        measured, results = along_training(
            cell,
            task,
            condition,
            range(1, args.seeds + 1),
            training=MeasuredTraining(
                updates=args.updates,
                every=args.every,
                options=options,
                hyperparameters=hyperparameters,
            ),
            name=label,
            progress=progress,
        )
        lost = sum(r.status == "diverged" for r in results)
        if lost and not args.json:
            print(
                print(
                    f"{label}: {lost} of {plural(len(results), 'member')} diverged:"
                    " not in the figures from then on"
                )
            )
        parts.append(measured.labelled(label=label))
    return join_measurements(parts)


def _rows(measured: Measurements, sweep: str) -> dict[str, Any]:
    """Gives the frames with one label for every row of the printed table."""
    frames = measured.frames()
    column = sweep or ("update" if "update" in frames["norms"] else "")
    if not column:
        return frames
    return {
        name: frame.assign(
            label=[
                f"{label} {column}={value:g}"
                for label, value in zip(frame["label"], frame[column], strict=True)
            ]
        )
        for name, frame in frames.items()
        if name in ("norms", "horizons", "exponents")
    }
