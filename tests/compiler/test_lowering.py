"""The passes: each keeps the program well formed, and does what its name says."""

import pytest
import sympy as sp

from odyssey.compiler.lowering import STAGES, lower
from odyssey.errors import CellError, OdysseyError
from odyssey.expr import parse_cell
from odyssey.expr.equations import Equations
from odyssey.expr.program import format_program, translate
from odyssey.specs import get_cell, list_cells


def groups(spec):
    program = lower(get_cell(spec))
    return [
        (g.region, g.level, sorted(program.nodes[r].name for r in g.results))
        for g in program.groups
    ]


def test_lstm_is_one_product_before_and_one_in_the_loop():
    assert groups("lstm") == [
        ("sequence", 0, ["W_f", "W_g", "W_i", "W_o"]),
        ("step", 0, ["U_f", "U_g", "U_i", "U_o"]),
    ]


def test_a_staged_product_has_a_level_of_its_own():
    assert groups("gru")[1:] == [("step", 0, ["U_r", "U_z"]), ("step", 1, ["U_n"])]
    assert groups("gru_torch")[1:] == [("step", 0, ["U_n", "U_r", "U_z"])]


def test_what_needs_no_state_leaves_the_loop():
    program = lower(get_cell("mut1"))
    regions = {n.label: n.region for n in program.nodes if n.label}
    assert regions["z"] == "sequence"
    assert regions["r"] == "step"
    names = {n.name: n.region for n in program.nodes if n.op == "matmul"}
    assert names == {"W_z": "sequence", "W_r": "sequence", "U_r": "step", "U_h": "step"}


def test_biases_are_added_before_the_loop():
    program = lower(get_cell("lstm"))
    readers = [n for n in program.nodes if any(program.nodes[a].op == "vector" for a in n.args)]
    assert len(readers) == 4
    assert {n.region for n in readers} == {"sequence"}


def test_constants_of_one_sum_are_one():
    """`elu(v)` ends in -1, so that with 1 added two constants meet; some have no value to read."""
    text = "cell c\ninput x\nstate h\nh[t] = elu(W @ x[t]) + 1 + U @ h[t-1]\noutput h\n"
    program = lower(parse_cell(text))
    constants = {k for k, node in enumerate(program.nodes) if node.op == "constant"}
    assert not any(node.args and set(node.args) <= constants for node in program.nodes)


def test_dead_code_and_constants_go():
    text = """cell d
input x
state h
dead = tanh(D @ x[t])
k    = 2 * 3
h[t] = tanh(identity(W @ x[t]) + k * (U @ h[t-1]))
output h
"""
    program = lower(parse_cell(text))
    assert set(program.matrices) == {"W", "U"}
    assert [n.value for n in program.nodes if n.op == "constant"] == [6.0]
    assert "D" in lower(parse_cell(text), after="translate").matrices


@pytest.mark.parametrize("spec", [*list_cells(), "lstm_peephole:FGR"])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_be_printed(spec, stage):
    program = lower(get_cell(spec), after=stage)
    text = format_program(program)
    assert text.startswith(f"program {get_cell(spec).name}")
    assert "after the step" in text


def test_unknown_stage_and_unknown_operation_are_refused():
    with pytest.raises(OdysseyError, match="no pass called 'hoisted'; closest: hoist"):
        lower(get_cell("lstm"), after="hoisted")
    cell = get_cell("elman")
    e = cell.equations[0]
    strange = Equations(
        name="strange",
        input="x",
        states=cell.states,
        equations=(type(e)(e.target, sp.gamma(e.value), True),),
        output="h",
    )
    with pytest.raises(CellError, match="gamma"):
        translate(strange, cell.text, cell.shapes)
