"""Ablations: each applied to each cell of the library gives a legal cell, or says why not."""

import itertools

import pytest
from support.representatives import REPRESENTATIVES

from odyssey.cells import library_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.forms import LANGUAGE
from odyssey.expr.shapes import infer_shapes
from odyssey.transforms.ablations import ABLATIONS, SHORT, ablate, gates

# What is tried for kinds of arguments that several rows ask for; for others, a row's examples.
TRIED = {
    "gate": ("f", "i", "z", "r"),
    "other": ("i", "z", "r", "f"),
    "equation": ("g", "n", "h", "i", "o"),
    "state": ("h", "c"),
    "function": [n for n, row in LANGUAGE.items() if row.arity == 1],
    "value": ("2", "-1.5", "0.25"),
    "steps": ("50",),
}


def operators_of(name):
    """An ablation with each of the arguments to be tried, and without those it can do without."""
    kinds = ABLATIONS[name].arguments
    if not kinds or not {kind.rstrip("?") for kind in kinds} <= TRIED.keys():
        return [f"{name}={example}" if example else name for example in ABLATIONS[name].examples]
    columns = [TRIED[kind.rstrip("?")] for kind in kinds]
    count = max(map(len, columns))
    found = [":".join(column[k % len(column)] for column in columns) for k in range(count)]
    bare = [name] if all(kind.endswith("?") for kind in kinds) else []
    return [*bare, *(f"{name}={argument}" for argument in found)]


OPERATORS = [operator for name in ABLATIONS for operator in operators_of(name)]


def outcome(cell, operator):
    try:
        return ablate(cell, operator)
    except CellError as error:
        return str(error)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_contract(name, operator):
    cell = library_cell(name)
    text, equations = cell.text, cell.equations
    result = outcome(cell, operator)
    assert (cell.text, cell.equations, cell.lineage) == (text, equations, ()), "not pure"
    if isinstance(result, str):
        assert name in result
        assert "\n" not in result
        assert len(result) > len(name) + 10
        return
    assert result.name == f"{name}:{operator}"
    assert result.lineage == (name, operator)
    assert result.citation == cell.citation
    assert result.key != cell.key
    again = parse_cell(result.text)
    assert again == result
    assert again.key == result.key


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_applies_somewhere_and_not_everywhere(name):
    operators = [o for o in OPERATORS if o.partition("=")[0] == name]
    outcomes = [outcome(library_cell(c), o) for c in REPRESENTATIVES for o in operators]
    applied = [o for o in outcomes if not isinstance(o, str)]
    assert applied
    assert len(applied) < len(outcomes) or name == "no_bias"


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_row_is_complete(name):
    row = ABLATIONS[name]
    assert row.says
    optional = [a.endswith("?") for a in row.arguments]
    assert optional == sorted(optional), "an argument that may be left out stands last"
    if row.arguments:
        assert any(row.examples), "an ablation with arguments has examples of them"


def lines(cell):
    return dict(line.split(" = ", 1) for line in squeezed(cell.text) if " = " in line)


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines()]


VANILLA = lines(library_cell("lstm_peephole"))

# Greff et al. 2015, section 3: what changes in the vanilla LSTM; None is an equation that goes.
ODYSSEY = {
    "NIG": {"i": None, "c[t]": "f * c[t-1] + g"},
    "NFG": {"f": None, "c[t]": "c[t-1] + i * g"},
    "NOG": {"o": None, "h[t]": "tanh(c[t])"},
    "NIAF": {"g": "W_g @ x[t] + U_g @ h[t-1] + b_g"},
    "NOAF": {"h[t]": "o * c[t]"},
    "CIFG": {"f": "1 - i"},
    "NP": {
        "i": "sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)",
        "f": "sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)",
        "o": "sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)",
    },
    "FGR": {
        "i": None,
        "f": None,
        "o": None,
        "i[t]": "sigmoid(W_i @ x[t] + U_i @ h[t-1] + p_i * c[t-1] + b_i"
        " + U_ii @ i[t-1] + U_fi @ f[t-1] + U_oi @ o[t-1])",
        "f[t]": "sigmoid(W_f @ x[t] + U_f @ h[t-1] + p_f * c[t-1] + b_f"
        " + U_if @ i[t-1] + U_ff @ f[t-1] + U_of @ o[t-1])",
        "o[t]": "sigmoid(W_o @ x[t] + U_o @ h[t-1] + p_o * c[t] + b_o"
        " + U_io @ i[t-1] + U_fo @ f[t-1] + U_oo @ o[t-1])",
        "c[t]": "f[t] * c[t-1] + i[t] * g",
        "h[t]": "o[t] * tanh(c[t])",
    },
}


