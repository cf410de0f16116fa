"""What was seen is refused, in whatever words; what only looks like it is not."""

import itertools

import numpy as np
import pytest
from support.lookalikes import rewritten
from support.rewrites import REWRITES, tanh_as_sigmoid

from odyssey.expr.identity import repeated
from odyssey.specs import get_cell
from odyssey.strategies.gatekeeper import (
    ILLEGAL,
    SEEN_FINGERPRINT,
    SEEN_KEY,
    Gatekeeper,
    RefusedError,
)

# one function each line, with other initial values in every cell of it
ALIKE = [
    ["lstm", "lstm:forget_bias=1", "lstm:forget_bias=2", "lstm:bias=i:1", "lstm:chrono=9"],
    ["gru", "gru:bias=z:1", "gru:bias=z:-1", "gru:bias=r:1"],
]
CELLS = {spec: get_cell(spec) for spec in itertools.chain(*ALIKE)}


def judge(seed, candidate):
    keeper = Gatekeeper([])
    key, fingerprint = seed.identity
    keeper.remember(0, arms=["aging"], key=key, fingerprint=fingerprint)
    return keeper.judge(candidate.text, arm="aging")


@pytest.mark.parametrize("spec", CELLS)
def test_initial_values_make_another_cell(spec):
    for other in CELLS:
        if other != spec:
            assert repeated({n: CELLS[n] for n in (spec, other)}) is None
            found = judge(CELLS[spec], CELLS[other])
            assert (found.key, found.fingerprint) == CELLS[other].identity
            assert found.twin is None


@pytest.mark.parametrize("spec", CELLS)
def test_a_seed_in_other_words_is_refused(spec):
    rng = np.random.default_rng(7)
    other = rewritten(CELLS[spec], rng, steps=len(REWRITES))
    assert other.text != CELLS[spec].text
    with pytest.raises(RefusedError, match=SEEN_KEY):
        judge(CELLS[spec], other)
    disguised = tanh_as_sigmoid(other, rng)
    assert disguised.key != CELLS[spec].key
    with pytest.raises(RefusedError, match=SEEN_FINGERPRINT):
        judge(CELLS[spec], disguised)


def test_what_another_arm_has_seen_is_a_twin():
    keeper = Gatekeeper([])
    key, fingerprint = CELLS["gru"].identity
    keeper.remember(4, arms=["aging"], key=key, fingerprint=fingerprint)
    assert keeper.judge(CELLS["gru"].text, arm="random").twin == 4


def test_who_measured_a_cell_in_other_words_has_seen_the_first_of_them():
    keeper, gru = Gatekeeper([]), CELLS["gru"]
    disguised = tanh_as_sigmoid(gru, np.random.default_rng(1))
    assert disguised.key != gru.key
    for number, arm, one in ((2, "aging", gru), (5, "random", disguised)):
        key, fingerprint = one.identity
        keeper.remember(number, arms=[arm], key=key, fingerprint=fingerprint)
    for one in (gru, disguised):
        with pytest.raises(RefusedError, match="seen before"):
            keeper.judge(one.text, arm="random")


def test_what_breaks_a_check_or_is_no_cell_is_refused():
    with pytest.raises(RefusedError, match="too large"):
        Gatekeeper([lambda cell: None, lambda cell: "too large"]).judge(
            CELLS["gru"].text, arm="aging"
        )
    with pytest.raises(RefusedError, match=ILLEGAL):
        Gatekeeper([]).judge("no cell", arm="aging")


def test_one_cell_under_two_names_is_found():
    assert repeated(CELLS) is None
    assert repeated({**CELLS, "again": get_cell("lstm:chrono=9")}) == ("lstm:chrono=9", "again")
    disguised = tanh_as_sigmoid(CELLS["gru"], np.random.default_rng(1))
    assert repeated({"a": disguised, **CELLS}) == ("a", "gru")
