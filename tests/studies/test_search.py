"""A search gives the same candidates and the same table, whoever runs it and whatever happens."""

import dataclasses
import errno
import json
import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from support.driving import HANGS, kill_all, start
from support.fake_search import Silent, search
from support.fake_training import Fake, listed, study_text
from support.same_runs import assert_same_search

from odyssey.errors import OdysseyError, RunFailedError, StoreError
from odyssey.expr import parse_cell
from odyssey.storage import load_results
from odyssey.storage.candidates import load_candidates
from odyssey.strategies.registry import STRATEGIES
from odyssey.studies.engine import execute, prepare
from odyssey.studies.make.promotion import promotion_study
from odyssey.studies.study import parse_study

SCRIPT = Path(__file__).resolve().parents[1] / "support" / "fake_search.py"


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


def test_what_failed_or_missed_the_screen_has_no_children(expected):
    barren = 0  # in all searches: which cells fail changes with every table that is drawn from
    for strategy in STRATEGIES:
        rows = load_candidates(expected / strategy)
        missed = rows["status"].eq("stopped") & rows["stage"].eq("screen")
        numbers = set(rows["number"][rows["status"].eq("failed") | missed])
        parents = {int(n) for text in rows["parents"] for n in text.split()}
        assert parents
        assert not parents & numbers, strategy
        barren += len(numbers)
    assert barren


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


def test_candidates_meet_all_combinations_of_a_grid(tmp_path):
    text = study_text("jozefowicz", 20, seed=6)
    grid = "learning_rate = { grid = [0.001, 0.01, 0.1] }\n"
    text = re.sub("draws = .", "draws = 3", re.sub("learning_rate = .*\n", grid, text))
    run = prepare(parse_study(text), tmp_path / "run")
    execute(run, Silent(), work=Fake(tmp_path / "run"))
    results = load_results(tmp_path / "run")
    assert results["learning_rate"].nunique() == 3
    rows = load_candidates(tmp_path / "run")
    assert rows["again"].sum() > 0
    for _, row in rows[rows["status"] == "finished"].iterrows():
        mine = results[results["trial"].isin(row["trials"].split())]
        for _, group in mine.groupby(["group", "task"]):
            assert group["learning_rate"].nunique() == 3
            assert group["learning_rate"].value_counts().nunique() == 1


def test_an_audit_trains_on_and_changes_nothing_else(tmp_path):
    searches = []
    for share in (0.7, 0.0):
        folder = tmp_path / f"{share}"
        text = study_text("aging", seed=6).replace("audit = 0.3", f"audit = {share}")
        text = text.replace("gate = 0.8", "gate = 1.0")  # which about half of the cells miss
        execute(prepare(parse_study(text), folder), Silent(), work=Fake(folder))
        searches.append(load_candidates(folder))
    rows, plain = searches
    audited = rows[(rows["audited"] == 1) & (rows["status"] != "failed")]
    assert len(audited)
    for row in audited.to_dict("records"):
        assert row["status"] == "stopped"
        assert "full" in json.loads(row["scores"])
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
    assert_same_search(short_folder / "run", expected / "jozefowicz")


@pytest.mark.parametrize(
    ("strategy", "kills"), [(name, 3 if name == "aging" else 1) for name in STRATEGIES]
)
def test_a_search_killed_at_any_moment_is_the_same_in_other_processes(
    expected, tmp_path, strategy, kills
):
    """`checks/search_determinism.py` is the long version, with training and with Ray."""
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
    assert_same_search(folder, expected / strategy)
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
    assert search(folder).ran == 0
    assert_same_search(folder, expected / "aging")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:50], lambda data: bytes(len(data))], ids=["cut", "zeros"]
)
def test_a_corrupt_shard_is_trained_again_and_nothing_else(expected, tmp_path, damage):
    folder = tmp_path / "run"
    shutil.copytree(expected / "nsga2", folder)
    rows = load_candidates(folder)
    shard = folder / "results" / f"{rows['trials'].iloc[9].split()[-1]}.parquet"
    shard.write_bytes(damage(shard.read_bytes()))
    assert search(folder).ran == 1
    assert_same_search(folder, expected / "nsga2")
    assert shard.with_name(shard.name + ".corrupt").exists()


