"""Mutations: each, tried on every cell of the library, gives a legal cell or says why not."""

import contextlib
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from support import mutant_chains
from support.judge import check
from support.mutant_chains import CELLS, chain

from odyssey.cells import library_cell
from odyssey.compiler.backends import BACKENDS, build_layer
from odyssey.compiler.lowering import lower
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.forms import LANGUAGE
from odyssey.expr.sizes import is_matrix
from odyssey.expr.terms import Previous, subexpressions
from odyssey.transforms.constraints import nodes
from odyssey.transforms.mutations import (
    CROSSOVERS,
    MUTATIONS,
    OURS,
    NotApplicable,
    apply_operator,
    check_weights,
    crossover,
    draw_operator,
    mutate,
)
from odyssey.transforms.sites import Names, gate

# what an operator takes away must be there: these are put in first
FIRST = {"remove_peephole": "add_peephole", "remove_state": "add_state"}
TINY = parse_cell("cell tiny\ninput x\nstate h\nh[t] = tanh(W @ x[t] + U @ h[t-1])\noutput h\n")

NAMED = parse_cell(
    "cell named\ninput x\nsize R = H / 2\nconst q = 0.5\nstate h\n\nr : R = Q @ x[t]\n"
    "h[t] = q * tanh(W @ r + U @ h[t-1] + b)\noutput h\n"
)


def rng(*seed):
    return np.random.default_rng(seed)


def outcome(cell, name, seed, partner=None):
    try:
        return apply_operator(cell, name, rng(seed), partner=partner)
    except NotApplicable as error:
        return str(error)


def equations(cell):
    return "; ".join(
        re.sub(" +", " ", line) for line in cell.text.splitlines()[2:] if " = " in line
    )


@pytest.mark.parametrize("name", MUTATIONS)
def test_contract(name):
    applied = set()
    for cell in CELLS:
        if name in FIRST:
            with contextlib.suppress(NotApplicable):  # it has a peephole from every state
                cell = apply_operator(cell, FIRST[name], rng(1))
        text, old, inits, lineage = cell.text, cell.equations, cell.inits, cell.lineage
        for seed in range(4):
            result = outcome(cell, name, seed)
            assert (cell.text, cell.equations, cell.inits, cell.lineage) == (
                text,
                old,
                inits,
                lineage,
            ), "not pure"
            if isinstance(result, str):
                assert len(result) > 10
                assert "\n" not in result
                assert result == outcome(cell, name, seed)
                continue
            applied.add(text)
            again = apply_operator(cell, name, rng(seed))
            assert again == result, "not the same for the same seed"
            assert again.text == result.text
            assert parse_cell(result.text) == result
            assert result.key != cell.key
            assert result.name == f"m-{result.key[:8]}"
            assert result.lineage == (*(cell.lineage or (cell.name,)), name)
            assert result.citation == ""
            assert not re.search(r"\b(\w+) += \1\b", result.text)
    assert len(applied) >= 6


@pytest.mark.parametrize("name", CROSSOVERS)
def test_contract_of_crossovers(name):
    applied = set()
    for cell in CELLS:
        for partner in CELLS:
            result = outcome(cell, name, 3, partner)
            if isinstance(result, str):
                assert len(result) > 10
                continue
            applied.add(cell.text)
            assert parse_cell(result.text) == result
            assert result == apply_operator(cell, name, rng(3), partner=partner)
            assert set(result.states) <= set(cell.states)
            assert result.output == cell.output
            assert result.lineage == (cell.name, f"{name}={partner.name}")
    assert len(applied) >= 6


@pytest.mark.parametrize("name", [*MUTATIONS, *CROSSOVERS])
def test_a_row_is_complete(name):
    row = (MUTATIONS | CROSSOVERS)[name]
    assert row.name == name
    assert len(row.about) > 10
    assert row.weight > 0
    assert row.source == OURS or re.search(r" \d{4}$", row.source)


