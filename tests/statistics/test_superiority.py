"""The chance to be more: beside counting, scipy's Brunner-Munzel test, and in simulations."""

import numpy as np
import pytest
from scipy import stats

from odyssey.statistics.superiority import chance_to_be_more

Z = stats.norm.ppf(0.975)


def test_every_pair_is_counted_and_ties_count_half():
    found = chance_to_be_more([2.0, 1.0], [1.0, 0.0, 3.0])
    assert found.estimate == pytest.approx((1 + 1 + 0 + 0.5 + 1 + 0) / 6)
    assert chance_to_be_more([1, 1], [1, 1]).estimate == 0.5
    infinite = chance_to_be_more([-np.inf, 1.0], [-np.inf, 0.0])
    assert infinite.estimate == pytest.approx((0.5 + 0 + 1 + 1) / 4)


@pytest.mark.parametrize("seed", range(5))
def test_the_standard_error_is_that_of_brunner_and_munzel(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(0.4, 2, 40).round(1), rng.normal(0, 1, 25).round(1)
    found = chance_to_be_more(one, other)
    p = found.estimate
    ends = [np.log(e / (1 - e)) - np.log(p / (1 - p)) for e in (found.low, found.high)]
    assert -ends[0] == pytest.approx(ends[1])
    error = ends[1] / Z * p * (1 - p)
    assert error == pytest.approx((p - 0.5) / stats.brunnermunzel(other, one).statistic)


def test_what_does_not_say_how_sure_it_is_has_no_interval():
    for one, other in (([1.0], [0.0, 2.0]), ([3.0, 4.0], [1.0, 2.0]), ([1.0, 2.0], [5.0])):
        assert np.isnan(chance_to_be_more(one, other)[1:]).all()
    assert np.isnan(chance_to_be_more([], [1.0])).all()


@pytest.mark.parametrize(("shift", "chance"), [(0.0, 0.5), (0.8, stats.norm.cdf(0.8 / 2**0.5))])
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(shift, chance):
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(1500):
        found = chance_to_be_more(rng.normal(shift, 1, 40), rng.normal(0, 1, 30))
        held += found.low <= chance <= found.high
    assert 0.935 < held / 1500 < 0.965
