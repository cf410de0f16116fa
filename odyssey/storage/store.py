"""The run directory: append-only Parquet shards that survive a kill at any moment.

    DIR/study.toml               the study as it was resolved, for people to read
    DIR/run.json                 facts about the run, and its study; its presence makes DIR a run
    DIR/results/<trial>.parquet  one row a member; its presence means that the trial is finished
    DIR/curves/<trial>.parquet   one row a measurement along training
    DIR/results/merged-*.parquet many trials in one shard, see `RunStore.compact`
    DIR/checkpoints/*.npz        of long trials while they run, see `studies.checkpoints`
    DIR/plugins/NAME/...         the code of plug-ins, as it was when the run began
    DIR/.lock                    held while a process runs the study

Every file appears by an atomic rename, so no reader meets half of one. A trial's curves are written
before its results: the results shard (`shards`) is the commit mark.

run.json and the shards carry a digest that every reader verifies (`files`), and the shards the id
of their run. A shard that does not prove itself is left out with a warning; `RunStore.repair` moves
it aside, so that its trials are run again. Runs of format 1, made before there were digests, have
none; where run.json says format 2, every shard must have one.

A study that grew has trials that hold those of before: while what is missing is run, run.json says
under `regrouping` to which trial of the study every recorded one belongs, and readers put the
labels right. When all is there `RunStore.regroup` writes it down, and the labels are gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa

from odyssey.errors import StoreError
from odyssey.plugins.source import FOLDER, PluginSource
from odyssey.storage import files, frames
from odyssey.storage.files import DamagedFileError, why
from odyssey.storage.labels import Label, Labels, finished_trials
from odyssey.storage.lease import held, is_held
from odyssey.storage.places import Place, RemotePath, place
from odyssey.storage.plugins import keep_plugins, load_plugins
from odyssey.storage.rungs import curves_of_draws, rung_draws, table_of_draws
from odyssey.storage.schema import CURVE_COLUMNS, ORDERS, RESULT_COLUMNS
from odyssey.storage.scratch import sweep_files
from odyssey.storage.shards import Shards

FORMAT = 2
_MOST_STUDY = 1_000_000  # bytes
_LAYOUT = {"study.toml", "run.json", "results", "curves", FOLDER, ".lock"}
REGROUPING = "regrouping"
FORMER_STUDY = "former_study"  # in run.json: the sha256 of the study.toml that was before


class RunStore:
    """A run directory, for any number of writing processes and readers.

    Attributes:
        path: The directory, or what a URL names (`storage.places`).
    """

    def __init__(self, path: Place) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunStore({str(self.path)!r})"

    @classmethod
    def create(
        cls,
        path: str | Place,
        *,
        study: str,
        run: Mapping[str, Any],
        plugins: Sequence[PluginSource] = (),
    ) -> RunStore:
        """Makes a run directory.

        Args:
            path: A directory that does not exist or is empty, or its URL.
            study: The resolved text of the study.
            run: Facts about the run, as plain JSON data.
            plugins: What it is made with; their code is kept.

        Raises:
            StoreError: When the directory holds a run or other files, or cannot be written.
        """
        path = place(path)
        if is_run(path):
            raise _already_a_run(path)
        identity = json.dumps([study, run.get("cells"), run.get("tasks")], sort_keys=True)
        facts = {
            "format": FORMAT,
            "id": hashlib.sha256(identity.encode()).hexdigest()[:16],
            **run,
            "study_toml": study,
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            if _foreign_entries(path):
                raise StoreError(
                    f"{path} is not empty and not a run; give a directory that does not exist yet"
                )
            store = cls(path)
            # Of two creators at the same moment, one gets the lock and the run.
            with store.lock():
                if is_run(path):
                    raise _already_a_run(path)
                for folder in ("results", "curves"):
                    (path / folder).mkdir(exist_ok=True)
                keep_plugins(path, plugins)
                files.write_atomically(path / "study.toml", study.encode())
                files.write_json(path / "run.json", facts)
        except OSError as error:
            raise StoreError(f"cannot write a run to {path}: {why(error)}") from error
        return store

    @classmethod
    def open(cls, path: str | Place) -> RunStore:
        """Opens a run directory, and loads the plug-ins that it was made with.

        Raises:
            StoreError: When the directory is not a run.
            ConfigError: When it was made with plug-ins that are not here, that are others here, or
                whose code this user has never run on this machine.
        """
        path = place(path)
        if not is_run(path):
            raise StoreError(not_a_run(path))
        store = cls(path)
        load_plugins(path, store.run)
        return store

    @property
    def study_text(self) -> str:
        """The resolved text of the study that the run began with, whatever study.toml says now."""
        sealed = self.run.get("study_toml")
        return sealed if isinstance(sealed, str) else self.study_file

    @property
    def study_file(self) -> str:
        """What study.toml says now: the run's study, unless somebody edited it."""
        path = self.path / "study.toml"
        try:
            return files.read_regular(path, most=_MOST_STUDY).decode()
        except (OSError, UnicodeDecodeError, DamagedFileError) as error:
            raise StoreError(f"cannot read {path}: {why(error)}") from error

    @property
    def run(self) -> dict[str, Any]:
        """The facts about the run."""
        path = self.path / "run.json"
        try:
            return files.read_json(path)
        except FileNotFoundError as error:
            raise StoreError(f"cannot read {path}: {why(error)}") from error

    @cached_property
    def _shards(self) -> Shards:
        run = self.run
        return Shards(self.path, run=str(run.get("id", "")), sealed="format" in run)

    def update_run(self, **values: Any) -> None:
        """Rewrites run.json with these values set; call it while holding `lock()`."""
        try:
            files.write_json(self.path / "run.json", {**self.run, **values})
        except OSError as error:
            raise StoreError(f"cannot write {self.path / 'run.json'}: {why(error)}") from error

    def rewrite(self, study: str, facts: Mapping[str, Any]) -> None:
        """Gives the run another study and its facts; call it while holding `lock()`.

        Raises:
            StoreError: The files cannot be written.
        """
        try:
            # the copy in run.json counts where a kill comes in between
            former = {FORMER_STUDY: _sha256(self.study_text)}
            whole = {**self.run, **facts, **former, "study_toml": study}
            files.write_json(self.path / "run.json", whole)
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {why(error)}") from error
        self._write_study(study)

    def _write_study(self, text: str) -> None:
        path = self.path / "study.toml"
        try:
            files.write_atomically(path, text.encode())
        except OSError as error:
            raise StoreError(f"cannot write {path}: {why(error)}") from error

    @property
    def is_half_rewritten(self) -> bool:
        """Whether study.toml is the one before the last `rewrite`, which was killed."""
        former = self.run.get(FORMER_STUDY)
        return bool(former) and _sha256(self.study_file) == former

    @property
    def labels(self) -> Labels:
        """Which trial every record belongs to; empty where all are as the study has them."""
        found = self.run.get(REGROUPING)
        return {t: Label(str(i), int(n)) for t, (i, n) in found.items()} if found else {}

    def forget_others(self, trial_id: str) -> None:
        """Removes what was recorded of other trials than this one; of a run with single shards."""
        self._shards.forget_others(trial_id)

    def write(
        self,
        trial_id: str,
        rows: Sequence[Mapping[str, Any]],
        curves: Sequence[Mapping[str, Any]],
    ) -> None:
        """Records a finished trial; to write the same one again is harmless.

        Args:
            trial_id: Id of the trial; set as `trial` in every row.
            rows: One dict a member, at least one: see `RESULT_COLUMNS`.
            curves: One dict a measurement: see `CURVE_COLUMNS`.

        Raises:
            StoreError: When the shards cannot be written.
        """
        assert rows, f"trial {trial_id} has no rows: a failed member is a row too"
        try:
            for folder, records in (("curves", curves), ("results", rows)):
                self._shards.write(folder, trial_id, records)
        except OSError as error:
            raise StoreError(f"cannot record a trial in {self.path}: {why(error)}") from error

    def has(self, trial_id: str) -> bool:
        """Tells whether a trial is finished."""
        return self._shards.has_single(trial_id) or trial_id in self.recorded()

    def finished(self) -> frozenset[str]:
        """Gives the ids of the trials of the study that are finished, in one piece or in parts."""
        return finished_trials(self.recorded(), self.labels)

    def recorded(self) -> frozenset[str]:
        """Gives the ids of what is recorded, whole trials and parts."""
        return self._shards.recorded()

    def results(self, *, last_rung: int | None = None) -> pd.DataFrame:
        """Reads the results: one row a member, typed, sorted by trial and member.

        Of a ladder that is the row of the last rung that the member reached, in the order of the
        first one; see `storage.rungs`.

        Args:
            last_rung: The rung at which a ladder ends, as if there were no more.
        """
        return table_of_draws(self.rows(), rung_draws(self.run), last=last_rung)

    def rows(self, *, relabel: bool = True) -> pd.DataFrame:
        """Reads all rows, typed, sorted by trial and member: of a ladder one a member and rung.

        A damaged shard, or one of another run, is left out with a warning; see `repair`.

        Args:
            relabel: Whether the parts of a trial of a study that grew bear its label; else
                everything has that under which it was recorded.
        """
        table = self.table("results", relabel=relabel)
        frame = frames.typed_frame(table, RESULT_COLUMNS, order=ORDERS["results"])
        return frames.with_symbols(frame, {"": self.run}, runs=pd.Series("", index=frame.index))

    def curves(self, *, every_rung: bool = False) -> pd.DataFrame:
        """Reads the learning curves of the finished trials, typed and sorted.

        A damaged shard, or one of another run, is left out with a warning; the results of its
        trial stand.

        Args:
            every_rung: Whether those of all rungs of a ladder are read; else they are those of the
                rows of `results`.
        """
        found = frames.typed_frame(self.table("curves"), CURVE_COLUMNS, order=ORDERS["curves"])
        if every_rung or not rung_draws(self.run):
            return found
        return curves_of_draws(found, self.results())

    def repair(self) -> None:
        """Moves shards that do not prove themselves aside; their trials are then unfinished.

        The damaged ones end as `*.corrupt`, those of another run as `*.foreign`, each with a
        warning. A study.toml that a killed `rewrite` left behind is written anew. Reads every
        shard; call it while holding `lock()`.
        """
        if self.is_half_rewritten:
            self._write_study(self.study_text)
        self._shards.set_damaged_aside()

    def compact(self, *, at_least: int = 200) -> None:
        """Merges the shards of single trials into one, when there are at least this many.

        Call it while holding `lock()`.
        """
        self._shards.compact(at_least=at_least)

    def regroup(self, trials: Mapping[str, int]) -> None:
        """Writes every trial down as the study has it, when all is there; see `labels`.

        Whatever moment it is killed at, readers see the same: the whole of a trial counts before
        its parts. Call it while holding `lock()`.

        Args:
            trials: Members of every trial of the study, by its id; what else is recorded goes.

        Raises:
            StoreError: When the shards cannot be written, or something is missing after all.
        """
        if self.rows()["trial"].value_counts().reindex(list(trials)).to_dict() != trials:
            raise StoreError(f"{self.path} lost a record meanwhile; resume it once more")
        try:
            self._shards.replace(trials.keys(), lambda: self.labels)
            files.write_json(
                self.path / "run.json", {k: v for k, v in self.run.items() if k != REGROUPING}
            )
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {why(error)}") from error

    def is_running(self) -> bool:
        """Tells whether a process holds the run."""
        return is_held(self.path / ".lock")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; any death releases it, on a URL after a while (`lease`).

        Raises:
            StoreError: When another process holds it.
        """
        with held(self.path / ".lock"):
            self._sweep()
            yield

    def table(self, folder: str, *, relabel: bool = True) -> pa.Table | None:
        """Reads all finished trials of a folder, each once; None when there are none."""
        return self._shards.table(folder, lambda: self.labels, relabel=relabel)

    def _sweep(self) -> None:
        """Removes what killed writers left; an object store keeps nothing that is not complete."""
        if isinstance(self.path, RemotePath):
            return
        for folder in (self.path, *(p for p in self.path.iterdir() if p.is_dir())):
            sweep_files(folder)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_run(path: Place) -> bool:
    """Tells whether a folder is a run."""
    return (path / "run.json").is_file()


def _foreign_entries(path: Place) -> bool:
    """Tells whether a directory holds more than an interrupted `create` leaves behind."""
    for entry in path.iterdir():
        ours = entry.name in _LAYOUT or re.fullmatch(r"\..*\.tmp", entry.name)
        full = entry.is_dir() and entry.name != FOLDER and any(entry.iterdir())
        if not ours or full:
            return True
    return False


def _already_a_run(path: Place) -> StoreError:
    try:
        kind = RunStore(path).run.get("kind")
    except StoreError:
        kind = None
    how = (
        "go on with it with `odyssey train --resume"
        if kind == "train"
        else "resume it with `odyssey search --resume"
    )
    return StoreError(f"{path} already holds a run; {how} {path}` or give another directory")


def not_a_run(path: Place) -> str:
    """Says why a place is no run."""
    if not path.exists():
        return f"no run at {path}: there is nothing of that name"
    if path.is_dir():
        return f"{path} is not a run: it has no run.json (a run is what `odyssey search` makes)"
    return f"{path} is a file, expected the directory of a run"
