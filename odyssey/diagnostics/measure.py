"""All measurements of one subject, and of a population while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from odyssey.diagnostics.conditions import (
    Condition,
    Subject,
    check_recurrent,
    members_of,
    of_model,
    task_windows,
)
from odyssey.diagnostics.gradients import (
    Adjoints,
    back_propagate,
    gradient_norms,
    gradient_slices,
    horizons,
)
from odyssey.diagnostics.meanfield import predicted_norms
from odyssey.diagnostics.paths import path_shares
from odyssey.diagnostics.recurrence import in_float64, trace
from odyssey.diagnostics.spectra import jacobian_spectra, lyapunov_exponents
from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.tasks.base import Task
from odyssey.training.config import TrainingConfig
from odyssey.training.devices import float64_device
from odyssey.training.loop import train
from odyssey.training.model import SequenceModel
from odyssey.training.results import MemberResult
from odyssey.training.seeds import stream

SPECTRUM_MEMBERS = 4  # factoring a 2H x 2H matrix takes longer than all else
EXPONENTS = 4


@dataclass(frozen=True)
class Measurements:
    """The frames of one or more subjects; each is what the function of its name gives.

    A frame is empty where it was not measured. `predicted` is, where mean-field theory does not
    apply: trained or stacked layers, and cells that it refuses.
    """

    norms: pd.DataFrame
    horizons: pd.DataFrame
    exponents: pd.DataFrame
    spectra: pd.DataFrame = field(default_factory=pd.DataFrame)
    paths: pd.DataFrame = field(default_factory=pd.DataFrame)
    slices: pd.DataFrame = field(default_factory=pd.DataFrame)
    predicted: pd.DataFrame = field(default_factory=pd.DataFrame)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Gives the frames that are not empty, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: frame for name, frame in named.items() if len(frame)}

    def labelled(self, **labels: object) -> Measurements:
        """Adds columns that are the same in every row, such as the setting of a sweep."""
        return Measurements(
            **{f.name: getattr(self, f.name).assign(**labels) for f in fields(self)}
        )


def join_measurements(parts: Sequence[Measurements]) -> Measurements:
    """Puts the frames of several subjects under each other."""

    def joined(name: str) -> pd.DataFrame:
        frames: list[pd.DataFrame] = [getattr(p, name) for p in parts]
        return pd.concat([f for f in frames if len(f)] or frames[:1], ignore_index=True)

    return Measurements(**{f.name: joined(f.name) for f in fields(Measurements)})


def measure_decay(subject: Subject, *, seed: int = 1) -> Measurements:
    """Measures norms, horizons and exponents, which take no time to speak of.

    A quarter of the sequence is the warm-up of the Lyapunov exponents.

    Args:
        subject: Of `conditions.on_noise`, `on_task` or `of_model`.
        seed: Of the start frame of the exponents.
    """
    return _decay(back_propagate(subject.trajectory, subject.injected), seed)


def _decay(adjoints: Adjoints, seed: int) -> Measurements:
    trajectory = adjoints.trajectory
    norms = gradient_norms(adjoints)
    return Measurements(
        norms=norms,
        horizons=horizons(norms),
        exponents=lyapunov_exponents(
            trajectory,
            count=min(EXPONENTS, trajectory.recurrence.numbers),
            warm_up=len(trajectory) // 4,
            rng=stream(seed, "diagnostics", "frame"),
        ),
    )


def measure(subject: Subject, *, seed: int = 1, at_initialisation: bool = True) -> Measurements:
    """Measures everything there is to measure on one subject.

    Jacobians are factored in the middle of the sequence, for the first four members.

    Args:
        subject: As above.
        seed: Of the start frame of the exponents and of mean-field theory.
        at_initialisation: Whether weights are random, so that mean-field theory applies.
    """
    trajectory = subject.trajectory
    steps, name = len(trajectory), trajectory.recurrence.name
    adjoints = back_propagate(trajectory, subject.injected)
    members = min(SPECTRUM_MEMBERS, trajectory.recurrence.members)
    few = trace(in_float64(subject.rnn, members=members), subject.x[:members], name=name)
    return replace(
        _decay(adjoints, seed),
        spectra=jacobian_spectra(few, [steps // 2]),
        paths=path_shares(adjoints),
        slices=gradient_slices(adjoints),
        predicted=_predicted(subject, seed) if at_initialisation else pd.DataFrame(),
    )


def _predicted(subject: Subject, seed: int) -> pd.DataFrame:
    rng = stream(seed, "diagnostics", "mean field")
    trajectory = subject.trajectory
    try:
        found = predicted_norms(
            subject.rnn, len(trajectory), rng=rng, input_power=subject.input_power
        )
    except ConfigError:  # stacked layers, or a cell that the theory does not cover
        return pd.DataFrame()
    return found.assign(name=trajectory.recurrence.name)


@dataclass(frozen=True)
class MeasuredTraining:
    """How a population is trained while it is measured.

    Attributes:
        updates: Updates in all.
        every: Updates between measurements.
        options: More options of `TrainingConfig`, such as `optimizer`.
        hyperparameters: Of every member, such as `learning_rate`.

    Raises:
        ConfigError: `updates` or `every` is not positive.
    """

    updates: int
    every: int
    options: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.every <= self.updates:
            raise ConfigError(f"measure every 1 to {self.updates} updates, got {self.every}")

    def config(self, init: str) -> TrainingConfig:
        """Gives the configuration: one epoch a measurement, and short validation."""
        defaults = {"valid_characters": 2_000, "test_characters": 2_000}
        epochs = {"updates_per_epoch": self.every, "epochs": -(-self.updates // self.every)}
        return TrainingConfig(**{**epochs, "init": init, **defaults, **self.options})


def along_training(
    cell: Cell,
    task: Task,
    condition: Condition,
    seeds: Sequence[int],
    *,
    training: MeasuredTraining,
    name: str = "",
    progress: Callable[[int], None] | None = None,
) -> tuple[Measurements, list[MemberResult]]:
    """Trains a population and measures it before the first update and at every so many.

    Args:
        cell: The cell.
        task: What it is trained on, and on whose validation data it is measured.
        condition: Sizes, initial weights; `spectral_radius` is not for training.
        seeds: One a member.
        training: How it is trained and when it is measured.
        name: What it is called in frames.
        progress: Called after every measurement with the number of updates made.

    Returns:
        The measurements with a column `update`, without members from where they diverged, and what
        became of the members.

    Raises:
        ConfigError: The condition does not go with training.
    """
    check_recurrent(cell)
    if condition.spectral_radius is not None:
        raise ConfigError("training starts from weights as drawn; leave the spectral radius out")
    windows = task_windows(task, steps=condition.steps, rows=condition.rows)
    found: list[Measurements] = []

    def inspect(updates: int, model: SequenceModel, *, positions: tuple[int, ...]) -> None:
        del positions  # members of one size are one group
        subject = of_model(model, windows, name or cell.name)
        found.append(measure(subject, at_initialisation=updates == 0).labelled(update=updates))
        if progress:
            progress(updates)

    float64_device(condition.device)
    config = replace(training.config(condition.init), device=condition.device)
    members = members_of(condition, seeds, **training.hyperparameters)
    results = train(cell, task, members, config, inspect=inspect).results
    whole = join_measurements(found)
    lost = {k: r.diverged_at for k, r in enumerate(results) if r.diverged_at is not None}
    return _without(whole, lost), results


def _without(measurements: Measurements, lost: dict[int, int]) -> Measurements:
    """Drops members from the update on at which they diverged."""

    def kept(frame: pd.DataFrame) -> pd.DataFrame:
        if "member" not in frame:
            return frame
        end = frame["member"].map(lost).fillna(np.inf)
        return frame[frame["update"] < end].reset_index(drop=True)

    return Measurements(
        **{f.name: kept(getattr(measurements, f.name)) for f in fields(Measurements)}
    )
