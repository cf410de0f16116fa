"""Scripts of analysis/ that draw run on a small run and write a figure with its CSV."""

import subprocess
import sys
from pathlib import Path

import pytest

from odyssey.cli.main import main

ROOT = Path(__file__).parents[1]
NO_FIGURE = ("keep", "execute")  # copies runs; runs notebooks
SCRIPTS = [p for p in sorted((ROOT / "analysis").glob("*.py")) if p.stem not in NO_FIGURE]

STUDY = """
name = "small"
cells = ["elman", "gru"]
tasks = ["xml"]
members = 2
runner = "local"
[training]
epochs = 1
updates_per_epoch = 2
valid_characters = 100
test_characters = 100
[space]
hidden_size = 4
learning_rate = { log_uniform = [1e-3, 1e-1] }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    (folder / "study.toml").write_text(STUDY)
    assert main(["search", str(folder / "study.toml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_script_writes_a_figure_and_its_data(run, tmp_path, script):
    command = [sys.executable, "-W", "error::RuntimeWarning", str(script), str(run), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {p.suffix for p in tmp_path.iterdir()} == {".png", ".pdf", ".csv"}
    assert str(script.name) in (ROOT / "analysis/README.md").read_text()
