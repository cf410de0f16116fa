"""What a section of the benchmark is: settings in, cases measured one by one, findings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from odyssey.errors import ConfigError

Measurement = Mapping[str, str | int | float]

MOST = {"rounds": 1000, "steps": 10_000, "hidden": 4096, "batch": 4096}
"""The largest value of each number that can be set."""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        rounds: Samples of every candidate, of which the median counts.
        steps: Time steps T of a sequence.
        hidden: Hidden sizes H instead of each section's own; empty for those.
        batch: Batch sizes B instead of each section's own; empty for those.
        quick: Whether sizes that are not set are tiny: what runs, not how fast.
    """

    rounds: int = 9
    steps: int = 128
    hidden: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()
    quick: bool = False

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else (given,):
                if not 1 <= value <= most:
                    raise ConfigError(f"{name} must be from 1 to {most:,}, got {value}")

    @property
    def usual(self) -> bool:
        """Whether sizes are those that the goals are stated for."""
        return self.steps == 128 and not (self.hidden or self.batch or self.quick)

    def hidden_sizes(self, *usual: int) -> tuple[int, ...]:
        """Gives the hidden sizes of a section whose own are `usual`."""
        return self.hidden or ((24,) if self.quick else usual)

    def batch_sizes(self, *usual: int) -> tuple[int, ...]:
        """Gives the batch sizes of a section whose own are `usual`."""
        return self.batch or ((4,) if self.quick else usual)


@dataclass(frozen=True)
class Case:
    """One line of a section's table.

    Attributes:
        name: What is measured.
        effort: Rough cost in ms, for the time that is left.
        measure: Measures it; times in ms unless the column says otherwise.
    """

    name: str
    effort: float
    measure: Callable[[], Measurement]


@dataclass(frozen=True)
class Finding:
    """What the lines of a section say in one figure.

    Attributes:
        name: What the figure is.
        value: The figure.
        bound: What the project wants of it at the usual sizes; None where it only informs.
        at_most: Whether less is better, and the bound an upper one.
        neutral: Whether neither more nor less is better, as of what ours is measured beside.
    """

    name: str
    value: float
    bound: float | None = None
    at_most: bool = False
    neutral: bool = False

    @property
    def better(self) -> str:
        """Says which way is better: "more", "less", or nothing."""
        return "" if self.neutral else "less" if self.at_most else "more"

    @property
    def wanted(self) -> str:
        """Prints the bound."""
        if self.bound is None:
            return ""
        return f"{'at most' if self.at_most else 'at least'} {self.bound:g}"

    @property
    def met(self) -> str:
        """Says yes or NO, or nothing where there is no bound."""
        if self.bound is None:
            return ""
        fits = self.value <= self.bound if self.at_most else self.value >= self.bound
        return "yes" if fits else "NO"


@dataclass(frozen=True)
class Section:
    """One table of the benchmark.

    Attributes:
        title: Heading.
        note: What is compared with what, in a sentence or two.
        cases: The lines to measure.
        findings: What the lines say in a few figures.
        lacking: Says what the section needs and this machine has not, or nothing.
    """

    title: str
    note: str
    cases: Callable[[Settings], Sequence[Case]]
    findings: Callable[[Sequence[Measurement]], Sequence[Finding]]
    lacking: Callable[[], str] = lambda: ""


def column(rows: Sequence[Measurement], name: str) -> list[float]:
    """Gives the numbers of a column."""
    return [float(row[name]) for row in rows]
