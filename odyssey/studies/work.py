"""One trial, from plain data to rows: what a worker does."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from odyssey.device_names import CPU
from odyssey.errors import StoreError, TaskError
from odyssey.expr import parse_cell, recall_cell
from odyssey.hyperparameters import Member
from odyssey.plugins import load_sources
from odyssey.plugins.source import PluginSource
from odyssey.storage.places import Place
from odyssey.storage.schema import FAILED, METRIC
from odyssey.storage.store import RunStore
from odyssey.studies.checkpoints import TrialCheckpoints
from odyssey.studies.settings import setting_columns
from odyssey.studies.trial import Trial, TrialResult
from odyssey.studies.weights import write_weights
from odyssey.tasks.base import Task
from odyssey.tasks.recorded import recorded_task
from odyssey.tasks.signature import REALS, guess_nats
from odyssey.tasks.text import MissingText
from odyssey.training.config import training_config
from odyssey.version import __version__
from odyssey.wording import in_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from odyssey.training.loop import Inspect, Trained
    from odyssey.training.results import Epoch
    from odyssey.training.snapshots import KeptGroups


@cache
def versions() -> str:
    """Names the versions that results may depend on, in one line."""
    found = [f"python {platform.python_version()}"]
    for package in ("torch", "numpy", "ray", "sympy"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join([f"odyssey {__version__}", *found])


@cache
def commit() -> str:
    """Names the git commit of the working directory, `+` when dirty; empty outside git."""

    def git(*args: str) -> str:
        try:
            done = subprocess.run(
                ["git", *args], capture_output=True, text=True, timeout=5, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and git("status", "--porcelain", "--untracked-files=no") else "")


@lru_cache(maxsize=8)
def _task(spec: str, record: str) -> Task:
    return recorded_task(spec, json.loads(record))


def _checked_task(spec: str, record: Mapping[str, Any]) -> Task:
    """Gives the task that the run began with, its text read in the same way."""
    task = _task(spec, json.dumps(record, sort_keys=True))
    if isinstance(task, MissingText):
        _task.cache_clear()  # it may be back for the next trial
        raise TaskError(task.why)
    return task


@dataclass(frozen=True)
class TrialWork:
    """Runs trials in a worker and writes what they leave into the run directory.

    The worker writes the shard itself, so that a finished trial survives whatever happens to the
    driver. Where the directory does not exist (another machine without shared storage), the
    driver writes it.

    Attributes:
        directory: The run directory, absolute, or what its URL names.
        commit: The git commit at the start of the run.
        tasks: What every task said of itself when the run began, by spec: a text that changes
            under a run must not mix two experiments.
        keep: Whose weights are written: `best`, `all` or `none` of the trial's members.
        plugins: The plug-ins of the run, which this process may not have yet.
    """

    directory: Place
    commit: str
    tasks: Mapping[str, Mapping[str, Any]]
    keep: str = "none"
    plugins: tuple[PluginSource, ...] = ()

    def __call__(self, trial: Trial) -> TrialResult:
        """Trains the trial's population; an error in it is the caller's to record."""
        load_sources(self.plugins)
        task = _checked_task(trial.task, self.tasks[trial.task])
        kept = None
        if (self.directory / "study.toml").exists():
            kept = TrialCheckpoints(self.directory, trial.id, made=versions())
        result, trained = trained_trial(trial, commit=self.commit, task=task, checkpoints=kept)
        # a full disk is no fault of the trial: the driver tries again, and stops the run
        with suppress(StoreError):
            if kept:
                store = RunStore.open(self.directory)
                write_weights(store, result.trial_id, trained, keep=self.keep)
                store.write(result.trial_id, result.rows, result.curves)
                kept.remove()
        return result


@contextmanager
def _arithmetic(threads: int) -> Iterator[None]:
    """Sets torch's threads and flushes denormals, and puts both back as they were."""
    import torch

    before = torch.get_num_threads()
    # torch has no way to ask for the mode, so look whether a denormal survives
    flushing = float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) == 0.0
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(flushing)


