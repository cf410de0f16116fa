"""Gates on the hidden state itself."""

import numpy as np

from support.textbook.page import Page, normal, relu, sigma


class Gates(Page):
    """Gated cells."""

    def gru(self, x, h):
        r, z = sigma(self.pre("r", x, h)), sigma(self.pre("z", x, h))
        return (z * h + (1 - z) * np.tanh(self.pre("n", x, r * h)),)

    def gru_torch(self, x, h):
        r, z = sigma(self.pre("r", x, h)), sigma(self.pre("z", x, h))
        recurrent = self.at("U_n", h) + self.v["d_n"]
        n = np.tanh(self.outer("n", x) + r * recurrent)
        return ((1 - z) * n + z * h,)

    def _slim_gru(self, x, h, r, z):
        return ((1 - z) * h + z * np.tanh(self.pre("n", x, r * h)),)

    def gru1(self, x, h):
        return self._slim_gru(x, h, sigma(self.inner("r", h)), sigma(self.inner("z", h)))

    def gru2(self, x, h):
        return self._slim_gru(x, h, sigma(self.at("U_r", h)), sigma(self.at("U_z", h)))

    def gru3(self, x, h):
        return self._slim_gru(x, h, sigma(self.v["b_r"]), sigma(self.v["b_z"]))

    def mi_gru(self, x, h):
        r, z = sigma(self.integrated("r", x, h)), sigma(self.integrated("z", x, h))
        return (z * h + (1 - z) * np.tanh(self.integrated("n", x, r * h)),)

    def _mgu(self, x, h, f):
        return ((1 - f) * h + f * np.tanh(self.pre("n", x, f * h)),)

    def mgu(self, x, h):
        return self._mgu(x, h, sigma(self.pre("f", x, h)))

    def mgu1(self, x, h):
        return self._mgu(x, h, sigma(self.inner("f", h)))

    def mgu2(self, x, h):
        return self._mgu(x, h, sigma(self.at("U_f", h)))

    def mgu3(self, x, h):
        return self._mgu(x, h, sigma(self.v["b_f"]))

    def ugrnn(self, x, h):
        g = sigma(self.pre("g", x, h) + 1)
        return (g * h + (1 - g) * np.tanh(self.pre("n", x, h)),)

    def intersection_rnn(self, x, h):
        y_in, h_in = relu(self.pre("m", x, h)), np.tanh(self.pre("n", x, h))
        g_y, g_h = sigma(self.pre("d", x, h) + 1), sigma(self.pre("g", x, h) + 1)
        return g_y * x + (1 - g_y) * y_in, g_h * h + (1 - g_h) * h_in

    def janet(self, x, c):
        s = self.pre("f", x, c)
        return (sigma(s) * c + (1 - sigma(s - 1)) * np.tanh(self.pre("g", x, c)),)

    def _sgu(self, x, h, candidate):
        z_g = np.tanh(self.at("U_g", (self.at("W_g", x) + self.v["b_x"]) * h) + self.v["b_g"])
        z = np.clip(0.2 * self.pre("z", x, h) + 0.5, 0, 1)
        return ((1 - z) * h + z * candidate(z_g * h),)

    def sgu(self, x, h):
        return self._sgu(x, h, lambda v: np.log1p(np.exp(v)))

    def dsgu(self, x, h):
        return self._sgu(x, h, lambda v: sigma(self.at("U_n", v)))

    def cfn(self, x, h):
        theta, eta = sigma(self.pre("f", x, h)), sigma(self.pre("i", x, h))
        return (theta * np.tanh(h) + eta * np.tanh(self.at("W_g", x)),)

    def minimalrnn(self, x, h):
        z = np.tanh(self.outer("n", x))
        u = sigma(self.at("U_h", h) + self.at("U_n", z) + self.v["b_z"])
        return (u * h + (1 - u) * z,)

    def ligru(self, x, h):
        z = sigma(self.pre("z", x, h))
        return (z * h + (1 - z) * relu(self.pre("n", x, h)),)

    def atr(self, x, h):
        p, q = self.outer("p", x), self.inner("q", h)
        return (sigma(p + q) * p + sigma(p - q) * h,)

    def sgrn(self, x, h):
        p = self.outer("p", x)
        f = sigma(p + self.inner("f", h))
        return (np.tanh((1 - f) * p + f * h),)

    def star(self, x, h):
        k = sigma(self.pre("k", x, h))
        return (np.tanh((1 - k) * h + k * np.tanh(self.outer("z", x))),)

    def taugru(self, x, h, *past):
        u, z = np.tanh(self.pre("u", x, h)), np.tanh(self.pre("v", x, past[-1]))
        g, a = sigma(self.pre("z", x, h)), sigma(self.pre("a", x, h))
        return ((1 - g) * h + g * (u + a * z), h, *past[:-1])

    def lightru(self, x, h):
        f = sigma(self.pre("f", x, h))
        return ((1 - f) * h + f * np.tanh(self.outer("n", x)),)

    def _fastgrnn(self, h, shared):
        z, n = sigma(shared + self.v["b_z"]), np.tanh(shared + self.v["b_h"])
        return ((sigma(self.v["zeta"]) * (1 - z) + sigma(self.v["nu"])) * n + z * h,)

    def fastgrnn(self, x, h):
        return self._fastgrnn(h, self.pre("h", x, h, bias=False))

    def fastgrnn_lowrank(self, x, h):
        w, u = self.v["W_1"] @ self.v["W_2"], self.v["U_1"] @ self.v["U_2"]
        return self._fastgrnn(h, x @ w.T + h @ u.T)

    def ln_gru(self, x, h):
        of_x = normal(np.hstack([self.at(f"W_{k}", x) for k in "rz"]))
        of_h = normal(np.hstack([self.at(f"U_{k}", h) for k in "rz"]))
        r, z = (
            sigma(self.v[f"alpha_{k}"] * a + self.v[f"beta_{k}"] * b + self.v[f"b_{k}"])
            for k, a, b in zip("rz", np.hsplit(of_x, 2), np.hsplit(of_h, 2), strict=True)
        )
        inner = self.v["beta_n"] * normal(self.at("U_n", h)) + self.v["d_n"]
        outer = self.v["alpha_n"] * normal(self.at("W_n", x)) + self.v["b_n"]
        return (z * h + (1 - z) * np.tanh(outer + r * inner),)

    def miru1(self, x, h, *, keep=0.5):
        r = sigma(self.pre("r", x, h))
        return (keep * h + (1 - keep) * np.tanh(self.pre("n", x, r * h)),)

    def miru2(self, x, h, *, keep=0.5, reset=0.5):
        return (keep * h + (1 - keep) * np.tanh(self.pre("n", x, reset * h)),)

    def gru_d(self, x, h, last, *, mask, since):
        # section 2.3.2: decay of inputs elementwise, of the state by a full matrix
        gamma_x = np.exp(-np.maximum(0, self.v["q_a"] * since + self.v["q_b"]))
        gamma_h = np.exp(-np.maximum(0, self.at("V_d", since) + self.v["b_d"]))
        faded = gamma_x * last + (1 - gamma_x) * self.v["q_m"]
        seen = np.where(mask == 1, x, faded)
        h = gamma_h * h
        r = sigma(self.pre("r", seen, h) + self.at("V_r", mask))
        z = sigma(self.pre("z", seen, h) + self.at("V_z", mask))
        new = np.tanh(self.pre("n", seen, r * h) + self.at("V_n", mask))
        return (1 - z) * h + z * new, np.where(mask == 1, x, last)

    def context_gru(self, x, h, *, context):
        # appendix A.1.1 and A.2.2, with biases
        r, z = (sigma(self.pre(k, x, h) + self.at(f"V_{k}", context)) for k in "rz")
        proposed = np.tanh(self.pre("n", x, r * h) + self.at("V_n", context))
        return (h + z * (proposed - h),)