KNOWN = {
    "replace_operation": {"h[t] = tanh((W @ x[t]) * (U @ h[t-1]))"},
    "remove_node": {
        "h[t] = W @ x[t] + U @ h[t-1]",
        "h[t] = tanh(W @ x[t] + h[t-1])",
        "h[t] = tanh(x[t] + U @ h[t-1])",
    },
    "replace_by_ancestor": {
        "h[t] = W @ x[t] + U @ h[t-1]",
        "h[t] = tanh(W @ x[t] + h[t-1])",
        "h[t] = tanh(x[t] + U @ h[t-1])",
    },
    "replace_activation": {
        *(f"h[t] = {f}(W @ x[t] + U @ h[t-1])" for f in ("relu", "sigmoid")),
        "h[t] = W_l @ (W @ x[t] + U @ h[t-1]) + b_l",
        *(
            f"k = W @ x[t] + U @ h[t-1]; h[t] = W_l @ k + {d}k + b_l"
            for d in ("", "0.9 * ", "1.1 * ")
        ),
        *(f"h[t] = tanh(W @ x[t] + {f}(h[t-1]))" for f in ("relu", "sigmoid", "tanh")),
        *(f"h[t] = tanh({f}(x[t]) + U @ h[t-1])" for f in ("relu", "sigmoid", "tanh")),
        *(f"h[t] = tanh(W @ x[t] + {d}x[t] + U @ h[t-1])" for d in ("", "0.9 * ", "1.1 * ")),
        *(f"h[t] = tanh(W @ x[t] + (U @ h[t-1] + {d}h[t-1]))" for d in ("", "0.9 * ", "1.1 * ")),
    },
    "add_gate": {
        f"q = sigmoid(W_q @ x[t] + U_q @ h[t-1] + b_q); h[t] = {value}"
        for value in ("q * tanh(W @ x[t] + U @ h[t-1])", "tanh(W @ x[t] + U @ (q * h[t-1]))")
    },
    "add_update_gate": {
        "q = sigmoid(W_q @ x[t] + U_q @ h[t-1] + b_q); n = tanh(W @ x[t] + U @ h[t-1]);"
        " h[t] = q * h[t-1] + (1 - q) * n"
    },
    "add_peephole": {"h[t] = tanh(W @ x[t] + U @ h[t-1] + p_h * h[t-1])"},
    "add_delay": {"d[t] = h[t-1]; h[t] = tanh(W @ x[t] + U @ h[t-1] + U_h @ d[t-1])"},
    "add_state": {
        f"q = sigmoid(W_q @ x[t] + U_q @ h[t-1] + b_q); m[t] = q * m[t-1] + (1 - q) * {rest}"
        for rest in (
            "(U @ h[t-1]); h[t] = tanh(W @ x[t] + m[t])",
            "(W @ x[t] + U @ h[t-1]); h[t] = tanh(m[t])",
            "(W @ x[t]); h[t] = tanh(m[t] + U @ h[t-1])",
        )
    },
    "replace_function": {
        f"h[t] = {f}(W @ x[t] + U @ h[t-1])"
        for f, row in LANGUAGE.items()
        if row.arity == 1 and f != "tanh" and row.edge != "end"
    },
    "swap_operands": {"h[t] = tanh(h[t-1] + U @ (W @ x[t]))"},
    "diagonal_map": {"h[t] = tanh(W @ x[t] + u * h[t-1])"},
    "multiply_maps": {
        "p_h = W @ x[t]; q_h = U @ h[t-1];"
        " h[t] = tanh(alpha_h * p_h * q_h + beta_h * q_h + gamma_h * p_h);"
        " init alpha_h = 1; init beta_h = 1; init gamma_h = 1"
    },
    "change_bias": set(),
    "remove_state": set(),
    "remove_gate": set(),
}


@pytest.mark.parametrize("name", KNOWN)
def test_everything_that_can_come_of_a_tiny_cell(name):
    found = [outcome(TINY, name, seed) for seed in range(150)]
    assert {equations(c) for c in found if not isinstance(c, str)} == KNOWN[name]


@pytest.mark.parametrize(
    ("cell", "name", "equation"),
    [
        ("lstm", "remove_gate", "c[t] = c[t-1] + i * g"),
        ("lstm", "couple_gates", "f = 1 - i"),
        ("lstm", "remove_state", "c = f * h[t-1] + i * g"),
        ("lstm", "remove_state", "h = o * tanh(c[t])"),
        ("lstm", "add_peephole", "o = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o + p_o * c[t])"),
        ("lstm", "add_map", "o = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o + U_o2 @ c[t])"),
        ("lstm_peephole", "remove_peephole", "o = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)"),
        ("gru", "swap_operands", "h[t] = z * n + (1 - z) * h[t-1]"),
        ("gru", "remove_map", "n = tanh(W_n @ x[t] + b_n)"),
        ("gru", "change_bias", "init b_z = -1"),
        ("gru", "add_skip", "h[t] = z * h[t-1] + (1 - z) * n + W_h @ x[t]"),
        ("mut1", "replace_operation", "h[t] = tanh(U_h @ (r * h[t-1]) - tanh(x[t]) + b_h) * z"),
        ("gru_torch", "replace_operation", "n = tanh(W_n @ x[t] + b_n + r * (U_n @ h[t-1]"),
    ],
)
def test_an_expected_mutant_comes_up(cell, name, equation):
    found = (outcome(library_cell(cell), name, seed) for seed in range(400))
    texts = (re.sub(" +", " ", c.text) for c in found if not isinstance(c, str))
    assert any(equation in text for text in texts)


