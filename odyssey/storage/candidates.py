"""The candidates of a search on disk: one row a candidate that was told, in order.

    DIR/candidates/000000.parquet   rows 0 to 199
    DIR/candidates/000200.parquet   rows 200 to 399, and so on

The last file grows, rewritten by an atomic rename at most every few seconds; full files are touched
again only where a candidate that could not be measured is tried once more at the end. What a kill
loses can be made again from the results of trials.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from odyssey.errors import StoreError
from odyssey.storage import files, frames
from odyssey.storage.files import DamagedFileError, why
from odyssey.storage.places import Place, place
from odyssey.storage.schema import FINISHED

_log = logging.getLogger(__name__)

ROWS = 200  # of a file
FLUSH_SECONDS = 2.0

# name -> (pandas dtype, meaning)
CANDIDATE_COLUMNS: dict[str, tuple[str, str]] = {
    "number": ("int64", "place of the candidate in the order of the search; seeds first"),
    "arm": ("string", "strategy that proposed it; seed for those that evolution began with"),
    "name": ("string", "name of the cell: made of its key, or the seed's spec"),
    "cell_key": ("string", "content key"),
    "fingerprint": ("string", "numeric fingerprint, initial values included"),
    "cell_text": ("string", "the cell's equations"),
    "parents": ("string", "numbers of the candidates it was made from, joined by blanks"),
    "operators": ("string", "how it was made, joined by blanks"),
    "again": ("int64", "1: a known cell, measured again on fresh draws"),
    "twin": ("Int64", "number of an earlier candidate that is the same function"),
    "attempts": ("int64", "proposals until one was measured"),
    "refused": ("string", "proposals refused before it, by reason, as JSON"),
    "refused_operators": ("string", "the same by operator, as JSON"),
    "missed_operators": ("string", "operators drawn that did not apply, as JSON"),
    "status": (
        "string",
        "finished, stopped (by a rule), failed, unmeasured or none (no cell)",
    ),
    "stage": ("string", "the last stage it was measured in"),
    "reason": ("string", "why it went no further"),
    "passed": ("int64", "stages passed"),
    "score": ("float64", "score after its last stage; the baseline has 1"),
    "scores": ("string", "score by stage, as JSON; stages of an audit included"),
    "audited": ("int64", "1: a rule stopped it, and it was measured to the end all the same"),
    "cost": ("float64", "parameters or operations of one layer, as the study wants"),
    "parameters": ("float64", "parameters of one layer at the constraints' sizes"),
    "members": ("int64", "draws trained for it, those of a twin included"),
    "characters": ("float64", "characters trained on for it, those of a twin included"),
    "trials": ("string", "ids of its trials, joined by blanks"),
    "told": ("float64", "seconds since the epoch when it was told"),
}
VOLATILE_CANDIDATE_COLUMNS: tuple[str, ...] = ("told",)


class CandidateLog:
    """Writes and reads the candidates of one run directory; one process writes.

    Attributes:
        folder: Where the files are.
    """

    def __init__(self, directory: Place) -> None:
        self.folder = directory / "candidates"
        try:
            self._run = files.read_json(directory / "run.json")
        except FileNotFoundError:
            self._run = {}  # candidates without a run: of no use, and no fault
        self._tail: list[dict[str, Any]] = []
        self._next = 0
        self._flushed = 0.0

    def restart(self, number: int) -> None:
        """Goes on writing at a candidate: earlier rows are kept, later ones are written over."""
        self._next = number
        start = number - number % ROWS
        self._tail = [row for row in self.rows(start, repair=True) if row["number"] < number]
        assert len(self._tail) == number - start, "rows before the restart are missing"

    def append(self, row: Mapping[str, Any]) -> None:
        """Takes the next candidate's row; it reaches the disk with the next flush.

        Raises:
            StoreError: The file cannot be written.
        """
        assert row["number"] == self._next, "candidates are told in order"
        self._tail.append(dict(row))
        self._next += 1
        if len(self._tail) == ROWS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def revise(self, row: Mapping[str, Any]) -> None:
        """Puts a row in the stead of one that was written before, on the disk too.

        Raises:
            StoreError: The file cannot be written.
        """
        number = int(row["number"])
        assert number < self._next, "a row that was told"
        self.flush()
        start = number - number % ROWS
        rows = [dict(row) if r["number"] == number else r for r in self._file(start)]
        self._tail = [dict(row) if r["number"] == number else r for r in self._tail]
        self._write(rows)

    def _file(self, start: int) -> list[dict[str, Any]]:
        """Reads the file that begins with a number."""
        return [row for row in self.rows(start) if row["number"] < start + ROWS]

    def flush(self) -> None:
        """Writes the last file; raises `StoreError` where it cannot."""
        if not self._tail:
            return
        self._write(self._tail)
        self._flushed = time.monotonic()
        if len(self._tail) == ROWS:
            self._tail = []

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        path = self.folder / f"{rows[0]['number']:06d}.parquet"
        try:
            self.folder.mkdir(exist_ok=True)
            table = frames.table_of(rows, CANDIDATE_COLUMNS)
            files.write_atomically(path, frames.encode(table, run=str(self._run.get("id", ""))))
        except OSError as error:
            raise StoreError(f"cannot write {path}: {why(error)}") from error

    def rows(self, start: int = 0, *, repair: bool = False) -> Iterator[dict[str, Any]]:
        """Reads the rows from a multiple of `ROWS` on.

        Args:
            start: Number of the first candidate.
            repair: Moves a damaged file aside, for who holds the run; else it is left out with a
                warning.
        """
        names: list[Place] = [*self.folder.glob("[0-9]*.parquet")]
        for path in sorted(names, key=lambda file: file.name):
            if not path.stem.isdigit() or int(path.stem) < start:
                continue
            try:
                table = frames.decode(
                    path,
                    CANDIDATE_COLUMNS,
                    required=CANDIDATE_COLUMNS,
                    sealed="format" in self._run,
                )
                if frames.run_of(table) not in ("", self._run.get("id")):
                    raise DamagedFileError("it belongs to another run")
            except DamagedFileError as error:
                if repair:
                    files.move(path, path.with_name(path.name + ".corrupt"))
                _log.warning("%s %s: %s", "moved aside" if repair else "left out", path, error)
            except OSError as error:
                raise StoreError(f"cannot read {path}: {why(error)}") from error
            else:
                yield from table.to_pylist()


def load_candidates(path: str | Place) -> pd.DataFrame:
    """Reads the candidates of a search: one row each, typed as in `CANDIDATE_COLUMNS`, in order.

    Args:
        path: A run directory or its URL; one that is no search gives no rows.
    """
    rows = list(CandidateLog(place(path)).rows())
    table = frames.table_of(rows, CANDIDATE_COLUMNS) if rows else None
    return frames.typed_frame(table, CANDIDATE_COLUMNS, order=("number",))


def finished_candidates(candidates: pd.DataFrame) -> pd.DataFrame:
    """Gives the candidates that passed all stages, each cell once, best score first."""
    rows = candidates[(candidates["status"] == FINISHED) & candidates["score"].notna()]
    rows = rows.sort_values(["score", "number"], ascending=[False, True], kind="stable")
    return rows.drop_duplicates("cell_key")
