"""Which candidate goes on."""

import math

import pytest

from odyssey.strategies.promotion import KnownScores, Rule, Thresholds


def known(*scores):
    found = KnownScores()
    for score in scores:
        found.add(score)
    return found


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 20])
def test_keep_is_the_best_share_rounded_up(share, count):
    scores = [float(n * 7 % 23) for n in range(count)]
    least = known(*scores).least_of_best(share)
    for mine in (-1.0, 3.5, 11.0, 22.5):
        better = sum(s > mine for s in scores)
        goes_on = better < math.ceil(share * (count + 1))
        assert (mine >= least) == goes_on


def test_a_score_that_is_nan_is_the_worst():
    assert known(math.nan, 1.0, 2.0).least_of_best(0.5) == 1.0
    assert known(math.nan, math.nan).least_of_best(0.5) == -math.inf


def test_all_rules_must_hold():
    rule = Rule(gate=0.9, keep=0.5)
    assert rule.thresholds(known(0.1, 0.2, 0.3)) == Thresholds(0.0, 0.9)
    assert rule.thresholds(known(1.1, 1.2, 1.3)) == Thresholds(0.0, 1.2)
    assert Rule(at_least=0.95).thresholds(known()) == Thresholds(0.95, -math.inf)


def test_thresholds():
    wanted = Thresholds(accuracy=0.95, score=0.9)
    assert wanted.passed(accuracies={"a": 0.95, "b": 1.0}, score=0.9)
    assert not wanted.passed(accuracies={"a": 0.94, "b": 1.0}, score=0.9)
    assert not wanted.passed(accuracies={"a": 0.95, "b": 1.0}, score=0.89)
    assert Thresholds().passed(accuracies={"a": 0.0}, score=-1e9), "nothing is asked"
    assert not Thresholds().passed(accuracies={"a": math.nan}, score=1.0)
    assert not Thresholds().passed(accuracies={"a": 0.5}, score=math.nan)
