"""What is installed works without the repository, and asks for no more than it uses."""

import fnmatch
import json
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from support.driving import python

from odyssey.errors import ConfigError
from odyssey.studies.examples import copy_example, example_path, list_examples
from odyssey.studies.study import read_study

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_file_of_the_package_is_in_the_wheel():
    globs = PROJECT["tool"]["setuptools"]["package-data"]["odyssey"]
    files = [
        path.relative_to(ROOT / "odyssey").as_posix()
        for path in (ROOT / "odyssey").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert len(files) > 100
    assert [f for f in files if not any(fnmatch.fnmatch(f, glob) for glob in globs)] == []
    folders = {path.parent for path in (ROOT / "odyssey").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


# What a layer needs, where nothing is installed that only studies and pages need.
LITTLE = """
import json, sys

FORBIDDEN = set(json.loads(sys.argv[1]))

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is asked for")

sys.meta_path.insert(0, Forbidden())

import odyssey, torch
rnn = odyssey.RNN(odyssey.get_cell("lstm:no_output_gate"), 3, 4)
output, state = rnn(torch.randn(5, 2, 3))
output.sum().backward()
one = odyssey.RNNCell(odyssey.get_cell("gru"), 3, 4)
one(torch.randn(2, 3))
odyssey.from_torch(torch.nn.LSTM(3, 4))
cell = odyssey.parse_cell(odyssey.get_cell("on_lstm").text)
print(len(cell.key), cell.fingerprint, len(odyssey.list_cells()))
"""


def test_a_layer_needs_torch_numpy_and_sympy_alone(tmp_path):
    needed = {re.match(r"[a-z-]+", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert {"torch", "numpy", "sympy", "ray", "scikit-learn", "matplotlib"} <= needed
    forbidden = [
        module
        for module, names in packages_distributions().items()
        if {name.lower().replace("_", "-") for name in names}
        & (needed - {"torch", "numpy", "sympy"})
    ]
    assert {"ray", "sklearn", "PIL", "matplotlib"} <= set(forbidden)
    done = python("-c", LITTLE, json.dumps(forbidden), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("64 ")


@pytest.mark.parametrize("name", list_examples())
def test_an_example_can_be_run_and_copied(name, tmp_path):
    study = read_study(example_path(name))
    copy_example(name, tmp_path / "mine.toml")
    assert read_study(tmp_path / "mine.toml") == study
    with pytest.raises(ConfigError, match="there already"):
        copy_example(name, tmp_path / "mine.toml")
    assert (ROOT / "experiments" / name / "README.md").is_file()


def test_an_unknown_example_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="no example called 'tuor'; closest: tour"):
        example_path("tuor")


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
