"""Probes mark what they say, symbol by symbol; units that follow them are found, noise is not."""

import numpy as np
import pandas as pd
import pytest

from odyssey.diagnostics.probes import PROBES, choose_probes, load_probes, probe_values
from odyssey.diagnostics.recording import Recording, Track
from odyssey.diagnostics.unit_scores import best_units, score_units
from odyssey.errors import ConfigError

CASES = [
    ("inside_quotes", 'a "bc" d', "00111000"),
    ("inside_quotes", r'"a\"b" c', "11111000"),
    ("inside_quotes", 'a "b\nc\n \nd', "0011111100"),  # an empty line closes it
    ("inside_quotes", "x = '\"'; y", "0" * 10),
    ("line_position", "ab\ncd\n\ne", "12012001"),
    ("bracket_depth", "a(b[c]d)e", "011221100"),
    ("bracket_depth", "a)b(c(d)e", "000001100"),  # brackets without a partner do not count
    ("bracket_depth", "([)x", "1100"),
    ("bracket_depth", "f('(')x", "0111100"),
    ("indentation", "  a b\n\tc", "12222088"),
    ("inside_comment", "a/*b*/c", "0011100"),
    ("inside_comment", "a//b\nc", "001100"),
    ("inside_comment", "http://b", "00000000"),
    ("inside_comment", "a<!--b-->c", "0000111100"),
    ("inside_if", "if (a(b)) c(d)", "00011111000000"),
    ("inside_if", "elif_if(a)", "0" * 10),
    ("word_position", "ab_1 c", "123401"),
    ("upper_case", "aBc", "010"),
]


@pytest.mark.parametrize(("name", "text", "expected"), CASES)
def test_probes_mark_what_they_say(name, text, expected):
    (values,) = probe_values(text, choose_probes([name])).values()
    assert "".join(str(int(v)) for v in values) == expected
