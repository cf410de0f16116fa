"""From a search to a file that runs without Odyssey: search, extend, compare, promote, export.

python docs/workflow.py [FOLDER]

It writes its runs and files into FOLDER, or into one that it makes. Everything is tiny: what it
finds means nothing, and docs/search.md says what a search needs to mean something.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

import odyssey

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())

# 1. A search: from two cells of the library, in two stages of training.
study = odyssey.Study(
    name="workflow",
    cells=["gru", "mut1"],
    tasks=["memorization@length=2"],
    seed=2,
    runner="local",  # without it, workers of Ray
    training={
        "optimizer": "adam",
        "updates_per_epoch": 10,
        "batch_size": 8,
        "unroll": 12,
        "valid_characters": 300,
        "test_characters": 300,
    },
    space={"hidden_size": 8, "learning_rate": {"log_uniform": [5e-3, 5e-2]}},
    strategy={"name": "aging", "candidates": 4, "population": 3, "sample": 2, "lag": 2},
    stages=[
        {"name": "screen", "draws": 1, "training": {"epochs": 1}, "keep": 0.9},
        {"name": "full", "draws": 2, "training": {"epochs": 2}},
    ],
)
run = odyssey.search(study, out=folder / "search")
print(run)

# 2. More candidates, on top of those that there are.
run.extend(candidates=6)
print(run.table())

# 3. The best of it once more, on seeds that the search never used, beside LSTM and GRU; twice, to
#    see whether it repeats.
small = {"top": 1, "draws": 2, "tasks": "memorization@length=2", "parameters": 400}
once = run.promote(**small, settings={"epochs": 4, "runner": "local"}, out=folder / "once")
again = run.promote(
    **small, settings={"epochs": 4, "runner": "local"}, out=folder / "again", seed=7
)
print(odyssey.compare(once, again))

# 4. The winner, as a module that needs torch alone, and as a graph for any runtime.
winner = once.model()
print(winner)
torch_file, weights = once.export(to="torch").save(folder / "winner")
(onnx_file,) = once.export(to="onnx").save(folder / "winner")

# 5. What the exported files give where `import odyssey` fails, for sequences of two lengths.
sequences = {
    length: np.random.default_rng(length).integers(len(winner.task.symbols), size=(length, 3))
    for length in (5, 9)
}
np.savez(folder / "inputs.npz", **{str(n): x for n, x in sequences.items()})
ALONE = """
import importlib.util, sys
import numpy as np, torch

class NoOdyssey:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "odyssey":
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, NoOdyssey())
try:
    import odyssey
except ImportError:
    pass
else:
    sys.exit("odyssey can be imported")

file, inputs, outputs = sys.argv[1:]
spec = importlib.util.spec_from_file_location("winner", file)
winner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(winner)
model = winner.load()
found = {}
with torch.no_grad():
    for length, x in np.load(inputs).items():
        y, states = model(torch.from_numpy(x))
        found |= {f"{length} {k}": v for k, v in enumerate((y, *states))}
np.savez(outputs, **found)
"""
command = [sys.executable, "-I", "-c", ALONE, torch_file, folder / "inputs.npz", folder / "out.npz"]
subprocess.run(command, check=True)

quiet = onnxruntime.SessionOptions()
quiet.log_severity_level = 3
session = onnxruntime.InferenceSession(onnx_file, quiet)
alone = np.load(folder / "out.npz")
stored = load_file(weights)
assert np.array_equal(stored["readout.weight"], winner.model.readout.detach().numpy()[0])
for length, x in sequences.items():
    y, states = winner(x)
    for place, ours in enumerate((y, *states)):
        graph = session.run(None, {"input": x})[place]
        for theirs in (alone[f"{length} {place}"], graph):
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-6, atol=1e-6)
    print(f"{length} steps: torch alone and ONNX give what Odyssey gives, to 1e-6")
