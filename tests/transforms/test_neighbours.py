"""Every single change that a cell admits: all legal, all different, none forgotten."""

from __future__ import annotations

import pytest
from support.representatives import REPRESENTATIVES

from odyssey.specs import get_cell
from odyssey.transforms.ablations import SHORT
from odyssey.transforms.neighbours import FORGET_BIASES, single_changes


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_neighbours_are_different_legal_cells(name):
    cell = get_cell(name)
    found = single_changes(cell)
    assert found
    keys = [changed.key for changed in found.values()]
    assert len({*keys, cell.key}) == len(keys) + 1
    for operator, changed in found.items():
        assert changed.lineage == (name, operator)
        assert get_cell(f"{name}:{operator}").key == changed.key


def test_the_odysseys_eight_are_among_those_of_the_peephole_lstm():
    found = single_changes(get_cell("lstm_peephole"))
    assert set(SHORT.values()) <= set(found)
    assert {f"forget_bias={value}" for value in FORGET_BIASES} <= set(found)
    # Each has one name: the gates are dropped as no_..._gate.
    assert not any(operator.startswith("drop_gate") for operator in found)