def test_a_corrupt_file_of_candidates_is_made_again(expected, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(expected / "jozefowicz", folder)
    (folder / "candidates" / "000000.parquet").write_bytes(b"nothing")
    assert search(folder).ran == 0
    assert_same_search(folder, expected / "jozefowicz")


class Faults:
    """A folder that says what goes wrong with cells whose key begins with a digit.

    A fault has several digits, so that it meets some cell of whatever a search draws.
    """

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
    assert search(folder, work=again).ran == 0  # a failure is a result


def over_the_limit(folder, what, **options):
    """Runs a search in which cells whose key begins with 0 to 3 are stopped at their limit."""
    faults = Faults(folder.with_name(folder.name + ".faults"))
    faults.set(what)
    return search(folder, work=Fake(folder, faults=faults.folder), **options), faults


def concerned(rows):
    return rows["name"].str.startswith("m-") & rows["cell_key"].str[0].isin(list("0123"))


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory):
    """A search in which the same trials are stopped at their limit twice, and their faults."""
    folder = tmp_path_factory.mktemp("unmeasured") / "run"
    summary, faults = over_the_limit(folder, "over")
    return folder, summary, faults


def test_what_is_stopped_at_its_limit_is_tried_again_and_then_not_measured(unmeasured):
    folder, summary, faults = unmeasured
    rows, results = load_candidates(folder), load_results(folder)
    lost = rows[concerned(rows)]
    assert len(lost) > 1
    assert set(lost["status"]) == {"unmeasured"}
    assert lost["score"].isna().all()
    assert lost["reason"].str.contains("stopped at its limit").all()
    assert not rows[~concerned(rows)]["reason"].str.contains("limit", na=False).any()
    assert summary.unmeasured == len(lost)
    assert summary.failed == 0
    assert "failed" not in set(results["status"])
    late = set(results[results["status"] == "unmeasured"]["trial"])
    assert {t: n for t, n in faults.calls().items() if n > 1} == dict.fromkeys(late, 2)
    calls = (faults.folder / "calls").read_text().split()
    assert set(calls[-len(late) :]) == late  # after everything else
    snapshot = json.loads((folder / "progress.json").read_text())
    assert snapshot["unmeasured"] == len(lost)


def test_no_strategy_learns_from_what_was_not_measured(unmeasured):
    rows = load_candidates(unmeasured[0])
    lost = set(rows[concerned(rows)]["number"])
    assert not any(lost & {int(p) for p in parents.split()} for parents in rows["parents"])


def test_what_is_measured_at_the_end_changes_nothing_else(unmeasured, expected, tmp_path):
    folder = tmp_path / "run"
    summary, _ = over_the_limit(folder, "over_once")
    assert summary.unmeasured == summary.failed == 0
    rows, others, quiet = map(load_candidates, (folder, unmeasured[0], expected / "aging"))
    late = concerned(rows)
    pd.testing.assert_frame_equal(
        rows[~late].drop(columns="told"), others[~late].drop(columns="told"), check_exact=True
    )
    pd.testing.assert_series_equal(rows["cell_key"], others["cell_key"])
    assert "unmeasured" not in set(rows["status"])
    # what a quiet run measured too, it measured the same
    both = rows[late].merge(quiet, on="cell_key", suffixes=("", "_quiet"))
    assert len(both)
    assert both["score"].equals(both["score_quiet"].rename("score"))
    # and however it is gone on with, it is the same search
    for part in ("candidates/000000.parquet", "progress.json"):
        (folder / part).unlink()
        assert search(folder).ran == 0
        pd.testing.assert_frame_equal(
            load_candidates(folder).drop(columns="told"), rows.drop(columns="told")
        )


def test_a_search_that_ends_before_its_late_trials_takes_them_up(unmeasured, tmp_path):
    class Impatient(Silent):
        def done(self, board, rows):
            if board.told == 22 and rows[0]["number"] == 21:
                raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        over_the_limit(folder, "over", watcher=Impatient())
    assert "unmeasured" not in set(load_results(folder)["status"])
    faults = Faults(tmp_path / "again")
    faults.set("over")
    search(folder, work=Fake(folder, faults=faults.folder))
    assert_same_search(folder, unmeasured[0])


