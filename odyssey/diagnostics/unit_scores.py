"""Does a unit follow a probe? Rank correlation on held-out text against a null of shifts.

The text is cut in two. On the first half every unit gets its sign: whether it goes up or down with
the probe. On the second half, which it was not fitted to, it is judged: rho is Spearman's rank
correlation of unit and probe times that sign. Ranks, because a counter need not be linear.

Units and probes change slowly, so neighbouring symbols are no independent draws, and a test that
takes them for such calls everything significant. The null shifts the probe around the half, which
keeps its own rhythm and breaks only its tie to the text; of every shift the largest rho over all
units is kept (Westfall and Young 1993, the maximum statistic). p is the share of shifts whose
maximum reaches the unit's rho: the probability that *any* of the units would seem to follow a probe
that has nothing to do with them.

Shapes: N symbols of a half, U units, S shifts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.fft
import scipy.stats
from numpy.typing import NDArray

from odyssey.diagnostics.recording import Recording
from odyssey.errors import ConfigError
from odyssey.threads import one_thread

FEWEST = 400
"""Symbols that a text must have to be cut in two and shifted."""

UNIT_LEVEL = 0.05
_SHORTEST_SHIFT = 1000  # symbols; a tenth of the half where that is less
_BLOCK = 64  # units that are transformed together

UNIT_SCORE_COLUMNS = [
    *("name", "probe", "binary", "layer", "track", "kind", "unit", "fitted", "rho", "auc", "p"),
    *("null_95", "symbol_rho", "found"),
]


@one_thread()
def score_units(
    recording: Recording,
    symbols: Sequence[int] | NDArray[np.int64],
    probes: Mapping[str, NDArray[np.generic]],
    *,
    rng: np.random.Generator,
    shifts: int = 999,
    progress: Callable[[int], None] = lambda units: None,
) -> pd.DataFrame:
    """Scores every unit of a recording against every probe.

    Args:
        recording: Of a text that the network was not trained on, T symbols.
        symbols: The symbols as class indices (T,).
        probes: Name -> what holds after each symbol, (T,) bools or numbers.
        rng: Draws the shifts.
        shifts: How many; p is no less than 1 / (shifts + 1).
        progress: Hears how many units are correlated, now and then.

    Returns:
        A row a probe and unit, best first within a probe: name, probe, binary, layer, track, kind,
        unit; fitted (correlation on the first half, with its sign), rho (on the second half, with
        the sign that was fitted), auc (binary probes: the probability that the unit, turned as
        fitted, is higher where the probe holds; NaN for others), p (corrected for all units of the
        recording), null_95 (the 95 % quantile of the largest rho under the null), symbol_rho (what
        the mean of the probe's ranks given the current symbol alone reaches), found (p <= 0.05, and
        more than symbol_rho). Probes that do not vary in both halves have no rows.

    Raises:
        ConfigError: The text is too short, lengths differ, or there are no shifts.
    """
    length = len(recording)
    if length < FEWEST:
        raise ConfigError(
            f"a text of {length} symbols is too short to judge; give {FEWEST} or more"
        )
    if shifts < 1:
        raise ConfigError(f"the null needs at least one shift, got {shifts}")
    for name, values in (*probes.items(), ("symbols", np.asarray(symbols))):
        if values.shape != (length,):
            raise ConfigError(f"{name}: expected {length} values, got shape {values.shape}")
    half = length // 2
    fit = slice(0, half)
    judged = slice(half, half + int(scipy.fft.prev_fast_len(length - half, real=True)))
    usable = {
        name: values
        for name, values in probes.items()
        if all(np.ptp(values[part].astype(np.float64)) > 0 for part in (fit, judged))
    }
    if not usable:
        return pd.DataFrame(columns=UNIT_SCORE_COLUMNS)
    size = judged.stop - judged.start
    least = min(_SHORTEST_SHIFT, size // 10)
    lags = rng.integers(least, size - least + 1, size=shifts)
    found = _correlate(recording, usable, fit, judged, lags=lags, progress=progress)
    codes = np.asarray(symbols)
    frames = [
        _frame(recording, name, values, codes, found[place], fit, judged)
        for place, (name, values) in enumerate(usable.items())
    ]
    return pd.concat(frames, ignore_index=True)[UNIT_SCORE_COLUMNS]


def best_units(scores: pd.DataFrame) -> pd.DataFrame:
    """Gives the best unit of every probe, and how many units are found.

    Returns:
        Columns name, probe, units (how many were found), layer, track, unit, rho, auc, p, null_95,
        symbol_rho, found: one row a probe, of the unit that was chosen on the *first* half, so that
        its rho is not the best of many.
    """
    if scores.empty:
        return pd.DataFrame(columns=["name", "probe", "units", *UNIT_SCORE_COLUMNS[3:]])
    count = scores.groupby(["name", "probe"], sort=False)["found"].sum().rename("units")
    strongest = scores.assign(size=scores["fitted"].abs()).sort_values("size", kind="stable")
    best = strongest.groupby(["name", "probe"], sort=False).tail(1).set_index(["name", "probe"])
    table = count.to_frame().join(best).reset_index()
    return table.drop(columns=["size", "binary", "fitted"])


class _Correlations:
    """Of one probe: rho of all units on both halves, and the largest rho under each shift."""

    def __init__(self, units: int, shifts: int) -> None:
        self.spread = np.zeros(units)  # length of the centred ranks on the second half
        self.fitted = np.zeros(units)
        self.judged = np.zeros(units)
        self.largest = np.full(shifts, -np.inf)


def _correlate(
    recording: Recording,
    probes: Mapping[str, NDArray[np.generic]],
    fit: slice,
    judged: slice,
    *,
    lags: NDArray[np.int64],
    progress: Callable[[int], None],
) -> list[_Correlations]:
    size = judged.stop - judged.start
    fit_probes = [_standard(values[fit])[0] for values in probes.values()]
    spectra = [scipy.fft.rfft(_standard(values[judged])[0]) for values in probes.values()]
    found = [_Correlations(recording.num_units, len(lags)) for _ in probes]
    start = 0
    for track in recording.tracks:
        for first in range(0, track.values_TH.shape[1], _BLOCK):
            block_UT = track.values_TH[:, first : first + _BLOCK].T
            units = slice(start, start + len(block_UT))
            start = units.stop
            fit_UN, _ = _standard(block_UT[:, fit])
            judged_UN, spread = _standard(block_UT[:, judged])
            spectrum = scipy.fft.rfft(judged_UN)
            for one, probe, other in zip(found, fit_probes, spectra, strict=True):
                one.spread[units] = spread
                one.fitted[units] = fit_UN @ probe
                # correlation with the probe moved on by each lag, all lags at once
                moved_UN = scipy.fft.irfft(spectrum * other.conj(), n=size)
                sign = np.where(one.fitted[units] < 0, -1.0, 1.0)
                one.judged[units] = sign * moved_UN[:, 0]
                np.maximum(one.largest, (sign[:, None] * moved_UN[:, lags]).max(0), out=one.largest)
            progress(start)
    return found


def _frame(
    recording: Recording,
    name: str,
    values: NDArray[np.generic],
    symbols: NDArray[np.int64],
    found: _Correlations,
    fit: slice,
    judged: slice,
) -> pd.DataFrame:
    tracks = recording.tracks
    sizes = [t.values_TH.shape[1] for t in tracks]
    rho = found.judged
    ordered = np.sort(found.largest)
    reached = len(ordered) - np.searchsorted(ordered, rho - 1e-12, side="left")
    binary = values.dtype == np.bool_
    baseline = _symbol_rho(values, symbols, fit, judged)
    frame = pd.DataFrame(
        {
            "name": recording.name,
            "probe": name,
            "binary": binary,
            "layer": np.repeat([t.layer for t in tracks], sizes),
            "track": np.repeat([t.name for t in tracks], sizes),
            "kind": np.repeat([t.kind for t in tracks], sizes),
            "unit": np.concatenate([np.arange(n) for n in sizes]),
            "fitted": found.fitted,
            "rho": rho,
            "auc": _auc(rho, found.spread, values[judged]) if binary else np.nan,
            "p": (1 + reached) / (1 + len(ordered)),
            "null_95": float(np.quantile(ordered, 1 - UNIT_LEVEL)),
            "symbol_rho": baseline,
        }
    )
    frame["found"] = (frame["p"] <= UNIT_LEVEL) & (frame["rho"] > baseline)
    return frame.sort_values("rho", ascending=False, kind="stable")


def _standard(
    values: NDArray[np.generic],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gives ranks along the last axis with mean 0 and length 1, and what their length was.

    Where nothing varies they are zeros.
    """
    ranks: NDArray[np.float64] = scipy.stats.rankdata(values, axis=-1)
    ranks = ranks - ranks.mean(-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(-1))
    return ranks / np.where(length > 0, length, 1.0)[..., None], length


