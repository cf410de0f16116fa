"""What has left Odyssey, beside Odyssey: modules in a process of their own, and ONNX.

Expected numbers are those of the eager backend, which the oracle judges.
"""

import json
import math
import subprocess
import sys

import numpy as np
import torch

from odyssey.compiler import RNN
from odyssey.expr.sizes import ONE, parts, resolve
from odyssey.jobs.export import ExportOptions, export_cell

LENGTHS = ((4, 3), (7, 2))  # steps and batch
LAYERS = 2
JITTERS = (1, 2)
BLOCKED = r"""
import importlib, json, sys, traceback
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "odyssey":
            raise ImportError("odyssey is blocked")

sys.meta_path.insert(0, Blocked())
try:
    import odyssey
except ImportError:
    pass
else:
    raise SystemExit("odyssey is there")

import torch
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
"""
CHILD = (
    BLOCKED
    + r'''
def run(case):
    """Writes output and states of every run, in both types."""
    name, found = case["module"], {}
    module = importlib.import_module(name)
    numbers = load_file(folder / f"{name}.numbers")
    weights = load_file(folder / f"{name}.safetensors")
    loaded = module.load().state_dict()
    assert all(torch.equal(loaded[n], w) for n, w in weights.items())
    for kind in ("float32", "float64"):
        model = module.RNN().to(getattr(torch, kind))
        model.load_state_dict(weights)
        for run in range(case["runs"]):
            read = [numbers[f"{n}.{run}"].to(getattr(torch, kind)) for n in ("x", *case["further"])]
            y, state = model(*read)
            for k, value in enumerate((y, *state)):
                found[f"{kind}.{run}.{k}"] = value.detach().contiguous().clone()
    save_file(found, folder / f"{name}.found")

for case in json.loads((folder / "cases.json").read_text()):
    try:
        run(case)
    except Exception:
        print(case["module"], case["cell"], traceback.format_exc(limit=-1), file=sys.stderr)
'''
)


def sizes_of(cell):
    return (8, 8) if cell.shapes.square else (5, 8)


def layers_of(cell):
    """Two; one where a further input has the size of x, which is another in the second layer."""
    return 1 if any(parts(size)[0] != ONE for size in cell.shapes.inputs.values()) else LAYERS


def drawn(cell, dtype=torch.float32, *, seed=1, jitter=0):
    """Layers of a cell, with weights that a seed draws: the same in every type.

    With a jitter, another seed, each weight is its neighbour among the numbers of float32.
    """
    rnn = RNN(cell, *sizes_of(cell), layers_of(cell), backend="eager", dtype=torch.float32)
    rnn.reset_parameters(rng=np.random.default_rng(seed))
    with torch.no_grad():  # biases that start at zero would hide a missing one
        generator = torch.Generator().manual_seed(seed)
        for weight in rnn.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
        generator.manual_seed(jitter)
        for weight in rnn.parameters() if jitter else ():
            up = torch.rand(weight.shape, generator=generator) < 0.5
            weight.copy_(weight.nextafter(torch.where(up, math.inf, -math.inf)))
    return rnn.to(dtype)


def all_of(rnn, x, further, state=None):
    """Output and states of a call, in the type of the weights."""
    kind = rnn.like.dtype
    further = {name: value.to(kind) for name, value in further.items()}
    state = None if state is None else tuple(s.to(kind) for s in state)
    with torch.no_grad():
        y, last = rnn(x.to(kind), state, inputs=further or None)
    return (y, *last)


def inputs_of(cell):
    """What is read in each run: x, and further inputs by name, which are times, masks and other
    things above zero."""
    generator = torch.Generator().manual_seed(7)
    sizes = {name: resolve(size, *sizes_of(cell)) for name, size in cell.shapes.inputs.items()}
    return [
        (
            torch.randn(t, b, sizes_of(cell)[0], generator=generator),
            {name: torch.rand(t, b, size, generator=generator) for name, size in sizes.items()},
        )
        for t, b in LENGTHS
    ]


