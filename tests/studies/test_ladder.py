"""A ladder: who goes on follows from the records alone, whoever finishes first or dies."""

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from support.fake_training import uniform
from support.same_runs import assert_same_study
from test_engine import Watcher, resume, run, tiny

import odyssey
from odyssey.cli.main import main
from odyssey.errors import ConfigError
from odyssey.jobs.compare import compare_runs
from odyssey.jobs.extend import Extension, begin_extension
from odyssey.jobs.power import study_power
from odyssey.jobs.search import estimate_study, run_left
from odyssey.jobs.status import run_status
from odyssey.storage import RunStore, load_curves, load_results
from odyssey.storage.rungs import going_on, table_of_draws
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.listed import ListedTrials, known_trials
from odyssey.studies.study import parse_study
from odyssey.studies.trial import TrialResult
from odyssey.studies.work import failed_rows

LADDER = [{"draws": 4, "epochs": 5}, {"draws": 2, "epochs": 20}]
CELLS = {"cells": ["lstm", "elman"], "tasks": ["arithmetic"], "baseline": "lstm"}


def ladder(**changes):
    return tiny(**{**CELLS, "members": 8, "ladder": LADDER, **changes})


def loss(trial, member):
    """Gives the loss of a draw, which falls with the budget, or None where it diverges."""
    if uniform("lost", trial.spec, trial.task, member["member"], trial.rung) < 0.15:
        return None
    talent = uniform("talent", trial.task, member["member"])
    luck = uniform("luck", trial.spec, trial.task, member["member"], trial.training["epochs"])
    return 2.0 + talent + 0.5 * luck - 0.02 * trial.training["epochs"]


@dataclass(frozen=True)
class Budgeted:
    """Works a trial without training: losses of the draw, the cell and the budget."""

    directory: Path
    calls: list

    def __call__(self, trial):
        self.calls.append(trial)
        rows = []
        for row, member in zip(failed_rows(trial, "", commit=""), trial.members, strict=True):
            nats = loss(trial, member)
            values = {"status": "diverged", "reason": "loss inf"}
            if nats is not None:
                bits = nats / 0.6931471805599453
                values = {"status": "ok", "reason": "", "valid_nats": nats, "valid_bpc": bits}
                values |= {"test_nats": nats, "test_bpc": bits, "valid_accuracy": 0.5}
            rows.append({**row, "num_symbols": 20, **values})
        curves = [
            {**{name: row[name] for name in ("trial_index", "cell", "spec", "task", "member")}}
            | {"update": 1, "characters": 1, "metric": "valid_nats", "value": row["valid_nats"]}
            for row in rows
            if row["status"] == "ok"
        ]
        return TrialResult(trial.id, trial.index, tuple(rows), tuple(curves))


def climb(study, folder):
    calls = []
    execute(prepare(study, folder), Watcher(), work=Budgeted(folder, calls))
    return calls


def best(trials, count):
    """Gives by cell the members that a rung's trials leave, worked out anew."""
    found = {}
    for trial in trials:
        losses = found.setdefault((trial.task, trial.spec), [])
        losses += [
            (nats, m["member"]) for m in trial.members if (nats := loss(trial, m)) is not None
        ]
    return {key: sorted(m for _, m in sorted(losses)[:count]) for key, losses in found.items()}


@pytest.mark.parametrize("population", [0, 1, 3])
def test_the_best_of_each_cell_on_each_task_go_on_from_the_start(tmp_path, population):
    study = ladder(population=population, tasks=["arithmetic", "xml"])
    calls = climb(study, tmp_path / "run")
    of = {rung: [t for t in calls if t.rung == rung] for rung in (1, 2, 3)}
    assert {t.training["epochs"] for t in of[1]} == {2}
    assert {t.training["epochs"] for t in of[2]} == {5}
    assert {t.training["epochs"] for t in of[3]} == {20}
    members = {
        rung: {
            key: sorted(m["member"] for t in trials if (t.task, t.spec) == key for m in t.members)
            for key in dict.fromkeys((t.task, t.spec) for t in trials)
        }
        for rung, trials in of.items()
    }
    assert members[2] == best(of[1], 4)
    assert members[3] == best(of[2], 2)
    drawn = {(t.task, m["member"]): {**m} for t in of[1] for m in t.members}
    assert all(drawn[t.task, m["member"]] == m for t in calls for m in t.members)
    assert len({t.index for t in calls}) == len({t.id for t in calls}) == len(calls)
    assert max(len(t.members) for t in calls) <= (population or 8)