def test_a_limit_is_a_multiple_of_what_the_seeds_took_for_the_work(expected, tmp_path):
    """Ten times the processor time for all makes ten times the limit, and no other search."""

    class Timed(Fake):
        factor = 1.0

        def __call__(self, trial):
            limits[trial.id] = trial.limit
            result = super().__call__(trial)
            rows = [{**row, "processor_seconds": 100.0 * self.factor} for row in result.rows]
            return dataclasses.replace(result, rows=tuple(rows))

    class Slower(Timed):
        factor = 10.0

    found = {}
    for work in (Timed, Slower):
        limits = found[work] = {}
        folder = tmp_path / work.__name__
        search(folder, work=work(tmp_path / "nowhere"))
        assert_same_search(folder, expected / "aging")
    seeds = set(" ".join(load_candidates(folder)["trials"][:2]).split())
    assert {found[Timed][t] for t in seeds} == {0.0}
    others = set(found[Timed]) - seeds
    assert min(found[Timed][t] for t in others) >= 100.0 * 100.0
    for trial in others:
        assert found[Slower][trial] == pytest.approx(10.0 * found[Timed][trial])


@pytest.mark.ray
def test_a_ray_worker_that_hangs_in_c_costs_its_candidate_only(expected, short_folder):
    """Death without a hang is the business of test_runners."""
    # every hang costs a worker, whose successor imports Ray anew: one candidate is enough
    first = load_candidates(expected / "aging")["cell_key"].str[0][2]
    lacking = "".join(sorted(set("0123") - {first}))
    folder, faults = short_folder / "run", Faults(short_folder / "faults")
    faults.set("memory", digits=lacking)
    faults.set("over_in_c", digits=first)
    work = Fake(folder, faults=faults.folder)
    search(folder, candidates=16, runner="ray", workers=2, work=work)
    rows = load_candidates(folder)
    assert len(rows) == 18
    mutants = rows[rows["arm"] != "seed"]
    digits = mutants["cell_key"].str[0]
    for wanted, status, reason in (
        (lacking, "failed", "MemoryError"),
        (first, "unmeasured", "stopped at its limit"),
    ):
        found = mutants[digits.isin(list(wanted))]
        assert len(found)
        assert set(found["status"]) == {status}
        assert found["reason"].str.contains(reason).all()
    others = mutants[~digits.isin([*lacking, first])]
    assert not others["reason"].str.contains("limit|died|Memory").any()


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
    assert_same_search(folder, expected / "aging")


def test_ctrl_c_keeps_what_was_told(expected, tmp_path):
    class Impatient(Silent):
        def done(self, board, rows):
            if rows[0]["number"] == 7:
                raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        search(folder, watcher=Impatient())
    assert len(load_candidates(folder)) == 8
    assert json.loads((folder / "progress.json").read_text())["told"] == 8
    search(folder)
    assert_same_search(folder, expected / "aging")


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
    run = prepare(parse_study(text), tmp_path / "run")
    with pytest.raises(RunFailedError, match=r"less than its at_least = 0\.99"):
        execute(run, Silent(), work=Fake(tmp_path / "run"))


def test_a_directory_that_is_no_search_is_refused(tmp_path):
    study = parse_study('name = "a"\ncells = ["gru"]\ntasks = ["xml"]')
    prepare(study, tmp_path / "run")
    with pytest.raises(StoreError, match="no search"):
        promotion_study(tmp_path / "run")


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
        (("lag = 5", "lag = 5\nlimit = 5"), "limit must be a number from 20 .* or 0 for no limit"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(change, message, tmp_path):
    text = study_text().replace(*change)
    assert text != study_text()
    with pytest.raises(OdysseyError, match=message):
        prepare(parse_study(text), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_search_survives_its_own_file(tmp_path):
    study = parse_study(study_text("nsga2"))
    assert parse_study(study.to_toml()) == study
    assert parse_study(study.to_toml()).search == study.search