def trained_trial(
    trial: Trial,
    *,
    task: Task,
    commit: str = "",
    progress: Callable[[Epoch], None] | None = None,
    inspect: Inspect | None = None,
    initial: Mapping[str, NDArray[Any]] | None = None,
    checkpoints: KeptGroups | None = None,
) -> tuple[TrialResult, Trained]:
    """Trains a trial's population; gives rows and curves, and the trained models.

    Args:
        trial: The trial.
        task: Its task, made.
        commit: The git commit to record.
        progress: Called after every epoch.
        inspect: Called with the model before the first update and after every epoch.
        initial: Weights to begin with; for one member.
        checkpoints: Where to go on, and what keeps that.
    """
    import torch

    from odyssey.compiler.backends import BACKENDS
    from odyssey.training.devices import full_precision, processor_of
    from odyssey.training.loop import train

    config = training_config(trial.training)
    start, processor_start = time.perf_counter(), time.process_time()
    cell = parse_cell(trial.cell_text)
    members = [Member(**m) for m in trial.members]
    with _arithmetic(config.threads), full_precision(torch.device(config.device)):
        trained = train(
            cell,
            task,
            members,
            config,
            progress=progress,
            inspect=inspect,
            initial=initial,
            checkpoints=checkpoints,
        )
    earlier = checkpoints.earlier if checkpoints else (0.0, 0.0)
    seconds = (time.perf_counter() - start + earlier[0]) / len(members)
    processor_seconds = (time.process_time() - processor_start + earlier[1]) / len(members)
    model = trained.models[0][0]
    backend = model.rnn.backend
    facts = BACKENDS[backend].facts(model.readout.dtype)
    device = model.readout.device
    outputs, record = task.signature.outputs, task.describe()
    rows = []
    for member, result in zip(members, trained.results, strict=True):
        rows.append(
            _common_columns(trial, member, cell=cell.name, commit=commit)
            | setting_columns(member, hidden_size=result.member.hidden_size)
            | {
                "num_symbols": None if outputs.dense else outputs.size,
                "guess_nats": task.chance.nats
                if outputs.kind == REALS and task.chance
                else guess_nats(outputs),
                "hidden_size": result.member.hidden_size,
                "num_parameters": result.num_parameters,
                "operations": result.operations,
                "status": result.status,
                "reason": result.reason,
                "diverged_at": result.diverged_at,
                "stopped_at": result.stopped_at,
                "updates": result.updates,
                "best_update": result.best_update,
                "characters": result.characters,
                "seconds": seconds,
                "processor_seconds": processor_seconds,
                "train_nats": result.train_nats,
                "valid_nats": result.valid_nats,
                "valid_bpc": in_bits(result.valid_nats, record),
                "valid_accuracy": result.valid_accuracy,
                "test_nats": result.test_nats,
                "test_bpc": in_bits(result.test_nats, record),
                "test_accuracy": result.test_accuracy,
                "test_exact": result.test_exact,
                "shuffled_nats": result.shuffled_nats,
                "blank_nats": result.blank_nats,
                **{METRIC + name: value for name, value in result.metrics.items()},
                "longer_nats": result.longer_nats,
                "longer_accuracy": result.longer_accuracy,
                "longer_exact": result.longer_exact,
                "backend": backend,
                "versions": ", ".join(filter(None, (versions(), facts, processor_of(device)))),
            }
        )
    curves = [
        {
            "trial": trial.id,
            "trial_index": trial.index,
            "cell": cell.name,
            "spec": trial.spec,
            "task": trial.task,
            "member": result.member.member,
            "update": update,
            "characters": characters,
            "metric": metric,
            "value": value,
        }
        for result in trained.results
        for update, characters, metric, value in result.curve
    ]
    return TrialResult(trial.id, trial.index, tuple(rows), tuple(curves)), trained


def _common_columns(trial: Trial, member: Member, *, cell: str, commit: str) -> dict[str, Any]:
    """Gives the columns of a member's row that are known before training."""

    return {
        "trial": trial.id,
        "trial_index": trial.index,
        "group": trial.group,
        "rung": trial.rung,
        "cell": cell,
        "spec": trial.spec,
        "cell_key": trial.cell_key,
        "cell_text": trial.cell_text,
        "lineage": " > ".join(trial.lineage),
        "task": trial.task,
        "member": member.member,
        "seed": member.seed,
        "num_parameters": 0,
        "operations": None,
        **{name: math.nan if v is None else v for name, v in member.values.items()},
        **setting_columns(member, hidden_size=None if member.parameters else member.hidden_size),
        "diverged_at": None,
        "stopped_at": None,
        "updates": 0,
        "best_update": None,
        "characters": 0,
        "seconds": 0.0,
        "processor_seconds": 0.0,
        "backend": "",
        "device": str(trial.training.get("device", CPU)).partition(":")[0],
        "versions": versions(),
        "commit": commit,
    }


def failed_rows(
    trial: Trial, reason: str, *, commit: str, status: str = FAILED
) -> list[dict[str, Any]]:
    """Gives the rows of a trial without a result: every member, with the reason."""
    cell = recall_cell(trial.cell_text).name
    return [
        _common_columns(trial, Member(**given), cell=cell, commit=commit)
        | {"status": status, "reason": reason[:500]}
        for given in trial.members
    ]
