"""Experiments that are scripts run, and measure what a few lines of NumPy measure."""

import ast
import importlib.util
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from odyssey.specs import get_cell

ROOT = Path(__file__).parents[1]


@pytest.fixture
def relu_loop(monkeypatch):
    path = ROOT / "experiments/relu_loop/run.py"
    spec = importlib.util.spec_from_file_location("relu_loop_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SEEDS", 40)
    return module


def lecture(u, start, g, steps):
    """The lecture's loop, forward and back."""
    masks, h = [], start
    for _ in range(steps):
        h = np.maximum(u @ h, 0)
        masks.append(h > 0)
    product = np.eye(len(u))
    for mask in masks:
        product = (mask[:, None] * u) @ product
    for mask in reversed(masks):
        g = u.T @ (mask * g)
    return np.linalg.norm(g), np.abs(np.linalg.eigvals(product)).max()


def test_the_relu_loop_is_the_lectures(relu_loop):
    frame = relu_loop.measure()
    rng = np.random.default_rng(1)
    streams = rng.spawn(40)
    start, g = rng.normal(size=(40, 1, 1, 5)), rng.normal(size=(40, 1, 5))
    for seed in range(40):
        u = streams[seed].normal(0.0, 1.0, (5, 5))
        norm, radius = lecture(u, start[seed, 0, 0], g[seed, 0], 50)
        row = frame.iloc[seed]
        assert row.radius == pytest.approx(np.abs(np.linalg.eigvals(u)).max(), rel=1e-10)
        if norm == 0:
            assert row.log10_first == -np.inf
        else:
            assert row.log10_first == pytest.approx(np.log10(norm), abs=1e-9)
        assert row.radius_of_product == pytest.approx(radius, rel=1e-4, abs=1e-12)
    relu_loop.draw(frame)
    shares = relu_loop.table(frame).set_index("case").share
    assert shares["gradient of U above 1e3, clipped at 5"] == 0.0
    assert 0.3 < shares["gradient above 1e3"] < 0.9


def test_streams_are_cut_one_by_one():
    path = ROOT / "experiments/karpathy_2015/splits.py"
    spec = importlib.util.spec_from_file_location("karpathy_splits", path)
    splits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(splits)
    text = np.arange(200)
    train, test = splits.by_streams(text, 10)
    assert train.tolist() == [n for n in text if n % 20 < 16]
    assert test.tolist() == [n for n in text if n % 20 >= 18]
    train, test = splits.by_streams(text, 1)
    assert (train.tolist(), test.tolist()) == (list(range(160)), list(range(180, 200)))


def test_the_cells_of_predictors_are_those_of_their_list():
    folder = ROOT / "experiments/predictors"
    listed = pd.read_csv(folder / "cells.csv", keep_default_na=False)
    study = tomllib.loads((folder / "study.toml").read_text())
    names = [spec.removeprefix("cells/").removesuffix(".cell") for spec in study["cells"]]
    assert names == listed["cell"].tolist()
    assert listed["key"].is_unique
    assert len(names) >= 400
    for row in listed.iloc[::40].itertuples():
        file = folder / f"cells/{row.cell}.cell"
        spec = str(file) if row.made == "mutant" else row.cell
        assert get_cell(spec).key.startswith(row.key), row.cell


@pytest.mark.parametrize(
    "path",
    [p for folder in ("experiments", "analysis") for p in sorted((ROOT / folder).rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_script_needs_the_command_line(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        assert not [name for name in names if name.startswith("odyssey.cli")]


@pytest.mark.parametrize(
    "path",
    [
        p
        for folder in ("experiments", "analysis", "benchmarks", "checks")
        for p in sorted((ROOT / folder).rglob("*.py"))
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_what_a_script_imports_is_there(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("odyssey", "support"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def kept_studies():
    """Experiments of which results are kept."""
    return [
        readme
        for readme in sorted((ROOT / "experiments").glob("*/README.md"))
        if (ROOT / "results" / readme.parent.name).is_dir()
    ]


@pytest.mark.parametrize("readme", kept_studies(), ids=lambda readme: readme.parent.name)
def test_a_kept_study_begins_with_its_answer(readme):
    title, answer, *_ = readme.read_text().split("\n\n")
    assert title.startswith("# ")
    assert answer.startswith("**In a sentence.** ")
