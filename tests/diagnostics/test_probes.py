"""Probes mark what they say, symbol by symbol; units that follow them are found, noise is not."""

import numpy as np
import pandas as pd
import pytest

from odyssey.diagnostics.probes import PROBES, load_probes, probe_values
from odyssey.diagnostics.recording import Recording, Track
from odyssey.diagnostics.unit_scores import best_units, score_units
from odyssey.errors import ConfigError

CASES = [
    ("inside_quotes", 'a "bc" d', "00111000"),
    ("inside_quotes", r'"a\"b" c', "11111000"),
    ("inside_quotes", 'a "b\nc\n \nd', "0011111100"),  # an empty line closes it
    ("inside_quotes", "x = '\"'; y", "0" * 10),
    ("inside_quotes", "a “bc” d", "00111000"),
    ("inside_quotes", "“a ‘b’ c” d", "11111111000"),
    ("inside_quotes", "‘don’t’ x", "111111000"),
    ("inside_quotes", "dogs’ x ‘y’", "00000000110"),
    ("inside_quotes", "«a» „b“ „c” »d« ”e”", "1100110011001100110"),
    ("inside_quotes", "« a » b", "1111000"),
    ("inside_quotes", "他「你『好』」。", "01111100"),
    ("inside_quotes", "“a\n“b” c", "11111000"),
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
    ("upper_case", "éÉßЖж中", "010100"),
    ("word_position", "été e\u0301a हिं", "12301230123"),
    ("bracket_depth", "（a［b］）c", "1122100"),
    ("indentation", "\u3000\u3000中\n\u00a0b", "244011"),
]


@pytest.mark.parametrize(("name", "text", "expected"), CASES)
def test_probes_mark_what_they_say(name, text, expected):
    (values,) = probe_values(text, {name: PROBES[name]}).values()
    assert "".join(str(int(v)) for v in values) == expected


TEXTS = ("", "a", "\n", 'if (é["x"]) {\n\t// ß\n}\n', "中「文」\u3000\u0301", "\r\n\x00" * 9)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", PROBES)
def test_a_probe_gives_a_finite_number_or_a_bool_a_symbol(name, text):
    values = PROBES[name](text)
    assert values.shape == (len(text),)
    assert values.dtype in (np.bool_, np.float64)
    assert np.isfinite(values).all()


def slow_noise(rng, *shape, memory=0.98):
    """Noise along the first axis that remembers itself, as hidden states do."""
    steps = rng.normal(size=shape)
    for t in range(1, len(steps)):
        steps[t] += memory * steps[t - 1]
    return steps


def recording_of(values):
    return Recording("made", (Track(0, "h", "state", values.astype(np.float32)),))


def scored(values, probes, *, symbols=None, shifts=199, seed=1):
    symbols = np.zeros(len(values), dtype=np.int64) if symbols is None else symbols
    rng = np.random.default_rng(seed)
    return score_units(recording_of(values), symbols, probes, rng=rng, shifts=shifts)


def test_units_that_follow_a_probe_are_found_and_noise_is_not():
    rng = np.random.default_rng(2)
    holds = slow_noise(rng, 6000) > 1
    place = np.abs(slow_noise(rng, 6000))
    noise = slow_noise(rng, 6000, 30)
    noise[:, 4] = np.where(holds, -0.7, 0.2)  # goes down with the probe
    noise[:, 9] = np.exp(place)  # not linear
    noise[:, 20] = 0.5  # dead
    frame = scored(noise, {"holds": holds, "place": place, "never": np.zeros(6000, bool)})
    assert set(frame.probe) == {"holds", "place"}
    found = frame[frame.found]
    assert list(zip(found.probe, found.unit, strict=True)) == [("holds", 4), ("place", 9)]
    first = frame.groupby("probe").first()
    assert first.rho.to_numpy() == pytest.approx(1.0)
    assert first.p.to_numpy() == pytest.approx(1 / 200)
    assert first.loc["holds", "auc"] == pytest.approx(1.0)
    assert np.isnan(first.loc["place", "auc"])
    assert frame[(frame.probe == "holds") & (frame.unit == 4)].fitted.item() < -0.9
    assert frame[frame.unit == 20].rho.to_numpy() == pytest.approx(0.0)
    best = best_units(frame).set_index("probe")
    assert (best.loc["holds", "unit"], best.loc["holds", "units"]) == (4, 1)


