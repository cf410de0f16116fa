"""State spaces of complex modes, and memories in heads, looked up, or trained while they read."""

import numpy as np

from support.textbook.matrices import dot, outer, read, silu
from support.textbook.page import Page, normal, sigma


def softplus(v):
    return np.log1p(np.exp(v))


def length(v):
    return np.sqrt(dot(v, v) + 1e-5)


def by_head(function, v, heads=2):
    """Applies a function to the units of each head apart."""
    return np.hstack([function(part) for part in np.hsplit(v, heads)])


def heads_of(a, b, heads=2):
    """The outer products within heads, on the diagonal of one matrix."""
    whole = np.zeros((len(a), a.shape[1], b.shape[1]))
    for head in range(heads):
        rows, columns = (
            slice(head * v.shape[1] // heads, (head + 1) * v.shape[1] // heads) for v in (a, b)
        )
        whole[:, rows, columns] = outer(a[:, rows], b[:, columns])
    return whole


def bound(z):
    """Danihelka et al. 2016, equation 8: no modulus above 1."""
    return z / np.maximum(1, np.abs(z))


class Spaces(Page):
    """Linear state spaces, memories that are matrices in heads, and others that are looked up."""

    def _held(self, eigenvalues, step):
        """Zero-order hold of a diagonal system: what is kept, and what comes in of a 1."""
        kept = np.exp(eigenvalues * step)
        return kept, (kept - 1) / eigenvalues

    def s4d(self, x, real, imaginary):
        eigenvalues = -np.exp(self.v["L"]) + 1j * self.v["F"]
        kept, into = self._held(eigenvalues, np.exp(self.v["tau"])[:, None])
        state = kept * (real + 1j * imaginary) + into * x[:, :, None]
        weights = self.v["C"] + 1j * self.v["D"]
        y = 2 * (weights * state).real.sum(2) + self.v["d"] * x
        return y, state.real, state.imag

    def s5(self, x, real, imaginary):
        eigenvalues = -np.exp(self.v["l"]) + 1j * self.v["w"]
        kept, into = self._held(eigenvalues, np.exp(self.v["tau"]))
        drive = x @ (self.v["W_f"] + 1j * self.v["W_g"]).T
        state = kept * (real + 1j * imaginary) + into * drive
        y = 2 * (state @ (self.v["U_a"] + 1j * self.v["U_b"]).T).real + self.v["d"] * x
        return y, state.real, state.imag

    def lru_ring(self, x, real, imaginary):
        modes = np.exp(-np.exp(self.v["nu"]) + 1j * np.exp(self.v["theta"]))
        scaled = np.sqrt(1 - np.abs(modes) ** 2) * (x @ (self.v["W_a"] + 1j * self.v["W_b"]).T)
        state = modes * (real + 1j * imaginary) + scaled
        y = (state @ (self.v["U_a"] + 1j * self.v["U_b"]).T).real + self.v["d"] * x
        return y, state.real, state.imag

    def mamba(self, x, s):
        step = softplus(x @ (self.v["U_d"] @ self.v["W_r"]).T + self.v["b_d"])
        kept = np.exp(-step[:, :, None] * np.exp(self.v["A"]))
        s = kept * s + outer(step * x, self.at("W_b", x))
        return read(s, self.at("W_c", x)) + self.v["p"] * x, s

    def mamba2(self, x, s):
        step = softplus(self.outer("s", x))
        wide = x.shape[1] // step.shape[1]
        kept = np.repeat(np.exp(-np.exp(self.v["l"]) * step), wide, axis=1)
        put = np.repeat(step, wide, axis=1) * x
        s = kept[:, :, None] * s + outer(put, self.at("W_b", x))
        return read(s, self.at("W_c", x)) + np.repeat(self.v["p"], wide) * x, s

    def _heads(self, x):
        return (self.at(f"W_{k}", x) for k in "qkv")

    def retnet_heads(self, x, s):
        q, k, v = self._heads(x)
        decay = np.repeat([1 - 2.0**-5, 1 - 2.0**-6], q.shape[1] // 2)
        s = decay[:, None] * s + heads_of(v, k)
        o = by_head(normal, read(s, q))
        return self.at("U_y", silu(self.at("W_g", x)) * o), s

    def gla(self, x, s):
        q, k, v = self._heads(x)
        low = self.v["U_a"] @ self.v["W_r"]
        alpha = sigma(x @ low.T + self.v["b_a"]) ** (1 / 16)
        s = s * alpha[:, None, :] + heads_of(v, k)
        o = self.v["g_n"] * by_head(normal, read(s, q)) + self.v["b_n"]
        return self.at("U_y", silu(self.outer("g", x)) * o), s

    def hgrn2(self, x, s):
        f = sigma(self.outer("f", x))
        s = s * f[:, None, :] + heads_of(silu(self.outer("v", x)), 1 - f)
        n = self.v["g_n"] * normal(read(s, silu(self.outer("o", x)))) + self.v["b_n"]
        return self.inner("y", n), s

    def gateloop(self, x, real, imaginary):
        q, k, v = self._heads(x)
        gate = sigma(self.outer("r", x)) * np.exp(1j * self.outer("d", x))
        s = (real + 1j * imaginary) * gate[:, None, :] + heads_of(v, k)
        return read(s.real, q), s.real, s.imag

    def rwkv6(self, x, s, last):
        def lora(name, v):
            return np.tanh(v @ self.v[f"A_{name}"].T) @ self.v[f"B_{name}"].T

        def lerp(weight):
            return x + (last - x) * weight

        shared = lerp(self.v["mu_x"])
        mixed = {k: lerp(self.v[f"mu_{k}"] + lora(k, shared)) for k in "rkvgw"}
        r, k, v, g = (self.at(f"W_{name}", mixed[name]) for name in "rkvg")
        decay = np.exp(-np.exp(self.v["b_d"] + lora("d", mixed["w"])))
        bonus = s + heads_of(v, self.v["u"] * k)
        o = self.v["g_n"] * by_head(normal, read(bonus, r)) + self.v["b_n"]
        return self.at("U_y", silu(g) * o), s * decay[:, None, :] + heads_of(v, k), x

    def rwkv7(self, x, s, last):
        mixed = {k: x + (last - x) * self.v[f"mu_{k}"] for k in "rkvdag"}
        r, k, v = (self.at(f"W_{name}", mixed[name]) for name in "rkv")
        wish = self.at("B_d", np.tanh(self.at("A_d", mixed["d"]))) + self.v["b_d"]
        decay = np.exp(-np.exp(-0.5) * sigma(wish))
        a = sigma(self.at("B_a", self.at("A_a", mixed["a"])) + self.v["b_a"])
        g = self.at("B_g", sigma(self.at("A_g", mixed["g"])))
        removed = by_head(lambda u: u / length(u), k * self.v["xi"])
        added = (1 - self.v["alpha"]) * k + self.v["alpha"] * (k * a)
        found = read(s, removed)
        s = s * decay[:, None, :] - heads_of(found, a * removed) + heads_of(v, added)
        n = self.v["g_n"] * by_head(normal, read(s, r)) + self.v["b_n"]
        bonus = by_head(
            lambda u: np.broadcast_to(u.sum(1, keepdims=True), u.shape), r * self.v["rho"] * added
        )
        return self.at("U_y", g * (n + bonus * v)), s, x

    def slstm_heads(self, x, h, c, n, m):
        pre = {}
        for k in "ifgo":
            blocks = np.vsplit(self.v[f"U_{k}"], 2)
            parts = zip(np.hsplit(h, 2), blocks, strict=True)
            pre[k] = self.outer(k, x) + np.hstack([part @ block.T for part, block in parts])
        kept = np.log(sigma(pre["f"])) + m
        m = np.maximum(kept, pre["i"])
        i, f = np.exp(pre["i"] - m), np.exp(kept - m)
        c, n = f * c + i * np.tanh(pre["g"]), f * n + i
        h = sigma(pre["o"]) * (c / n)
        return self.v["g_y"] * by_head(normal, h), h, c, n, m

    def titans(self, x, memory, surprise):
        q, k, v = (silu(self.at(f"W_{name}", x)) for name in "qkv")
        q, k = q / length(q), k / length(k)
        alpha, eta, theta = (sigma(self.outer(name, x))[:, :, None] for name in "aes")
        # the gradient of |M k - v|^2
        gradient = 2 * (memory @ outer(k, k) - outer(v, k))
        surprise = eta * surprise - theta * gradient
        memory = (1 - alpha) * memory + surprise
        return read(memory, q), memory, surprise

    def fwm(self, x, h, c, memory):
        i, f, o = (sigma(self.pre(k, x, h)) for k in "ifo")
        c = f * c + i * np.tanh(self.pre("g", x, h))
        h = o * np.tanh(c)
        first, second, value, start, one, two = (np.tanh(self.inner(k, h)) for k in "abvnpq")

        def pair(u, v):
            return outer(u, v).reshape(len(u), -1)

        key = pair(first, second)
        beta = sigma(self.inner("s", h))
        memory = memory + outer(beta * (value - read(memory, key)), key)
        norm = np.sqrt((memory**2).sum((1, 2), keepdims=True) + 1e-5)
        memory = memory / np.maximum(1, norm)
        found = normal(read(memory, pair(normal(read(memory, pair(start, one))), two)))
        return h + self.at("U_y", found), h, c, memory

    def ltc(self, x, v):
        def opened(pre, slope, middle):
            return sigma(slope * (pre[:, None, :] - middle))

        recurrent = np.abs(self.v["A"]) * opened(v, self.v["B"], self.v["C"])
        sensory = np.abs(self.v["F"]) * opened(x, self.v["P"], self.v["Q"])
        m, leak = np.abs(self.v["m"]), np.abs(self.v["l"])
        above = m * v + leak * self.v["d"]
        above = above + (recurrent * self.v["E"]).sum(2) + (sensory * self.v["R"]).sum(2)
        return (above / (m + leak + recurrent.sum(2) + sensory.sum(2) + 1e-8),)

    def ntm(self, x, s, r, *weights):
        h = np.tanh(self.outer("h", x) + self.at("U_h", r))
        write = self._addressed("a", h, s, weights[0])
        erase, add = sigma(self.inner("e", h)), np.tanh(self.inner("d", h))
        s = s * (1 - outer(write, erase)) + outer(write, add)
        look = self._addressed("b", h, s, weights[1])
        r = (look[:, :, None] * s).sum(1)
        return self.inner("y", h) + self.at("V_y", r), s, r, write, look

    def _addressed(self, head, h, s, last):
        """Graves et al. 2014, equations 5 to 9."""
        key = np.tanh(self.inner(f"k{head}", h))
        beta, gamma = softplus(self.inner(f"t{head}", h)), 1 + softplus(self.inner(f"c{head}", h))
        gate = sigma(self.inner(f"g{head}", h))
        lengths = np.sqrt((s**2).sum(2) + 1e-5) * length(key)
        content = np.exp(beta * read(s, key) / lengths)
        mixed = gate * content / content.sum(1, keepdims=True) + (1 - gate) * last
        logits = np.hstack([self.at(f"U_{k}{head}", h) for k in "lmn"])
        share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        moved = sum(share[:, [n]] * np.roll(mixed, by, axis=1) for n, by in enumerate((1, 0, -1)))
        sharp = (np.abs(moved) + 1e-5) ** gamma
        return sharp / sharp.sum(1, keepdims=True)

    def assoc_lstm(self, x, a, b, *memories):
        joined = np.hstack([x, a, b])

        def linear(k):
            parts = [self.v[f"{letter}_{k}"] for letter in "WUV"]
            return joined @ np.hstack(parts).T + self.v[f"b_{k}"]

        i, f, o = (sigma(linear(k)) for k in "ifo")
        into, out = bound(linear("j") + 1j * linear("k")), bound(linear("l") + 1j * linear("m"))
        update = i * bound(linear("u") + 1j * linear("v"))
        copies, found = [], 0
        for number, name in enumerate("PQ"):
            copy = memories[2 * number] + 1j * memories[2 * number + 1]
            copy = f * copy + (into @ self.v[name].T) * update
            found = found + (out @ self.v[name].T) * copy / 2
            copies += [copy.real, copy.imag]
        h = o * bound(found)
        y = self.at("U_y", h.real) + self.at("V_y", h.imag) + self.v["b_y"]
        return y, h.real, h.imag, *copies
