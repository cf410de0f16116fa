"""Models that are conditioned on pictures, grids and vectors, in torch alone and in ONNX."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.departing import BLOCKED, in_onnxruntime

from odyssey.cells import library_cell
from odyssey.expr import parse_cell
from odyssey.formats.onnx_model import write_onnx
from odyssey.formats.torch_alone.file import write_torch
from odyssey.hyperparameters import Member
from odyssey.jobs.export import of_model
from odyssey.tasks.signature import WAYS, Condition, Signature, Values
from odyssey.training.model import SequenceModel

SHAPES = [(9, 6, 2), (5, 4), (7,)]
NAMES = """cell names
input x
input context : {size}
state given, begin
begin[t] = tanh(W @ x[t] + U @ given[t-1] + V @ context[t])
given[t] = 0.5 * begin[t-1] + sigmoid(begin[t])
output given
"""
CELLS = ["lstm", "mut1", "gru"]
ONNX = 4e-6  # what onnxruntime may be off: its sigmoid goes in steps of 6e-8
CHILD = (
    BLOCKED
    + r"""
for name in json.loads((folder / "names.json").read_text()):
    module, numbers = importlib.import_module(name), load_file(folder / f"{name}.numbers")
    model, found = module.load(), {}
    with torch.no_grad():
        for run in range(2):
            state = None
            for part in range(2):
                y, state = model(numbers[f"x.{run}.{part}"], numbers[f"given.{run}"], state)
                for k, value in enumerate((y, *state)):
                    found[f"{run}.{part}.{k}"] = value.contiguous().clone()
    save_file(found, folder / f"{name}.found")
"""
)


def context_of(condition):
    """How many numbers a cell reads of a condition at a step."""
    last = 64 if len(condition.shape) == 3 else condition.shape[-1]
    return last if condition.way == "attention" else 64


def made(number, condition):
    """A model of random weights, what it reads twice in two parts, and what is given."""
    cell = library_cell(CELLS[number % len(CELLS)])
    if condition.way != "first" and number % 2:
        cell = parse_cell(NAMES.format(size=context_of(condition)))
    values = Values("classes", 6) if number % 3 else Values("reals", 6)
    signature = Signature(values, Values("classes", 4), condition)
    layers = 1 + number % 2
    model = SequenceModel(cell, signature, [8], layers, backend="eager", dtype=torch.float32)
    model.initialise(0, Member(0, 1, hidden_size=8, num_layers=layers), "uniform_fan")
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
            if name.endswith("variance"):
                weight.abs_().add_(0.5)
    numbers = {}
    for run, (steps, batch) in enumerate(((4, 3), (7, 2))):
        numbers[f"given.{run}"] = torch.rand(batch, *condition.shape, generator=generator)
        for part in range(2):
            read = torch.randint(6, (steps, batch), generator=generator)
            if values.dense:
                read = torch.randn(steps, batch, 6, generator=generator)
            numbers[f"x.{run}.{part}"] = read
    return model, numbers


def expected(model, numbers):
    """Outputs and states of every part, each going on from the one before."""
    found = {}
    with torch.no_grad():
        for run in range(2):
            memory, state = model.encode(numbers[f"given.{run}"][None]), None
            for part in range(2):
                y, state = model(numbers[f"x.{run}.{part}"][None], state, memory)
                found |= {f"{run}.{part}.{k}": v[0] for k, v in enumerate((y, *state))}
    return found


@pytest.fixture(scope="module")
def models():
    conditions = [Condition(shape, way) for shape in SHAPES for way in WAYS]
    return [made(number, condition) for number, condition in enumerate(conditions)]


def test_modules_of_torch_alone_compute_the_same(models, tmp_path):
    from safetensors.numpy import save_file as save_arrays
    from safetensors.torch import load_file, save_file

    names = [f"model{k}" for k in range(len(models))]
    for name, (model, numbers) in zip(names, models, strict=True):
        portable = of_model(model)
        (tmp_path / f"{name}.py").write_text(write_torch(portable))
        arrays = {n: np.ascontiguousarray(v) for n, v in portable.arrays.items()}
        save_arrays(arrays, tmp_path / f"{name}.safetensors")
        save_file(numbers, tmp_path / f"{name}.numbers")
    (tmp_path / "names.json").write_text(json.dumps(names))
    for command in (["-m", "ruff", "format", "--check"], ["-m", "ruff", "check"]):
        options = ["--isolated", "--no-cache", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, *command, *options], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, (model, numbers) in zip(names, models, strict=True):
        found = load_file(tmp_path / f"{name}.found")
        torch.testing.assert_close(found, expected(model, numbers), rtol=0, atol=1e-6)


@pytest.mark.parametrize("number", range(9))
def test_onnx_computes_the_same_and_goes_on(models, number):
    model, numbers = models[number]
    session = in_onnxruntime(write_onnx(of_model(model)))
    _, what = (i.name for i in session.get_inputs())
    optional = session.get_overridable_initializers()
    going_on = {i.name: np.array(False) for i in optional if i.type == "tensor(bool)"}
    states = [o.name.rstrip("_").removesuffix("_n") for o in session.get_outputs()[1:]]
    wanted = expected(model, numbers)
    order = sorted(states, key=lambda name: name.startswith("last_output"))  # behind the states
    for run in range(2):
        read = {what: numbers[f"given.{run}"].numpy()}
        for part in range(2):
            found = session.run(None, read | {"input": numbers[f"x.{run}.{part}"].numpy()})
            values = dict(zip(states, found[1:], strict=True))
            for k, value in enumerate((found[0], *(values[n] for n in order))):
                np.testing.assert_allclose(value, wanted[f"{run}.{part}.{k}"], rtol=0, atol=ONNX)
            read |= values | going_on