def test_a_removed_state_is_a_plain_equation_and_no_state_is_left_unread():
    for seed in range(10):
        cell = apply_operator(library_cell("lstm"), "remove_state", rng(seed))
        assert len(cell.states) == 1
        assert f"{cell.states[0]}[t-1]" in cell.text


def test_shared_values_keep_one_name():
    """`W_n @ x[t]` is read in two places of a mutant: as one named equation, not as two copies."""
    for seed in range(60):
        cell = outcome(library_cell("gru"), "combine_ancestors", seed)
        if not isinstance(cell, str):
            maps = re.findall(r"(\w+) @", cell.text)
            assert len(maps) == len(set(maps)), cell.text


def test_what_mutate_returns():
    cell = library_cell("lstm")
    mutant = mutate(cell, rng(5))
    assert mutant.parents == (cell.key,)
    assert mutant.operator in MUTATIONS
    assert mutant.cell.key != cell.key
    assert mutant.cell.lineage == ("lstm", mutant.operator)
    assert mutate(cell, rng(5)) == mutant
    longer = mutate(mutant.cell, rng(6), steps=3)
    assert len(longer.operator.split("+")) == 3
    assert longer.cell.lineage[:2] == mutant.cell.lineage
    assert len(longer.cell.lineage) == 5


def test_a_crossover_has_two_parents():
    cell, partner = library_cell("lstm"), library_cell("gru")
    weights = dict.fromkeys(MUTATIONS, 0.0) | {"add_gate": 1e-9}
    mutant = mutate(cell, rng(1), weights=weights, partner=partner)
    assert mutant.operator in CROSSOVERS
    assert mutant.parents == (cell.key, partner.key)
    assert mutate(cell, rng(1), weights=weights).operator == "add_gate"
    crossed = []
    for seed in range(20):
        with contextlib.suppress(NotApplicable):
            crossed.append(crossover(cell, partner, rng(seed)).key)
    assert crossed
    assert not set(crossed) & set(mutant.parents)


def test_a_crossover_brings_equations_and_initial_values_under_free_names():
    partner = parse_cell(
        "cell p\ninput u\nstate s\ni = sigmoid(W_i @ u[t] + b_i)\n"
        "s[t] = i * s[t-1] + W_f @ u[t]\ninit b_i = 2\noutput s\n"
    )
    cell = library_cell("lstm")
    grafted = [outcome(cell, "graft_state", k, partner) for k in range(40)]
    found = {equations(c) for c in grafted if not isinstance(c, str)}
    wanted = [t for t in found if "i2 = sigmoid(W_i2 @ x[t] + b_i2)" in t and "init b_i2 = 2" in t]
    assert any("c[t] = i2 * c[t-1] + W_f2 @ x[t]" in t for t in wanted)
    assert any("h[t] = i2 * c[t-1] + W_f2 @ x[t]" in t for t in wanted)


def test_attempts_count_what_did_not_apply():
    weights = dict.fromkeys(MUTATIONS, 0.0) | {"remove_gate": 1.0, "add_peephole": 0.05}
    mutant = mutate(library_cell("elman"), rng(2), weights=weights, tries=500)
    assert mutant.operator == "add_peephole"
    assert set(mutant.attempts) == {"remove_gate"}
    assert mutant.attempts["remove_gate"] >= 1


def test_when_nothing_applies_the_reasons_are_counted():
    weights = dict.fromkeys(MUTATIONS, 0.0) | {"remove_gate": 1.0}
    with pytest.raises(NotApplicable, match=r"no mutation applied in 7 tries \(remove_gate 7\)"):
        mutate(library_cell("elman"), rng(2), weights=weights, tries=7)


