"""A study out of one cell: the cell, what it is without its parts, and a budget that all share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tomli_w

from odyssey.errors import CellError, ConfigError, suggest
from odyssey.options import Options
from odyssey.specs import CELL_SETS, ablated_spec, get_cell, shown_names
from odyssey.studies.absolute import absolute_cell, absolute_tasks
from odyssey.studies.factorial import combined_specs
from odyssey.studies.reading import Settings
from odyssey.studies.study import Study, parse_study
from odyssey.transforms.ablations import gates
from odyssey.transforms.neighbours import single_changes
from odyssey.wording import plural

MATCHES = ("none", "parameters")
# What a fresh clone works through in minutes; --set changes any of it.
TRAINING: dict[str, Any] = {
    "optimizer": "adam",
    "epochs": 16,
    "updates_per_epoch": 50,
    "batch_size": 20,
    "unroll": 35,
}
SPACE: dict[str, Any] = {
    "learning_rate": {"log_uniform": [2e-3, 4e-2]},
    "clip_norm": 5.0,
}
SIZE_SPACES: dict[str, dict[str, Any]] = {
    "none": {"hidden_size": {"log_uniform": [32, 96]}},
    # About the range that an LSTM of 32 to 96 units has on small alphabets.
    "parameters": {"parameters": {"log_uniform": [8_000, 50_000]}},
}


@dataclass(frozen=True, kw_only=True)
class DrawnOptions(Options):
    """How cells are compared, on the same draws.

    Attributes:
        tasks: Task specs.
        draws: Draws of hyperparameters and seeds per cell and task.
        match: none, and a draw is a hidden size; or parameters, and it is a number of parameters,
            which every cell meets with the hidden size that it needs.
        margin: What differs by less counts as equal, in bits per character; 0 declares none.
        seed: The seed that everything is derived from.
        settings: Overrides of any field of the study, as in `{"epochs": 40}` or `["epochs=40"]`.
    """

    tasks: Sequence[str] = ("arithmetic", "xml")
    draws: int = 16
    match: Literal["none", "parameters"] = "none"
    margin: float = 0.0
    seed: int = 1
    settings: Settings = ()


@dataclass(frozen=True, kw_only=True)
class AblationOptions(DrawnOptions):
    """What a cell is compared with, and how.

    Attributes:
        variants: Ablations of it (`no_forget_gate`, `NFG`), or whole specs where they have a
            colon, are library cells or `.cell` files; without any, every cell one change away.
        cell_set: A paper's set of cells instead, such as odyssey9.
        factorial: Changes that are made in all combinations, instead: ablations, or gates, which
            are dropped.
    """

    variants: Sequence[str] = ()
    cell_set: str = ""
    factorial: Sequence[str] = ()


def ablation_cells(spec: str, *, variants: Sequence[str] = (), cell_set: str = "") -> list[str]:
    """Lists the specs of an ablation study, the baseline first.

    Args:
        spec: The baseline.
        variants: Ablations of it (`no_forget_gate`, `NFG`, `forget_bias=2`), or whole specs where
            they have a colon, are library cells or `.cell` files.
        cell_set: A paper's set, such as odyssey9; then the baseline joins it in front.

    Without either, every cell one change away.

    Raises:
        CellError: The spec or a variant makes no cell.
        ConfigError: Both are given, there is no such set, or the cell admits no change.
    """
    base = get_cell(spec)
    if variants and cell_set:
        raise ConfigError("give variants or a set of cells, not both")
    if cell_set:
        if cell_set not in CELL_SETS:
            raise ConfigError(suggest(cell_set, CELL_SETS, what="set of cells"))
        return list(dict.fromkeys([spec, *CELL_SETS[cell_set]]))
    if variants:
        whole = [v if _is_spec(v) else ablated_spec(spec, [v]) for v in variants]
    else:
        whole = [ablated_spec(spec, [operator]) for operator in single_changes(base)]
    if not whole:
        raise ConfigError(f"{spec} admits no single change; name variants")
    for one in whole:
        get_cell(one)
    return list(dict.fromkeys([spec, *whole]))


def _is_spec(variant: str) -> bool:
    from odyssey.cells import LIBRARY

    return ":" in variant.partition("=")[0] or variant in LIBRARY or variant.endswith(".cell")


def _changes(spec: str, given: Sequence[str]) -> list[str]:
    """Reads the changes of a factorial: an ablation, or a gate, which is dropped."""
    names = gates(get_cell(spec)) if given else ()
    return [f"drop_gate={change}" if change in names else change for change in given]


def _combined(spec: str, changes: Sequence[str]) -> list[str]:
    """Lists all combinations of changes; raises `ConfigError` where one makes no cell of its own.

    Changes may exclude each other, as gates that are coupled and dropped; then there is no effect
    of both.
    """
    seen: dict[str, str] = {}
    specs = list(combined_specs(spec, changes))
    for one in specs:
        try:
            key = get_cell(one).key
        except CellError as error:
            raise ConfigError(f"no factorial of these changes: {one}: {error}") from None
        if key in seen:
            raise ConfigError(
                f"no factorial of these changes: {one} and {seen[key]} are the same cell"
            )
        seen[key] = one
    return specs


def ablation_study(spec: str, options: AblationOptions | None = None) -> Study:
    """Makes the study behind a table of ablations.

    Every cell gets the same draws and the same budget. Hyperparameters are drawn from `SPACE`, the
    size from `SIZE_SPACES`.

    Args:
        spec: The baseline.
        options: What is compared, and how.

    Raises:
        OdysseyError: The study makes no sense; the message says why.
    """
    options = options or AblationOptions()
    draws, match = options.draws, options.match
    if draws < 1:
        raise ConfigError(f"draws must be at least 1, got {draws}")
    if match not in MATCHES:
        raise ConfigError(suggest(match, MATCHES, what="way to match"))
    base = absolute_cell(spec)
    if options.factorial and (options.variants or options.cell_set):
        raise ConfigError("give --factorial, or variants or a set of cells, not both")
    factorial = _changes(base, options.factorial)
    if factorial:
        cells = _combined(base, factorial)
    else:
        cells = ablation_cells(base, variants=options.variants, cell_set=options.cell_set)
    own = shown_names([base])[base]
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", own).strip("-.")
    matched = "the same numbers of parameters" if match == "parameters" else "the same hidden sizes"
    changed = "one thing changed"
    if factorial:
        changed = f"{', '.join(factorial)} changed in all combinations"
    data = {
        "name": f"ablate-{name or 'cell'}",
        "description": f"{own} and what it is with {changed}, "
        f"{plural(draws, 'draw')} a cell and task, {matched}.",
        "cells": cells,
        "tasks": absolute_tasks(options.tasks),
        "baseline": base,
        "margin": options.margin,
        "factorial": factorial,
        "members": draws,
        "seed": options.seed,
        "training": TRAINING,
        "space": SPACE | SIZE_SPACES[match],
    }
    return parse_study(tomli_w.dumps(data), settings=options.settings)
