"""The Parquet shards of a run: one a trial, or many trials merged into one.

    results/<trial>.parquet      one row a member; its presence means that the trial is finished
    curves/<trial>.parquet       one row a measurement along training
    results/merged-*.parquet     many trials in one shard, see `Shards.compact`

A trial may stand in two shards for a moment, while they are merged: readers take it once, as it was
written last. A shard that does not prove itself (`files`), or is of another run, is left out with a
warning.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from odyssey.errors import StoreError
from odyssey.storage import files, frames
from odyssey.storage.files import DamagedFileError, why
from odyssey.storage.labels import Labels, relabelled, superseded
from odyssey.storage.places import Place
from odyssey.storage.schema import COLUMNS, ORDERS

Seen = TypeVar("Seen")

_log = logging.getLogger(__name__)

_SUFFIX = ".parquet"
_MERGED = "merged-"


class _ForeignShardError(DamagedFileError):
    """Marks a shard that is sound, and of another run."""


class Shards:
    """The shards of a run.

    Args:
        path: The run directory.
        run: The id of the run, which every shard bears.
        sealed: Whether every shard must have a digest.
    """

    def __init__(self, path: Place, *, run: str, sealed: bool) -> None:
        self._path, self._run, self._sealed = path, run, sealed
        self._merged_ids: dict[Place, frozenset[str]] = {}

    def of(self, folder: str) -> tuple[list[Place], list[Place]]:
        """Lists the merged shards of a folder and those of single trials, each by name."""
        try:
            entries = files.listed(self._path / folder)
        except FileNotFoundError:
            entries = []
        except OSError as error:
            raise StoreError(f"cannot read {self._path / folder}: {why(error)}") from error
        shards = [e for e in entries if e.suffix == _SUFFIX and not e.name.startswith(".")]
        merged = [s for s in shards if s.name.startswith(_MERGED)]
        return merged, [s for s in shards if not s.name.startswith(_MERGED)]

    def write(self, folder: str, trial_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Writes the shard of a trial; raises `OSError` where it cannot be written."""
        assert re.fullmatch(r"[A-Za-z0-9_-]+", trial_id), trial_id
        assert not trial_id.startswith(_MERGED), trial_id
        marked = [{**row, "trial": trial_id} for row in records]
        data = frames.encode(frames.table_of(marked, COLUMNS[folder]), run=self._run)
        files.write_atomically(self._path / folder / (trial_id + _SUFFIX), data)

    def has_single(self, trial_id: str) -> bool:
        """Tells whether a trial is recorded in a shard of its own."""
        return (self._path / "results" / (trial_id + _SUFFIX)).is_file()

    def recorded(self) -> frozenset[str]:
        """Gives the ids of what is recorded: file names, and one column of merged shards."""

        def look() -> frozenset[str]:
            merged, single = self.of("results")
            ids = {shard.name.removesuffix(_SUFFIX) for shard in single}
            return frozenset(ids.union(*map(self._ids, merged)))

        return self._steadily("results", look)

    def table(
        self, folder: str, labels: Callable[[], Labels], *, relabel: bool = True
    ) -> pa.Table | None:
        """Reads all finished trials of a folder, each once; None when there are none.

        Args:
            folder: The folder.
            labels: Gives the labels of the run as they are at the moment of reading.
            relabel: Whether the rows bear them.
        """
        return self._steadily(folder, lambda: self._whole(folder, labels(), relabel=relabel))

    def forget_others(self, trial_id: str) -> None:
        """Removes the shards of single trials other than this one."""
        for folder in COLUMNS:
            for shard in self.of(folder)[1]:
                if shard.name != trial_id + _SUFFIX:
                    shard.unlink(missing_ok=True)

    def set_damaged_aside(self) -> None:
        """Reads every shard, and moves those that do not prove themselves aside."""
        for folder in COLUMNS:
            for shard in itertools.chain(*self.of(folder)):
                try:
                    self._read(folder, shard)
                except DamagedFileError as error:
                    self._merged_ids.pop(shard, None)
                    _move_aside(shard, error)
                except OSError as error:
                    raise StoreError(f"cannot read {shard}: {why(error)}") from error

    def compact(self, *, at_least: int) -> None:
        """Merges the shards of single trials into one, when there are at least this many.

        The merged shard appears before the single ones go: a kill in between leaves duplicates,
        which readers drop by trial id.
        """
        for folder in ("curves", "results"):
            _, single = self.of(folder)
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
            try:
                data = frames.encode(frames.merge(list(tables.values())), run=self._run)
                # Named by content: a compaction repeated after a crash makes the same file.
                self._write_merged(folder, data, of=names.encode())
                self._remove(list(tables))
            except OSError as error:
                raise StoreError(f"cannot compact {self._path}: {why(error)}") from error

    def replace(self, trials: AbstractSet[str], labels: Callable[[], Labels]) -> None:
        """Puts one merged shard of these trials, under their labels, in place of all in a folder.

        Those of before go when results and curves are written. Raises `OSError` where that cannot
        be done.
        """
        wanted = pa.array(sorted(trials), pa.string())
        outdated: list[Place] = []
        for folder in ("curves", "results"):
            before = list(itertools.chain(*self.of(folder)))
            table = self.table(folder, labels)
            if table is None:
                continue
            table = table.filter(pc.is_in(table.column("trial"), wanted))
            order = [(name, "ascending") for name in ORDERS[folder]]
            data = frames.encode(table.sort_by(order), run=self._run)
            target = self._write_merged(folder, data, of=data)
            outdated += [shard for shard in before if shard != target]
        self._remove(outdated)

    def _write_merged(self, folder: str, data: bytes, *, of: bytes) -> Place:
        """Writes a merged shard, named by the digest of what it is made of."""
        digest = hashlib.sha256(of).hexdigest()[:16]
        target = self._path / folder / f"{_MERGED}{digest}{_SUFFIX}"
        files.write_atomically(target, data)
        self._merged_ids.pop(target, None)
        return target

    def _remove(self, shards: Sequence[Place]) -> None:
        for shard in shards:
            self._merged_ids.pop(shard, None)
            shard.unlink(missing_ok=True)

    def _ids(self, shard: Place) -> frozenset[str]:
        """Gives the trials of a merged shard of results."""
        if shard not in self._merged_ids:
            table = self._table_of("results", shard, only=("trial",))
            if table is None:
                return frozenset()
            self._merged_ids[shard] = frozenset(table.column("trial").unique().to_pylist())
        return self._merged_ids[shard]

    def _steadily(self, folder: str, look: Callable[[], Seen]) -> Seen:
        """Looks at a folder, once more where it was compacted under our feet."""
        for _ in range(3):
            try:
                return look()
            except FileNotFoundError:
                continue
        raise StoreError(f"{self._path / folder} keeps changing while it is read; try again")

    def _whole(self, folder: str, labels: Labels, *, relabel: bool) -> pa.Table | None:
        merged, single = self.of(folder)
        tables: list[pa.Table] = []
        counted: AbstractSet[str] | None = None  # None: whatever has a shard
        if labels or folder == "curves":
            recorded = self.recorded()
            counted = recorded - superseded(recorded, labels)
        # What is in a single shard was written last: it wins over the copy in a merged one.
        seen: set[str] = set()
        for shard in [*single, *merged]:
            table = self._table_of(folder, shard)
            if table is None:
                continue
            ids = set(table.column("trial").unique().to_pylist())
            wanted = ids - seen if counted is None else (ids - seen) & counted
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
        table = frames.decode(shard, COLUMNS[folder], only=only, sealed=self._sealed)
        theirs = frames.run_of(table)
        if theirs and theirs != self._run:
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


def _move_aside(shard: Place, error: DamagedFileError) -> None:
    suffix = ".foreign" if isinstance(error, _ForeignShardError) else ".corrupt"
    aside = shard.with_name(shard.name + suffix)
    try:
        files.move(shard, aside)
    except OSError as failure:
        raise StoreError(f"cannot move {shard} aside ({error}): {why(failure)}") from failure
    _log.warning("moved %s aside as %s: %s", shard, aside.name, error)
