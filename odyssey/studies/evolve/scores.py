"""From the rows of trials to the numbers that a search decides by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from odyssey.storage.guessing import no_worse_than_guessing
from odyssey.storage.schema import OK, UNMEASURED


@dataclass(frozen=True)
class TrialScore:
    """What a search remembers of a trial.

    Attributes:
        nats: Best validation loss over its members, nats per counted character; a loss worse than
            guessing counts as guessing; NaN without any.
        accuracy: Best validation accuracy over its members, likewise; NaN without any.
        members: Members trained.
        characters: Characters that all members were trained on together.
        seconds: Training time of all members together.
        reason: Why there is no result; empty when there is one.
        processor_seconds: Processor time of all members together; NaN where no record says.
        unmeasured: Whether it was stopped at its limit, which says nothing about the cell.
    """

    nats: float
    accuracy: float
    members: int
    characters: float
    seconds: float
    reason: str = ""
    processor_seconds: float = math.nan
    unmeasured: bool = False


def trial_score(rows: Iterable[Mapping[str, Any]]) -> TrialScore:
    """Sums up the rows of one trial: columns of `RESULT_COLUMNS`, `num_symbols` among them."""
    nats, accuracy, reason = math.nan, math.nan, ""
    members, characters, seconds, processor = 0, 0.0, 0.0, 0.0
    unmeasured = False
    for row in rows:
        members += 1
        characters += float(row.get("characters") or 0)
        seconds += float(row.get("seconds") or 0.0)
        processor += float(row.get("processor_seconds", math.nan))
        unmeasured = unmeasured or row["status"] == UNMEASURED
        if row["status"] != OK:
            reason = reason or f"{row['status']}: {row.get('reason') or ''}"
            continue
        nats = _best(min, nats, _score(row, "valid_nats"))
        accuracy = _best(max, accuracy, _score(row, "valid_accuracy"))
    return TrialScore(
        nats,
        accuracy,
        members,
        characters,
        seconds,
        "" if nats == nats else reason or "no result",
        processor,
        unmeasured,
    )


def merged(scores: Iterable[TrialScore]) -> TrialScore:
    """Puts trials of one cell on one task together: the best of all their members."""
    found = list(scores)
    nats, accuracy = math.nan, math.nan
    for score in found:
        nats = _best(min, nats, score.nats)
        accuracy = _best(max, accuracy, score.accuracy)
    reasons = [s.reason for s in found if s.reason]
    if any(s.unmeasured for s in found):  # fewer draws than the others had are no score
        nats, accuracy = math.nan, math.nan
    return TrialScore(
        nats,
        accuracy,
        sum(s.members for s in found),
        sum(s.characters for s in found),
        sum(s.seconds for s in found),
        "" if nats == nats else next(iter(reasons), "no result"),
        sum(s.processor_seconds for s in found),
        any(s.unmeasured for s in found),
    )


def ratio(mine: TrialScore, baseline: TrialScore, *, measure: str) -> float:
    """Gives how good a cell is relative to the baseline on one task; more is better, NaN unknown.

    Jozefowicz et al. 2015, equation 1, without its minimum over tasks; for losses turned round.
    """
    if measure == "accuracy":
        one, other = mine.accuracy, baseline.accuracy
    else:
        one, other = baseline.nats, mine.nats
    if math.isnan(one) or math.isnan(other):
        return math.nan
    return one / max(other, 1e-12)


def _score(row: Mapping[str, Any], column: str) -> float:
    """Gives a score of a row, guessing where it is worse; NaN where there is none."""
    value, symbols = row.get(column), row.get("num_symbols")
    # A row of an older record has no symbols, or a missing value.
    known = float(symbols) if isinstance(symbols, Integral) else _patterns(row)
    return no_worse_than_guessing(math.nan if value is None else float(value), known, column)


def _patterns(row: Mapping[str, Any]) -> float | None:
    """Gives how many symbols would make guessing as costly as it is; None where that is unknown."""
    nats = row.get("guess_nats")
    return None if nats is None or not math.isfinite(nats) else math.exp(nats)


def _best(of: Callable[[float, float], float], known: float, value: float) -> float:
    if math.isnan(value):
        return known
    return value if math.isnan(known) else of(known, value)
