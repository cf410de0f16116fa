"""The numeric second opinion."""

import re

import pytest

from odyssey.cells import LIBRARY, library_cell
from odyssey.expr import parse_cell


def cell(update):
    return parse_cell(f"cell t1\ninput x\nstate h\nh[t] = {update}\noutput h\n")


@pytest.mark.parametrize("name", LIBRARY)
def test_it_is_16_hex_digits(name):
    assert re.fullmatch(r"[0-9a-f]{16}", library_cell(name).fingerprint)


def test_it_knows_identities_that_the_canonical_form_does_not():
    one = cell("tanh(W @ x[t] + h[t-1])")
    other = cell("2 * sigmoid(2 * (W @ x[t] + h[t-1])) - 1")
    assert one.key != other.key
    assert one.fingerprint == other.fingerprint


def test_it_sees_where_a_parameter_is_used():
    one = cell("tanh(W @ x[t] + U @ h[t-1] + p * h[t-1] + b)")
    assert one.fingerprint != cell("tanh(W @ x[t] + U @ h[t-1] + p * h[t-1] + p)").fingerprint


def test_overflow_and_undefined_values_do_not_stop_it():
    assert cell("exp(exp(exp(9 * square(W @ x[t])))) + h[t-1]").fingerprint
    assert cell("W @ x[t] + (h[t-1] - h[t-1]) / (h[t-1] - h[t-1])").fingerprint
