"""The page of a study on a ladder: what the ladder was, and which draws each part is about."""

import html
import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from odyssey.report.page.tables import to_markdown
from odyssey.report.study.files import write_content
from odyssey.report.study.page import read_content
from odyssey.report.study.printed import print_study
from odyssey.report.study.protocol import claims, power_note
from odyssey.statistics.simulation import SimulatedCell, simulate_ladder
from odyssey.storage import RunStore

RUNGS, EPOCHS = (40, 24, 12), (2, 8, 32)


def ladder_run(folder, *, rungs=RUNGS, without=()):
    cells = {"lstm": SimulatedCell(), "gru": SimulatedCell(shift=0.4)}
    rows = simulate_ladder(cells, rng=np.random.default_rng(1), rungs=rungs)
    rng = np.random.default_rng(2)
    rate = 10.0 ** rng.uniform(-4, -1, rungs[0])
    rows = rows.assign(
        characters=1000 * 4 ** rows["rung"],
        updates=10,
        num_parameters=1000 + rows["member"].astype(int),
        learning_rate=rate[rows["member"].astype(int)],
    )
    store = RunStore.create(
        folder,
        study='name = "l"\n',
        run={
            "study": "l",
            "baseline": "lstm",
            "seed": 1,
            "trials": 6,
            "tasks": {"made-up": {}},
            "cells": {name: {} for name in cells},
            "space": {"learning_rate": {"log_uniform": [1e-4, 1e-1]}},
            "ladder": [{"draws": d, "epochs": e} for d, e in zip(rungs, EPOCHS, strict=True)],
        },
    )
    for trial, part in rows.groupby("trial"):
        if (part["spec"].iloc[0], part["rung"].iloc[0]) in without:
            continue
        part = part.drop(columns="trial")
        records = part.astype(object).where(part.notna(), None).to_dict("records")
        curves = [
            {name: row[name] for name in ("trial_index", "cell", "spec", "task", "member")}
            | {"update": step, "characters": row["characters"] * step // 4}
            | {"metric": "valid_nats", "value": row["valid_nats"] + 0.2 / step}
            for row in records
            if row["status"] == "ok"
            for step in (1, 2, 4)
        ]
        store.write(str(trial), records, curves)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ladder_run(tmp_path_factory.mktemp("ladder") / "run")


@pytest.fixture(scope="module")
def content(run):
    return read_content(run)


def test_the_page_says_what_the_ladder_was_and_how_many_went_on(content, tmp_path):
    paths = write_content(content, to=tmp_path)
    page = html.unescape(re.sub(r"<[^>]+>", " ", paths["report"].read_text()))
    page = " ".join(page.split())
    assert "ladder 40 x 2, 24 x 8, 12 x 32 epochs" in page
    assert (
        "40 draws with 2 epochs, then the best 24 draws with 8 epochs, then the best 12 draws with"
        " 32 epochs, of each cell on each task by validation; each rung trains from the start."
        " Tables are of made-up: rung 3 of 3, to which 24 and then 12 draws went on." in page
    )
    assert "a cell's best 6 of 40 draws" in page
    assert "the best half of the 12 finalists" in page
    assert "trials finished 6" in page
    assert "80 draws in all" in page
    assert "a column says how many these are" in page
    assert "last rung" in to_markdown(content.board)
    settling = pd.read_csv(paths["settling_csv"])
    assert settling["rung"].tolist() == [2]
    assert settling["half"].tolist() == [16_000]


def test_figures_of_all_draws_are_of_the_first_rung(content):
    drawn = {p.name: p for p in (*content.ablation.pictures, *content.pictures)}
    kinds = {name.removeprefix("1_made-up_"): picture for name, picture in drawn.items()}
    assert "progress" not in kinds
    assert kinds["rungs"].data["rung"].tolist() == [1, 2, 3]
    first = content.climb.first
    assert set(first["rung"]) == {1}
    of_all = {"members", "curves", "best_of_n", "boxes", "budget"}
    for kind, picture in kinds.items():
        said = "Of the first rung of the ladder" in picture.caption
        assert said == (
            kind in of_all or kind.startswith(("importance", "marginals", "parameters"))
        ), kind
    fronts = kinds["pareto"]
    assert "has the loss of the last rung that it reached" in fronts.caption
    best = fronts.data[VALID].min()
    assert best == content.results[content.results["status"] == "ok"][VALID].min()
    assert best < first[VALID].min()
    members = kinds["members"].data
    known = first[first["status"] == "ok"][VALID].sort_values().tolist()
    assert members[VALID].dropna().sort_values().tolist() == known
    assert kinds["curves"].data["characters"].max() == 4000
    assert kinds["winners"].data["characters"].max() == 64_000
    assert set(kinds["winners"].data["members"]) == {6}


VALID = "valid_bpc"


def test_what_has_moved_between_the_last_rungs_is_said(content):
    compared, baseline, settling, again = content.ablation.claimed
    moved = settling.assign(moving=True, change=0.25)
    (claim,) = claims(compared, baseline, moved, again)
    assert "between rung 2 (16,000 characters) and the end the test difference of 1 of 1" in (
        claim.rest
    )


def test_an_unfinished_ladder_is_compared_on_the_rung_that_all_cells_have_finished(tmp_path):
    folder = ladder_run(tmp_path / "run", without={("gru", 3)})
    content = read_content(folder, drawn=False)
    assert content.results["rung"].max() == 2
    assert set(content.ablation.compared["top"]) == {12}


def test_the_terminal_says_it_too(content):
    screen = Console(file=io.StringIO(), width=120)
    print_study(content, screen)
    shown = " ".join(screen.file.getvalue().split())
    assert "Ladder: 40 draws with 2 epochs, then the best 24 draws" in shown


def test_too_few_finalists_are_said_to_show_nothing(tmp_path):
    content = read_content(ladder_run(tmp_path / "run", rungs=(20, 6, 2)), drawn=False)
    note = power_note(content.ablation.compared, finalists=content.ablation.finalists)
    assert note.startswith("With 2 finalists a cell and 1 comparison no corrected p-value can fall")
    assert not power_note(content.ablation.compared, finalists=12)
