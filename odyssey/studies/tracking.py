"""Curves and final scores of trials for trackers of other makers: one row a tracker.

A trial is one run there, with its hyperparameters, a curve a metric and its final scores; of a
population every member has its own. They are copies: records, ids and results do not depend on
them, and what goes wrong in a tracker is one line on standard error, and the end of that tracker.

A tracker's package is imported when it is asked for. To add one: a row of `TRACKERS`.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from odyssey.errors import ConfigError, suggest
from odyssey.hyperparameters import HYPERPARAMETERS, OF_CELL
from odyssey.storage.schema import METRIC
from odyssey.studies.trial import Trial

FACTS = ("trial", "spec", "task", "group", "rung", "cell_key")
SCORES = (
    *("valid_nats", "valid_bpc", "valid_accuracy", "test_nats", "test_bpc", "test_accuracy"),
    *("test_exact", "longer_nats", "longer_accuracy", "num_parameters", "updates", "characters"),
)
"""Columns of a result that are final scores; those of metrics are, too."""

Metrics = Mapping[str, float]


class TrackedRun(Protocol):
    """One run in a tracker."""

    def log(self, metrics: Metrics, step: int) -> None:
        """Adds a point to each curve, at an update; steps never go back."""

    def finish(self, scores: Metrics) -> None:
        """Adds the final scores, and ends the run."""


class Tracker(Protocol):
    """Where runs are tracked."""

    def begin(self, name: str, facts: Mapping[str, Any]) -> TrackedRun:
        """Begins a run.

        Args:
            name: To show.
            facts: Numbers and words that say what it is.
        """
        ...


@dataclass(frozen=True)
class TrackerRow:
    """One row of the table of trackers.

    Attributes:
        package: What must be importable.
        extra: Which extra of ours installs it.
        make: Makes the tracker, from the package, the name of the study, and the place that was
            given; empty: none was.
    """

    package: str
    extra: str
    make: Callable[[Any, str, str], Tracker]


@dataclass(frozen=True)
class _PointRun:
    """A run of a tracker that takes one point after the other; a score is a point at update 0."""

    add: Callable[[str, float, int], object]
    end: Callable[[], object]

    def log(self, metrics: Metrics, step: int) -> None:
        for name, value in metrics.items():
            self.add(name, value, step)

    def finish(self, scores: Metrics) -> None:
        self.log({f"score/{name}": value for name, value in scores.items()}, 0)
        self.end()


@dataclass(frozen=True)
class _TensorBoard:
    """Event files: a folder a run."""

    package: Any
    folder: Path

    def begin(self, name: str, facts: Mapping[str, Any]) -> TrackedRun:
        writer = self.package.SummaryWriter(str(self.folder / _file_name(name)))
        lines = (f"    {key} = {value}" for key, value in facts.items())
        writer.add_text("trial", "\n".join(lines))
        return _PointRun(writer.add_scalar, writer.close)


@dataclass(frozen=True)
class _Mlflow:
    """An experiment a study."""

    client: Any
    study: str

    def begin(self, name: str, facts: Mapping[str, Any]) -> TrackedRun:
        known = self.client.get_experiment_by_name(self.study)
        number = known.experiment_id if known else self.client.create_experiment(self.study)
        run = self.client.create_run(number, run_name=name).info.run_id
        for key, value in facts.items():
            self.client.log_param(run, key, value)

        def add(name: str, value: float, step: int) -> None:
            self.client.log_metric(run, name, value, step=step)

        return _PointRun(add, partial(self.client.set_terminated, run))


@dataclass(frozen=True)
class _WandbRun:
    run: Any

    def log(self, metrics: Metrics, step: int) -> None:
        self.run.log(dict(metrics), step=step)

    def finish(self, scores: Metrics) -> None:
        for name, value in scores.items():
            self.run.summary[f"score/{name}"] = value
        self.run.finish()


@dataclass(frozen=True)
class _Wandb:
    """A project a study."""

    package: Any
    project: str

    def begin(self, name: str, facts: Mapping[str, Any]) -> TrackedRun:
        own = {"project": self.project, "name": name, "config": dict(facts)}
        return _WandbRun(self.package.init(**own, reinit="finish_previous"))


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_=+." else "_" for c in name)


TRACKERS: dict[str, TrackerRow] = {
    "tensorboard": TrackerRow(
        "tensorboardX",
        "tensorboard",
        lambda package, study, place: _TensorBoard(package, Path(place or f"tensorboard/{study}")),
    ),
    "mlflow": TrackerRow(
        "mlflow",
        "mlflow",
        lambda package, study, place: _Mlflow(
            package.MlflowClient(tracking_uri=place or None), study
        ),
    ),
    "wandb": TrackerRow(
        "wandb", "wandb", lambda package, study, place: _Wandb(package, place or study)
    ),
}


class Tracking:
    """The trackers of a command.

    Args:
        trackers: Trackers by name.
    """

    def __init__(self, trackers: Mapping[str, Tracker] | None = None) -> None:
        self._trackers = dict(trackers or {})
        self._runs: dict[str, TrackedRun] = {}

    def begin(self, trial: Trial) -> None:
        """Begins a run of every tracker."""
        name = f"{trial.spec} {trial.task} {trial.id}"
        for key, tracker in list(self._trackers.items()):
            with self._careful(key):
                self._runs[key] = tracker.begin(name, _facts(trial))

    def log(self, metrics: Metrics, step: int) -> None:
        """Adds a point to the curves of the run."""
        known = {name: value for name, value in metrics.items() if math.isfinite(value)}
        for key, run in list(self._runs.items()):
            with self._careful(key):
                run.log(known, step)

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Ends the run with the final scores of its members."""
        scores = {
            _of_member(name, row["member"], len(rows)): float(row[name])
            for row in rows
            for name in (*SCORES, *(n for n in row if n.startswith(METRIC)))
            if row.get(name) is not None and math.isfinite(float(row[name]))
        }
        for key, run in list(self._runs.items()):
            with self._careful(key):
                run.finish(scores)
        self._runs.clear()

    def whole(
        self,
        trial: Trial,
        rows: Sequence[Mapping[str, Any]],
        curves: Iterable[Mapping[str, Any]],
    ) -> None:
        """Tracks a trial that is over."""
        if not self._trackers:
            return
        self.begin(trial)
        points: dict[int, dict[str, float]] = defaultdict(dict)
        for point in curves:
            name = _of_member(str(point["metric"]), point["member"], len(rows))
            points[int(point["update"])][name] = float(point["value"])
        for step in sorted(points):
            self.log(points[step], step)
        self.finish(rows)

    @contextmanager
    def _careful(self, key: str) -> Iterator[None]:
        """Leaves a tracker out from the first error it raises on, and says why in one line."""
        try:
            yield
        except Exception as error:
            self._trackers.pop(key, None)
            self._runs.pop(key, None)
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            print(f"{key} fails, training goes on without it ({why})", file=sys.stderr, flush=True)