def test_operators_are_drawn_by_weight():
    weights = check_weights({"add_gate": 6.0, "remove_node": 0})
    generator = rng(8)
    drawn = Counter(draw_operator(weights, generator, crossing=False) for _ in range(6000))
    total = sum(w for n, w in weights.items() if n in MUTATIONS)
    assert set(drawn) == set(MUTATIONS) - {"remove_node"}
    for name in drawn:
        expected = 6000 * weights[name] / total
        assert abs(drawn[name] - expected) < 5 * expected**0.5, name
    crossed = Counter(draw_operator(weights, generator, crossing=True) for _ in range(2000))
    assert set(CROSSOVERS) < set(crossed)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"add_gat": 1.0}, "no mutation called 'add_gat'; closest: add_gate"),
        ({"add_gate": -1.0}, "weight of add_gate: expected a number >= 0, got -1.0"),
        ({"add_gate": float("nan")}, "got nan"),
        ({"add_gate": True}, "got True"),
        ({"add_gate": "1"}, "got '1'"),
        (dict.fromkeys(MUTATIONS, 0), "all mutations have weight 0"),
    ],
)
def test_weights_that_make_no_sense(weights, message):
    with pytest.raises(CellError, match=re.escape(message)):
        mutate(TINY, rng(1), weights=weights)


def test_operators_that_do_not_exist_or_lack_a_partner():
    with pytest.raises(CellError, match="no mutation called 'add_gates'; closest: add_gate"):
        apply_operator(TINY, "add_gates", rng(1))
    with pytest.raises(CellError, match="graft_state needs a second cell"):
        apply_operator(TINY, "graft_state", rng(1))


def test_a_cell_that_algebra_makes_constant_is_not_made():
    """q * h + (1 - q) * h is h, whatever q is."""
    cell = parse_cell(
        "cell c\ninput x\nstate h\nq = sigmoid(W @ x[t])\n"
        "h[t] = q * h[t-1] + (1 - q) * sin(h[t-1])\noutput h\n"
    )
    said = {outcome(cell, "remove_node", k) for k in range(30)}
    assert "leaves an output that by algebra does not depend on the input" in said


def test_120_mutants_are_legal_and_compile():
    """`checks/mutations.py` does the same with 10,000."""
    used, keys, compiled = Counter(), set(), 0
    for k, mutant in enumerate(chain(120, seed=22)):
        cell = mutant.cell
        used[mutant.operator] += 1
        keys.add(cell.key)
        assert parse_cell(cell.text) == cell
        assert parse_cell(cell.canonical_text).key == cell.key
        program = lower(cell)
        runs = [name for name, backend in BACKENDS.items() if not backend.supports(program)]
        assert "eager" in runs
        for backend in runs:
            _, layer = build_layer(program, backend, population=False, masked=False)
            assert layer.source
        if k % 6 == 5:
            with np.errstate(all="ignore"):
                assert check(cell, "eager", seed=k, wild=True)
        if k % 30 == 29 and "native" in runs:
            compiled += 1
            with np.errstate(all="ignore"):
                assert check(cell, "native", seed=k, wild=True)
        assert nodes(cell) < 70
    assert compiled >= 2
    assert len(used) >= 22
    assert len(keys) > 112


PRINT = """
import sys
sys.path.insert(0, sys.argv[1])
from support.mutant_chains import chain
print([(m.cell.text, m.operator) for m in chain(25, seed=4)])
"""


def test_mutants_do_not_depend_on_hash_seeds():
    tests = os.path.dirname(os.path.dirname(mutant_chains.__file__))
    printed = {
        subprocess.run(
            [sys.executable, "-c", PRINT, tests],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "99")
    }
    assert len(printed) == 1
    assert len(printed.pop()) > 1000


def test_a_new_name_is_none_that_the_cell_has():
    names = Names(NAMED)
    stems = ["x", "R", "q", "h", "r", "Q", "W", "b", "new"]
    assert [names.fresh(stem) for stem in stems] == [*(f"{s}2" for s in stems[:-1]), "new"]
    gated = apply_operator(NAMED, "add_gate", rng(0))
    assert gated.constants == NAMED.constants
    assert gated.equation("q2") is not None


@pytest.mark.parametrize("spec", ["deltanet", "fast_weights"])
def test_gates_read_vectors_also_where_a_state_is_a_matrix(spec):
    cell = library_cell(spec)
    for seed in range(12):
        equation, _ = gate(cell, Names(cell), np.random.default_rng(seed))
        read = subexpressions(equation.value)
        names = {n.name.partition("[")[0] for n in read if isinstance(n, Previous)}
        assert not any(is_matrix(cell.shapes.states[name]) for name in names)
