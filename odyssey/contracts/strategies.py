"""The contract of strategies: asking changes nothing, and what is told decides what is asked."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from odyssey.contracts.finding import Checks, expect
from odyssey.strategies.proposal import NoCellError, Outcome, Proposal, Strategy
from odyssey.strategies.registry import make_strategy, strategy_options

BITS = 24
STEPS = 50


class BitBreeder:
    """Breeds bit strings: a landscape on which the best are known."""

    def mutant(self, parent: Outcome, rng: np.random.Generator, *, times: int) -> Proposal:
        """Turns so many bits round."""
        bits = list(parent.text)
        for place in rng.choice(BITS, size=times, replace=False):
            bits[place] = "10"[int(bits[place])]
        return Proposal("".join(bits), ("flip",) * times, (parent.number,))

    def child(self, one: Outcome, other: Outcome, rng: np.random.Generator) -> Proposal:
        """Joins the beginning of the one and the end of the other."""
        cut = int(rng.integers(1, BITS))
        text = one.text[:cut] + other.text[cut:]
        return Proposal(text, ("crossover",), (one.number, other.number))

    def scratch(self, rng: np.random.Generator) -> Proposal:
        """Draws bits."""
        return Proposal("".join(str(b) for b in rng.integers(2, size=BITS)), ("scratch",))


def bit_outcome(number: int, text: str, **changes: Any) -> Outcome:
    """Gives the outcome of a bit string: its score is the share of ones."""
    cost = float(text[: BITS // 2].count("1"))
    values = {"passed": 1, "score": text.count("1") / BITS, "cost": cost}
    return Outcome(number, text, text, **(values | changes))


def _seeds() -> Iterator[Outcome]:
    for number, text in enumerate(("00", "01")):
        yield bit_outcome(number, text * (BITS // 2), seed=True)


def _run(strategy: Strategy, *, asks: int = 1, seed: int = 1) -> list[Proposal | None]:
    proposals: list[Proposal | None] = []
    for one in _seeds():
        strategy.tell(one)
    for step in range(STEPS):
        found: Proposal | None = None
        for _ in range(asks):
            try:
                found = strategy.ask(np.random.default_rng([seed, step]))
            except NoCellError:
                found = None
        proposals.append(found)
        if found is not None:
            strategy.tell(bit_outcome(step + 2, found.text, again=found.again))
    return proposals


def check_options(name: str, row: Any) -> None:
    """Checks its options: keyword arguments with a default, counts or shares."""
    for option in inspect.signature(row).parameters.values():
        if option.kind is option.KEYWORD_ONLY:
            number = type(option.default) in (int, float)
            expect(number, f"the option {option.name} has no default that is a number")
    for option_name, value in strategy_options(name).items():
        fits = 1 <= value <= 100_000 if isinstance(value, int) else 0 <= value <= 1
        kinds = "counts (int) from 1, or shares (float) from 0 to 1"
        expect(fits, f"the option {option_name} is {value}: options are {kinds}")


def check_proposals(name: str, row: Any) -> None:
    """Checks 50 rounds of ask and tell with a breeder of bit strings."""
    numbers = 0
    for proposal in _run(make_strategy(name, BitBreeder(), {})):
        numbers += proposal is not None
        if proposal is not None:
            expect(isinstance(proposal, Proposal), f"ask gives {type(proposal).__name__}")
            known = all(0 <= parent < STEPS + 2 for parent in proposal.parents)
            expect(known, f"names the parents {proposal.parents}, which were never told")
    expect(numbers > STEPS // 2, f"proposed a cell in {numbers} of {STEPS} rounds only")


def check_determinism(name: str, row: Any) -> None:
    """Checks that the same random numbers give the same search, others another."""
    first, again, other = (
        _run(make_strategy(name, BitBreeder(), {}), seed=seed) for seed in (1, 1, 2)
    )
    expect(first == again, "the same random numbers give another search")
    expect(first != other, "other random numbers give the same search")


def check_asking(name: str, row: Any) -> None:
    """Checks that asking changes nothing: a resumed search only tells again."""
    once = _run(make_strategy(name, BitBreeder(), {}))
    thrice = _run(make_strategy(name, BitBreeder(), {}), asks=3)
    expect(once == thrice, "ask changes what is asked next; only tell may")


CHECKS: Checks = {
    "options": check_options,
    "proposals": check_proposals,
    "follows from its random numbers": check_determinism,
    "asking changes nothing": check_asking,
}
