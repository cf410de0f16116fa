"""The example notebook runs without torch and ray, and shows what the committed results give."""

import json
import os
import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parents[1] / "analysis/example.ipynb"

RUN = """
import ast, contextlib, io, json, sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "ray"):
            raise ImportError(name)
sys.meta_path.insert(0, Forbidden())
import pandas as pd
pd.set_option("display.max_columns", 20)  # as in a notebook
def run(source, names):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, "cell", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
    return [out.getvalue(), "" if value is None else repr(value)]
names = {}
print(json.dumps([run(source, names) for source in json.load(sys.stdin)]))
"""


def test_the_notebook_shows_what_the_results_give():
    cells = [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]
    assert len(cells) > 3
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(["".join(cell["source"]) for cell in cells]),
        cwd=NOTEBOOK.parent,
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONWARNINGS": "ignore", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pictures = 0
    for cell, (printed, value) in zip(cells, json.loads(done.stdout), strict=True):
        outputs = cell["outputs"]
        assert cell["execution_count"]
        assert all(o["output_type"] != "error" for o in outputs)
        kept = "".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream")
        shown = [o for o in outputs if o["output_type"] == "execute_result"]
        assert kept == printed
        assert "".join(t for o in shown for t in o["data"]["text/plain"]) == value
        pictures += sum("image/png" in o.get("data", {}) for o in outputs)
    assert pictures == 3


def test_no_path_of_a_machine_is_in_the_notebook():
    text = NOTEBOOK.read_text()
    for word in ("/tmp/", "/home/", "/root/", "/work/"):
        assert word not in text