def test_a_record_has_a_row_a_rung_and_a_table_one_a_draw(tmp_path):
    climb(ladder(), tmp_path / "run")
    store = RunStore.open(tmp_path / "run")
    rows, draws = store.rows(), store.results()
    assert Counter(rows["rung"]) == {1: 16, 2: 8, 3: 4}
    assert not draws.duplicated(["spec", "task", "member"]).any()
    assert len(draws) == 16
    assert Counter(draws["rung"]) == {1: 8, 2: 4, 3: 4}
    for _, part in draws.groupby("spec"):
        assert sorted(part[part["rung"] > 1]["member"]) == sorted(
            rows[(rows["rung"] == 2) & (rows["spec"] == part["spec"].iloc[0])]["member"]
        )
    assert list(dict.fromkeys(draws["spec"])) == ["lstm", "elman"]
    pd.testing.assert_frame_equal(load_results(tmp_path / "run"), draws)
    pd.testing.assert_frame_equal(odyssey.Run(tmp_path / "run").results, draws)
    assert len(load_results(tmp_path / "run", every_rung=True)) == len(rows)
    assert len(odyssey.Run(tmp_path / "run").rungs) == len(rows)
    assert set(load_results(tmp_path)["rung"]) == {1, 2, 3}  # a folder of runs
    assert len(load_results(tmp_path)) == 16
    sound = draws[draws["status"] == "ok"]
    curves = load_curves(tmp_path / "run")
    assert len(curves) == len(sound) < len(load_curves(tmp_path / "run", every_rung=True))
    assert set(curves["trial"]) == set(sound["trial"])
    first = store.results(last_rung=1)
    assert len(first) == 16
    assert set(first["rung"]) == {1}
    assert Counter(store.results(last_rung=2)["rung"]) == {1: 8, 2: 8}


