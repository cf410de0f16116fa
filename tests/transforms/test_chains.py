"""Chains of single changes: known ones, and that each step is one."""

import pytest

from odyssey.errors import ConfigError
from odyssey.specs import get_cell
from odyssey.studies.make.ablation import DrawnOptions
from odyssey.studies.make.path import path_cells, path_study
from odyssey.studies.study import parse_study
from odyssey.transforms.ablations import ablate
from odyssey.transforms.chains import Chain, find_chain


def same(one, other):
    return not set(one.identity).isdisjoint(other.identity)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("lstm", "lstm_peephole", Chain(("peepholes",), ())),
        ("gru", "mgu", Chain(("couple=z:r",), ())),
        # with the reset gate taken, a gru is a cell of coupled gates without an output gate
        (
            "lstm:no_output_gate+no_output_activation",
            "gru",
            Chain(("couple=i:f",), ("no_reset_gate",)),
        ),
        ("gru", "gru", Chain((), ())),
        ("gru", "cornn", None),
    ],
)
def test_known_chains_are_found(first, last, expected):
    found = find_chain(get_cell(first), get_cell(last))
    assert found == expected
    if found is not None:
        one, other = get_cell(first), get_cell(last)
        for operator in found.away:
            one = ablate(one, operator)
        for operator in found.back:
            other = ablate(other, operator)
        assert same(one, other)


def test_a_path_lists_every_cell_once_and_ends_where_it_should():
    base = "lstm:no_output_gate+no_output_activation"
    assert path_cells(base, "gru") == [base, f"{base}+couple=i:f", "gru"]
    assert path_cells("gru", "mgu") == ["gru", "mgu"]
    assert path_cells("mgu", "gru") == ["mgu", "gru"]
    with pytest.raises(ConfigError, match="same cell"):
        path_cells("gru", "gru")
    with pytest.raises(ConfigError, match="name the steps yourself"):
        path_cells("gru", "cornn")


def test_a_path_is_a_study_with_its_first_cell_as_the_baseline():
    study = path_study(["lstm", "lstm:coupled_gates", "gru"], DrawnOptions(tasks=("xml",), draws=3))
    assert study.cells == study.path == ("lstm", "lstm:coupled_gates", "gru")
    assert (study.baseline, study.members) == ("lstm", 3)
    assert parse_study(study.to_toml()) == study
    with pytest.raises(ConfigError, match="two cells or more"):
        path_study(["lstm"])
    with pytest.raises(ConfigError, match="step of the path"):
        parse_study('name="a"\ncells=["gru"]\ntasks=["xml"]\npath=["lstm"]\n')
