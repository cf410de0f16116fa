"""Cells from cells: what the operators are asked for, and what they say when nothing applies."""

from contextlib import suppress

import numpy as np
import pytest

from odyssey.cells import LIBRARY
from odyssey.expr import parse_cell
from odyssey.specs import get_cell
from odyssey.strategies import breeding
from odyssey.strategies.breeding import CellBreeder
from odyssey.strategies.proposal import NoCellError, Outcome
from odyssey.transforms.mutations import MUTATIONS, NotApplicable


def outcome(number, spec):
    cell = get_cell(spec)
    return Outcome(number, cell.key, cell.text, passed=1, score=0.5, cost=1.0)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_mutant_has_so_many_mutations(times):
    made = CellBreeder().mutant(outcome(7, "lstm"), np.random.default_rng(1), times=times)
    assert len(made.operators) == times
    assert set(made.operators) <= set(MUTATIONS)
    assert made.parents == (7,)
    assert parse_cell(made.text).key != get_cell("lstm").key


def test_weights_choose_the_mutations():
    name = "add_gate"
    breeder = CellBreeder(weights={m: float(m == name) for m in MUTATIONS})
    for seed in range(5):
        made = breeder.mutant(outcome(0, "lstm"), np.random.default_rng(seed), times=1)
        assert made.operators == (name,)
    free = {
        CellBreeder().mutant(outcome(0, "lstm"), np.random.default_rng(s), times=1).operators
        for s in range(12)
    }
    assert len(free) > 1


def test_a_child_has_two_parents_and_the_equations_of_both():
    made, rng = [], np.random.default_rng(2)
    for _ in range(20):
        with suppress(NoCellError):
            made.append(CellBreeder().child(outcome(3, "lstm"), outcome(5, "gru"), rng))
    assert made
    for one in made:
        assert one.operators == ("crossover",)
        assert one.parents == (3, 5)
        assert parse_cell(one.text).key not in {get_cell(s).key for s in LIBRARY}


def test_what_does_not_apply_is_no_cell(monkeypatch):
    def nothing(*arguments, **options):
        raise NotApplicable("no")

    for method in ("mutate", "crossover"):
        monkeypatch.setattr(breeding, method, nothing)
    one, rng = outcome(0, "elman"), np.random.default_rng(1)
    with pytest.raises(NoCellError, match="no mutation applies"):
        CellBreeder().mutant(one, rng, times=1)
    with pytest.raises(NoCellError, match="no crossover applies"):
        CellBreeder().child(one, one, rng)


def test_sizes_from_scratch_are_all_those_between(monkeypatch):
    drawn = []
    make = breeding.random_cell

    def noted(rng, *, nodes):
        drawn.append(nodes)
        return make(rng, nodes=6)

    monkeypatch.setattr(breeding, "random_cell", noted)
    for seed in range(40):
        made = CellBreeder(nodes=(8, 10)).scratch(np.random.default_rng(seed))
        assert made.operators == ("scratch",)
        assert made.parents == ()
        parse_cell(made.text)
    assert set(drawn) == {8, 9, 10}
    assert CellBreeder().nodes == (6, 30)
