"""Rows of the package keep the contracts that rows of plug-ins are put to."""

import pytest

from odyssey.contracts import (
    cells,
    finding,
    metrics,
    optimizers,
    plugin,
    primitives,
    probes,
    tasks,
    transforms,
)
from odyssey.plugins.tables import TABLES, registry_of
from odyssey.tasks.registry import TASKS

# Of tables with many rows and long checks some; each has the whole contract elsewhere.
ROWS = {
    "PRIMITIVES": (("tanh", "maximum", "log", "step"), primitives.CHECKS),
    "CELLS": (("lstm", "elman", "scrn", "lmu"), cells.CHECKS),
    "ABLATIONS": (("no_forget_gate", "couple", "layer_norm", "chrono"), transforms.ABLATION_CHECKS),
    "MUTATIONS": (("insert_activation", "couple_gates", "change_bias"), transforms.MUTATION_CHECKS),
    "TASKS": (("copy", "group", "xml", "adding"), tasks.CHECKS),
    "PROBES": (registry_of("PROBES"), probes.CHECKS),
    "OPTIMIZERS": (registry_of("OPTIMIZERS"), optimizers.CHECKS),
}
CASES = [
    (table, row, says) for table, (rows, checks) in ROWS.items() for row in rows for says in checks
]


@pytest.mark.parametrize(("table", "row", "says"), CASES)
def test_a_row_keeps_the_contract(table, row, says):
    try:
        plugin.CHECKS[table][says](row, registry_of(table)[row])
    except finding.Missing as missing:
        pytest.fail(f"of the package nothing is missing: {missing}") if table != "TASKS" else None


def test_every_table_has_a_contract():
    assert list(plugin.CHECKS) == list(TABLES)
    assert all(plugin.CHECKS.values())
    assert "copy" in TASKS


@pytest.mark.parametrize("kind", ["classes", "bits", "reals"])
def test_made_predictions_are_what_they_say(kind):
    good, bad = (metrics.predictions(kind, skill=skill) for skill in (1.0, 0.0))
    assert good.nats.mean() < bad.nats.mean()
    assert good.nats.shape == good.sequence.shape == (len(good.targets),)
    if kind == "classes":
        assert ((good.rank == 0) == (good.predicted == good.targets)).all()
        assert good.rank.mean() < 0.1 < 1 < bad.rank.mean()
