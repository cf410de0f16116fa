"""The words of a page: what was done is said in full, and nothing is claimed beyond the test."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from odyssey.report.study.protocol import claims, least_p, power_note, protocol
from odyssey.statistics import comparison
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.statistics.verdicts import NO_TEST, UNDECIDED
from odyssey.wording import plural

STUDY = """
[training]
optimizer = "adam"
epochs = 3
updates_per_epoch = 50
batch_size = 20
unroll = 35

[space]
clip_norm = 5.0
learning_rate = { log_uniform = [1e-3, 1e-1] }
init_scale = { choice = [0.7, 1.0] }
"""
RUN = {
    "counted": {"xml": "every character"},
    "training": {"optimizer": "sgd", "nesterov": True, "schedule": "constant", "decay": 0.9},
    "space": {"momentum": {"one_minus_log_uniform": [0.01, 1.0]}, "parameters": {"fixed": [9000]}},
}


@pytest.fixture(scope="module")
def frame():
    cells = {
        "lstm": SimulatedCell(),
        "lstm:no_forget_gate": SimulatedCell(shift=0.4),
        "lstm:no_bias": SimulatedCell(),
    }
    return with_labels(
        simulate_results(cells, rng=np.random.default_rng(0), tasks=("xml", "b"), draws=40)
    )


@pytest.fixture(scope="module")
def compared(frame):
    return comparison.compare(frame, seed=0, resamples=200)


def test_protocol_is_read_from_the_study(frame, compared):
    said = dict(protocol({}, STUDY, frame, compared, baseline="lstm"))
    assert "40 random draws of hyperparameters a cell and task, 240 trained" in said["draws"]
    assert "105,000 characters a draw" in said["training"]
    assert "optimizer adam" in said["training"]
    assert said["hyperparameters"].startswith(
        "clip norm 5; learning rate log-uniform from 0.001 to 0.1; init scale one of 0.7, 1."
    )
    assert "Cells share hidden sizes" in said["hyperparameters"]
    assert "best 5 of 40 draws by validation, minus that of lstm" in said["our test"]
    assert "Holm over all 4 comparisons at 5 %" in said["our test"]
    assert "Bonferroni over the 2 comparisons of a task" in said["the Odyssey's test"]


def test_protocol_takes_what_the_run_resolved(frame):
    said = dict(protocol(RUN, STUDY, frame, None))
    assert "our test" not in said
    assert "on xml over every character" in said["scores"]
    assert said["training"] == "optimizer sgd, nesterov True, schedule constant."  # no decay then
    assert "momentum 1 minus log-uniform from 0.01 to 1" in said["hyperparameters"]
    assert "matched by parameters" in said["hyperparameters"]
    assert dict(protocol({}, "no toml [", frame, None)).keys() == {"draws", "scores"}


def test_what_is_crossed_is_not_called_drawn(frame):
    run = {"space": {"num_layers": {"grid": [1, 2]}, "momentum": {"choice": [0.0, 0.9]}}}
    said = dict(protocol(run, STUDY, frame, None))
    assert said["draws"].startswith("40 combinations of hyperparameters a cell and task")
    assert said["hyperparameters"].startswith("num layers each of 1, 2; momentum one of 0, 0.9. ")


def test_findings_claim_what_the_corrected_test_shows(compared):
    xml, other = claims(compared, "lstm")
    assert (xml.task, other.task) == ("xml", "b")
    assert xml.claim == (
        "2 cells against lstm on 40 draws: 1 worse (lstm:no_forget_gate), 0 better, 1 undecided."
    )
    assert "Undecided is not equal" in xml.rest
    bias = compared[(compared["task"] == "xml") & (compared["label"] == "lstm:no_bias")].iloc[0]
    assert f"between {bias['low']:+.3f} and {bias['high']:+.3f}" in xml.rest


def test_what_is_not_shown_is_not_claimed(compared):
    hint = compared.assign(verdict=compared["verdict"].replace("worse", "n.s."))
    hint["odyssey_verdict"] = hint["verdict"].where(hint["label"] != "lstm:no_forget_gate", "worse")
    (xml, _) = claims(hint, "lstm")
    assert "0 worse, 0 better, 2 undecided" in xml.claim
    assert "1 of them leave out nought (lstm:no_forget_gate)" in xml.rest
    assert "about 0.1 of 2" in xml.rest
    assert "The Odyssey's procedure also calls 1 different" in xml.rest


def test_open_intervals_and_missing_tests_are_told(compared):
    here = compared[compared["task"] == "xml"].copy()
    here.loc[here["label"] == "lstm:no_bias", ["low", "high"]] = (-np.inf, np.inf)
    here.loc[here["label"] == "lstm:no_forget_gate", "verdict"] = NO_TEST
    (found,) = claims(here, "lstm")
    assert "none of their intervals has both ends" in found.rest
    assert "No test was possible for 1 (lstm:no_forget_gate)." in found.rest
    near = compared.assign(verdict=compared["verdict"].replace("worse", UNDECIDED))
    (found, _) = claims(near, "lstm")
    assert found.claim.endswith(": 0 worse, 0 better, 1 undecided, 1 without a verdict.")
    assert "the corrected p of 1 lies (lstm:no_forget_gate): no verdict." in found.rest


def test_one_of_anything_is_no_plural(frame):
    pair = frame[frame["label"].isin(["lstm", "lstm:no_bias"]) & (frame["task"] == "xml")]
    found = comparison.compare(pair[pair["member"] < 1], seed=0, resamples=0)
    (said,) = claims(found, "lstm")
    assert said.claim.startswith("1 cell against lstm on 1 draw: ")
    assert "With 1 draw and 1 comparison no" in power_note(found)
    words = " ".join(text for _, text in protocol({}, STUDY, pair, found, baseline="lstm"))
    assert "Holm over 1 comparison at" in words
    assert not re.search(r"\b1 (draws|cells|comparisons)\b", words)


def test_nothing_to_compare_says_nothing(compared):
    only = compared[compared["baseline"]]
    assert power_note(only) == ""
    assert claims(only, "lstm") == []


@pytest.mark.parametrize("draws", [1, 4, 8, 20])
def test_no_p_value_falls_below_the_bound(draws):
    # A variant that is worse beyond all doubt, at every draw.
    cells = {"a": SimulatedCell(cliff=9.0), "b": SimulatedCell(shift=2.0, cliff=9.0)}
    frame = simulate_results(cells, rng=np.random.default_rng(1), draws=draws)
    found = comparison.compare(frame, seed=0, resamples=0)
    p = float(found["p"].dropna().iloc[0])
    assert p >= least_p(draws, 1) == 2.0 ** (1 - draws)


def test_power_is_told_where_nothing_could_have_been_found(compared):
    assert power_note(compared) == ""
    few = compared.assign(draws=8)
    assert power_note(few) == ""  # 4 comparisons: 0.031
    many = pd.concat([few] * 2, ignore_index=True)
    assert "below 0.062: this study cannot show" in power_note(many)
    assert least_p(10_000, 8) == pytest.approx(8 / 1_000_001)
    assert least_p(2, 50) == 1.0


@pytest.mark.parametrize(("count", "words"), [(0, "0 draws"), (1, "1 draw"), (2, "2 draws")])
def test_a_number_agrees_with_its_noun(count, words):
    assert plural(count, "draw") == words
