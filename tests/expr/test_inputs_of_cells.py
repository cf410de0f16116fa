"""Inputs of a cell besides x: text, identity, notation, bounds, mutations and ablations of them."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from support.judge import check
from support.random_cells import random_further_cell

from odyssey import get_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.bounds import value_bounds
from odyssey.expr.equations import Declaration
from odyssey.expr.jacobian import format_jacobian
from odyssey.expr.notation import to_html
from odyssey.expr.terms import Input, leaves, replace
from odyssey.transforms.ablations import ablate
from odyssey.transforms.crossover import CROSSOVERS
from odyssey.transforms.degenerate import degenerate
from odyssey.transforms.mutations import MUTATIONS
from odyssey.transforms.sites import NotApplicable

COUNT = 40
each = pytest.mark.parametrize("cell", range(COUNT), indirect=True)
GATED = parse_cell(
    """cell gated
input x
input gap : 1
input seen : 4
state h

z    = sigmoid(W_z @ x[t] + V_z @ seen[t] + U_z @ h[t-1] + w_z * gap[t] + b_z)
h[t] = z * h[t-1] + (1 - z) * tanh(W @ x[t] + U @ h[t-1] + b)

output h
"""
)
LSTM = parse_cell(
    get_cell("lstm_peephole")
    .text.replace("@ x[t] +", "@ x[t] + V @ gap[t] +")
    .replace("input x\n", "input x\ninput gap : 1\n")
)


@pytest.fixture
def cell(request):
    return drawn(request.param)


@functools.cache
def drawn(n):
    return random_further_cell(np.random.default_rng([32, n]), size=3 + n % 14)


@each
def test_text_reads_back(cell):
    assert parse_cell(cell.text) == cell


@each
def test_the_canonical_form_is_its_own_and_the_same_function(cell):
    own = parse_cell(cell.canonical_text)
    assert own.canonical_text == cell.canonical_text
    assert own.identity[1] == cell.identity[1]


def with_inputs(cell, names):
    """The same cell with other names of its further inputs, declared in the other order."""

    def leaf(node):
        old = node.stem if isinstance(node, Input) else ""
        return Input(f"{names[old]}[t]") if old in names else None

    return dataclasses.replace(
        cell,
        further_inputs=tuple(
            Declaration(names.get(d.name, d.name), d.sizes) for d in cell.further_inputs[::-1]
        ),
        equations=tuple(e.with_value(replace(e.value, leaf)) for e in cell.equations),
    )


@each
def test_order_does_not_matter_but_names_do(cell):
    """Inputs are fed by name."""
    assert with_inputs(cell, {}).identity == cell.identity
    live = [*cell.live.inputs]
    if live:
        other = with_inputs(cell, {live[0]: "other"})
        assert other.key != cell.key
        assert other.fingerprint != cell.fingerprint


@each
def test_it_prints_and_is_bounded(cell):
    assert cell.latex().startswith("\\begin{aligned}")
    sizes = (*cell.state_sizes, *cell.weights, *cell.further_inputs)
    declared = len(sizes) + sum(1 for e in cell.equations if e.size)
    assert to_html(cell).count("<td>size</td>") == declared
    assert value_bounds(cell).keys() == {e.label for e in cell.equations}
    assert format_jacobian(cell).startswith("jacobian of")
    degenerate(cell)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("input x", "a second 'input' line; a further input has a size: input gap : 1"),
        ("input gap", "a second 'input' line"),
        ("input gap : H", "cannot have a size of H"),
        ("size R = H / 2\ninput gap : R", "cannot have a size of H"),
        ("input gap : Q", "a size is a whole number"),
        ("input gap : 0", "a size is a whole number"),
        ("input gap : 1, 2", "a size is a whole number"),
        ("input s1 : 1", "canonical forms use it"),
        ("input gap, gap : 1", "'gap' is the name of something else"),
        ("input h : 1", "'h' is the name of something else"),
        ("input x : 1", "canonical forms use it"),
        ("input tanh : 1", "the language uses it"),
        ("input a b : 1", "cannot name an input"),
        ("input gap, : 1", "cannot name an input"),
        ("input gap, left : 1", "nothing reads the input 'left'"),
        (
            "input " + ", ".join(f"gap{n or ''}" for n in range(9)) + " : 1",
            "at most 8 inputs besides x",
        ),
    ],
)
def test_refusals_name_line_and_reason(line, reason):
    lines = ["cell a", "input x", "state h", line, "h[t] = tanh(W @ x[t] + gap[t] + U @ h[t-1])"]
    with pytest.raises(CellError) as caught:
        parse_cell("\n".join([*lines, "output h", ""]))
    message = str(caught.value)
    assert message.startswith("line ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cell a\ninput gap : 1\ninput x\n", "line 2: the main input comes first"),
        (
            "cell a\ninput x\nstate h\nh[t] = tanh(W @ x[t] + U @ h[t-1])\ninput gap : 1\n",
            "line 5: inputs must come before the equations",
        ),
        (GATED.text.replace("gap[t]", "gap"), "write gap[t] for the input"),
        (GATED.text.replace("W_z @ x", "seen @ x"), "'seen' is a variable"),
        (GATED.text.replace("w_z * gap[t]", "seen[t]").replace("input gap : 1\n", ""), "sizes"),
        (GATED.text.replace("h[t] =", "seen = 1 + gap[t]\nh[t] ="), "is an input; it cannot be"),
    ],
)
def test_refusals_of_whole_texts(text, reason):
    with pytest.raises(CellError) as caught:
        parse_cell(text)
    assert reason in str(caught.value)


def test_a_bare_x_leaves_no_input_of_its_size():
    wide = parse_cell(GATED.text.replace("input seen : 4", "input seen : I"))
    with pytest.raises(CellError, match="line 4: the input 'seen' cannot have the size of x"):
        parse_cell(wide.text.replace("+ b)\n\noutput", "+ b) + x[t]\n\noutput"))
    with pytest.raises(CellError, match="residual leaves no legal cell"):
        ablate(wide, "residual")


def test_what_nothing_reads_any_more_goes():
    candidate = parse_cell(GATED.text.replace("z * h[t-1] + (1 - z)", "z"))
    assert candidate.inputs == ("x", "gap", "seen")
    assert ablate(candidate, "drop_gate=z").inputs == ("x",)
    assert [d.name for d in ablate(GATED, "no_bias").further_inputs] == ["gap", "seen"]


def test_residual_adds_the_main_input():
    own = ablate(GATED, "residual")
    assert own.equations[-1].value.has(Input("x[t]"))
    added = GATED.text.replace("b)\n\noutput", "b) + gap[t]\n\noutput")
    assert ablate(parse_cell(added), "residual").output == "y"


def test_integration_multiplies_all_maps_of_this_step():
    own = ablate(GATED, "multiplicative_integration=z").equation("p_z")
    assert {n.stem for n in leaves(own.value, Input)} == {"x", "seen"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutants_are_legal_and_judged(name):
    done, mutants = 0, 0
    for seed, cell in enumerate(itertools.chain((LSTM, GATED), map(drawn, range(COUNT)))):
        try:
            mutant = MUTATIONS[name].apply(cell, np.random.default_rng(seed))
        except NotApplicable:
            continue
        mutants += 1
        assert parse_cell(mutant.text) == mutant
        assert {d.name for d in mutant.further_inputs} == mutant.inputs_read - {mutant.input}
        done += check(mutant, "native", seed=seed, sizes=(3, 2, 3, 4), wild=True)
        if mutants == 3:
            break
    assert done


def test_mutations_offer_them():
    rng = np.random.default_rng(0)
    found = [MUTATIONS["add_map"].apply(GATED, rng) for _ in range(40)]
    assert any(c.text.count("@ gap[t]") for c in found)  # GATED has no map of it


@pytest.mark.parametrize("name", CROSSOVERS)
def test_crossovers_bring_what_is_read(name):
    host = parse_cell(
        "cell host\ninput u\nstate h\nz = sigmoid(W_z @ u[t] + b)\n"
        "h[t] = z * h[t-1] + tanh(W @ u[t])\noutput h\n"
    )
    child = CROSSOVERS[name].apply(host, GATED, np.random.default_rng(0))
    assert child.input == "u"
    assert [d.name for d in child.further_inputs] == ["gap", "seen"]
    again = CROSSOVERS[name].apply(GATED, child, np.random.default_rng(0))
    assert [d.name for d in again.further_inputs] == ["gap", "seen"]
