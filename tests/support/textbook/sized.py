"""Cells with sizes of their own: small networks beside large ones, windows, low ranks, groups."""

import numpy as np
from scipy import linalg

from support.textbook.page import Page, normal, relu, sigma


class Sized(Page):
    """Cells that declare sizes, hold two layers, or look at several steps of the past."""

    def hyperlstm(self, x, h, c, k, small):
        scales = {}
        for gate in "ifog":
            read = {s: self.at(f"A_{s}{gate}", k) for s in "hxb"}
            of_h, of_x = (self.at(f"D_{s}{gate}", read[s] + self.v[f"a_{s}{gate}"]) for s in "hx")
            bias = self.at(f"D_b{gate}", read["b"]) + self.v[f"b_{gate}"]
            y = of_h * self.at(f"U_{gate}", h) + of_x * self.at(f"W_{gate}", x) + bias
            scales[gate] = self.v[f"g_{gate}"] * normal(y) + self.v[f"s_{gate}"]
        joined = np.hstack([h, x])
        own = {}
        for gate in "ifog":
            both = np.hstack([self.v[f"V_k{gate}"], self.v[f"W_k{gate}"]])
            own[gate] = joined @ both.T + self.inner(f"k{gate}", k)
        small = sigma(own["f"]) * small + sigma(own["i"]) * np.tanh(own["g"])
        c = sigma(scales["f"]) * c + sigma(scales["i"]) * np.tanh(scales["g"])
        h = sigma(scales["o"]) * np.tanh(self.v["g_c"] * normal(c) + self.v["s_c"])
        return h, c, sigma(own["o"]) * np.tanh(small), small

    def mogrifier_lowrank(self, x, h, c):
        for number in range(1, 6):
            low = self.v[f"A_{number}"] @ self.v[f"B_{number}"]
            if number % 2:
                x = 2 * sigma(h @ low.T + self.v[f"q_{number}"]) * x
            else:
                h = 2 * sigma(x @ low.T + self.v[f"b_{number}"]) * h
        i, f, o = (sigma(self.pre(k, x, h)) for k in "ifo")
        c = f * c + i * np.tanh(self.pre("g", x, h))
        return o * np.tanh(c), c

    def sru_oliva(self, x, *averages):
        before, after = (
            np.hstack([self.v[f"{letter}_{k}"] for k in range(1, 6)]) for letter in "UV"
        )
        r = relu(np.hstack(averages) @ before.T + self.v["b_r"])
        p = relu(self.at("U_p", r) + self.outer("p", x))
        scales = (0, 0.25, 0.5, 0.9, 0.99)
        averages = tuple(a * m + (1 - a) * p for a, m in zip(scales, averages, strict=True))
        return relu(np.hstack(averages) @ after.T + self.v["b_y"]), *averages

    def rwkv4_block(self, x, e, a, b, m, s):
        def mixed(k, now, last):
            return self.v[f"mu_{k}"] * now + (1 - self.v[f"mu_{k}"]) * last

        u = self.v["g_1"] * normal(x) + self.v["d_1"]
        r, k, v = (self.at(f"W_{n}", mixed(n, u, e)) for n in "rkv")
        # the sums themselves, of which the states are scaled by exp(m); Peng et al. 2023, eq. 16
        above, below, now = np.exp(m) * a, np.exp(m) * b, np.exp(self.v["u"] + k)
        z = x + self.at("U_o", sigma(r) * (above + now * v) / (below + now))
        decay = np.exp(-np.exp(self.v["l"]))
        above, below = decay * above + np.exp(k) * v, decay * below + np.exp(k)
        m = np.maximum(m - np.exp(self.v["l"]), k)
        w = self.v["g_2"] * normal(z) + self.v["d_2"]
        inner = relu(self.at("U_f", mixed("f", w, s))) ** 2
        y = z + sigma(self.at("U_c", mixed("c", w, s))) * self.at("U_y", inner)
        return y, u, above / np.exp(m), below / np.exp(m), m, w

    def cfc_backbone(self, x, h):
        def squash(v):
            return 1.7159 * np.tanh(0.666 * v)

        a = squash(self.inner("a", squash(self.pre("e", x, h))))
        gate = sigma(self.inner("s", a) + self.inner("z", a))
        return (np.tanh(self.inner("n", a)) * (1 - gate) + gate * np.tanh(self.inner("m", a)),)

    def ln_sru(self, x, c):
        u = self.v["g_x"] * normal(x) + self.v["d_x"]
        f, r = (sigma(self.outer(k, u) + self.v[f"v_{k}"] * c) for k in "fr")
        c = f * c + (1 - f) * self.at("W_c", u)
        return r * c + (1 - r) * x, c

    def skip_rnn(self, x, h, u, d):
        r, z = sigma(self.pre("r", x, h)), sigma(self.pre("z", x, h))
        new = z * h + (1 - z) * np.tanh(self.pre("n", x, r * h))
        works = np.round(u) if ((u >= 0) & (u <= 1)).all() else np.where(u > 0.5, 1, 0)
        later = u + np.minimum(d, 1 - u)
        wish = sigma(self.inner("d", new))
        return tuple(
            np.where(works, one, other) for one, other in ((new, h), (wish, later), (wish, d))
        )

    def egru(self, x, y, c):
        threshold = np.abs(self.v["a"])
        u, r = sigma(self.pre("u", x, y)), sigma(self.pre("r", x, y))
        spent = np.where(c > threshold, threshold, 0)
        c = u * np.tanh(self.pre("z", x, r * y)) + (1 - u) * c - spent
        return np.where(c > threshold, c, 0), c

    def lmu(self, x, h, m):
        # theta m' = A m + B u with equations 1 and 2 of the paper, u held for a step of 1
        n = m.shape[1]
        a, b = np.zeros((n, n)), np.zeros((n, 1))
        for i in range(n):
            b[i] = (2 * i + 1) * (-1) ** i
            for j in range(n):
                a[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1))
        one = linalg.expm(a / 64)
        held = np.linalg.solve(a, one - np.eye(n)) @ b
        u = self.at("e_x", x) + self.at("e_h", h) + self.at("e_m", m)
        m = m @ one.T + u @ held.T
        return np.tanh(self.at("W_h", x) + self.at("U_h", h) + self.at("V_h", m)), m

    def hippo_legs(self, x, h, c, k):
        g, n = (self.pre(name, x, h) + self.at(f"V_{name}", c) for name in "gn")
        h = (1 - sigma(g)) * h + sigma(g) * np.tanh(n)
        signal, k = self.inner("f", h), k + 1
        new = np.zeros_like(c)
        for i in range(c.shape[1]):
            scale = np.sqrt(2 * i + 1)
            below = sum(np.sqrt(2 * j + 1) * c[:, j] for j in range(i))
            drift = scale * below + (i + 1) * c[:, i]
            new[:, i] = c[:, i] + (scale * signal[:, 0] - drift) / k[:, 0]
        return h, new, k

    def group_lstm(self, x, h, c):
        e = self.at("W_e", x)
        gates = []
        for gate in "ifog":
            parts = []
            for part, (of_e, of_h) in enumerate(zip(*map(halves, (e, h)), strict=True)):
                v, u = (np.vsplit(self.v[f"{k}_{gate}"], 2)[part] for k in "VU")
                parts.append(of_e @ v.T + of_h @ u.T)
            gates.append(np.hstack(parts) + self.v[f"b_{gate}"])
        i, f, o, g = gates
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        return sigma(o) * np.tanh(c), c

    def f_lstm(self, x, h, c):
        narrow = np.hstack([x, h]) @ np.hstack([self.v["W_p"], self.v["U_p"]]).T
        i, f, o, g = (narrow @ self.v[f"V_{k}"].T + self.v[f"b_{k}"] for k in "ifog")
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        return sigma(o) * np.tanh(c), c

    def mist(self, x, *past):
        # past[k - 1] is h[t-k]
        scores = np.hstack([self.pre(str(k), x, past[0]) for k in (1, 2, 3, 4)])
        share = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        mixed = sum(share[:, [n]] * past[2**n - 1] for n in range(4))
        r = sigma(self.pre("r", x, past[0]))
        return np.tanh(self.pre("h", x, r * mixed)), *past[:-1]

    def scrn_context(self, x, h, s):
        return self.scrn(x, h, s)  # of `units.py`, with fewer units of context

    def mrnn_factors(self, x, h):
        return self.mrnn(x, h)  # of `units.py`, with fewer factors

    def on_lstm_chunks(self, x, h, c):
        i, f, o = (sigma(self.pre(k, x, h)) for k in "ifo")
        up, down = (
            np.cumsum(np.exp(a) / np.exp(a).sum(1, keepdims=True), axis=1)
            for a in (self.pre("k", x, h), self.pre("m", x, h))
        )
        kept, written = np.repeat(up, 2, axis=1), np.repeat(1 - down, 2, axis=1)
        both = kept * written
        c = (f * both + kept - both) * c + (i * both + written - both) * np.tanh(
            self.pre("g", x, h)
        )
        return o * np.tanh(c), c

    def gf_rnn(self, x, b, a):
        both = np.hstack([a, b])

        def gate(k, below):
            feedback = np.hstack([self.v[f"u_{k}"], self.v[f"v_{k}"]])
            return sigma(self.at(f"w_{k}", below) + both @ feedback.T)

        def layer(name, below, one, other):
            past = one * self.at(f"U_{name}", a) + other * self.at(f"V_{name}", b)
            return np.tanh(self.at(f"W_{name}", below) + past)

        first = layer("a", x, gate("1", x), gate("2", x))
        second = layer("b", first, gate("3", first), gate("4", first))
        return second, first

    def hm_lstm(self, x, k, l, h, c, z):  # noqa: E741 - as the cell has it
        # boundaries of both layers before: the input always ends a unit, the upper layer none
        lower = {
            gate: self.pre(gate, x, h) + z * self.at(f"V_{gate}", k)
            for gate in ("i", "f", "o", "g")
        }
        slope = self.outer("z", x) + self.at("U_z", h) + z * self.at("V_z", k)
        boundary = np.where(np.clip((slope + 1) / 2, 0, 1) > 0.5, 1.0, 0.0)
        written = sigma(lower["i"]) * np.tanh(lower["g"])
        flushed = z * written + (1 - z) * (sigma(lower["f"]) * c + written)
        h = sigma(lower["o"]) * np.tanh(flushed)
        upper = {
            gate: boundary * self.at(f"U_{gate}", h) + self.at(f"V_{gate}", k) + self.v[f"b_{gate}"]
            for gate in "pqrs"
        }
        updated = sigma(upper["q"]) * l + sigma(upper["p"]) * np.tanh(upper["s"])
        works = boundary == 1
        l = np.where(works, updated, l)  # noqa: E741
        k = np.where(works, sigma(upper["r"]) * np.tanh(l), k)
        return k, l, h, flushed, boundary

    def grid_lstm(self, x, *states):
        along, carried = self.at("W_d", x), self.at("W_e", x)
        after = []
        for layer in (1, 2):
            h, c = states[2 * layer - 2 : 2 * layer]
            both = np.hstack([along, h])

            def lstm(names, memory, layer=layer, both=both):
                i, f, o, g = (
                    both @ np.hstack([self.v[f"U_{n}{layer}"], self.v[f"V_{n}{layer}"]]).T
                    + self.v[f"b_{n}{layer}"]
                    for n in names
                )
                memory = sigma(f) * memory + sigma(i) * np.tanh(g)
                return sigma(o) * np.tanh(memory), memory

            after += lstm("ifog", c)
            along, carried = lstm("pqrs", carried)
        return along, *after

    def aft_simple(self, x, a, b):
        weight = np.exp(self.at("W_k", x))
        a, b = a + weight * self.at("W_v", x), b + weight
        return self.at("U_y", sigma(self.at("W_q", x)) * (a / b)), a, b


def halves(v):
    return np.hsplit(v, 2)
