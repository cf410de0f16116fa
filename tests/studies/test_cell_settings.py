"""Constants and sizes of cells that vary over draws: a member trains the cell that a spec names."""

import dataclasses
import math

import numpy as np
import pytest
import tomli_w

from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.jobs.search import RunOptions, estimate_study
from odyssey.specs import get_cell
from odyssey.statistics.importance import LINEAR, LOG, inputs_of, scales_of
from odyssey.storage.schema import VOLATILE_COLUMNS
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.memory import member_bytes
from odyssey.studies.source import Unwatched
from odyssey.studies.study import parse_study
from odyssey.studies.trained import load_trained
from odyssey.studies.work import trained_trial
from odyssey.tasks.registry import get_task
from odyssey.training.loop import group_members

DT = {"log_uniform": [0.01, 0.5]}
SIZE = {"choice": ["H / 2", 6, 7.4]}
STUDY = {
    "name": "settings",
    "cells": ["cornn", "lstmp", "gru", "cornn:dt=0.25"],
    "tasks": ["arithmetic"],
    "members": 3,
    "runner": "local",
    "keep_weights": "all",
    "training": {
        "epochs": 1,
        "updates_per_epoch": 2,
        "batch_size": 2,
        "unroll": 5,
        "valid_characters": 50,
        "test_characters": 50,
    },
    "space": {"hidden_size": {"choice": [4, 8]}, "cell": {"dt": DT, "C": SIZE}},
}


def study_of(**changes):
    return parse_study(tomli_w.dumps(STUDY | changes))


def with_space(**cell):
    return study_of(space={"hidden_size": 4, "cell": cell})


def trials_of(study):
    return {trial.spec: trial for trial in study.trials(study.resolve_cells())}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = prepare(study_of(), tmp_path_factory.mktemp("settings") / "run")
    execute(opened, Unwatched())
    return opened.store


@pytest.mark.parametrize(("cell", "name"), [("cornn", "dt"), ("lstmp", "C")])
def test_a_member_has_the_numbers_of_the_cell_that_a_spec_names(store, cell, name):
    rows = store.results().set_index(["spec", "member"]).loc[cell]
    for member in trials_of(study_of())[cell].members:
        value = member[f"cell.{name}"]
        plain = study_of(
            cells=[f"{cell}:{name}={value}"], space={"hidden_size": {"choice": [4, 8]}}
        )
        ((_, trial),) = trials_of(plain).items()
        one = dataclasses.replace(trial, members=(trial.members[member["member"]],))
        result, _ = trained_trial(one, task=get_task(trial.task))
        (truth,) = result.rows
        row = rows.loc[member["member"]]
        # what names the cell, not what it has learned
        named = {"cell", "spec", "cell_key", "cell_text", "lineage", "trial", "trial_index"}
        for column in truth.keys() - named - {*VOLATILE_COLUMNS, "member", "group"}:
            if isinstance(truth[column], float) and math.isnan(truth[column]):
                assert math.isnan(row[column]), column
            elif truth[column] is not None:
                assert row[column] == truth[column], column


