"""Which candidate goes on: rules as data, thresholds as numbers."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """When a candidate goes on after a stage: when all that is given holds.

    Attributes:
        at_least: Accuracy of its best draw, on every task of the stage.
        gate: Its score.
        keep: It is among this share of the best known at the stage, itself included.
    """

    at_least: float | None = None
    gate: float | None = None
    keep: float | None = None

    def thresholds(self, known: KnownScores) -> Thresholds:
        """Fixes the rule as numbers, from the scores that are known now."""
        score = -math.inf if self.gate is None else self.gate
        if self.keep is not None:
            score = max(score, known.least_of_best(self.keep))
        return Thresholds(0.0 if self.at_least is None else self.at_least, score)


@dataclass(frozen=True)
class Thresholds:
    """What a candidate must reach: an accuracy on every task, and a score."""

    accuracy: float = 0.0
    score: float = -math.inf

    def passed(self, *, accuracies: Mapping[str, float], score: float) -> bool:
        """Tells whether a candidate goes on; one without a result does not.

        Args:
            accuracies: Of its best draw, by task of the stage; NaN without a result.
            score: Its score.
        """
        if any(math.isnan(a) for a in accuracies.values()) or math.isnan(score):
            return False
        return all(a >= self.accuracy for a in accuracies.values()) and score >= self.score


class KnownScores:
    """The scores known at one stage of one arm."""

    def __init__(self) -> None:
        self._ascending: list[float] = []

    def __len__(self) -> int:
        return len(self._ascending)

    def add(self, score: float) -> None:
        """Takes one more score; NaN, no result, counts as the worst."""
        insort(self._ascending, -math.inf if math.isnan(score) else score)

    def least_of_best(self, share: float) -> float:
        """Gives what a newcomer must reach to be among the best share of all with it.

        The share is rounded up to whole candidates, so that a first one goes on.
        """
        places = math.ceil(share * (len(self._ascending) + 1))
        return -math.inf if places > len(self._ascending) else self._ascending[-places]
