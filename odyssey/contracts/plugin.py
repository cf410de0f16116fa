"""Puts the rows of a plug-in to the contracts of their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from odyssey.contracts import (
    cells,
    metrics,
    optimizers,
    primitives,
    probes,
    strategies,
    tasks,
    transforms,
)
from odyssey.contracts.finding import Checks, Finding, findings
from odyssey.plugins.source import PluginSource
from odyssey.plugins.tables import TABLES, registry_of

CHECKS: Mapping[str, Checks] = {
    "PRIMITIVES": primitives.CHECKS,
    "ABLATIONS": transforms.ABLATION_CHECKS,
    "CELLS": cells.CHECKS,
    "MUTATIONS": transforms.MUTATION_CHECKS,
    "TASKS": tasks.CHECKS,
    "STRATEGIES": strategies.CHECKS,
    "PROBES": probes.CHECKS,
    "OPTIMIZERS": optimizers.CHECKS,
    "METRICS": metrics.CHECKS,
}
"""Table -> its contract; each table of a plug-in has one."""


def check_plugin(source: PluginSource) -> Iterator[Finding]:
    """Puts each row of a plug-in that is loaded to the checks of its table, in order."""
    for table in TABLES:
        registry = registry_of(table)
        for name in registry.added:
            if registry.source(name) == source.label:
                yield from findings(table, name, registry[name], CHECKS[table])
