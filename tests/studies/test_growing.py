"""A run that has grown is the larger study run from scratch, whenever it was killed meanwhile."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.fake_search import Silent, search
from support.fake_training import Fake
from support.same_runs import assert_same_search, assert_same_study
from test_engine import Watcher, resume, run, tiny

import odyssey
from odyssey.errors import ConfigError, RunFailedError, StoreError
from odyssey.jobs.extend import Extension, begin_extension
from odyssey.jobs.status import run_status
from odyssey.storage import RunStore, files, load_results
from odyssey.storage.candidates import load_candidates
from odyssey.studies.engine import HISTORY, execute, prepare, reopen
from odyssey.studies.trained import load_trained

SMALL = {"cells": ["lstm", "elman"], "tasks": ["arithmetic"], "members": 3, "baseline": "lstm"}
LARGE = {**SMALL, "cells": ["lstm", "elman", "gru"], "tasks": ["arithmetic", "xml"], "members": 5}
GROWTH = {"draws": 5, "cells": ["gru"], "tasks": ["xml"]}
OWN = {"id", "created", "seconds", "commit", "digest", "history", "former_study", "study_toml"}


class Seen:
    """Does other work, and notes which members it was given."""

    def __init__(self, work):
        self.work, self.members = work, []

    def __call__(self, trial):
        self.members += [(trial.task, trial.spec, m["member"]) for m in trial.members]
        return self.work(trial)


def fake_run(study, folder):
    return execute(prepare(study, folder), Watcher(), work=Fake(folder.absolute()))


def grown(folder, growth):
    return execute(begin_extension(folder, growth).run, Watcher(), work=Fake(folder.absolute()))


def members(folder):
    rows = load_results(folder)
    return set(zip(rows["task"], rows["spec"], rows["member"], strict=True))


def facts(folder):
    """Gives all that run.json says, the study in full too, but for what is the run's own."""
    return {k: v for k, v in RunStore.open(folder).run.items() if k not in OWN}


def arrays(folder):
    """Gives all weights of a run, by trial."""
    return {path.name: dict(np.load(path)) for path in sorted((folder / "weights").glob("*"))}


@pytest.mark.parametrize(("population", "keep"), [(0, "best"), (2, "all")])
def test_a_run_that_grows_is_the_larger_study_from_scratch(tmp_path, population, keep):
    shared = {
        "population": population,
        "keep_weights": keep,
        "training": {"epochs": 1, "backend": "eager"},
    }
    run(tiny(**LARGE, **shared), tmp_path / "whole")
    run(tiny(**SMALL, **shared), tmp_path / "grown")
    odyssey.extend(tmp_path / "grown", **GROWTH, progress=False)
    assert_same_study(tmp_path / "grown", tmp_path / "whole")
    assert facts(tmp_path / "grown") == facts(tmp_path / "whole")
    mine, theirs = arrays(tmp_path / "grown"), arrays(tmp_path / "whole")
    assert mine.keys() == theirs.keys()
    for trial, held in mine.items():
        assert held.keys() == theirs[trial].keys()
        assert all((held[name] == theirs[trial][name]).all() for name in held)
    assert load_trained(tmp_path / "grown", cell="gru", task="xml").row["spec"] == "gru"


def test_what_exists_is_not_run_again_and_the_record_says_what_happened(tmp_path):
    folder = tmp_path / "run"
    fake_run(tiny(**SMALL, population=2), folder)
    before = members(folder)
    extended = begin_extension(folder, Extension(draws=5, cells=("gru",), tasks=("xml",)))
    assert run_status(folder).trials == 2  # of a trial that has grown a part is no whole
    assert members(folder) == before
    work = Seen(Fake(folder))
    execute(extended.run, Watcher(), work=work)
    assert before.isdisjoint(work.members)
    assert len(work.members) == len(set(work.members)) == 3 * 2 * 5 - len(before)
    status, record = run_status(folder), RunStore.open(folder).run
    assert (status.trials, status.planned) == (3 * 3 * 2, 3 * 3 * 2)
    began, grew = record[HISTORY]
    assert began["when"] == record["created"]
    assert grew["changed"]["members"] == [3, 5]
    assert grew["changed"]["tasks"] == [["arithmetic"], ["arithmetic", "xml"]]
    assert "regrouping" not in record
    assert reopen(folder).study.members == 5
    assert "members = 5" in (folder / "study.toml").read_text()
    work = Seen(Fake(folder))
    execute(begin_extension(folder, Extension(draws=5)).run, Watcher(), work=work)
    assert not work.members


