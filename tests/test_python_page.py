"""docs/python.md and docs/workflow.*: their code runs, and gives what they say."""

import json
import re
from pathlib import Path

import pytest
from support.driving import environment, python

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/workflow.ipynb"
STEPS = [f"{n} steps: torch alone and ONNX give what Odyssey gives, to 1e-6" for n in (5, 9)]


def test_the_page_runs_from_its_first_line_to_its_last(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "cache"))
    space = {}
    text = (ROOT / "docs/python.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 5
    for code in blocks:
        exec(compile(code, "python.md", "exec"), space)
    said = capsys.readouterr().out
    for line in re.findall(r"# (<.*>)$", text, re.M):
        assert line.split(" ... ")[0].split(": valid")[0] in said
    for path in ("curves.png", "runs/mine/report.html", "exported", "gru.onnx"):
        assert (tmp_path / path).exists()


def test_the_script_goes_from_a_search_to_a_file_that_needs_no_odyssey(tmp_path):
    done = python(ROOT / "docs/workflow.py", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == STEPS


def cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_the_script():
    script = (ROOT / "docs/workflow.py").read_text("utf-8")
    code = "\n".join("".join(cell["source"]) for cell in cells(json.loads(NOTEBOOK.read_text())))
    shown = re.sub(r"^print\((.*)\)$", r"\1", script, flags=re.M)
    missing = [line for line in code.splitlines() if line not in script and line not in shown]
    assert missing == ['folder = Path("results/workflow")']


def test_the_notebook_runs_in_a_kernel_and_shows_what_it_makes(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name, value in environment(PYTHONWARNINGS="ignore").items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in cells(notebook) for output in cell["outputs"]]
    shown = [o["data"] for o in outputs if o["output_type"] == "execute_result"]
    run, table, compared, model = shown
    assert "<b>workflow</b> search workflow, 6 of 6 candidates" in run["text/html"]
    assert run["text/plain"].startswith("<Run results")
    assert "dataframe" in table["text/html"]
    assert "Runs compared" in compared["text/html"]
    assert model["text/plain"].startswith("<TrainedModel ")
    # what was drawn while it worked is taken away, and was drawn in the notebook's own way
    drawn = [o["data"] for o in outputs if o["output_type"] == "display_data"]
    assert len(drawn) == 4
    assert all(data["text/html"] == "" for data in drawn)
    said = "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    assert said.splitlines()[-2:] == STEPS


def test_no_path_of_a_machine_is_in_the_notebook():
    text = NOTEBOOK.read_text()
    for word in ("/tmp/", "/home/", "/root/", "/work/"):
        assert word not in text
