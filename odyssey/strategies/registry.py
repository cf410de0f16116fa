"""The table of strategies, and how a study's options make one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from odyssey.errors import ConfigError, suggest
from odyssey.registry import Registry
from odyssey.strategies.aging import AgingEvolution
from odyssey.strategies.jozefowicz import TopList
from odyssey.strategies.nsga2 import ParetoSearch
from odyssey.strategies.proposal import Breeder, Outcome, Proposal, Strategy
from odyssey.strategies.random_search import RandomSearch
from odyssey.wording import quoted


def _problem(name: str, row: Any) -> str:
    if not callable(row):
        return (
            f"{quoted(name)} must be a class with `ask` and `tell` (odyssey.strategies.proposal),"
            f" got {type(row).__name__}"
        )
    if isinstance(row, type) and not all(hasattr(row, method) for method in ("ask", "tell")):
        return f"{quoted(name)} has no `ask` or no `tell`: a strategy has both"
    return ""


STRATEGIES: Registry[Callable[..., Strategy]] = Registry(
    "strategy",
    {
        "random": RandomSearch,
        "jozefowicz": TopList,
        "aging": AgingEvolution,
        "nsga2": ParetoSearch,
    },
    problem=_problem,
)


def strategy_options(name: str) -> dict[str, float]:
    """Gives the options of a strategy with their defaults: counts are int, shares float."""
    if name not in STRATEGIES:
        raise ConfigError(suggest(name, STRATEGIES, what="strategy"))
    parameters = inspect.signature(STRATEGIES[name]).parameters
    return {p.name: p.default for p in parameters.values() if p.kind is p.KEYWORD_ONLY}


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raises `ConfigError` unless these are options of the strategy with values that make sense."""
    known = strategy_options(name)
    for option, value in options.items():
        if option not in known:
            raise ConfigError(suggest(option, known, what=f"option of strategy {name}"))
        whole = isinstance(known[option], int)
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not (1 <= value <= 100_000 if whole else 0 <= value <= 1):
            wanted = "a whole number from 1" if whole else "a share from 0 to 1"
            raise ConfigError(f"strategy.{option} must be {wanted}, got {quoted(value)}")


class _Parents:
    """Keeps from a strategy the cells that do not breed, so that it cannot make them parents."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Proposes what the strategy does."""
        return self._strategy.ask(rng)

    def tell(self, outcome: Outcome) -> None:
        """Passes on what may become a parent."""
        if outcome.breeds:
            self._strategy.tell(outcome)


def make_strategy(name: str, breeder: Breeder, options: Mapping[str, Any]) -> Strategy:
    """Makes a strategy, which hears only of cells that may be parents.

    Raises:
        ConfigError: There is no such strategy or option, or a value makes no sense.
    """
    check_options(name, options)
    return _Parents(STRATEGIES[name](breeder, **options))
