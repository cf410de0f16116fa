"""Published numbers: complete, named as our specs, and put beside ours row by row."""

from __future__ import annotations

import re

import numpy as np
import pytest

from odyssey.errors import ConfigError
from odyssey.specs import CELL_SETS, VARIANTS, get_cell
from odyssey.statistics import comparison
from odyssey.statistics.published import list_published, published, scores_beside, verdicts_beside
from odyssey.statistics.simulation import SimulatedCell, simulate_results


@pytest.mark.parametrize("name", list_published())
def test_every_number_has_a_cell_a_trust_and_a_source(name):
    table = published(name)
    assert set(table.values["trust"]) <= {"read", "quoted", "recalled"}
    assert re.search(r"\d{4}", name)[0] in table.source
    assert len(table.caption) > 60
    for spec in table.values["spec"].unique():
        get_cell(spec)
    # No hole: every task has every cell once.
    counts = table.values.groupby("task")["spec"].agg(["size", "nunique"])
    assert counts.to_numpy().min() == counts.to_numpy().max() == table.values["spec"].nunique()


def test_tables_cover_the_papers_sets_of_cells():
    assert set(published("jozefowicz2015").values["spec"]) == set(CELL_SETS["jozefowicz10"])
    greff = published("greff2015").values
    assert {"lstm_peephole", *greff["spec"]} == set(CELL_SETS["odyssey9"])
    assert all(VARIANTS[row.paper] == row.spec for row in greff.itertuples())
    assert set(greff["published"]) == {"worse", "n.s."}


def test_scores_stand_beside_those_of_the_paper():
    cells = {
        "elman": SimulatedCell(shift=0.3),
        "LSTM-f": SimulatedCell(),
        "mine": SimulatedCell(),
        "gru": SimulatedCell(cliff=-9),
    }
    frame = simulate_results(
        cells, rng=np.random.default_rng(0), tasks=("arithmetic@digits=4", "other"), draws=30
    )
    found = scores_beside(frame, "jozefowicz2015")
    # Not ours alone, no task that the paper has not, nothing of a cell that lost every draw.
    assert list(found["label"]) == ["elman", "LSTM-f"]
    assert list(found["published"]) == [0.29493, 0.29292]
    elman = frame[(frame["spec"] == "elman") & (frame["task"] != "other")]
    best = elman.loc[elman["valid_accuracy"].idxmax(), "test_accuracy"]
    assert found["ours"].iloc[0] == pytest.approx(best)
    top = elman.nlargest(5, "valid_accuracy")["test_accuracy"].mean()
    assert found["mean_best"].iloc[0] == pytest.approx(top)


def test_verdicts_stand_beside_those_of_the_paper():
    cells = {
        "lstm_peephole": SimulatedCell(),
        "lstm_peephole:no_forget_gate": SimulatedCell(shift=0.3),
    }
    frame = simulate_results(cells, rng=np.random.default_rng(0), tasks=("xml",))
    compared = comparison.compare(frame, seed=0, resamples=0)
    (row,) = verdicts_beside(compared, frame, "greff2015").to_dict("records")
    assert row == {
        "label": "lstm_peephole:no_forget_gate",
        "paper": "NFG",
        "ours on xml": "worse",
        "paper on TIMIT": "worse?",
        "paper on IAM": "worse?",
        "paper on JSB": "worse?",
    }


def test_mistakes_are_named():
    frame = simulate_results({"elman": SimulatedCell()}, rng=np.random.default_rng(0), draws=8)
    with pytest.raises(ConfigError, match="closest: greff2015"):
        published("greff")
    with pytest.raises(ConfigError, match="use verdicts_beside"):
        scores_beside(frame, "greff2015")
    with pytest.raises(ConfigError, match="use scores_beside"):
        verdicts_beside(frame, frame, "jozefowicz2015")