def test_the_record_has_the_cell_of_the_study_and_what_each_member_had(store):
    results = store.results()
    rows = results[results["spec"] == "lstmp"]
    assert set(rows["cell_key"]) == {get_cell("lstmp").key}
    given = [m["cell.C"] for m in trials_of(study_of())["lstmp"].members]
    assert set(given) <= {"H/2", 6, 7}  # a number of units is a whole one
    wanted = [h // 2 if c == "H/2" else c for h, c in zip(rows["hidden_size"], given, strict=True)]
    assert rows["cell.C"].tolist() == wanted
    assert results.loc[results["spec"] != "lstmp", "cell.C"].isna().all()
    # who says a constant is left with it
    assert results["cell.dt"].notna().tolist() == (results["spec"] == "cornn").tolist()


def test_weights_are_read_into_the_members_own_cell(store):
    for spec, name in (("cornn", "dt"), ("lstmp", "C")):
        for member in range(3):
            found = load_trained(store.path, cell=spec, member=member)
            value = found.row[f"cell.{name}"]
            own = found.model.rnn.cell
            there = own.constants.get(name, own.size(name))
            assert float(there) == value


def test_a_finished_run_is_not_run_again_and_another_range_is_another_run(store):
    summary = execute(reopen(store.path), Unwatched())
    assert summary.ran == 0
    other = study_of(space=STUDY["space"] | {"cell": {"dt": 0.1, "C": SIZE}})
    same = {t.id for t in trials_of(study_of()).values()} & {
        t.id for t in trials_of(other).values()
    }
    assert len(same) == 3  # of all but cornn


def test_cells_without_the_constant_keep_their_trials():
    plain = trials_of(study_of(space={"hidden_size": {"choice": [4, 8]}}))
    drawn = trials_of(study_of())
    assert [s for s in drawn if drawn[s].id == plain[s].id] == ["gru", "cornn:dt=0.25"]


def test_draws_are_common_and_change_no_other_draw():
    both = study_of(
        cells=["cornn", "antisymmetric", "lem"], space=STUDY["space"] | {"cell": {"dt": DT}}
    )
    draws = [[m["cell.dt"] for m in t.members] for t in trials_of(both).values()]
    assert draws[0] == draws[1] == draws[2]
    assert len(set(draws[0])) == 3
    assert all(0.01 <= value <= 0.5 for value in draws[0])
    more = trials_of(study_of(members=6))["cornn"].members
    assert [m["cell.dt"] for m in more[:3]] == draws[0]
    assert [m["hidden_size"] for m in more[:3]] == [
        m["hidden_size"] for m in trials_of(study_of())["gru"].members
    ]


def test_grids_are_crossed_in_the_order_of_the_study():
    study = study_of(
        members=4,
        space={"cell": {"dt": {"grid": [0.1, 0.2]}}, "hidden_size": {"grid": [4, 8]}},
    )
    members = trials_of(study)["cornn"].members
    assert [(m["cell.dt"], m["hidden_size"]) for m in members] == [
        (0.1, 4), (0.1, 8), (0.2, 4), (0.2, 8)
    ]  # fmt: skip


def test_members_of_one_cell_are_trained_side_by_side():
    def member(number, **given):
        return Member(member=number, seed=0, **given)

    members = [
        member(0, **{"cell.dt": 0.1}),
        member(1, **{"cell.dt": 0.2}),
        member(2, **{"cell.dt": 0.1}),
        member(3),
        member(4, **{"cell.C": "H / 2"}),
    ]
    assert group_members(members, padding=2.0) == [(0, 2), (1,), (3,), (4,)]


def test_memory_is_that_of_the_members_own_sizes():
    task, training = get_task("arithmetic"), dataclasses.asdict(study_of().config)
    small, large = (
        {"member": 0, "seed": 0, "hidden_size": 64, "cell.C": size} for size in (64, 4096)
    )
    need = member_bytes(get_cell("lstmp"), task, [small, large], training)
    alone = [
        member_bytes(
            get_cell(f"lstmp:C={m['cell.C']}"), task, [{**m, "cell.C": m["cell.C"]}], training
        )
        for m in (small, large)
    ]
    np.testing.assert_allclose(need, np.concatenate(alone))
    assert need[1] > 5 * need[0]


def test_importance_is_judged_on_the_scale_of_the_draws(store):
    results = store.results()
    scales = scales_of(store.run["space"])
    assert (scales["cell.dt"], scales["cell.C"]) == (LOG, LINEAR)
    found = {i.name: i.scale for i in inputs_of(results[results["spec"] == "cornn"], scales=scales)}
    assert found["cell.dt"] == LOG


def test_the_estimate_says_which_cells_take_them():
    found = estimate_study(study_of(), RunOptions(runner="local"))
    assert found.settings == {"cell.dt": ["cornn"], "cell.C": ["lstmp"]}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"td": 0.1}, "no constant or size in the cells called 'td'; closest: dt"),
        ({"dt": 0.0001, "R": 4}, "no constant or size in the cells called 'R'"),
        ({"dt": "H / 2"}, "space.cell.dt: 'H / 2' does not fit cornn: const dt: expected a number"),
        ({"dt": {"choice": [1e-40]}}, "between 1e-30 and 1e30"),
        ({"dt": {"log_uniform": [0, 1]}}, "space.cell.dt.log_uniform needs 0 < low <= high"),
        ({"dt": {"uniform": [0, 1e31]}}, "space.cell.dt must be a number from"),
        ({"dt": {"gamma": [1, 1]}}, "no distribution for space.cell.dt called 'gamma'"),
        ({"dt": True}, "space.cell.dt must be a number"),
        ({"C": 0.2}, "space.cell.C: 0.2 does not fit lstmp: a size is a whole number"),
        ({"C": {"grid": [1, 2, 3, "H / 5000"]}}, "combinations"),
        ({"C": {"choice": ["H / 5000"]}}, "does not fit lstmp"),
        ({"C": {"choice": ["I / 2"]}}, "the size of a member is a number, or one of H"),
        ({"C": {"choice": ["units"]}}, "does not fit lstmp"),
    ],
)
def test_refusals(cell, reason):
    with pytest.raises(ConfigError) as caught:
        trials_of(with_space(**cell))
    assert reason in str(caught.value), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"space": {"cell": 3}}, "space.cell must be a table"),
        ({"cells": ["cornn:dt=0.1"]}, "every cell that has dt sets it itself"),
        ({"cells": ["gru"]}, "no cell of the study has constants or sizes"),
        ({"strategy": {"name": "aging"}, "cells": ["cornn"]}, "a search changes them"),
    ],
)
def test_refusals_of_studies(changes, reason):
    with pytest.raises(ConfigError) as caught:
        trials_of(study_of(**changes))
    assert reason in str(caught.value), caught.value
    assert "\n" not in str(caught.value)