class KilledError(BaseException):
    """Stands for SIGKILL: nothing is written after it."""


def killed_at(monkeypatch, moment):
    """Lets nothing change on disk from a moment on, counted in changes."""
    changes = itertools.count()

    def guarded(change):
        def called(*arguments, **options):
            if next(changes) >= moment:
                raise KilledError
            return change(*arguments, **options)

        return called

    monkeypatch.setattr(files, "write_atomically", guarded(files.write_atomically))
    monkeypatch.setattr(Path, "unlink", guarded(Path.unlink))


# of a growth: before, in and after run.json is written anew; of parts; and of the regrouping
@pytest.mark.parametrize("moment", [0, 1, 2, 3, 6, 7, 9, 15, 19, 20, 21, 25])
def test_killed_at_a_change_on_disk_it_loses_nothing_and_ends_the_same(
    wholes, tmp_path, monkeypatch, moment
):
    folder = tmp_path / "grown"
    shutil.copytree(wholes / "small", folder)
    before, growth = members(folder), Extension(draws=4)
    with monkeypatch.context() as patched:
        killed_at(patched, moment)
        with pytest.raises(KilledError):
            grown(folder, growth)
    recorded = members(folder)
    assert recorded >= before
    assert not load_results(folder).duplicated(["task", "spec", "member"]).any()
    work = Seen(Fake(folder))
    if moment % 2:
        execute(reopen(folder), Watcher(), work=work)
    execute(begin_extension(folder, growth).run, Watcher(), work=work)
    assert recorded.isdisjoint(work.members)
    assert_same_study(folder, wholes / "large")


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """A small study and a larger one, each from scratch."""
    folder = tmp_path_factory.mktemp("wholes")
    fake_run(tiny(**SMALL, population=2), folder / "small")
    fake_run(tiny(**{**SMALL, "members": 4}, population=2), folder / "large")
    return folder


def test_a_run_may_grow_again_before_it_is_whole(tmp_path):
    fake_run(tiny(**LARGE), tmp_path / "whole")
    folder = tmp_path / "grown"
    fake_run(tiny(**SMALL), folder)
    begun = begin_extension(folder, Extension(draws=4)).run

    class EndsError(Exception):
        pass

    class Ends(Watcher):
        def done(self, board, rows):
            raise EndsError

    with pytest.raises(EndsError):
        execute(begun, Ends(), work=Fake(folder))
    begin_extension(folder, Extension(draws=5, cells=("gru",)))
    run = begin_extension(folder, Extension(tasks=("xml",))).run
    work = Seen(Fake(folder))
    execute(run, Watcher(), work=work)
    assert len(work.members) == 30 - 6 - 1
    assert_same_study(folder, tmp_path / "whole")


def test_a_damaged_record_of_a_run_that_grows_is_run_again(tmp_path):
    fake_run(tiny(**LARGE), tmp_path / "whole")
    folder = tmp_path / "grown"
    fake_run(tiny(**SMALL), folder)
    run = begin_extension(folder, Extension(draws=5, cells=("gru",), tasks=("xml",))).run
    shard = sorted((folder / "results").glob("*.parquet"))[0]
    shard.write_bytes(shard.read_bytes()[:-9])
    work = Seen(Fake(folder))
    execute(run, Watcher(), work=work)
    assert len(work.members) == 30 - 3
    assert_same_study(folder, tmp_path / "whole")