class KilledError(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("seed", range(3))
def test_a_ladder_that_is_killed_anywhere_is_the_one_that_was_not(tmp_path, seed):
    study = ladder(population=[0, 2, 3][seed])
    count = len(climb(study, tmp_path / "whole"))
    rng = random.Random(seed)
    folder = tmp_path / "killed"
    opened, calls = prepare(study, folder), []

    class Dying(Budgeted):
        def __call__(self, trial):
            if rng.random() < 0.25:
                raise KilledError
            return super().__call__(trial)

    for _ in range(200):
        try:
            execute(opened, Watcher(), work=Dying(folder, calls))
            break
        except KilledError:
            opened = reopen(folder)
    assert_same_study(folder, tmp_path / "whole")
    for name in ("trials", "members", "ladder"):
        assert RunStore.open(folder).run[name] == RunStore.open(tmp_path / "whole").run[name]
    assert len(calls) == count
    assert run_left(reopen(folder)).left == 0


@pytest.mark.parametrize("seed", range(2))
def test_the_order_in_which_trials_finish_changes_nothing(tmp_path, seed):
    study = ladder(population=2, cells=["lstm", "elman", "gru"])
    climb(study, tmp_path / "whole")
    opened, rng = prepare(study, tmp_path / "run"), random.Random(seed)
    source, flying = ListedTrials(opened, Watcher(), workers=5), []
    work, waited, ended = Budgeted(tmp_path / "run", []), False, False
    while not ended or flying:
        trial = None
        if not ended and len(flying) < 5:
            trial = next(source.trials, "end")
            ended = trial == "end"
        if trial not in (None, "end"):
            source.start(trial)
            flying.append(trial)
            continue
        waited |= trial is None
        if not flying:
            continue
        result = work(flying.pop(rng.randrange(len(flying))))
        opened.store.write(result.trial_id, result.rows, result.curves)
        source.learn(next(t for t in work.calls if t.id == result.trial_id), result.rows)
    source.close()
    assert waited
    assert source.total == len(work.calls)
    assert_same_study(tmp_path / "run", tmp_path / "whole")


def test_real_training_climbs_under_ray_as_it_does_here(tmp_path):
    study = ladder(
        members=4,
        population=1,
        cells=["elman", "gru"],
        baseline="elman",
        ladder=[{"draws": 2, "epochs": 3}],
    )
    run(study, tmp_path / "local")
    execute(prepare(study, tmp_path / "ray"), Watcher(), runner="ray", workers=2)
    assert_same_study(tmp_path / "ray", tmp_path / "local")
    rows = RunStore.open(tmp_path / "local").rows()
    assert Counter(rows["rung"]) == {1: 8, 2: 4}
    # with a constant rate the longer training is the shorter one, continued
    curves = load_curves(tmp_path / "local", every_rung=True)
    curves = curves.merge(rows[["trial", "member", "rung"]], on=["trial", "member"])
    keys = ["spec", "member", "characters", "metric"]
    both = curves[curves["rung"] == 1].merge(curves[curves["rung"] == 2], on=keys)
    assert len(both)
    assert (both["value_x"] == both["value_y"]).all()
    assert not resume(tmp_path / "ray").ran
    best_model = odyssey.Run(tmp_path / "local").model(cell="gru")
    assert best_model.row["rung"] == 2


def test_draws_that_are_lost_do_not_go_on_and_nobody_is_put_in_their_place():
    rows = pd.DataFrame(
        {
            "member": [0, 1, 2, 3, 4],
            "status": ["ok", "diverged", "ok", "failed", "ok"],
            "valid_nats": [1.0, 0.1, float("nan"), None, 1.0],
        }
    )
    assert going_on(rows, 4) == [0, 4]
    assert going_on(rows, 1) == [0]  # of equals the lower number
    assert going_on(rows.iloc[::-1], 1) == [0]


def test_where_all_draws_are_lost_the_ladder_ends(tmp_path):
    class Lost(Budgeted):
        def __call__(self, trial):
            found = super().__call__(trial)
            lost = trial.spec == "elman" and trial.rung == 2
            rows = [row | ({"status": "diverged"} if lost else {}) for row in found.rows]
            return TrialResult(found.trial_id, found.index, tuple(rows), found.curves)

    folder = tmp_path / "run"
    execute(prepare(ladder(), folder), Watcher(), work=Lost(folder, []))
    store = RunStore.open(folder)
    assert store.rows().groupby("spec")["rung"].max().to_dict() == {"lstm": 3, "elman": 2}
    status = run_status(folder)
    assert status.trials == status.planned == 5
    assert status.climbed == (2, 2, 2)
    draws = store.results()
    assert Counter(draws[draws["spec"] == "lstm"]["rung"])[3] == 2


def test_an_unfinished_table_ends_at_the_rung_that_all_cells_have_finished(tmp_path):
    climb(ladder(), tmp_path / "run")
    rows = RunStore.open(tmp_path / "run").rows()
    late = rows[~((rows["spec"] == "elman") & (rows["rung"] == 3))]
    assert table_of_draws(late, (8, 4, 2))["rung"].max() == 2
    early = rows[~((rows["spec"] == "elman") & (rows["rung"] > 1))]
    assert table_of_draws(early, (8, 4, 2))["rung"].max() == 1
    some = early[~((early["spec"] == "elman") & (early["member"] > 3))]
    found = table_of_draws(some, (8, 4, 2))
    assert found.groupby("spec").size().to_dict() == {"lstm": 8, "elman": 4}
    assert set(found["rung"]) == {1}


def test_a_ladder_gets_cells_and_tasks_as_from_scratch_and_no_draws(tmp_path):
    climb(ladder(cells=["lstm", "elman", "gru"], tasks=["arithmetic", "xml"]), tmp_path / "whole")
    folder = tmp_path / "grown"
    climb(ladder(), folder)
    with pytest.raises(ConfigError, match="more draws would change which of them go on"):
        begin_extension(folder, Extension(draws=9))
    planned = begin_extension(folder, Extension(cells=("gru",), tasks=("xml",)), dry=True)
    calls = []
    extended = begin_extension(folder, Extension(cells=("gru",), tasks=("xml",)))
    assert extended.left == planned.left
    execute(extended.run, Watcher(), work=Budgeted(folder, calls))
    assert ("arithmetic", "lstm") not in {(t.task, t.spec) for t in calls}
    assert_same_study(folder, tmp_path / "whole")
    assert run_status(folder).climbed == (6, 6, 6)


def test_a_ladder_in_the_middle_grows_too(tmp_path):
    climb(ladder(cells=["lstm", "elman", "gru"]), tmp_path / "whole")
    folder, calls = tmp_path / "grown", []

    class Dying(Budgeted):
        def __call__(self, trial):
            if len(calls) == 3:
                raise KilledError
            return super().__call__(trial)

    with pytest.raises(KilledError):
        execute(prepare(ladder(), folder), Watcher(), work=Dying(folder, calls))
    extended = begin_extension(folder, Extension(cells=("gru",)))
    execute(extended.run, Watcher(), work=Budgeted(folder, []))
    assert_same_study(folder, tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ladder": 3}, "ladder must be tables"),
        ({"ladder": [{"draws": 4}]}, "rung 2 of the ladder has no 'epochs'"),
        ({"ladder": [{"epochs": 4}]}, "rung 2 of the ladder has no 'draws'"),
        ({"ladder": [{"draws": 8, "epochs": 9}]}, "takes 8 draws: expected fewer than the 8"),
        ({"ladder": [{"draws": 0, "epochs": 9}]}, "draws of rung 2 must be a whole number"),
        ({"ladder": [{"draws": 2, "epochs": 2}]}, "has 2 epochs: expected more than the 2"),
        ({"ladder": [{"draws": 2, "passes": 2}]}, "this study counts in epochs"),
        ({"ladder": [{"draws": 2, "epochs": 9, "rate": 1}]}, "no key of a rung called 'rate'"),
        ({"ladder": [LADDER[1], LADDER[0]]}, "takes 4 draws: expected fewer than the 2"),
        ({"strategy": {"name": "random", "candidates": 3}}, "a search has"),
    ],
)
def test_what_is_no_ladder_is_refused_in_one_line(changes, said):
    with pytest.raises(ConfigError) as error:
        ladder(**changes)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_ladder_is_set_from_outside_and_survives_its_text(tmp_path, capsys):
    study = ladder()
    assert parse_study(study.to_toml()) == study
    assert "ladder" not in tiny().to_toml()
    other = parse_study(tiny().to_toml(), settings=("ladder=[{draws=3, epochs=7}]",))
    assert [rung.plain() for rung in other.rungs] == [
        {"draws": 6, "epochs": 2},
        {"draws": 3, "epochs": 7},
    ]
    path = tmp_path / "study.toml"
    path.write_text(study.to_toml())
    main(["search", str(path), "--dry-run"])
    shown = capsys.readouterr().out
    assert "8 draws x 2 epochs, then 4 draws x 5 epochs, then 2 draws x 20 epochs" in shown
    assert "6 with 28 members in all" in shown


