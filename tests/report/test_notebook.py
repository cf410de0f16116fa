"""Results of others can be looked at where neither torch nor ray is installed."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "ray"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
import odyssey
from odyssey.report.page import tables
from odyssey.report.study import comparison_plots
from odyssey.statistics import aggregate, boxes, comparison, importance
from odyssey.statistics.ranking import with_labels
results = odyssey.load_results(sys.argv[1])
curves = odyssey.load_curves(sys.argv[1])
found = comparison.compare(results, seed=0, resamples=20)
print(tables.to_markdown(tables.comparison_table(found)).count("baseline"))
print(len(boxes.winner_curves(with_labels(curves), with_labels(results))))
comparison_plots.plot_heat_map(found, unit="test bits per character")
try:
    import torch
except ImportError:
    print("no torch")
"""


def test_results_are_compared_without_torch_and_ray(store):
    command = [sys.executable, "-c", CODE, str(store.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Two tasks with a baseline, in both verdicts.
    assert done.stdout.split("\n")[0] == "4"
    assert done.stdout.split("\n")[2] == "no torch"
