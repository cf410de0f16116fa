"""The contract of probes: one finite number or bool a symbol, from any text."""

from __future__ import annotations

import numpy as np

from odyssey.contracts.finding import Checks, expect
from odyssey.diagnostics.probes import Probe, probe_values

TEXTS = (
    *("", "a", "\n", 'if (é["x"]) {\n\t// ß\n}\n', "中「文」\u3000\u0301", "\r\n\x00" * 9),
    'He said "yes" (twice).\n  def f(x):\n    return [x]\n' * 3,
)


def check_values(name: str, row: Probe) -> None:
    """Checks length and type on texts of all kinds, the empty one among them."""
    for text in TEXTS:
        values = probe_values(text, {name: row})[name]
        expect(values.shape == (len(text),), f"{values.shape} values of {len(text)} symbols")


def check_repeatable(name: str, row: Probe) -> None:
    """Checks that the same text gives the same values."""
    for text in TEXTS:
        one, other = (probe_values(text, {name: row})[name] for _ in range(2))
        expect(np.array_equal(one, other), "gives other values at the second call")


def check_varies(name: str, row: Probe) -> None:
    """Checks that it is not the same everywhere: no unit could follow it."""
    values = np.concatenate([probe_values(t, {name: row})[name].astype(float) for t in TEXTS])
    expect(len(np.unique(values)) > 1, "is the same at every symbol of seven texts")


CHECKS: Checks = {
    "a number a symbol": check_values,
    "repeatable": check_repeatable,
    "varies": check_varies,
}