def _auc(
    rho: NDArray[np.float64], spread: NDArray[np.float64], holds: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Gives the probability that a unit is higher where the probe holds (Mann and Whitney 1947).

    The rank sum behind it is also that of the correlation with a probe of two values, so it follows
    from rho and from the spread of the unit's ranks, which is less than full where ranks are tied.
    """
    positive = int(holds.astype(np.bool_).sum())
    found: NDArray[np.float64] = 0.5 + rho * spread / np.sqrt(
        len(holds) * positive * (len(holds) - positive)
    )
    return found


def _symbol_rho(
    values: NDArray[np.generic], symbols: NDArray[np.int64], fit: slice, judged: slice
) -> float:
    """Gives the correlation of the probe's ranks with their mean given the symbol.

    The means are those of the first half. But for their noise, no unit that is a function of the
    symbol reaches more.
    """
    ranks, _ = _standard(values[fit])
    count = np.bincount(symbols[fit], minlength=int(symbols.max()) + 1)
    mean = np.bincount(symbols[fit], weights=ranks, minlength=len(count)) / np.maximum(count, 1)
    predicted = mean[symbols[judged]]
    predicted = predicted - predicted.mean()
    length = float(np.sqrt(predicted @ predicted)) or 1.0
    return float(predicted @ _standard(values[judged])[0]) / length