@pytest.mark.parametrize("short", ODYSSEY)
def test_the_eight_variants_of_the_odyssey(short):
    expected = {k: v for k, v in (VANILLA | ODYSSEY[short]).items() if v is not None}
    assert lines(ablate(library_cell("lstm_peephole"), short)) == expected


def test_there_are_eight():
    assert set(SHORT) == set(ODYSSEY)


# Greff et al. 2015: factors of NM + N^2 + N, of N^2 and of N
COUNTS = {
    "NIG": (3, 0, 2),
    "NFG": (3, 0, 2),
    "NOG": (3, 0, 2),
    "NIAF": (4, 0, 3),
    "NOAF": (4, 0, 3),
    "CIFG": (3, 0, 2),
    "NP": (4, 0, 0),
    "FGR": (4, 9, 3),
}


@pytest.mark.parametrize("short", COUNTS)
def test_parameter_counts_of_the_odyssey(short):
    m, n = 5, 11
    shapes = infer_shapes(ablate(library_cell("lstm_peephole"), short))
    size = {"I": m, "H": n}
    got = sum(size[a] * size[b] for a, b in shapes.matrices.values())
    got += sum(size[a] for a in shapes.vectors.values())
    blocks, squares, vectors = COUNTS[short]
    assert got == blocks * (n * m + n * n + n) + squares * n * n + vectors * n


JOZEFOWICZ = lines(library_cell("lstm_jozefowicz"))


@pytest.mark.parametrize(
    ("operator", "changes"),
    [
        ("no_forget_gate", {"f": None, "c[t]": "c[t-1] + i * g"}),
        ("no_input_gate", {"i": None, "c[t]": "f * c[t-1] + g"}),
        ("no_output_gate", {"o": None, "h[t]": "tanh(c[t])"}),
        ("forget_bias=1", {"init b_f": "1"}),
    ],
)
def test_the_four_variants_of_jozefowicz(operator, changes):
    expected = {k: v for k, v in (JOZEFOWICZ | changes).items() if v is not None}
    assert lines(ablate(library_cell("lstm_jozefowicz"), operator)) == expected


