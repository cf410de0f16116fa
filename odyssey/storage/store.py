"""The run directory: append-only Parquet shards that survive a kill at any moment.

    DIR/study.toml               the study as it was resolved, for people to read
    DIR/run.json                 facts about the run, and its study; its presence makes DIR a run
    DIR/results/<trial>.parquet  one row a member; its presence means that the trial is finished
    DIR/curves/<trial>.parquet   one row a measurement along training
    DIR/results/merged-*.parquet many trials in one shard, see `RunStore.compact`
    DIR/.lock                    held while a process runs the study

Every file appears by an atomic rename, so no reader meets half of one. A trial's curves are written
before its results: the results shard is the commit mark.

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
import itertools
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from odyssey.errors import StoreError
from odyssey.storage import files, frames
from odyssey.storage.files import DamagedFileError, why
from odyssey.storage.labels import Label, Labels, finished_trials, relabelled, superseded
from odyssey.storage.lease import held, is_held
from odyssey.storage.places import Place, RemotePath, place
from odyssey.storage.schema import COLUMNS, CURVE_COLUMNS, ORDERS, RESULT_COLUMNS
from odyssey.storage.scratch import sweep_files

_log = logging.getLogger(__name__)

_SUFFIX = ".parquet"
_MERGED = "merged-"
FORMAT = 2
_MOST_STUDY = 1_000_000  # bytes
_LAYOUT = {"study.toml", "run.json", "results", "curves", ".lock"}
REGROUPING = "regrouping"
FORMER_STUDY = "former_study"  # in run.json: the sha256 of the study.toml that was before


class _ForeignShardError(DamagedFileError):
    """Marks a shard that is sound, and of another run."""


class RunStore:
    """A run directory, for any number of writing processes and readers.

    Attributes:
        path: The directory, or what a URL names (`storage.places`).
    """

    def __init__(self, path: Place) -> None:
        self.path = path
        self._merged_ids: dict[Place, frozenset[str]] = {}

    def __repr__(self) -> str:
        return f"RunStore({str(self.path)!r})"

    @classmethod
    def create(cls, path: str | Place, *, study: str, run: Mapping[str, Any]) -> RunStore:
        """Makes a run directory.

        Args:
            path: A directory that does not exist or is empty, or its URL.
            study: The resolved text of the study.
            run: Facts about the run, as plain JSON data.

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
                files.write_atomically(path / "study.toml", study.encode())
                files.write_json(path / "run.json", facts)
        except OSError as error:
            raise StoreError(f"cannot write a run to {path}: {why(error)}") from error
        return store

    @classmethod
    def open(cls, path: str | Place) -> RunStore:
        """Opens a run directory.

        Raises:
            StoreError: When the directory is not a run.
        """
        path = place(path)
        if not is_run(path):
            raise StoreError(not_a_run(path))
        return cls(path)

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
    def _mark(self) -> tuple[str, bool]:
        """The id of the run, and whether its shards must have digests."""
        run = self.run
        return str(run.get("id", "")), "format" in run

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
        for folder in COLUMNS:
            for shard in self._shards(folder)[1]:
                if shard.name != trial_id + _SUFFIX:
                    shard.unlink(missing_ok=True)

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
        assert re.fullmatch(r"[A-Za-z0-9_-]+", trial_id), trial_id
        assert not trial_id.startswith(_MERGED), trial_id
        assert rows, f"trial {trial_id} has no rows: a failed member is a row too"
        try:
            for folder, records in (("curves", curves), ("results", rows)):
                marked = [{**row, "trial": trial_id} for row in records]
                data = frames.encode(frames.table_of(marked, COLUMNS[folder]), run=self._mark[0])
                files.write_atomically(self.path / folder / (trial_id + _SUFFIX), data)
        except OSError as error:
            raise StoreError(f"cannot record a trial in {self.path}: {why(error)}") from error

    def has(self, trial_id: str) -> bool:
        """Tells whether a trial is finished."""
        if (self.path / "results" / (trial_id + _SUFFIX)).is_file():
            return True
        return trial_id in self.recorded()

    def finished(self) -> frozenset[str]:
        """Gives the ids of the trials of the study that are finished, in one piece or in parts."""
        return finished_trials(self.recorded(), self.labels)

    def recorded(self) -> frozenset[str]:
        """Gives the ids of what is recorded: file names, and one column of merged shards."""
        for _ in range(3):
            merged, single = self._shards("results")
            ids = {shard.name.removesuffix(_SUFFIX) for shard in single}
            try:
                for shard in merged:
                    ids |= self._ids(shard)
            except FileNotFoundError:
                continue  # compacted under our feet: look again
            return frozenset(ids)
        raise StoreError(f"{self.path / 'results'} keeps changing while it is read; try again")

    def results(self, *, relabel: bool = True) -> pd.DataFrame:
        """Reads the results: one row a member, typed, sorted by trial and member.

        A damaged shard, or one of another run, is left out with a warning; see `repair`.

        Args:
            relabel: Whether the parts of a trial of a study that grew bear its label; else
                everything has that under which it was recorded.
        """
        table = self.table("results", relabel=relabel)
        frame = frames.typed_frame(table, RESULT_COLUMNS, order=ORDERS["results"])
        return frames.with_symbols(frame, {"": self.run}, runs=pd.Series("", index=frame.index))

    def curves(self) -> pd.DataFrame:
        """Reads the learning curves of the finished trials, typed and sorted.

        A damaged shard, or one of another run, is left out with a warning; the results of its
        trial stand.
        """
        return frames.typed_frame(self.table("curves"), CURVE_COLUMNS, order=ORDERS["curves"])

    def repair(self) -> None:
        """Moves shards that do not prove themselves aside; their trials are then unfinished.

        The damaged ones end as `*.corrupt`, those of another run as `*.foreign`, each with a
        warning. A study.toml that a killed `rewrite` left behind is written anew. Reads every
        shard; call it while holding `lock()`.
        """
        if self.is_half_rewritten:
            self._write_study(self.study_text)
        for folder in COLUMNS:
            for shard in itertools.chain(*self._shards(folder)):
                try:
                    self._read(folder, shard)
                except DamagedFileError as error:
                    self._merged_ids.pop(shard, None)
                    _move_aside(shard, error)
                except OSError as error:
                    raise StoreError(f"cannot read {shard}: {why(error)}") from error

    def compact(self, *, at_least: int = 200) -> None:
        """Merges the shards of single trials into one, when there are at least this many.

        The merged shard appears before the single ones go: a kill in between leaves duplicates,
        which readers drop by trial id. Call it while holding `lock()`.
        """
        for folder in ("curves", "results"):
            _, single = self._shards(folder)
            if folder == "curves":
                # Curves without results belong to a trial that will be run again.
                recorded = self.recorded()
                single = [s for s in single if s.name.removesuffix(_SUFFIX) in recorded]
            if len(single) < max(at_least, 2):
                continue
            tables = {shard: table for shard in single if (table := self._table_of(folder, shard))}
            if not tables:
                continue
            names = "\n".join(shard.name for shard in tables)
            # Named by content: a compaction repeated after a crash makes the same file.
            digest = hashlib.sha256(names.encode()).hexdigest()[:16]
            target = self.path / folder / f"{_MERGED}{digest}{_SUFFIX}"
            try:
                data = frames.encode(frames.merge(list(tables.values())), run=self._mark[0])
                files.write_atomically(target, data)
                self._merged_ids.pop(target, None)
                for shard in tables:
                    shard.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"cannot compact {self.path}: {why(error)}") from error

    def regroup(self, trials: Mapping[str, int]) -> None:
        """Writes every trial down as the study has it, when all is there; see `labels`.

        Whatever moment it is killed at, readers see the same: the whole of a trial counts before
        its parts. Call it while holding `lock()`.

        Args:
            trials: Members of every trial of the study, by its id; what else is recorded goes.

        Raises:
            StoreError: When the shards cannot be written, or something is missing after all.
        """
        if self.results()["trial"].value_counts().reindex(list(trials)).to_dict() != trials:
            raise StoreError(f"{self.path} lost a record meanwhile; resume it once more")
        wanted = pa.array(sorted(trials), pa.string())
        outdated: list[Place] = []
        try:
            for folder in ("curves", "results"):
                before = list(itertools.chain(*self._shards(folder)))
                table = self.table(folder)
                if table is None:
                    continue
                table = table.filter(pc.is_in(table.column("trial"), wanted))
                order = [(name, "ascending") for name in ORDERS[folder]]
                data = frames.encode(table.sort_by(order), run=self._mark[0])
                digest = hashlib.sha256(data).hexdigest()[:16]
                target = self.path / folder / f"{_MERGED}{digest}{_SUFFIX}"
                files.write_atomically(target, data)
                outdated += [shard for shard in before if shard != target]
            for shard in outdated:
                self._merged_ids.pop(shard, None)
                shard.unlink(missing_ok=True)
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

    def _shards(self, folder: str) -> tuple[list[Place], list[Place]]:
        """Lists the merged shards and those of single trials, each by name."""
        try:
            entries = files.listed(self.path / folder)
        except FileNotFoundError:
            entries = []
        except OSError as error:
            raise StoreError(f"cannot read {self.path / folder}: {why(error)}") from error
        shards = [e for e in entries if e.suffix == _SUFFIX and not e.name.startswith(".")]
        merged = [s for s in shards if s.name.startswith(_MERGED)]
        return merged, [s for s in shards if not s.name.startswith(_MERGED)]

    def _ids(self, shard: Place) -> frozenset[str]:
        """Gives the trials of a merged shard of results."""
        if shard not in self._merged_ids:
            table = self._table_of("results", shard, only=("trial",))
            if table is None:
                return frozenset()
            self._merged_ids[shard] = frozenset(table.column("trial").unique().to_pylist())
        return self._merged_ids[shard]

    def table(self, folder: str, *, relabel: bool = True) -> pa.Table | None:
        """Reads all finished trials of a folder, each once; None when there are none."""
        for _ in range(3):
            try:
                return self._read_shards(folder, relabel=relabel)
            except FileNotFoundError:
                continue  # compacted under our feet: look again
        raise StoreError(f"{self.path / folder} keeps changing while it is read; try again")

    def _read_shards(self, folder: str, *, relabel: bool) -> pa.Table | None:
        merged, single = self._shards(folder)
        tables: list[pa.Table] = []
        # What is in a single shard was written last: it wins over the copy in a merged one.
        seen: set[str] = set()
        labels = self.labels
        recorded = self.recorded() if labels or folder == "curves" else None
        for shard in [*single, *merged]:
            table = self._table_of(folder, shard)
            if table is None:
                continue
            ids = set(table.column("trial").unique().to_pylist())
            wanted = ids - seen
            if recorded is not None:
                wanted &= recorded
                wanted -= superseded(recorded, labels)
            if wanted != ids:
                kept = pc.is_in(table.column("trial"), pa.array(sorted(wanted), pa.string()))
                table = table.filter(kept)
            seen |= ids
            tables.append(relabelled(table, labels) if relabel else table)
        return frames.merge(tables) if tables else None

    def _read(self, folder: str, shard: Place, *, only: Sequence[str] | None = None) -> pa.Table:
        """Reads a shard of this run.

        Raises:
            DamagedFileError: It is damaged, or of another run.
            OSError: The file itself cannot be read.
        """
        run, sealed = self._mark
        table = frames.decode(shard, COLUMNS[folder], only=only, sealed=sealed)
        theirs = frames.run_of(table)
        if theirs and theirs != run:
            raise _ForeignShardError(f"it belongs to another run, {theirs}")
        trials = set(table.column("trial").unique().to_pylist())
        own = shard.name.removesuffix(_SUFFIX)
        if not own.startswith(_MERGED) and trials - {own}:
            raise DamagedFileError(f"it holds trial {min(trials - {own})[:60]!r}")
        if folder == "results" and not trials:
            raise DamagedFileError("it holds no trial")
        return table

    def _table_of(
        self, folder: str, shard: Place, *, only: Sequence[str] | None = None
    ) -> pa.Table | None:
        """Reads a shard of this run; None, with a warning, where it does not prove itself."""
        try:
            return self._read(folder, shard, only=only)
        except DamagedFileError as error:
            self._merged_ids.pop(shard, None)
            _log.warning("left out %s: %s", shard, error)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(f"cannot read {shard}: {why(error)}") from error
        return None

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
        if not ours or (entry.is_dir() and any(entry.iterdir())):
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


def _move_aside(shard: Place, error: DamagedFileError) -> None:
    suffix = ".foreign" if isinstance(error, _ForeignShardError) else ".corrupt"
    aside = shard.with_name(shard.name + suffix)
    try:
        files.move(shard, aside)
    except OSError as failure:
        raise StoreError(f"cannot move {shard} aside ({error}): {why(failure)}") from failure
    _log.warning("moved %s aside as %s: %s", shard, aside.name, error)
