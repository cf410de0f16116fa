"""The jobs are names of the package, and every command of the command line has one."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import odyssey
from odyssey import jobs
from odyssey.cli.main import COMMANDS
from odyssey.errors import OdysseyError

ROOT = Path(__file__).parents[2]
MODULES = [module.name for module in pkgutil.iter_modules(jobs.__path__)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_calls_a_job(name):
    tree = ast.parse((ROOT / f"odyssey/cli/{name}.py").read_text())
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert any(m.startswith(("odyssey.jobs", "odyssey.studies.make")) for m in imported)


@pytest.mark.parametrize("name", MODULES)
def test_a_job_never_prints(name):
    tree = ast.parse((ROOT / f"odyssey/jobs/{name}.py").read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "print" not in names


@pytest.mark.parametrize("name", MODULES)
def test_options_are_frozen_and_all_have_defaults(name):
    module = importlib.import_module(f"odyssey.jobs.{name}")
    for kind in vars(module).values():
        if inspect.isclass(kind) and kind.__name__.endswith("Options"):
            assert kind.__dataclass_params__.frozen
            assert kind() == dataclasses.replace(kind())


def test_a_cell_is_trained_sampled_and_measured_without_the_command_line(tmp_path, monkeypatch):
    from odyssey.progress.watcher import TrainWatcher

    class Heard(TrainWatcher):
        epochs = 0

        def epoch(self, epoch, seconds_left):
            self.epochs += 1

    heard, out = Heard(), tmp_path / "run"
    small = {"hidden_size": 6, "updates_per_epoch": 1, "batch_size": 2, "unroll": 5}
    trained = odyssey.train("elman", "xml", epochs=2, **small, out=out, progress=heard)
    assert trained.row["status"] == "ok"
    assert heard.epochs == 2
    written = odyssey.sample(out, length=5, cell="elman")
    assert len("".join(written.pieces())) == 5
    study = odyssey.gradients(["elman"], steps=4, hidden_size=3, seeds=2)
    assert study.summary["label"].tolist() == ["elman"]
    with pytest.raises(OdysseyError, match="closest: elman"):
        odyssey.train("elmann", "xml")


def test_a_study_is_run_estimated_and_gone_on_with_from_python(tmp_path):
    from odyssey.jobs.search import (
        RunOptions,
        begin_run,
        estimate_study,
        resume_run,
        run_left,
        work_through,
    )
    from odyssey.studies.study import Study

    study = Study(
        name="s",
        cells=("elman",),
        tasks=("xml",),
        members=1,
        runner="local",
        training={"epochs": 0, "valid_characters": 100, "test_characters": 100},
        space={"hidden_size": 3},
    )
    assert estimate_study(study).trials == 1
    summary = work_through(begin_run(study, RunOptions(out=tmp_path / "run")))
    assert (summary.total, summary.ran, summary.failed) == (1, 1, 0)
    assert run_left(resume_run(tmp_path / "run")).left == 0