@pytest.mark.parametrize(
    ("name", "operator", "changes"),
    [
        ("gru", "no_reset_gate", {"r": None, "n": "tanh(W_n @ x[t] + U_n @ h[t-1] + b_n)"}),
        ("gru_torch", "no_recurrent=n", {"n": "tanh(W_n @ x[t] + b_n + r * d_n)"}),
        ("gru", "no_recurrent=z", {"z": "sigmoid(W_z @ x[t] + b_z)"}),
        ("gru", "couple=r:z", {"r": "1 - z"}),
        ("gru_torch", "no_bias=n", {"n": "tanh(W_n @ x[t] + r * (U_n @ h[t-1]))"}),
        (
            "mut1",
            "no_update_gate",
            {"z": None, "h[t]": "tanh(U_h @ (r * h[t-1]) + tanh(x[t]) + b_h)"},
        ),
        ("ugrnn", "no_bias=g", {"g": "sigmoid(W_g @ x[t] + U_g @ h[t-1] + 1)"}),
        ("lstm", "activation=g:relu", {"g": "relu(W_g @ x[t] + U_g @ h[t-1] + b_g)"}),
        ("lstm", "bias=i:-0.5", {"init b_i": "-0.5"}),
        ("lstm", "chrono=50", {"init b_f": "chrono(50)", "init b_i": "-b_f"}),
        ("mgu", "chrono=50", {"init b_f": "chrono(50)"}),
        (
            "mgu",
            "no_forget_gate",
            {"f": None, "n": "tanh(W_n @ x[t] + U_n @ h[t-1] + b_n)", "h[t]": "n"},
        ),
        (
            "gru",
            "peepholes=h",
            {
                "r": "sigmoid(W_r @ x[t] + U_r @ h[t-1] + b_r + p_r * h[t-1])",
                "z": "sigmoid(W_z @ x[t] + U_z @ h[t-1] + b_z + p_z * h[t-1])",
            },
        ),
    ],
)
def test_equations_of_other_ablations(name, operator, changes):
    cell = library_cell(name)
    expected = {k: v for k, v in (lines(cell) | changes).items() if v is not None}
    assert lines(ablate(cell, operator)) == expected


def test_peepholes_move_the_output_gate_behind_the_cell():
    order = [e.label for e in ablate(library_cell("lstm"), "peepholes").equations]
    assert order == ["i", "f", "g", "c[t]", "o", "h[t]"]


def test_peepholes_leave_a_gate_that_stands_behind_the_cell_where_it_is():
    text = library_cell("lstm").text
    gate = "o    = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)\n"
    late = "q = tanh(c[t])\n" + gate.replace("U_o @ h[t-1]", "U_o @ q")
    cell = parse_cell(text.replace(gate, "").replace("h[t] = o", late + "h[t] = o"))
    order = [e.label for e in ablate(cell, "peepholes").equations]
    assert order == ["i", "f", "g", "c[t]", "q", "o", "h[t]"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("elman elman_relu", ()),
        ("lstm lstm_peephole lstm_jozefowicz", ("i", "f", "o")),
        ("gru gru_torch", ("r", "z")),
        ("mut1 mut2 mut3", ("z", "r")),
        ("mgu", ("f",)),
        ("ugrnn", ("g",)),
    ],
)
def test_gates_of_published_cells(names, expected):
    assert {gates(library_cell(name)) for name in names.split()} == {expected}


def test_a_gate_of_two_arguments_does_not_break_anything():
    text = library_cell("gru").text.replace(
        "sigmoid(W_r @ x[t] + U_r @ h[t-1] + b_r)", "minimum(h[t-1], b)"
    )
    cell = parse_cell(text)
    assert gates(cell) == ("z",)
    assert ablate(cell, "full_gate_recurrence").states == ("h", "z")


def test_lineage_and_names_grow_with_composition():
    cell = library_cell("lstm")
    for operator in ("NOG", "forget_bias=2", " activation = g : relu "):
        cell = ablate(cell, operator)
    assert cell.name == "lstm:no_output_gate+forget_bias=2+activation=g:relu"
    assert cell.lineage == ("lstm", "no_output_gate", "forget_bias=2", "activation=g:relu")
    assert parse_cell(cell.text) == cell


def test_function_changing_ablations_are_all_different():
    cell = library_cell("lstm_peephole")
    results = {o: outcome(cell, o) for o in OPERATORS}
    made = {o: r for o, r in results.items() if not isinstance(r, str)}
    same = {
        frozenset(pair)
        for pair in itertools.combinations(made, 2)
        if made[pair[0]].key == made[pair[1]].key
    }
    # an ablation without arguments may be a shorthand of one with some
    shorthands = {pair for pair in same if sum("=" in o for o in pair) == 1}
    assert shorthands >= {
        frozenset(pair)
        for pair in [
            ("no_input_gate", "drop_gate=i"),
            ("no_forget_gate", "drop_gate=f"),
            ("no_input_activation", "drop_activation=g"),
            ("no_output_activation", "drop_activation=h"),
            ("coupled_gates", "couple=f:i"),
        ]
    }
    dropped = {
        frozenset((f"drop_activation={e}", f"activation={e}:identity")) for e in TRIED["equation"]
    }
    assert same - shorthands <= dropped
    by_function = {r.fingerprint for r in made.values()}
    initial = [o for o, r in made.items() if r.fingerprint == cell.fingerprint]
    assert {o.partition("=")[0] for o in initial} == {"bias", "forget_bias", "chrono"}
    assert len(by_function) == len(made) - len(same) - len(initial) + 1


