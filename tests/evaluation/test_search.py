"""A search gives the same candidates and the same table, whoever runs it and whatever happens."""

import errno
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from driving import HANGS, kill_all, start
from fake_search import Silent, search
from fake_training import Fake, listed, study_text

from odyssey.errors import OdysseyError, RunFailedError, StoreError
from odyssey.evaluation.search import prepare_search, reopen_search, run_search
from odyssey.evaluation.study import parse_study
from odyssey.expr import parse_cell
from odyssey.search.strategies import STRATEGIES
from odyssey.storage import load_results
from odyssey.storage.candidates import VOLATILE_CANDIDATE_COLUMNS, load_candidates
from odyssey.storage.schema import VOLATILE_COLUMNS

SCRIPT = Path(__file__).resolve().parents[1] / "fake_search.py"


def assert_same(path, expected):
    for load, volatile in (
        (load_candidates, VOLATILE_CANDIDATE_COLUMNS),
        (load_results, VOLATILE_COLUMNS),
    ):
        one, other = (load(p).drop(columns=list(volatile)) for p in (path, expected))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Uninterrupted searches with the local runner, by strategy."""
    base = tmp_path_factory.mktemp("expected")
    for strategy in STRATEGIES:
        search(base / strategy, strategy)
    return base


@pytest.fixture
def short_folder():
    """A temporary folder for Ray, whose sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="o", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_candidate_is_told_once_in_order(expected, strategy):
    rows = load_candidates(expected / strategy)
    assert rows["number"].tolist() == list(range(22))
    assert rows["arm"].tolist()[:2] == ["seed", "seed"]
    arms = Counter(rows["arm"])
    wanted = {"seed": 2, "random": 20} if strategy == "random" else None
    assert arms == (wanted or {"seed": 2, "random": 10, strategy: 10})
    assert set(rows["status"]) <= {"finished", "stopped", "failed"}
    assert len(set(rows["status"])) > 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_arm_measures_a_function_twice(expected, strategy):
    rows = load_candidates(expected / strategy)
    rows = rows[rows["again"] == 0]
    for arm in set(rows["arm"]) - {"seed"}:
        mine = rows[rows["arm"].isin([arm, "seed"])]
        assert mine["cell_key"].is_unique
        assert mine["fingerprint"].is_unique


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_cell_is_filed_under_its_identity(expected, strategy):
    rows = load_candidates(expected / strategy)
    for row in rows[rows["again"] == 0].to_dict("records"):
        if pd.isna(row["twin"]):  # a twin has the text of the other
            identity = parse_cell(row["cell_text"]).identity
            assert (row["cell_key"], row["fingerprint"]) == identity


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_failed_or_missed_the_screen_has_no_children(expected, strategy):
    rows = load_candidates(expected / strategy)
    barren = rows[
        rows["status"].eq("failed") | (rows["status"].eq("stopped") & rows["stage"].eq("screen"))
    ]
    assert len(barren)
    parents = {int(n) for text in rows["parents"] for n in text.split()}
    assert parents
    assert not parents & set(barren["number"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_hold_what_their_trials_gave(expected, strategy):
    """Scores, promotion and budgets by another way: from the results alone."""
    rows = load_candidates(expected / strategy)
    results = load_results(expected / strategy)
    ok = results[results["status"] == "ok"]

    def best(row, stage, task):
        mine = ok[ok["trial"].isin(row["trials"].split())]
        return mine[(mine["group"] == stage) & (mine["task"] == task)]["valid_nats"].min()

    gru = rows[rows["name"] == "gru"].to_dict("records")[0]
    for row in rows[(rows["again"] == 0) & (rows["arm"] != "seed")].to_dict("records"):
        ids = row["trials"].split()
        mine = results[results["trial"].isin(ids)]
        assert set(mine["trial"]) == set(ids)
        assert row["members"] == len(mine)
        assert row["characters"] == mine["characters"].sum()
        if row["status"] == "failed":
            continue
        scores = json.loads(row["scores"])
        for stage in ("short", "full"):
            if scores.get(stage) is not None:
                ratios = [
                    best(gru, stage, task) / best(row, stage, task)
                    for task in ("arithmetic", "xml")
                ]
                assert scores[stage] == pytest.approx(min(ratios), rel=1e-12)
        if row["status"] == "stopped" and row["stage"] == "short":
            assert scores["short"] < 0.8
        if row["passed"] >= 2:
            assert scores["short"] >= 0.8
        assert (row["passed"] == 3) == (row["status"] == "finished")


def test_an_audit_trains_on_and_changes_nothing_else(expected, tmp_path):
    rows = load_candidates(expected / "aging")
    audited = rows[rows["audited"] == 1]
    assert len(audited)
    for row in audited.to_dict("records"):
        assert row["status"] == "stopped"
        assert "full" in json.loads(row["scores"])
    text = study_text("aging").replace("audit = 0.3", "audit = 0.0")
    folder = tmp_path / "run"
    store = prepare_search(parse_study(text), folder)
    run_search(store, parse_study(text), Silent(), work=Fake(folder))
    plain = load_candidates(folder)
    columns = ["number", "arm", "cell_key", "parents", "operators", "status", "passed", "score"]
    pd.testing.assert_frame_equal(plain[columns], rows[columns], check_exact=True)
    assert plain["members"].sum() < rows["members"].sum()


def test_lineage_can_be_followed_to_seeds_or_scratch(expected):
    for strategy in STRATEGIES:
        rows = {r["number"]: r for r in load_candidates(expected / strategy).to_dict("records")}
        for row in rows.values():
            assert parse_cell(row["cell_text"]).key == row["cell_key"]
            parents = [int(p) for p in row["parents"].split()]
            assert all(p < row["number"] for p in parents)
            assert parents or row["operators"] in ("seed", "scratch")
            for p in parents:  # an arm knows its own candidates and the seeds
                assert rows[p]["arm"] in ("seed", row["arm"])


@pytest.mark.ray
def test_two_ray_workers_give_the_same_search(expected, short_folder):
    search(short_folder / "run", "jozefowicz", runner="ray", workers=2)
    assert_same(short_folder / "run", expected / "jozefowicz")


@pytest.mark.parametrize(
    ("strategy", "kills"), [("aging", 3), ("random", 1), ("jozefowicz", 1), ("nsga2", 1)]
)
def test_a_search_killed_at_any_moment_is_the_same_in_other_processes(
    expected, tmp_path, strategy, kills
):
    """`benchmarks/search_determinism.py` is the long version, with training and with Ray."""
    folder = tmp_path / "run"
    rng = random.Random(strategy)
    arguments = [folder, strategy, 20, "--seconds", 0.03, "--list", tmp_path / "calls"]
    for session in range(kills):
        process = start(SCRIPT, *arguments, cwd=tmp_path, PYTHONHASHSEED=str(session + 1))
        before = len(list(folder.glob("results/*.parquet")))
        deadline = time.monotonic() + HANGS
        more = rng.randint(1, 20)
        while len(list(folder.glob("results/*.parquet"))) < before + more:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        time.sleep(rng.random() * 0.05)
        kill_all(process)
    assert len(load_candidates(folder)) < 22
    process = start(SCRIPT, *arguments[:-3], 0, *arguments[-2:], cwd=tmp_path, PYTHONHASHSEED="99")
    assert process.wait(HANGS) == 0, process.stderr.read()
    process.stderr.close()
    assert_same(folder, expected / strategy)
    begun, ended = listed(tmp_path / "calls")
    # a kill may fall between the end of a trial and the line that says so
    assert set(begun) == set(load_results(folder)["trial"])
    assert max(ended.values()) == 1
    assert sum(begun.values()) <= len(begun) + kills


def test_what_was_trained_is_not_trained_again(expected, tmp_path):
    """The record of candidates is lost: they are asked again, and find their trials finished."""
    folder = tmp_path / "run"
    shutil.copytree(expected / "aging", folder)
    shutil.rmtree(folder / "candidates")
    assert search(folder).trials == 0
    assert_same(folder, expected / "aging")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:50], lambda data: bytes(len(data))], ids=["cut", "zeros"]
)
def test_a_corrupt_shard_is_trained_again_and_nothing_else(expected, tmp_path, damage):
    folder = tmp_path / "run"
    shutil.copytree(expected / "nsga2", folder)
    rows = load_candidates(folder)
    shard = folder / "results" / f"{rows['trials'].iloc[9].split()[-1]}.parquet"
    shard.write_bytes(damage(shard.read_bytes()))
    assert search(folder).trials == 1
    assert_same(folder, expected / "nsga2")
    assert shard.with_name(shard.name + ".corrupt").exists()