def _of_member(name: str, member: object, members: int) -> str:
    return name if members == 1 else f"{name}/member_{member}"


def _facts(trial: Trial) -> dict[str, Any]:
    """Says what a trial is: its cell, task, hyperparameters and training options."""
    data = {"trial": trial.id, **{name: getattr(trial, name) for name in FACTS[1:]}}
    for member in trial.members:
        settings = sorted(name for name in member if name.startswith(OF_CELL))
        for name in ("seed", *HYPERPARAMETERS, *settings):
            if name in member:
                data[_of_member(name, member["member"], len(trial.members))] = member[name]
    return data | {f"training.{name}": value for name, value in trial.training.items()}


def open_trackers(wanted: Sequence[str], *, study: str) -> Tracking:
    """Makes the trackers that are asked for, as `NAME` or `NAME:PLACE`.

    Args:
        wanted: Their names: of `tensorboard` the place is a folder, of `mlflow` the URI of its
            server or store, of `wandb` the project.
        study: Name of the study.

    Raises:
        ConfigError: There is no such tracker, or its package is not installed.
    """
    made = {}
    for text in wanted:
        name, _, place = text.partition(":")
        if name not in TRACKERS:
            raise ConfigError(suggest(name, TRACKERS, what="tracker"))
        row = TRACKERS[name]
        try:
            package = importlib.import_module(row.package)
        except ImportError:
            raise ConfigError(
                f"--track {name} needs {row.package}: pip install 'odyssey-cells[{row.extra}]'"
            ) from None
        made[name] = row.make(package, study, place)
    return Tracking(made)