def test_independent_ablations_commute():
    cell = library_cell("lstm_peephole")
    for first, second in itertools.combinations(
        ("NOG", "NIAF", "NP", "no_bias=g", "forget_bias=1"), 2
    ):
        one = ablate(ablate(cell, first), second)
        other = ablate(ablate(cell, second), first)
        assert one.key == other.key, (first, second)


def test_what_goes_takes_its_initialisation_along():
    cell = ablate(ablate(library_cell("lstm"), "chrono=50"), "no_forget_gate")
    assert "init" not in cell.text


@pytest.mark.parametrize(
    ("name", "operator", "message"),
    [
        ("lstm", "no_forget_gat", "no ablation called 'no_forget_gat'; closest: no_forget_gate"),
        ("gru", "no_forget_gate", "gru: no gate called 'f'; choose one of r, z"),
        ("elman", "NFG", "elman: there are no gates, so no 'f'"),
        ("lstm", "drop_gate=g", None),
        ("lstm", "drop_gate=h", "lstm: 'h' is a state here"),
        ("gru", "drop_gate=n", None),
        ("gru", "no_update_gate", "gru: no_update_gate leaves no legal cell: the output h[t] does"),
        ("elman", "no_input_activation", "elman: no candidate g or n"),
        ("gru", "no_output_activation", "gru: h[t] has no activation"),
        ("mut1", "no_output_activation", "mut1: h[t] has 2 activations"),
        ("lstm", "activation=g:tanh", "lstm: g has that activation already"),
        ("lstm", "activation=g:tnh", "no activation called 'tnh'; closest: tanh"),
        ("lstm", "activation=g", "write activation=equation:function"),
        ("lstm", "no_forget_gate=1", "write no_forget_gate"),
        ("lstm", "couple=f:f", "lstm: cannot couple 'f' to itself"),
        ("lstm", "couple=g:i", "lstm: 'g' is not a gate; gates: i, f, o"),
        ("lstm", "no_peepholes", "lstm: the cell has no peephole to drop"),
        ("lstm_peephole", "no_peepholes=g", "lstm_peephole: g has no peephole to drop"),
        ("lstm_peephole", "peepholes", "lstm_peephole: every gate has a peephole already"),
        ("lstm", "peepholes=q", "lstm: no state 'q' to look at; states: h, c"),
        ("elman", "peepholes=h", "elman: there are no gates"),
        ("elman", "full_gate_recurrence", "elman: no gates that could feed each other"),
        ("mut1", "no_recurrent=z", "mut1: z has no recurrent input to drop"),
        ("lstm", "forget_bias=many", "lstm: an initial bias must be a number, got 'many'"),
        ("lstm", "forget_bias=1e-50", "init b_f"),
        ("lstm", "bias=c:1", "lstm: c[t] has no biases, not one"),
        ("lstm", "chrono=2", "lstm: chrono needs a number of steps from 3 to 1000000, got '2'"),
    ],
)
def test_messages(name, operator, message):
    result = outcome(library_cell(name), operator)
    if message is None:
        assert not isinstance(result, str)
    else:
        assert message in result


def test_a_second_full_gate_recurrence_says_why_not():
    cell = ablate(library_cell("lstm"), "FGR")
    assert "no gates that could feed each other" in outcome(cell, "FGR")
    assert "drop it before full_gate_recurrence" in outcome(cell, "NIG")
