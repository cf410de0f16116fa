"""What a strategy says and hears, and what breeds cells for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


class NoCellError(Exception):
    """Says that no cell came of an attempt to make one; its text is the reason to count."""


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate, as its strategy hears it.

    Attributes:
        number: The candidate's number.
        key: Its content key.
        text: Its cell text.
        passed: Stages it passed.
        score: Its score after the last stage it was measured in: more is better, the baseline
            has 1; -inf where there is none.
        cost: What it costs to run: parameters, or operations per character.
        breeds: Whether others may be made from it: False for a cell that has no result or did not
            pass a screen.
        seed: Whether evolution began with it.
        again: Whether a cell that was known was measured again, on fresh draws.
    """

    number: int
    key: str
    text: str
    passed: int
    score: float
    cost: float = 0.0
    breeds: bool = True
    seed: bool = False
    again: bool = False

    @property
    def rank(self) -> tuple[int, float]:
        """What candidates are compared by, more is better: stages passed, then score."""
        return self.passed, -math.inf if math.isnan(self.score) else self.score


@dataclass(frozen=True)
class Proposal:
    """A cell that a strategy wants measured.

    Attributes:
        text: The cell's text.
        operators: How it was made: names of mutations, "crossover", "scratch" or "again".
        parents: Numbers of the candidates that it was made from.
        again: Whether it is the first parent itself, to be measured on fresh draws.
        missed: Mutation -> how often it was drawn and did not apply.
    """

    text: str
    operators: tuple[str, ...]
    parents: tuple[int, ...] = ()
    again: bool = False
    missed: Mapping[str, int] = field(default_factory=dict)


class Breeder(Protocol):
    """Makes cells; every method may raise `NoCellError`."""

    def mutant(self, parent: Outcome, rng: np.random.Generator, *, times: int) -> Proposal:
        """Mutates a cell so many times."""

    def child(self, one: Outcome, other: Outcome, rng: np.random.Generator) -> Proposal:
        """Puts an equation of the one cell into the other."""

    def scratch(self, rng: np.random.Generator) -> Proposal:
        """Draws a cell from nothing."""


class Strategy(Protocol):
    """Decides what to measure next.

    Its state is a function of what it was told, in the order it was told: `ask` changes nothing, so
    that a resumed search only has to tell again.
    """

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Proposes a cell. Seeds have been told by then; may raise `NoCellError`."""

    def tell(self, outcome: Outcome) -> None:
        """Hears what became of a candidate; of those that do not breed it never hears."""


def random_outcome(items: list[Outcome], rng: np.random.Generator) -> Outcome:
    """Draws one of them."""
    return items[int(rng.integers(len(items)))]
