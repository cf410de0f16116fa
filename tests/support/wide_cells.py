"""Cells with declared sizes, single numbers, reductions and transposed maps, by name."""

from __future__ import annotations


def _lstm(of: str, *lines: str, head: tuple[str, ...] = ()) -> str:
    """An LSTM whose gates read `of`, with lines before and after them."""
    gates = [f"{g} = sigmoid(W_{g} @ x[t] + U_{g} @ {of} + b_{g})" for g in "ifo"]
    candidate = f"g = tanh(W_g @ x[t] + U_g @ {of} + b_g)"
    return "\n".join([*head, *gates, candidate, "c[t] = f * c[t-1] + i * g", *lines, ""])


def _cell(name: str, body: str) -> str:
    return f"cell {name}\ninput x\n{body}output h\n"


def _normalised(gate: str) -> list[str]:
    """Lines that normalise what a gate reads."""
    return [
        f"a{gate} = W_{gate} @ x[t] + U_{gate} @ h[t-1]",
        f"d{gate} = a{gate} - mean(a{gate})",
        f"n{gate} = s_{gate} * d{gate} / (0.01 + mean(abs(d{gate})))",
        f"{gate} = {'tanh' if gate == 'g' else 'sigmoid'}(n{gate} + b_{gate})",
    ]


WIDE_CELLS = {
    "projected": _cell(
        "projected",
        _lstm(
            "h[t-1]",
            "h[t] = P @ (o * tanh(c[t]))",
            head=("size C = 4 * H", "state h", "state c : C"),
        ),
    ),
    "low_rank": _cell(
        "low_rank",
        _lstm(
            "r",
            "h[t] = o * tanh(c[t])",
            head=("size R = H / 4", "state h, c", "r : R = V @ h[t-1]"),
        ),
    ),
    "layer_norm_lstm": _cell(
        "layer_norm_lstm",
        "\n".join(
            [
                "state h, c",
                *(line for gate in "ifog" for line in _normalised(gate)),
                "c[t] = f * c[t-1] + i * g",
                "d = c[t] - mean(c[t])",
                "h[t] = o * tanh(s_c * d / (0.01 + mean(abs(d))) + b_c)",
                "",
            ]
        ),
    ),
    "one_gate": _cell(
        "one_gate",
        "state h\nweight alpha : 1\nweight beta : 1\n"
        "z : 1 = sigmoid(w @ x[t] + u @ h[t-1] + alpha)\n"
        "n = tanh(W @ x[t] + U @ h[t-1] + b)\n"
        "h[t] = beta * z * h[t-1] + (1 - z) * n\n",
    ),
    "antisymmetric": _cell(
        "antisymmetric",
        "const dt = 0.1\nstate h\n"
        "v = W @ x[t] + U @ h[t-1] - U.T @ h[t-1] - 0.01 * h[t-1] + b\n"
        "h[t] = h[t-1] + dt * tanh(v)\n",
    ),
    "softmax": _cell(
        "softmax",
        "state h\na = W @ x[t] + U @ h[t-1] + b\ne = exp(a - max(a))\n"
        "h[t] = 0.5 * h[t-1] + e / sum(e)\n",
    ),
    "cumulative": _cell(
        "cumulative",
        "state h\ne = exp(tanh(W @ x[t] + U @ h[t-1] + b))\nf = cumsum(e) / sum(e)\n"
        "h[t] = f * h[t-1] + (1 - f) * tanh(V @ x[t] + Q @ h[t-1])\n",
    ),
}
"""Name -> text. `cumulative` has the gate of ordered neurons (Shen et al. 2019)."""