def test_a_search_that_grows_is_the_longer_search(tmp_path):
    strategy = "jozefowicz"
    search(tmp_path / "whole", strategy, 10)
    search(tmp_path / "grown", strategy, 6)
    extended = begin_extension(tmp_path / "grown", Extension(candidates=10))
    assert extended.left.left == 4
    execute(extended.run, Silent(), work=Fake(tmp_path / "grown"))
    assert len(load_candidates(tmp_path / "grown")) == 12
    assert_same_search(tmp_path / "grown", tmp_path / "whole")
    assert_same_study(tmp_path / "grown", tmp_path / "whole")
    for draws in (0, 9):
        with pytest.raises(ConfigError, match="only --candidates can grow"):
            begin_extension(tmp_path / "grown", Extension(draws=draws))


def test_cells_are_those_that_the_run_began_with(tmp_path):
    own = tmp_path / "own.cell"
    own.write_text("cell own\ninput x\nstate h\nh[t] = sigmoid(W @ x[t] + U @ h[t-1])\noutput h\n")
    shared = {"tasks": ["arithmetic"], "members": 2}
    fake_run(tiny(cells=[str(own)], **shared), tmp_path / "grown")
    fake_run(tiny(cells=[str(own), "gru"], **shared), tmp_path / "whole")
    own.write_text(own.read_text().replace("sigmoid", "tanh"))
    with pytest.raises(ConfigError, match="another cell than when the run began"):
        begin_extension(tmp_path / "grown", Extension(cells=(str(own),)))
    own.unlink()
    run = begin_extension(tmp_path / "grown", Extension(cells=("gru",))).run
    execute(run, Watcher(), work=Fake(tmp_path / "grown"))
    assert_same_study(tmp_path / "grown", tmp_path / "whole")


def test_what_makes_no_sense_is_refused_and_changes_nothing(tmp_path):
    folder = tmp_path / "run"
    fake_run(tiny(**SMALL), folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for growth, error, words in [
        ({}, ConfigError, "say what the run gets"),
        ({"draws": 2}, ConfigError, "has 3 already"),
        ({"draws": 0}, ConfigError, "has 3 already"),
        ({"candidates": 9}, ConfigError, "is no search"),
        ({"cells": "nothing_like_it"}, Exception, "no cell called"),
        ({"tasks": "xmll"}, Exception, "closest: xml"),
        ({"cells": "lstm:forget_bias=1", "draws": 10**6}, ConfigError, "members"),
    ]:
        with pytest.raises(error, match=words):
            odyssey.extend(folder, **growth, progress=False)
    with RunStore.open(folder).lock(), pytest.raises(StoreError, match="another process"):
        odyssey.extend(folder, draws=4, progress=False)
    with pytest.raises(StoreError, match="no run at"):
        odyssey.extend(tmp_path / "nothing", draws=4, progress=False)
    sealed = RunStore.open(folder).run["trial_ids"]
    RunStore.open(folder).update_run(trial_ids="others")
    with pytest.raises(ConfigError, match="another version of Odyssey"):
        odyssey.extend(folder, draws=4, progress=False)
    RunStore.open(folder).update_run(trial_ids=sealed)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_run_without_a_record_grows_too(tmp_path):
    folder = tmp_path / "run"
    prepare(tiny(**SMALL), folder)
    execute(
        begin_extension(folder, Extension(draws=5, cells=("gru",), tasks=("xml",))).run,
        Watcher(),
        work=Fake(folder),
    )
    fake_run(tiny(**LARGE), tmp_path / "whole")
    assert_same_study(folder, tmp_path / "whole")


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    fake_run(tiny(**SMALL), folder)
    before = members(folder)

    def full(path, data):
        raise OSError(28, "No space left on device")

    for late in (False, True):
        if late:
            begin_extension(folder, Extension(draws=5))
        with monkeypatch.context() as patched:
            patched.setattr(files, "write_atomically", full)
            with pytest.raises((StoreError, RunFailedError), match="No space left"):
                grown(folder, Extension(draws=5))
        assert members(folder) == before
    execute(reopen(folder), Watcher(), work=Fake(folder))
    assert len(members(folder)) == 10
    resume(folder)
