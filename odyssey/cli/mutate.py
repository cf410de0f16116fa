"""`odyssey mutate`: mutants of a cell, with what differs from it, and the table of mutations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.cli.printing import print_json, print_rows
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
    NotApplicable,
    Operator,
    apply_operator,
    check_weights,
    mutate,
)
from odyssey.wording import quoted

DRAWS = 20  # for each mutant that is asked for


def run(args: argparse.Namespace) -> None:
    """Prints mutants, or the table of mutations."""
    weights = check_weights(_weights(args.weights))
    if args.list:
        _list(weights, as_json=args.json)
        return
    if args.spec is None:
        raise ConfigError("name a cell to mutate (see: odyssey cells), or say --list")
    if args.count < 1 or args.steps < 1 or args.seed < 0:
        raise ConfigError("--count and --steps must be at least 1, --seed at least 0")
    if args.operator and args.weights:
        raise ConfigError("--weights has no meaning with --operator")
    cell = get_cell(args.spec)
    partner = get_cell(args.partner) if args.partner else None
    if args.operator in CROSSOVERS and partner is None:
        raise ConfigError(f"{args.operator} needs a second cell: --partner SPEC")
    mutants = _draw(cell, partner, weights, args)
    if args.save:
        _save(mutants, Path(args.save))
    rows = [_row(cell, m) for m in mutants]
    if args.json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['name']}: {row['operator']} of {cell.name}, {row['nodes']} nodes\n")
        print(row["text"])
        print(f"against {cell.name}:")
        print("\n".join(row["diff"]) + "\n")


def _list(weights: dict[str, float], *, as_json: bool) -> None:
    known: dict[str, Operator | Crossover] = {**MUTATIONS, **CROSSOVERS}
    rows = [
        {
            "mutation": name,
            "weight": weights[name],
            "source": row.source,
            "what it does": row.about,
        }
        for name, row in known.items()
    ]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows)


def _weights(given: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in given:
        name, _, text = item.partition("=")
        try:
            found[name.strip()] = float(text)
        except ValueError:
            raise ConfigError(f"--weights {quoted(item)}: write NAME=NUMBER") from None
    return found


def _draw(
    cell: Cell, partner: Cell | None, weights: dict[str, float], args: argparse.Namespace
) -> list[Mutant]:
    """Draws different mutants; number k is the same whatever --count is."""
    found: dict[str, Mutant] = {}
    reason = ""
    for k in range(DRAWS * args.count):
        rng = np.random.default_rng([args.seed, k])
        try:
            if args.operator:
                mutant = _apply(cell, partner, rng, args)
            else:
                mutant = mutate(cell, rng, weights=weights, partner=partner, steps=args.steps)
        except NotApplicable as error:
            reason = str(error)
            continue
        found.setdefault(mutant.cell.key, mutant)
        if len(found) == args.count:
            break
    if not found:
        raise NotApplicable(f"{args.operator or 'mutate'} does not apply to {cell.name}: {reason}")
    if len(found) < args.count:
        print(
            f"odyssey: {len(found)} different mutants in {DRAWS * args.count} draws",
            file=sys.stderr,
        )
    return list(found.values())


def _apply(
    cell: Cell, partner: Cell | None, rng: np.random.Generator, args: argparse.Namespace
) -> Mutant:
    result = cell
    for _ in range(args.steps):
        result = apply_operator(result, args.operator, rng, partner=partner)
    if result.key == cell.key:
        raise NotApplicable("the steps undo each other")
    crossed = partner is not None and args.operator in CROSSOVERS
    parents = (cell.key, partner.key) if crossed and partner is not None else (cell.key,)
    return Mutant(result, "+".join([args.operator] * args.steps), parents)


def _row(parent: Cell, mutant: Mutant) -> dict[str, Any]:
    cell = mutant.cell
    return {
        "name": cell.name,
        "operator": mutant.operator,
        "nodes": nodes(cell),
        "key": cell.key,
        "parents": mutant.parents,
        "lineage": cell.lineage,
        "text": cell.text,
        "diff": [line for line in diff(parent, cell) if not line.startswith(" ")],
    }


def _save(mutants: list[Mutant], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for mutant in mutants:
            (folder / f"{mutant.cell.name}.cell").write_text(mutant.cell.text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--save {folder}: cannot be written ({error.strerror})") from None
