"""What a search remembers of a trial: the best of its members, and never worse than guessing."""

import math

import pandas as pd
import pytest

from odyssey.studies.evolve.scores import merged, ratio, trial_score


def row(nats, *, status="ok", accuracy=0.5, symbols=8):
    return {
        "status": status,
        "reason": "",
        "valid_nats": nats,
        "valid_accuracy": accuracy,
        "num_symbols": symbols,
        "characters": 10,
        "seconds": 1.0,
    }


@pytest.mark.parametrize("nats", [math.log(8) + 1e-6, 4.0, 1e6, 1e300, math.inf])
def test_a_loss_worse_than_guessing_counts_as_guessing(nats):
    score = trial_score([row(nats, accuracy=0.01)])
    assert score.nats == pytest.approx(math.log(8))
    assert score.accuracy == 1 / 8
    baseline = trial_score([row(1.0)])
    assert ratio(score, baseline, measure="loss") == pytest.approx(1 / math.log(8))
    assert ratio(score, baseline, measure="accuracy") == 1 / 4


@pytest.mark.parametrize("symbols", [None, pd.NA, 1])
def test_where_nobody_knows_of_how_many_symbols_nothing_is_capped(symbols):
    assert trial_score([row(4.0, symbols=symbols)]).nats == 4.0


def test_the_best_member_counts_and_lost_ones_do_not():
    rows = [row(1.5), row(1.2, accuracy=0.4), row(0.1, status="diverged"), row(math.nan)]
    score = trial_score(rows)
    assert (score.nats, score.accuracy, score.members, score.reason) == (1.2, 0.5, 4, "")
    lost = trial_score([row(math.nan, status="diverged", accuracy=math.nan)])
    assert math.isnan(lost.nats)
    assert lost.reason.startswith("diverged")
    both = merged([score, lost])
    assert (both.nats, both.members, both.reason) == (1.2, 5, "")