def test_a_corrupt_file_of_candidates_is_made_again(expected, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(expected / "jozefowicz", folder)
    (folder / "candidates" / "000000.parquet").write_bytes(b"nothing")
    assert search(folder).trials == 0
    assert_same(folder, expected / "jozefowicz")


class Faults:
    """A folder that says what goes wrong with cells whose key begins with a digit."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def set(self, what, digits="0123"):
        for digit in digits:
            (self.folder / digit).write_text(what)

    def calls(self):
        return Counter((self.folder / "calls").read_text().split())


def test_a_candidate_that_raises_is_recorded_and_the_search_goes_on(tmp_path):
    folder, faults = tmp_path / "run", Faults(tmp_path / "faults")
    faults.set("raise")
    summary = search(folder, work=Fake(folder, faults=faults.folder))
    rows = load_candidates(folder)
    failed = rows[rows["cell_key"].str[0].isin(list("0123")) & (rows["arm"] != "seed")]
    assert len(failed)
    assert len(rows) == 22
    assert summary.failed >= len(failed)
    assert set(failed["status"]) == {"failed"}
    assert failed["reason"].str.contains("ValueError: it makes no sense").all()
    assert set(faults.calls().values()) == {1}
    again = Fake(folder, faults=faults.folder)
    assert search(folder, work=again).trials == 0  # a failure is a result


def test_a_hanging_candidate_meets_the_time_limit(tmp_path):
    folder, faults = tmp_path / "run", Faults(tmp_path / "faults")
    faults.set("hang", digits="01")
    search(folder, work=Fake(folder, faults=faults.folder, limit=0.1))
    rows = load_candidates(folder)
    assert len(rows) == 22
    reasons = rows[rows["status"] == "failed"]["reason"]
    assert reasons.str.contains("longer than the limit of 0.1 s").any()


@pytest.mark.ray
def test_a_ray_worker_that_hangs_in_c_costs_its_candidate_only(short_folder):
    """Death without a hang is the business of test_runners."""
    folder, faults = short_folder / "run", Faults(short_folder / "faults")
    faults.set("memory", digits="12")
    faults.set("hang_in_c", digits="3")
    work = Fake(folder, faults=faults.folder, limit=1.0)
    search(folder, candidates=16, runner="ray", workers=2, work=work)
    rows = load_candidates(folder)
    assert len(rows) == 18
    mutants = rows[rows["arm"] != "seed"]
    digits = mutants["cell_key"].str[0]
    for wanted, reason in (("12", "MemoryError"), ("3", "it hung beyond the limit of 1 s")):
        found = mutants[digits.isin(list(wanted))]
        assert len(found)
        assert found["reason"].str.contains(reason).all()
    others = mutants[~digits.isin(list("123"))]
    assert not others["reason"].str.contains("hung|died|Memory").any()


def test_a_full_disk_stops_the_search_and_loses_nothing(expected, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    left = 60
    sync = os.fsync

    def full(descriptor):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        search(folder)
    monkeypatch.setattr(os, "fsync", sync)
    kept = set(load_results(folder)["trial"])
    assert 5 < len(kept) < 30
    assert set(load_results(folder)["status"]) <= {"ok", "diverged"}  # no trial takes the blame
    assert list(folder.rglob("*.tmp")) == []
    search(folder, work=Fake(folder, faults=Faults(tmp_path / "faults").folder))
    assert not kept & set((tmp_path / "faults" / "calls").read_text().split())
    assert_same(folder, expected / "aging")


def test_ctrl_c_keeps_what_was_told(expected, tmp_path):
    class Impatient(Silent):
        def told(self, board, row):
            if row["number"] == 7:
                raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        search(folder, watcher=Impatient())
    assert len(load_candidates(folder)) == 8
    assert json.loads((folder / "progress.json").read_text())["told"] == 8
    search(folder)
    assert_same(folder, expected / "aging")


def test_progress_counts_what_the_record_says(expected):
    for strategy in STRATEGIES:
        snapshot = json.loads((expected / strategy / "progress.json").read_text())
        rows = load_candidates(expected / strategy)
        assert snapshot["told"] == snapshot["total"] == len(rows)
        assert snapshot["in_flight"] == snapshot["running"] == 0
        assert {a: c["told"] for a, c in snapshot["arms"].items()} == dict(Counter(rows["arm"]))
        refused = Counter()
        for text in rows["refused"]:
            refused.update(json.loads(text))
        assert snapshot["refused"] == dict(refused)
        done = rows[rows["again"].eq(0) & rows["twin"].isna()]
        best = done.sort_values(["passed", "score"], ascending=False).iloc[0]
        assert snapshot["top"][0]["number"] == best["number"]


def test_a_baseline_without_a_result_ends_the_search_at_once(tmp_path):
    class Hopeless(Fake):
        def __call__(self, trial):
            raise ValueError("no")

    with pytest.raises(RunFailedError, match="the baseline gru has no result in stage screen"):
        search(tmp_path / "run", work=Hopeless(tmp_path / "run"))


def test_a_baseline_below_its_own_screen_ends_the_search(tmp_path):
    text = study_text().replace("at_least = 0.3", "at_least = 0.99")
    store = prepare_search(parse_study(text), tmp_path / "run")
    with pytest.raises(RunFailedError, match=r"less than its at_least = 0\.99"):
        run_search(store, parse_study(text), Silent(), work=Fake(tmp_path / "run"))


def test_a_directory_that_is_no_search_is_refused(tmp_path):
    from odyssey.evaluation.execute import prepare

    study = parse_study('name = "a"\ncells = ["gru"]\ntasks = ["xml"]')
    prepare(study, tmp_path / "run")
    with pytest.raises(StoreError, match="no search"):
        reopen_search(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('name = "aging"', 'name = "agin"'), "closest: aging"),
        (("lag = 5", "lagg = 5"), "closest: lag"),
        (("lag = 5", "lag = 0"), "strategy.lag must be a whole number from 1"),
        (("audit = 0.3", "audit = 2"), "strategy.audit must be a number from 0 to 1"),
        (("max_nodes = 40", "nodes = 40"), "closest: max_nodes"),
        (("gate = 0.8", "gates = 0.8"), "closest: gate"),
        (("at_least = 0.3", "at_least = 0.3\ngate = 0.5"), "at_least is for a screen"),
        (('name = "short"', 'name = "screen"'), "two stages have one name"),
        (('["memorization"]', '["memorisation"]'), "memorization"),
        (("draws = 1", "draws = 0"), "draws must be a whole number from 1"),
        (("draws = 1", "epochs = 1"), "did you mean training.epochs"),
        (("[space]", "[space]\nforget_bias = 1.0"), "needs a gate f"),
        (('["gru", "elman"]', '["gru", "elman", "gru:rename"]'), "rename"),
        (("lag = 5", 'lag = 5\nbaseline = "gruu"'), "closest: gru"),
        (("lag = 5", "lag = 5\nweights = { add_gat = 1.0 }"), "closest: add_gate"),
        (("lag = 5", 'lag = 5\ncost = "flop"'), "closest: flops"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(change, message, tmp_path):
    text = study_text().replace(*change)
    assert text != study_text()
    with pytest.raises(OdysseyError, match=message):
        prepare_search(parse_study(text), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_search_survives_its_own_file(tmp_path):
    study = parse_study(study_text("nsga2"))
    assert parse_study(study.to_toml()) == study
    assert parse_study(study.to_toml()).search == study.search
