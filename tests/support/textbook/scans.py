"""Recurrences that are linear in the past, given the inputs."""

import numpy as np

from support.textbook.page import Page, relu, sigma


class Scans(Page):
    """Linear cells. Where a cell keeps maps of the last input as states, they come last."""

    def trnn(self, x, h):
        f = sigma(self.outer("f", x))
        return (f * h + (1 - f) * self.outer("z", x),)

    def _with_last(self, x, kept, gates):
        """Gives a window of two inputs mapped for each gate, and the maps to keep."""
        windows = [self.outer(k, x) + last for k, last in zip(gates, kept, strict=True)]
        return windows, tuple(self.at(f"W_v{k}", x) for k in gates)

    def tgru(self, x, h, *kept):
        (z, f, o), kept = self._with_last(x, kept, "zfo")
        return (sigma(f) * h + z * np.tanh(o), *kept)

    def tlstm(self, x, c, *kept):
        (z, f, o), kept = self._with_last(x, kept, "zfo")
        c = sigma(f) * c + (1 - sigma(f)) * z
        return (c * np.tanh(o), c, *kept)

    def gilr(self, x, h):
        g = sigma(self.outer("g", x))
        return (g * h + (1 - g) * np.tanh(self.outer("i", x)),)

    def qrnn(self, x, c, *kept):
        (z, f, o), kept = self._with_last(x, kept, "gfo")
        c = sigma(f) * c + (1 - sigma(f)) * np.tanh(z)
        return (sigma(o) * c, c, *kept)

    def qrnn_f(self, x, h, *kept):
        (z, f), kept = self._with_last(x, kept, "gf")
        return (sigma(f) * h + (1 - sigma(f)) * np.tanh(z), *kept)

    def qrnn_ifo(self, x, c, *kept):
        (z, f, o, i), kept = self._with_last(x, kept, "gfoi")
        c = sigma(f) * c + sigma(i) * np.tanh(z)
        return (sigma(o) * c, c, *kept)

    def sru_v1(self, x, c):
        f, r = sigma(self.outer("f", x)), sigma(self.outer("r", x))
        c = f * c + (1 - f) * self.at("W_c", x)
        return r * np.tanh(c) + (1 - r) * x, c

    def lru(self, x, real, imaginary):
        h = real + 1j * imaginary
        eigenvalues = np.exp(-np.exp(self.v["nu"]) + 1j * np.exp(self.v["theta"]))
        into = np.exp(self.v["gamma"])[:, None] * (self.v["W_a"] + 1j * self.v["W_b"])
        h = eigenvalues * h + x @ into.T
        y = (h @ (self.v["U_a"] + 1j * self.v["U_b"]).T).real + self.v["d"] * x
        return y, h.real, h.imag

    def mingru(self, x, h, *, g=lambda v: v):
        z = sigma(self.outer("z", x))
        return ((1 - z) * h + z * g(self.outer("n", x)),)

    def mingru_log(self, x, h):
        return self.mingru(x, h, g=_positive)

    def minlstm(self, x, h, *, g=lambda v: v):
        f, i = sigma(self.outer("f", x)), sigma(self.outer("i", x))
        return (f / (f + i) * h + i / (f + i) * g(self.outer("n", x)),)

    def minlstm_log(self, x, h):
        return self.minlstm(x, h, g=_positive)

    def rg_lru(self, x, h, *, power=8):
        r, i = sigma(self.outer("r", x)), sigma(self.outer("i", x))
        a = sigma(self.v["l"]) ** (power * r)
        return (a * h + np.sqrt(1 - a**2) * (i * x),)

    def rwkv4(self, x, last, a, b, m):
        def shifted(k):
            return self.at(f"W_{k}", self.v[f"mu_{k}"] * x + (1 - self.v[f"mu_{k}"]) * last)

        r, k, v = sigma(shifted("r")), shifted("k"), shifted("v")
        # the sums themselves, of which the states are scaled by exp(m); Peng et al. 2023, eq. 16
        above, below, now = np.exp(m) * a, np.exp(m) * b, np.exp(self.v["u"] + k)
        wkv = (above + now * v) / (below + now)
        decay = np.exp(-np.exp(self.v["w"]))
        above, below = decay * above + np.exp(k) * v, decay * below + np.exp(k)
        m = np.maximum(m - np.exp(self.v["w"]), k)
        return self.at("U_o", r * wkv), x, above / np.exp(m), below / np.exp(m), m


def _positive(v):
    return np.where(v >= 0, relu(v) + 0.5, sigma(v))
