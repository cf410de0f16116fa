"""Cells that have left Odyssey compute what they compute in it."""

import dataclasses
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from support.departing import drawn, error_of_onnx, errors_of_modules, exported, sizes_of
from support.mutant_chains import distinct
from support.random_cells import random_cell
from support.representatives import REPRESENTATIVES

from odyssey.cells import LIBRARY, library_cell
from odyssey.compiler import RNN
from odyssey.contracts.onnx_formula import by_onnx
from odyssey.errors import ConfigError
from odyssey.expr import parse_cell
from odyssey.expr.arithmetic import ARITHMETIC, read_formula
from odyssey.expr.initial import INITIAL_VALUES
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.properties import PROPERTIES, apply_properties, stored_shape
from odyssey.expr.reductions import REDUCTIONS, RESHAPINGS
from odyssey.expr.schemes import InitScheme
from odyssey.expr.sizes import is_matrix
from odyssey.formats.portable import Portable
from odyssey.formats.torch_alone.file import LONGEST_FILE, write_torch
from odyssey.formats.torch_alone.starting import DRAWN
from odyssey.scheme_names import DISTRIBUTIONS
from odyssey.transforms.ablations import ablate
from odyssey.transforms.applicable import applicable

NAMED = """cell odd names
input self
state h, torch
F    = sigmoid(nn @ self[t] + load_file @ h[t-1] + x)
len  = minimum(F, 0.5) * maximum(-0.5, torch[t-1]) + 1 / (2 + abs(h[t-1])) - 3
torch[t] = tanh(len) * (1 - F) - -F + step(h[t-1]) * sign(len)
h[t] = F * h[t-1] + (1 - F) * silu(gelu(torch[t])) + 0.1 * layer_norm(len)
start h = 0.5
start torch = begin
init nn = orthogonal
init load_file = identity(0.5)
init x = chrono(20)
init begin = -x
output h
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """All of the library, mutants and a cell of odd names as modules, and how far they are off."""
    folder = tmp_path_factory.mktemp("modules")
    cells = [library_cell(name) for name in LIBRARY] + distinct(50, seed=1)
    cells.append(parse_cell(NAMED.replace("odd names", "odd")))
    return folder, cells, errors_of_modules(cells, folder)


def test_modules_of_torch_alone_compute_the_same(modules):
    _, cells, errors = modules
    assert len(errors) == len(cells)
    assert {name: error for name, error in errors.items() if not error < 1} == {}


def test_modules_are_short_and_as_ruff_wants_them(modules):
    folder, cells, _ = modules
    for options in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *options, "--isolated", "--no-cache", str(folder)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:]
    lines = {path.name: path.read_text().count("\n") for path in folder.glob("*.py")}
    assert {name: count for name, count in lines.items() if count >= LONGEST_FILE} == {}
    assert len(lines) == len(cells)


@pytest.mark.parametrize("name", ["lstm_peephole", "gru"])
def test_modules_of_ablated_cells_are_short(name):
    for ablation, arguments in applicable(library_cell(name)).items():
        cell = ablate(library_cell(name), "=".join(filter(None, (ablation, arguments[0]))))
        text = write_torch(Portable(cell, stored=({},)))  # with what reads weights
        assert text.count("\n") < LONGEST_FILE, ablation


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_onnx_computes_the_same(name):
    assert error_of_onnx(library_cell(name)) < 1


def has_own_inputs_or_matrices(name):
    """Says whether a cell has further inputs, or weights that stand for a matrix by themselves."""
    cell = library_cell(name)
    return bool(cell.further_inputs) or any(map(is_matrix, cell.shapes.vectors.values()))


MORE = ["retnet", "mlstm_xlstm", "lstmp", "scornn", "ln_gru", "esn"]
MORE += filter(has_own_inputs_or_matrices, LIBRARY)


@pytest.mark.parametrize("name", MORE)
def test_onnx_has_inputs_matrices_sizes_reductions_and_properties(name):
    assert error_of_onnx(library_cell(name)) < 1


@pytest.mark.parametrize("seed", range(8))
def test_onnx_of_random_cells(seed):
    assert error_of_onnx(random_cell(np.random.default_rng(seed), size=30)) < 1


def test_onnx_of_odd_names_and_starts():
    assert error_of_onnx(parse_cell(NAMED.replace("odd names", "odd"))) < 1


# the tables


@pytest.mark.parametrize("name", [*PRIMITIVES, *REDUCTIONS, *RESHAPINGS])
def test_every_function_has_a_row_for_onnx(name):
    row = PRIMITIVES.get(name) or REDUCTIONS.get(name) or RESHAPINGS[name]
    assert row.onnx, f"{name} has no ONNX formula: see Primitive.onnx"
    values = np.array([[-2.5, -1.0, 0.0, 0.25, 3.0], [0.5, 1.5, -0.25, 2.0, -4.0]])
    if getattr(row, "edge", "") == "end":
        values = 1 + np.abs(values)
    args = [values, values[:, ::-1].copy()][: row.arity]
    if getattr(row, "reads_matrix", False):
        args = [values[None]]
    # the same formula by the operators' own definitions, run by onnx's reference implementation
    found = by_onnx(row.onnx, [a.astype(np.float32) for a in args])
    np.testing.assert_allclose(found, row.numpy(*args), rtol=1e-5, atol=1e-6)


def test_arithmetic_is_that_of_onnx():
    for name, row in ARITHMETIC.items():
        args = [np.array([1.5, -2.0], np.float32), np.array([0.5, 4.0], np.float32)][: row.arity]
        formula = f"{row.onnx}({', '.join('ab'[: row.arity])})"
        assert read_formula(formula, names={"a": 1, "b": 2}, number=Fraction, apply=lambda *_: 3)
        np.testing.assert_allclose(by_onnx(formula, args), row.apply(*args), err_msg=name)


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_is_the_same_in_torch_alone(name):
    row = PROPERTIES[name]
    assert row.torch, f"{name} has no line in torch alone: see Property.torch"
    said = f"{name}(2)" if row.counted else name
    cell = parse_cell(
        f"cell a\ninput x\nstate h\nweight U : {said}\nh[t] = tanh(W @ x[t] + U @ h[t-1])\noutput h"
    )
    space = {}
    exec(write_torch(Portable(cell)), space)
    raw = np.random.default_rng(0).normal(size=stored_shape((8, 8), (said,)))
    step = space["Cell"](8, 8).double()
    step.U.data.copy_(torch.as_tensor(raw))
    found = step.made()[0] if row.trained else step.U
    assert found.requires_grad == row.trained
    np.testing.assert_allclose(
        found.detach().numpy(), apply_properties(np, raw, (said,)), atol=1e-12
    )


def _initial(text, scheme=None, units=400):
    cell = parse_cell(
        "cell a\ninput x\nstate h\n"
        "h[t] = tanh(W @ x[t] + U @ h[t-1] + p * h[t-1] + b)\n" + text + "output h\n"
    )
    space = {}
    portable = Portable(cell) if scheme is None else Portable(cell, scheme=scheme)
    exec(write_torch(portable), space)
    torch.manual_seed(0)
    theirs = {n: w.detach().numpy() for n, w in space["Cell"](300, units).named_parameters()}
    rnn = RNN(cell, 300, units, backend="eager")
    drawn_twice = []
    for seed in (0, 1):
        rnn.reset_parameters(scheme, rng=np.random.default_rng(seed))
        drawn_twice.append({n: w.detach().numpy().copy() for n, w in rnn.layers[0].items()})
    assert theirs.keys() == drawn_twice[0].keys()
    return theirs, *drawn_twice


def _alike(theirs, ours, others):
    """Says whether numbers are equal or, where another seed draws others, drawn alike."""
    for name, own in ours.items():
        found = theirs[name]
        assert found.shape == own.shape
        if np.array_equal(own, others[name]):
            np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-6, err_msg=name)
            continue
        spread = own.std()
        if np.unique(own).size > 2:
            assert abs(found.mean() - own.mean()) < 0.3 * spread + 1e-9, name
            assert found.std() == pytest.approx(spread, rel=0.15), name
            assert np.abs(found).max() == pytest.approx(np.abs(own).max(), rel=0.25), name
        else:  # as many of each number in every row and column
            for axis in (0, 1):
                np.testing.assert_array_equal(np.sort(found, axis), np.sort(own, axis), name)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_distribution_starts_alike_in_torch_alone(distribution):
    assert distribution in DRAWN
    _alike(*_initial("", InitScheme(distribution, 0.5)))


@pytest.mark.parametrize("name", INITIAL_VALUES)
def test_every_initial_value_starts_alike_in_torch_alone(name):
    row = INITIAL_VALUES[name]
    assert row.torch, f"{name} has no line in torch alone: see InitialValue.torch"
    most = row.counts[-1]
    numbers = next(n[:most] for n in ([0.5, 0.75], [20.0, 1.0]) if not row.objection(n[:most]))
    written = f"{name}({', '.join(map(str, numbers))})" if name != "constant" else "0.5"
    _alike(*_initial(f"init {'b' if row.only_vectors else 'U'} = {written}\n"))


def test_a_negated_start_is_the_other_ones():
    theirs, *_ = _initial("init b = uniform(1, 2)\ninit p = -b\n")
    np.testing.assert_array_equal(theirs["p"], -theirs["b"])


def test_what_cannot_be_written_is_said_in_a_line(monkeypatch):
    cell = library_cell("gru")
    with pytest.raises(ConfigError, match="--input N --hidden N"):
        exported(cell, "onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'odyssey-cells\[onnx\]'"):
        exported(cell, "onnx", input=3, hidden=4)


def test_a_new_primitive_without_onnx_is_refused(monkeypatch):
    bare = dataclasses.replace(PRIMITIVES["tanh"], onnx="")
    monkeypatch.setitem(PRIMITIVES, "tanh", bare)
    with pytest.raises(ConfigError, match="tanh cannot be written in ONNX"):
        exported(library_cell("elman"), "onnx", input=3, hidden=4)


def test_a_loop_that_reads_nothing_is_refused_in_onnx():
    cell = parse_cell(
        "cell a\ninput x\nstate h\nnot recurrent\ny = relu(W @ x[t])\nh[t] = tanh(b)\noutput y\n"
    )
    with pytest.raises(ConfigError, match="no state reads the input"):
        exported(cell, "onnx", input=3, hidden=4)


def test_weights_go_back_into_odyssey(tmp_path):
    from safetensors.torch import load_file

    rnn = drawn(library_cell("lstm"))
    _, weights = exported(rnn, "torch").save(tmp_path)
    state = load_file(weights)
    other = drawn(library_cell("lstm"), seed=2)
    other.load_state_dict(state)
    x = torch.randn(3, 2, sizes_of(rnn.cell)[0])
    assert torch.equal(other(x)[0], rnn(x)[0])
