"""Duplicates: rewritten cells have the key or fingerprint of the original, other functions neither.

`checks/duplicates.py` measures the same on many more.
"""

import numpy as np
import pytest
from support.lookalikes import differ, pairs, pool, rewritten
from support.rewrites import REWRITES, tanh_as_sigmoid

from odyssey.expr import parse_cell
from odyssey.specs import get_cell


def test_rewrites_of_library_cells_and_mutants_are_recognised():
    cells = pool(60, seed=1)
    changed, missed = 0, []
    for trial in range(100):
        one = cells[trial % len(cells)]
        rng = np.random.default_rng([2, trial])
        other = rewritten(one, rng, steps=6)
        if trial % 4 == 0:
            other = tanh_as_sigmoid(other, rng)
        changed += other.text != one.text
        key, fingerprint = one.identity
        if key != other.identity[0] and fingerprint != other.identity[1]:
            missed.append((one.text, other.text))
    assert changed > 95
    assert len(missed) <= 1, missed[0]


def test_mutants_that_differ_as_functions_are_never_taken_for_equal():
    shown = 0
    for one, other in pairs(seed=3, count=55):
        if differ(one, other):
            shown += 1
            assert one.key != other.key, f"{one.text}\n{other.text}"
            assert one.fingerprint != other.fingerprint, f"{one.text}\n{other.text}"
            assert not set(one.identity) & set(other.identity)
    assert shown >= 90


def cell(*equations, states="h", inits=()):
    lines = ["cell t1", "input x", f"state {states}", *equations, *inits, "output h"]
    return parse_cell("\n".join(lines))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("h[t] = W @ x[t] + tanh(a - b) * h[t-1]", "h[t] = W @ x[t] - tanh(b - a) * h[t-1]"),
        ("h[t] = W @ x[t] + h[t-1] / (a - b)", "h[t] = W @ x[t] - h[t-1] / (b - a)"),
        (
            "h[t] = sigmoid(U @ h[t-1] - V @ h[t-1]) * (W @ x[t])",
            "h[t] = (1 - sigmoid(V @ h[t-1] - U @ h[t-1])) * (W @ x[t])",
        ),
        (
            "h[t] = W @ x[t] + tanh(a - b) * sin(p - q) * h[t-1]",
            "h[t] = W @ x[t] - tanh(b - a) * sin(p - q) * h[t-1]",
        ),
        ("h[t] = W @ x[t] + abs(a - b) * h[t-1]", "h[t] = W @ x[t] + h[t-1] * abs(b - a)"),
    ],
)
def test_signs_that_only_names_tell(one, other):
    a, b = cell(one), cell(other)
    assert a.key == b.key
    assert a.fingerprint == b.fingerprint
    assert parse_cell(a.canonical_text).key == a.key


def test_many_ties_of_signs_are_no_burden():
    update = " + ".join(f"tanh(a{k} - b{k}) * h[t-1]" for k in range(12))
    one = cell(f"h[t] = W @ x[t] + {update}")
    assert len(one.key) == 64


def test_weights_that_look_alike_one_by_one_are_told_apart_together():
    """Each weight alone acts the same in both, but they meet in other pairs."""
    known = "p + 2 * q + 3 * r + 4 * s"  # tells which is which
    one = cell(f"h[t] = W @ x[t] + h[t-1] * ({known} + p * q + r * s)")
    other = cell(f"h[t] = W @ x[t] + h[t-1] * ({known} + p * r + q * s)")
    assert not differ(one, other)
    assert not set(one.identity) & set(other.identity)


def test_identity_tells_initial_values_apart():
    plain, forget, inputs = (get_cell(s) for s in ("lstm", "lstm:forget_bias=1", "lstm:bias=i:1"))
    assert len({c.fingerprint for c in (plain, forget, inputs)}) == 1
    for k in (0, 1):
        assert len({c.identity[k] for c in (plain, forget, inputs)}) == 3
    chrono = get_cell("lstm:chrono=50")
    renamed = rewritten(chrono, np.random.default_rng(4), steps=len(REWRITES))
    assert renamed.text != chrono.text
    assert renamed.identity == chrono.identity
    assert chrono.identity[1] not in (plain.identity[1], forget.identity[1])
