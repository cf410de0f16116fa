"""The page on which units are looked at: a text, coloured by one unit at a time.

One file with all of its data, which opens from disk without a network. A value is a byte; every
unit is a string of its own in the page, and is decoded when it is chosen; only the lines in sight
are drawn. So a page of 100,000 symbols and 512 units opens at once.

Shapes: T symbols, H units.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from odyssey.errors import StoreError

MOST_BEST = 20
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class UnitTrack:
    """One named value of one layer, as the page shows it.

    Attributes:
        layer: The layer, from 0.
        name: What it is called.
        kind: What it is, in a word.
        values_TH: Its values (T, H). Gates are shown from 0 to 1, others from -1 to 1; where they
            leave that, by their tanh.
    """

    layer: int
    name: str
    kind: str
    values_TH: NDArray[np.float32] = field(repr=False)


def write_units_page(
    path: str | Path,
    *,
    title: str,
    lead: str,
    symbols: Sequence[str],
    tracks: Sequence[UnitTrack],
    probes: Mapping[str, NDArray[np.generic]],
    scores: pd.DataFrame | None = None,
) -> Path:
    """Writes the page.

    Args:
        path: The file; its folder is made.
        title: What was recorded.
        lead: A line about it.
        symbols: What was read, T strings of one character; empty for a further byte of the
            character before it, which is then coloured by the values at all of its bytes.
        tracks: What is to be seen, at least one.
        probes: Name -> numbers or bools (T,), which can be underlined in the text.
        scores: With columns probe, layer, track, unit, rho, found, best first: the units that
            the page offers for a probe.

    Raises:
        StoreError: The file cannot be written.
    """
    path = Path(path)
    quantised = [_quantise(t) for t in tracks]
    facts = {
        "title": title,
        "symbols": list(symbols),
        "tracks": [
            {"layer": t.layer, "name": t.name, "kind": t.kind, "units": t.values_TH.shape[1], **how}
            for t, (_, how) in zip(tracks, quantised, strict=True)
        ],
        "probes": [
            {
                "name": name,
                "binary": values.dtype == np.bool_,
                "low": float(values.min()),
                "high": float(values.max()),
                "best": _best(scores, name, tracks),
            }
            for name, values in probes.items()
        ],
    }
    head = (_HERE / "units.html").read_text("utf-8")
    head = head.replace("@css@", (_HERE / "units.css").read_text("utf-8"))
    head = head.replace("@title@", html.escape(title)).replace("@lead@", html.escape(lead))
    # "<" would let a text end the element that holds it
    data = json.dumps(facts, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(head)
            file.write(f'<script type="application/json" id="facts">{data}</script>\n')
            for number, (bytes_HT, _) in enumerate(quantised):
                for unit, row in enumerate(bytes_HT):
                    file.write(_element(f"t{number}u{unit}", row))
            for number, values in enumerate(probes.values()):
                file.write(_element(f"p{number}", _scale(values.astype(np.float64))))
            file.write(f"<script>\n{(_HERE / 'units.js').read_text('utf-8')}</script>\n")
            file.write("</body>\n</html>\n")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _element(name: str, row: NDArray[np.uint8]) -> str:
    text = base64.b64encode(row.tobytes()).decode("ascii")
    return f'<script type="text/plain" id="{name}">{text}</script>\n'


def _quantise(track: UnitTrack) -> tuple[NDArray[np.uint8], dict[str, object]]:
    """Gives bytes (H, T) and the scale they are on."""
    values = np.nan_to_num(track.values_TH, nan=0.0, posinf=1e30, neginf=-1e30)
    low = 0.0 if track.kind == "gate" else -1.0
    squashed = bool(values.min() < low - 1e-6 or values.max() > 1 + 1e-6)
    values = np.tanh(values) if squashed else values
    if squashed:
        low = -1.0
    scaled = np.rint((values - low) * (255.0 / (1.0 - low))).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(scaled.T), {"low": low, "high": 1.0, "squashed": squashed}


def _scale(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Gives bytes from the least to the largest value."""
    span = float(np.ptp(values)) or 1.0
    scaled: NDArray[np.uint8] = np.rint((values - values.min()) * (255.0 / span)).astype(np.uint8)
    return scaled


def _best(
    scores: pd.DataFrame | None, probe: str, tracks: Sequence[UnitTrack]
) -> list[dict[str, float]]:
    if scores is None or scores.empty:
        return []
    place = {(t.layer, t.name): k for k, t in enumerate(tracks)}
    part = scores[scores["probe"] == probe].head(MOST_BEST)
    return [
        {"track": place[layer, track], "unit": unit, "rho": rho}
        for layer, track, unit, rho in zip(
            *(part[c].tolist() for c in ("layer", "track", "unit", "rho")), strict=True
        )
    ]
