"""How far gradients reach back through any cells or trained models, and along which paths."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from odyssey.device_names import CPU
from odyssey.errors import ConfigError, suggest
from odyssey.expr import Cell
from odyssey.jobs.choice import ModelChoice, chosen_models, names_run
from odyssey.names import printable
from odyssey.options import Options
from odyssey.pace import Course
from odyssey.report.page.shows import shows
from odyssey.specs import expand, get_cell
from odyssey.storage.schema import DIVERGED
from odyssey.studies.reading import Settings, parse_settings
from odyssey.wording import plural, quoted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from odyssey.diagnostics.conditions import Condition, Subject
    from odyssey.diagnostics.measure import Measurements
    from odyssey.tasks.base import Task

MOST_COMPARED = 24
"""Cells or models of one study."""
MEMORY_LIMIT = 8e9  # bytes
SWEEPS: dict[str, type] = {
    "forget_bias": float,
    "init_scale": float,
    "spectral_radius": float,
    "hidden_size": int,
    "steps": int,
}
# What a trained model has settled.
NOT_TRAINED = (
    *("hidden_size", "num_layers", "inputs", "seeds", "init", "init_scale", "forget_bias"),
    *("spectral_radius", "train", "updates", "every", "learning_rate", "clip_norm", "settings"),
    "sweep",
)


@dataclass(frozen=True, kw_only=True)
class GradientOptions(Options):
    """What is measured; sizes and initial weights are those of `diagnostics.conditions.Condition`.

    Attributes:
        steps: Time steps between the loss and the first state.
        hidden_size: Units of a layer.
        num_layers: Layers.
        inputs: Numbers N(0, 1) that are read in a step, without a task.
        seeds: Members: seeds 1, 2, ...
        rows: Sequences that a member reads; None for 1, or 8 on a task.
        init: Distribution of the initial weights: uniform, uniform_fan, normal.
        init_scale: Its scale s.
        forget_bias: Initial bias of the gate f.
        spectral_radius: What all recurrent matrices are scaled to.
        task: Reads a task's data instead of noise.
        train: Measures along training on this task.
        updates: Updates of that training.
        every: Updates between measurements.
        learning_rate: Of adam.
        clip_norm: Largest gradient norm; 0 does not clip.
        settings: Other training options, as in `{"optimizer": "sgd"}` or `["optimizer=sgd"]`.
        sweep: Measures at several values of one of `SWEEPS`, as in `forget_bias=0,1,2`.
        animation: Whether a GIF is drawn.
        device: Where it is measured, and trained.
        out: The folder of the files; None writes none.
    """

    steps: int = 128
    hidden_size: int = 128
    num_layers: int = 1
    inputs: int = 65
    seeds: int = 20
    rows: int | None = None
    init: Literal["uniform", "uniform_fan", "normal"] = "uniform"
    init_scale: float = 0.08
    forget_bias: float | None = None
    spectral_radius: float | None = None
    task: str = ""
    train: str = ""
    updates: int = 1000
    every: int = 100
    learning_rate: float = 0.003
    clip_norm: float = 5.0
    settings: Settings = ()
    sweep: str = ""
    animation: bool = True
    device: str = CPU
    out: str | Path | None = None


@dataclass(frozen=True, repr=False)
class GradientStudy:
    """What was measured.

    Attributes:
        measured: The frames.
        summary: One row a series, see `statistics.gradients.summary`.
        over: What its medians are over, in words.
        files: Paths by what they show; none where nothing was written.
        figures: Its figures by name; `norms` is the gradient norm through time.
    """

    measured: Measurements
    summary: pd.DataFrame
    over: str
    files: dict[str, Path]
    figures: dict[str, Figure]

    @property
    def table(self) -> pd.DataFrame:
        """The summary: one row a series."""
        return self.summary

    def figure(self, name: str = "") -> Figure:
        """Gives a figure of `figures`; without a name the first, the norms through time.

        Raises:
            ConfigError: There is none of this name.
        """
        name = name or next(iter(self.figures))
        if name not in self.figures:
            raise ConfigError(suggest(name, self.figures, what="figure"))
        return self.figures[name]

    def __repr__(self) -> str:
        names = ", ".join(printable(str(label)) for label in self.summary["label"])
        return f"<GradientStudy of {names}; figures: {', '.join(self.figures)}>"

    @shows
    def _repr_html_(self) -> str:
        from odyssey.report.page.html import frame_html
        from odyssey.report.page.shown import figure_html, fragment

        first = next(iter(self.figures))
        return fragment(
            "Gradients through time",
            lead=f"median [10 %, 90 %] over {self.over}",
            blocks=[frame_html(self.summary, str), figure_html(self.figure(), first)],
            notes=[f"figures: {', '.join(self.figures)}"],
        )


def measure_gradients(
    specs: Sequence[str],
    options: GradientOptions | None = None,
    *,
    choice: ModelChoice | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> GradientStudy:
    """Measures cells as they are drawn or along training, or the trained models of runs.

    Args:
        specs: Cells; or runs that have kept weights, of which the best model of every cell counts.
        options: What is measured.
        choice: Which models of the runs.
        progress: Hears in a line how far it is.

    Raises:
        OdysseyError: A spec makes no cell, a run has no models, or options make no sense.
    """
    options, choice = options or GradientOptions(), choice or ModelChoice()
    if any(names_run(spec) for spec in specs):
        return _measure_runs(specs, options, choice)
    for name in ("cell", "member", "text"):
        _refuse(choice, name, "goes with the trained models of a run")
    from odyssey.diagnostics.conditions import check_recurrent

    cells = _cells(specs)
    for cell in cells.values():
        check_recurrent(cell)
    if options.sweep and options.train:
        raise ConfigError("--sweep measures at initialisation; leave --train or --sweep out")
    if options.settings and not options.train:
        raise ConfigError("--set goes with --train")
    condition = _condition(options)
    name, values = _sweep(options.sweep) if options.sweep else ("", [])
    if options.train:
        measured = _along_training(cells, condition, options, progress)
    else:
        measured = _at_start(cells, condition, options, (name, values), progress)
    state = _top_state(next(iter(cells.values())), options.num_layers)
    return _study(
        measured,
        options,
        over=plural(options.seeds, "seed"),
        sweep=name,
        animate="" if options.sweep else state,
    )


def _study(
    measured: Measurements, options: GradientOptions, *, over: str, animate: str, sweep: str = ""
) -> GradientStudy:
    from odyssey.report.inside.gradient_study import gradient_figures, write_gradient_study
    from odyssey.statistics.gradients import summary

    animate = animate if options.animation else ""
    frames = measured.frames()
    drawn = gradient_figures(frames, sweep=sweep)
    files = {}
    if options.out is not None:
        files = write_gradient_study(frames, drawn, options.out, animate=animate)
    rows = _series(measured, sweep)
    table = summary(**{n: rows[n] for n in ("norms", "horizons", "exponents")})
    return GradientStudy(measured, table, over, files, {n: f for n, (f, _) in drawn.items()})


def _top_state(cell: Cell, layers: int) -> str:
    """Names the output of the last layer, as the frames of measurements do."""
    return cell.output + (f".{layers - 1}" if layers > 1 else "")


def _refuse(options: Any, name: str, why: str) -> None:
    """Raises `ConfigError` for an option that was set and would do nothing."""
    if getattr(options, name) != type(options).__dataclass_fields__[name].default:
        raise ConfigError(f"--{'set' if name == 'settings' else name.replace('_', '-')} {why}")


def _measure_runs(
    specs: Sequence[str], options: GradientOptions, choice: ModelChoice
) -> GradientStudy:
    """Measures trained models: the best of every cell that the runs have kept."""
    from odyssey.diagnostics.conditions import check_recurrent, of_model, task_windows
    from odyssey.diagnostics.measure import join_measurements, measure
    from odyssey.training.devices import float64_device

    device = float64_device(options.device)
    cells = [spec for spec in specs if not names_run(spec)]
    if cells:
        raise ConfigError(
            f"{cells[0]} is no run, others are: give cells, or runs of trained models"
        )
    for name in NOT_TRAINED:
        _refuse(options, name, "goes with cells, not with the trained models of a run")
    steps, rows = options.steps, 8 if options.rows is None else options.rows
    if steps < 1 or rows < 1:
        raise ConfigError(f"--steps and --rows must be at least 1, got {steps} and {rows}")
    parts, states = [], []
    for _, label, trained in chosen_models(specs, choice, by_run=len(specs) > 1):
        cell = trained.model.rnn.cell
        check_recurrent(cell)
        windows = task_windows(trained.task, steps=steps, rows=rows)
        subject = of_model(trained.model.to(device), windows, label)
        parts.append(measure(subject, at_initialisation=False).labelled(label=label))
        states.append(_top_state(cell, trained.model.rnn.num_layers))
        if len(parts) > MOST_COMPARED:
            raise ConfigError(
                f"more than {MOST_COMPARED} models; choose some with --cell or --member"
            )
    over = f"{plural(rows, 'stretch', 'stretches')} of validation data"
    return _study(join_measurements(parts), options, over=over, animate=states[0])


def _cells(specs: Sequence[str]) -> dict[str, Cell]:
    cells = {}
    for spec in dict.fromkeys(expand(list(specs))):
        cell = get_cell(spec)
        label = cell.name if "/" in spec or spec.endswith(".cell") else spec
        if label in cells:
            raise ConfigError(
                f"two cells are called {quoted(label)}; rename one of the files' cells"
            )
        cells[label] = cell
    if len(cells) > MOST_COMPARED:
        raise ConfigError(f"{len(cells)} cells; at most {MOST_COMPARED} are compared at a time")
    return cells


def _condition(options: GradientOptions) -> Condition:
    from odyssey.diagnostics.conditions import Condition

    if not 1 <= options.seeds <= 1000:
        raise ConfigError(f"--seeds must lie in 1 to 1000, got {options.seeds}")
    own = {f.name: getattr(options, f.name) for f in dataclasses.fields(Condition)}
    if options.rows is None:
        own["rows"] = 8 if options.task or options.train else 1
    condition = Condition(**own)
    _check_size(condition, options.seeds)
    return condition


def _check_size(condition: Condition, seeds: int) -> None:
    """Refuses what would not fit into the memory of an ordinary machine."""
    units = condition.hidden_size * condition.num_layers
    states = condition.steps * condition.rows * units * 16
    weights = units * (condition.hidden_size + condition.inputs) * 16
    needed = 8.0 * seeds * (states + weights)
    if needed > MEMORY_LIMIT:
        raise ConfigError(
            f"{seeds} seeds of {condition.hidden_size} units over {condition.steps} steps take"
            f" about {needed / 1e9:.0f} GB; take fewer or smaller"
        )


def _sweep(text: str) -> tuple[str, list[Any]]:
    name, equals, listed = text.partition("=")
    name = name.strip().replace("-", "_")
    if name not in SWEEPS:
        raise ConfigError(suggest(name, SWEEPS, what="setting to sweep"))
    try:
        values = [SWEEPS[name](v) for v in listed.split(",")] if equals else []
    except ValueError:
        values = []
    if not values or not all(math.isfinite(v) for v in values):
        raise ConfigError(
            f"--sweep {name}: expected numbers, as in {name}=1,2,5; got {quoted(listed)}"
        )
    return name, sorted(set(values))


def _task(spec: str) -> Task:
    from odyssey.tasks.registry import get_task

    task = get_task(spec)
    task.require_stream("`odyssey gradients`")
    return task


def _at_start(
    cells: Mapping[str, Cell],
    condition: Condition,
    options: GradientOptions,
    sweep: tuple[str, Sequence[Any]],
    progress: Callable[[str], None],
) -> Measurements:
    """Measures cells with their initial weights, at every value of a sweep if there is one."""
    from odyssey.diagnostics.conditions import on_noise, on_task
    from odyssey.diagnostics.measure import join_measurements, measure, measure_decay

    seeds, task = range(1, options.seeds + 1), _task(options.task) if options.task else None

    def subject(label: str, condition: Condition) -> Subject:
        if task:
            return on_task(cells[label], task, condition, seeds, name=label)
        return on_noise(cells[label], condition, seeds, name=label)

    name, values = sweep
    course, parts = Course(len(cells) * max(len(values), 1)), []

    def keep(part: Measurements, what: str) -> None:
        parts.append(part)
        if left := course.after(len(parts)):
            progress(f"{what}: measured{left}")

    if not name:
        for label in cells:
            keep(measure(subject(label, condition)).labelled(label=label), label)
        return join_measurements(parts)
    conditions = [dataclasses.replace(condition, **{name: value}) for value in values]
    for changed in conditions:
        _check_size(changed, options.seeds)
    for label in cells:
        for value, changed in zip(values, conditions, strict=True):
            part = measure_decay(subject(label, changed))
            keep(part.labelled(label=label, **{name: value}), f"{label} {name}={value:g}")
    return join_measurements(parts)


def _along_training(
    cells: Mapping[str, Cell],
    condition: Condition,
    options: GradientOptions,
    progress: Callable[[str], None],
) -> Measurements:
    from odyssey.diagnostics.measure import (
        MeasuredTraining,
        along_training,
        join_measurements,
    )

    training: dict[str, Any] = {"optimizer": "adam"}
    for key, value in parse_settings(options.settings).items():
        training[key.removeprefix("training.")] = value
    hyperparameters = {"learning_rate": options.learning_rate}
    if options.clip_norm:
        hyperparameters["clip_norm"] = options.clip_norm
    task = _task(options.train)
    parts: list[Measurements] = []
    course = Course(len(cells) * options.updates)

    def tell(label: str, updates: int) -> None:
        done = len(parts) * options.updates + updates
        progress(f"{label}: update {updates:,}{course.after(done)}")

    for label, cell in cells.items():
        measured, results = along_training(
            cell,
            task,
            condition,
            range(1, options.seeds + 1),
            training=MeasuredTraining(
                updates=options.updates,
                every=options.every,
                options=training,
                hyperparameters=hyperparameters,
            ),
            name=label,
            progress=partial(tell, label),
        )
        lost = sum(r.status == DIVERGED for r in results)
        if lost:
            progress(
                f"{label}: {lost} of {plural(len(results), 'member')} diverged:"
                " not in the figures from then on"
            )
        parts.append(measured.labelled(label=label))
    return join_measurements(parts)


def _series(measured: Measurements, sweep: str) -> dict[str, Any]:
    """Gives the frames with one label for every row of the summary."""
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