def tolerance(near, true, moved):
    """1e-6 of the largest number from 1 on; or, where that is more, four times what float32 costs
    torch itself: beside float64, and where weights move to their neighbours. Sums run in another
    order elsewhere, and what divides by a number near zero makes much of that."""
    own = max(distance(near, true.float()), *(distance(near, m) for m in moved))
    finite = true.abs()[true.isfinite()]
    return max(1e-6 * max([1.0, *finite.flatten().tolist()]), 4 * own)


def distance(value, expected):
    """The largest difference; infinite where only one of both is a number."""
    if not torch.equal(value.isfinite(), expected.isfinite()):
        return math.inf
    there = expected.isfinite()
    return (value[there] - expected[there]).abs().amax().item() if there.any() else 0.0


def share(value, expected, limit):
    """How much of what is allowed a value is off; nothing where float32 has no number itself."""
    if value.shape != expected.shape:
        return math.inf
    return distance(value, expected) / limit if limit < math.inf else 0.0


def errors_of_modules(cells, folder):
    """Writes every cell with weights, runs all in one process without odyssey; gives how far their
    outputs and states are off, by name: 1 is what is allowed."""
    from safetensors.torch import load_file, save_file

    cases, allowed, errors = [], [], {}
    for number, cell in enumerate(cells):
        single, double = drawn(cell), drawn(cell, torch.float64)
        jittered = [drawn(cell, jitter=k) for k in JITTERS]
        name = f"cell{number}"
        export_cell(single, "torch").save(folder / f"{name}.py")
        numbers, limits = {}, {}
        for run, (x, further) in enumerate(inputs_of(cell)):
            numbers |= {f"{n}.{run}": value for n, value in ({"x": x} | further).items()}
            moved = zip(*(all_of(rnn, x, further) for rnn in jittered), strict=True)
            near, true = (all_of(rnn, x, further) for rnn in (single, double))
            pairs = zip(near, true, moved, strict=True)
            for k, (ours, exact, others) in enumerate(pairs):
                limit = tolerance(ours, exact, others)
                limits[f"float32.{run}.{k}"] = ours, limit
                limits[f"float64.{run}.{k}"] = exact, limit * 1e-6
        save_file(numbers, folder / f"{name}.numbers")
        allowed.append(limits)
        case = {"module": name, "cell": cell.name, "runs": len(LENGTHS)}
        cases.append(case | {"further": list(further)})
    (folder / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stderr)  # why one does not run, where one does not
    for case, limits in zip(cases, allowed, strict=True):
        path = folder / f"{case['module']}.found"
        found = load_file(path) if path.exists() else {}
        errors[f"{case['module']} {case['cell']}"] = (
            max(share(found[key], *limit) for key, limit in limits.items())
            if found.keys() == limits.keys()
            else math.inf
        )
    return errors


def in_onnxruntime(data):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def by_reference(data):
    """The implementation in NumPy that comes with the definition of ONNX."""
    from onnx import load_from_string
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(load_from_string(data))


def error_of_onnx(cell, session_of=in_onnxruntime):
    """Runs a cell at two lengths, from the start and from a state: how far outputs and states are
    off; 1 is what is allowed."""
    rnn, exact = drawn(cell), drawn(cell, torch.float64)
    jittered = [drawn(cell, jitter=k) for k in JITTERS]
    data = next(iter(export_cell(rnn, "onnx").files.values()))
    session = session_of(data)
    worst = 0.0
    for x, further in inputs_of(cell):
        given = {"input": x.numpy()} | {name: value.numpy() for name, value in further.items()}
        state = None
        for _ in range(2):
            found = session.run(None, given)
            near, true = (all_of(layers, x, further, state) for layers in (rnn, exact))
            moved = zip(*(all_of(other, x, further, state) for other in jittered), strict=True)
            every = zip(found, near, true, moved, strict=True)
            for value, close, far, others in every:
                assert value.shape == tuple(far.shape)
                limit = tolerance(close, far, others)
                worst = max(worst, share(torch.as_tensor(value), close, limit))
            state = true[1:]
            given |= {n: s.float().numpy() for n, s in zip(cell.states, state, strict=True)}
    return worst


def exported(cell, to, **options):
    return export_cell(cell, to, ExportOptions(**options))
