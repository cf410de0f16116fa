"""Mutants of a cell, with what differs from it, and the table of mutations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.expr.text import diff
from odyssey.specs import get_cell
from odyssey.transforms.constraints import nodes
from odyssey.transforms.mutations import (
    CROSSOVERS,
    MUTATIONS,
    Crossover,
    Mutant,
    Mutation,
    NotApplicable,
    apply_operator,
    check_weights,
    mutate,
)

DRAWS_A_MUTANT = 20


@dataclass(frozen=True)
class MutateOptions:
    """How mutants are drawn.

    Attributes:
        operator: This mutation only; empty draws among all.
        seed: Seed; mutant k is the same whatever `count` is.
        count: Different mutants.
        steps: Mutations one after the other.
        partner: Spec of a second cell: crossovers are drawn as well.
        weights: Mutation -> how often it is drawn, 0 never, instead of its own weight.
    """

    operator: str | None = None
    seed: int = 1
    count: int = 1
    steps: int = 1
    partner: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Mutants:
    """Different mutants of a cell; fewer than were asked for where `draws` gave no more."""

    parent: Cell
    mutants: tuple[Mutant, ...]
    draws: int

    def rows(self) -> list[dict[str, Any]]:
        """Describes every mutant, with the lines in which it differs from its parent."""
        return [
            {
                "name": cell.name,
                "operator": mutant.operator,
                "nodes": nodes(cell),
                "key": cell.key,
                "parents": mutant.parents,
                "lineage": cell.lineage,
                "text": cell.text,
                "diff": [line for line in diff(self.parent, cell) if not line.startswith(" ")],
            }
            for mutant in self.mutants
            for cell in [mutant.cell]
        ]

    def save(self, folder: Path) -> None:
        """Writes every mutant as a `.cell` file; raises `ConfigError` where that cannot be."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for mutant in self.mutants:
                (folder / f"{mutant.cell.name}.cell").write_text(mutant.cell.text, "utf-8")
        except OSError as error:
            raise ConfigError(f"--save {folder}: cannot be written ({error.strerror})") from None


def mutation_rows(weights: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """Describes every mutation and crossover; raises `CellError` for a weight of no mutation."""
    checked = check_weights(weights)
    known: dict[str, Mutation | Crossover] = {**MUTATIONS, **CROSSOVERS}
    return [
        {
            "mutation": name,
            "weight": checked[name],
            "source": row.source,
            "what it does": row.about,
        }
        for name, row in known.items()
    ]


def mutate_cell(spec: str, options: MutateOptions | None = None) -> Mutants:
    """Draws different mutants of a cell.

    Raises:
        CellError: The spec makes no cell, or there is no such mutation.
        NotApplicable: No mutation applies in all draws.
        ConfigError: The options make no sense.
    """
    options = options or MutateOptions()
    weights = check_weights(options.weights)
    if options.count < 1 or options.steps < 1 or options.seed < 0:
        raise ConfigError("--count and --steps must be at least 1, --seed at least 0")
    if options.operator and options.weights:
        raise ConfigError("--weights has no meaning with --operator")
    cell = get_cell(spec)
    partner = get_cell(options.partner) if options.partner else None
    if options.operator in CROSSOVERS and partner is None:
        raise ConfigError(f"{options.operator} needs a second cell: --partner SPEC")
    different: dict[str, Mutant] = {}
    draws, reason = DRAWS_A_MUTANT * options.count, ""
    for k in range(draws):
        rng = np.random.default_rng([options.seed, k])
        try:
            if options.operator:
                mutant = _apply(cell, options.operator, options.steps, partner, rng)
            else:
                mutant = mutate(cell, rng, weights=weights, partner=partner, steps=options.steps)
        except NotApplicable as error:
            reason = str(error)
            continue
        different.setdefault(mutant.cell.key, mutant)
        if len(different) == options.count:
            break
    if not different:
        what = options.operator or "mutate"
        raise NotApplicable(f"{what} does not apply to {cell.name}: {reason}")
    return Mutants(cell, tuple(different.values()), draws)


def _apply(
    cell: Cell, operator: str, steps: int, partner: Cell | None, rng: np.random.Generator
) -> Mutant:
    result = cell
    for _ in range(steps):
        result = apply_operator(result, operator, rng, partner=partner)
    if result.key == cell.key:
        raise NotApplicable("the steps undo each other")
    crossed = operator in CROSSOVERS and partner is not None
    parents = (cell.key, partner.key) if crossed and partner is not None else (cell.key,)
    return Mutant(result, "+".join([operator] * steps), parents)