def test_the_area_is_that_of_mann_and_whitney():
    rng = np.random.default_rng(2)
    holds = rng.random(1000) < 0.3
    values = np.round(rng.normal(size=(1000, 3)) + holds[:, None] * [0.5, -0.5, 0.0], 1)
    frame = scored(values, {"holds": holds}).set_index("unit")
    half = 500
    for unit in range(3):
        on, off = values[half:][holds[half:], unit], values[half:][~holds[half:], unit]
        area = (on[:, None] > off).mean() + 0.5 * (on[:, None] == off).mean()
        sign = np.sign(frame.loc[unit, "fitted"])
        assert frame.loc[unit, "auc"] == pytest.approx(0.5 + sign * (area - 0.5), abs=1e-9)
        ranks = pd.DataFrame({"unit": values[half:, unit], "probe": holds[half:]})
        rho = ranks.astype(float).corr("spearman").iloc[0, 1]
        assert frame.loc[unit, "rho"] == pytest.approx(sign * rho, abs=1e-9)


def test_slow_noise_is_found_no_more_often_than_it_should():
    """Of 200 recordings of 20 units that know nothing, 5 % may hold a finding, and about do."""
    false, naive = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        holds = slow_noise(rng, 1200) > 0
        if not 0 < holds[:600].sum() < 600 or not 0 < holds[600:].sum() < 600:
            continue
        frame = scored(slow_noise(rng, 1200, 20), {"holds": holds}, shifts=99, seed=seed)
        false += bool((frame.p <= 0.05).any())
        naive += bool((frame.rho.abs() > 4 / np.sqrt(600)).any())  # p = 6e-5 if steps were alone
    assert 2 <= false <= 22  # 10 expected; outside with probability 1e-3
    assert naive > 150


def test_a_unit_that_only_echoes_the_symbol_is_no_finding():
    rng = np.random.default_rng(3)
    symbols = rng.integers(5, size=4000)
    holds = (symbols == 2) ^ (rng.random(4000) < 0.1)
    echo = np.where(rng.random(4000) < 0.9, symbols == 2, rng.random(4000))
    frame = scored(np.stack([echo, rng.random(4000)], 1), {"holds": holds}, symbols=symbols)
    row = frame[frame.unit == 0].iloc[0]
    assert row.p == pytest.approx(1 / 200)
    assert row.symbol_rho == pytest.approx(np.corrcoef(symbols == 2, holds)[0, 1], abs=0.03)
    assert row.rho < row.symbol_rho
    assert not frame.found.any()


def test_what_cannot_be_scored_says_why():
    values, probes = np.zeros((500, 2)), {"a": np.zeros(500)}
    with pytest.raises(ConfigError, match="too short"):
        scored(values[:300], {"a": np.zeros(300)})
    with pytest.raises(ConfigError, match="at least one shift"):
        scored(values, probes, shifts=0)
    with pytest.raises(ConfigError, match="a: expected 500"):
        scored(values, {"a": np.zeros(499)})
    assert best_units(scored(values, probes)).empty


def test_probes_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\nfrom math import floor\n"
        "def vowel(text):\n    return np.array([c in 'aeiou' for c in text])\n"
        "def _helper(text):\n    return 1\n"
    )
    probes = load_probes(path)
    assert list(probes) == ["vowel"]
    assert list(probe_values("abe", probes)["vowel"]) == [True, False, True]
    for source, says in (
        ("x = 1", "defines no probe"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("def f(a, b):\n    return a", "must take one argument"),
    ):
        path.write_text(source)
        with pytest.raises(ConfigError, match=says):
            load_probes(path)
    with pytest.raises(ConfigError, match="there is no such file"):
        load_probes(tmp_path / "none.py")
    for probe, says in (
        (lambda text: [1], "expected 3 numbers"),
        (lambda text: 1 / 0, "ZeroDivisionError"),
        (lambda text: [float("nan")] * 3, "not finite"),
        (lambda text: ["a"] * 3, "ValueError"),
    ):
        with pytest.raises(ConfigError, match=says):
            probe_values("abc", {"mine": probe})
