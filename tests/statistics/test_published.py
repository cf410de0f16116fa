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
    # No hole: every task has every cell once, at every size that it speaks of.
    counts = table.values.groupby(["task", *table.where])["spec"].agg(["size", "nunique"])
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


@pytest.mark.parametrize("task", ["warpeace", "warpeace@stretches=100"])
def test_a_table_of_sizes_stands_beside_the_draws_of_its_sizes(task):
    cells = {"gru": SimulatedCell(), "lstm:forget_bias=1": SimulatedCell(), "mine": SimulatedCell()}
    frame = simulate_results(cells, rng=np.random.default_rng(0), tasks=(task,), draws=12)
    frame["test_nats"], frame["valid_nats"] = frame["test_bpc"], frame["valid_bpc"]
    sizes = [44_567, 121_815, 1_000]  # the last is of no paper
    frame["parameters"] = [float(sizes[m % 3]) for m in frame["member"]]
    frame["num_layers"] = [1 + m // 3 % 2 for m in frame["member"]]
    found = scores_beside(frame, "karpathy2015")
    printed = [(1.230, 1.277), (1.226, 1.227), (1.398, 1.449), (1.373, 1.442)]  # gru, lstm
    at = [(121_815, 1), (121_815, 2), (44_567, 1), (44_567, 2)]
    expected = {
        (size, layers, label): number
        for (size, layers), numbers in zip(at, printed, strict=True)
        for label, number in zip(("gru", "lstm:forget_bias=1"), numbers, strict=True)
    }
    assert len(found) == len(expected) == 8
    for row in found.itertuples():
        assert row.published == expected[row.parameters, row.num_layers, row.label]
        of = (frame["parameters"] == row.parameters) & (frame["num_layers"] == row.num_layers)
        mine = frame[of & (frame["spec"] == row.label)]
        assert row.draws == len(mine) == 2
        assert row.ours == mine.loc[mine["valid_nats"].idxmin(), "test_nats"]


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