def test_the_estimate_counts_all_rungs():
    whole, first = estimate_study(ladder()), estimate_study(ladder(ladder=[]))
    assert whole.characters == first.characters * (8 * 2 + 4 * 5 + 2 * 20) // (8 * 2)
    assert (first.trials, whole.trials) == (2, 6)


def test_status_says_how_far_the_ladder_is(tmp_path, capsys):
    folder, calls = tmp_path / "run", []

    class Dying(Budgeted):
        def __call__(self, trial):
            if len(calls) == 3:
                raise KilledError
            return super().__call__(trial)

    with pytest.raises(KilledError):
        execute(prepare(ladder(), folder), Watcher(), work=Dying(folder, calls))
    assert run_status(folder).climbed == (2, 1, 0)
    main(["status", str(folder)])
    shown = capsys.readouterr().out
    assert "3 of 6 trials finished, not running" in shown
    assert "finished: rung 1 by 2, rung 2 by 1, rung 3 by 0 of 2 cells on tasks" in shown
    main(["status", str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["rungs"] == [2, 1, 0]
    left = run_left(reopen(folder))
    assert (left.left, left.total) == (3, 6)
    assert len(known_trials(reopen(folder))) == 5


def test_power_is_refused_of_a_ladder(tmp_path):
    climb(ladder(), tmp_path / "pilot")
    with pytest.raises(ConfigError, match="all draws to have one budget"):
        study_power(ladder(), tmp_path / "pilot")
    with pytest.raises(ConfigError, match="all draws to have one budget"):
        study_power(ladder(ladder=[]), tmp_path / "pilot")


def test_runs_on_other_ladders_are_not_compared(tmp_path):
    climb(ladder(), tmp_path / "one")
    climb(ladder(cells=["lstm", "gru"]), tmp_path / "alike")
    climb(ladder(ladder=LADDER[:1]), tmp_path / "shorter")
    climb(ladder(members=9), tmp_path / "wider")
    places = [tmp_path / name for name in ("one", "alike", "shorter", "wider")]
    table = compare_runs(places).table.groupby("run")["differs"].first()
    assert table["one"] == table["alike"] == ""
    assert table["shorter"].startswith("ladder: ")
    assert table["wider"] == "members: 8 -> 9"
