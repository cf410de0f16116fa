"""Units without gates, units that see only their own past, and dynamical systems."""

import numpy as np

from support.textbook.page import Page, relu, sigma


class Units(Page):
    """Simple, diagonal and dynamical cells, and one that is deep."""

    def elman(self, x, h):
        return (np.tanh(self.pre("h", x, h)),)

    def elman_relu(self, x, h):
        return (np.maximum(self.pre("h", x, h), 0),)

    def irnn(self, x, h):
        return (relu(self.pre("h", x, h)),)

    def scrn(self, x, h, s):
        s = (1 - 0.95) * self.at("W_s", x) + 0.95 * s
        h = sigma(self.at("U_s", s) + self.at("W_h", x) + self.at("U_h", h))
        return self.at("U_y", h) + self.at("U_z", s), h, s

    def mrnn(self, x, h):
        # h_t = tanh(W_hx x_t + W_hf diag(W_fx x_t) W_fh h_{t-1}), row by row
        rows = []
        for one, past in zip(x, h, strict=True):
            factors = np.diag(self.v["W_f"] @ one)
            recurrent = self.v["U_h"] @ factors @ self.v["U_f"]
            rows.append(np.tanh(self.v["W_h"] @ one + recurrent @ past))
        return (np.stack(rows),)

    def mi_rnn(self, x, h):
        return (np.tanh(self.integrated("h", x, h, suffix="")),)

    def rin(self, x, h):
        recurrent = self.v["U_h"] + np.eye(h.shape[1])
        return (relu(self.at("W_h", x) + h @ recurrent.T + self.v["b_h"]),)

    def dt_rnn(self, x, h):
        return (np.tanh(self.inner("h", np.tanh(self.pre("a", x, h)))),)

    def fastrnn(self, x, h):
        return (sigma(self.v["alpha"]) * np.tanh(self.pre("h", x, h)) + sigma(self.v["beta"]) * h,)

    def scornn(self, x, h):
        skew = (self.v["U_h"] - self.v["U_h"].T) / 2
        one = np.eye(len(skew))
        z = self.at("W_h", x) + h @ (np.linalg.inv(one - skew) @ (one + skew)).T
        return (np.where(np.abs(z) + self.v["b_h"] > 0, z + self.v["b_h"] * np.sign(z), 0),)

    def esn(self, x, h):
        return (np.tanh(self.pre("h", x, h, bias=False)),)

    def lif(self, x, z, v, *, threshold=0.03):
        alpha = np.exp(-1 / 20)
        v = alpha * v + (1 - alpha) * self.pre("v", x, z, bias=False) - threshold * z
        return np.where(v > threshold, 1.0, 0.0), v

    def lsnn(self, x, z, v, a):
        alpha, rho = np.exp(-1 / 20), np.exp(-1 / 200)
        a = rho * a + (1 - rho) * z
        threshold = 0.01 + 1.6 * a
        v = alpha * v + (1 - alpha) * self.pre("v", x, z, bias=False) - threshold * z
        return np.where((v - threshold) / threshold > 0, 1.0, 0.0), v, a

    # every unit sees only its own past

    def indrnn(self, x, h):
        return (relu(self.outer("h", x) + self.v["u_h"] * h),)

    def indylstm(self, x, h, c):
        i, f, o, g = (self.outer(k, x) + self.v[f"u_{k}"] * h for k in "ifog")
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        return sigma(o) * np.tanh(c), c

    def sru(self, x, c):
        f = sigma(self.outer("f", x) + self.v["v_f"] * c)
        r = sigma(self.outer("r", x) + self.v["v_r"] * c)
        c = f * c + (1 - f) * self.at("W_c", x)
        return r * c + (1 - r) * x, c

    def br(self, x, h):
        a = 1 + np.tanh(self.outer("a", x) + self.v["u_a"] * h)
        c = sigma(self.outer("z", x) + self.v["u_z"] * h)
        return (c * h + (1 - c) * np.tanh(self.at("W_n", x) + a * h),)

    def nbr(self, x, h):
        a, c = 1 + np.tanh(self.pre("a", x, h)), sigma(self.pre("z", x, h))
        return (c * h + (1 - c) * np.tanh(self.at("W_n", x) + a * h),)

    def lrn(self, x, h):
        p, q, r = self.outer("p", x), self.outer("q", x), self.outer("v", x)
        return (np.tanh(sigma(p + h) * r + sigma(q - h) * h),)

    # dynamical systems

    def _skew(self, h, gamma):
        matrix = self.v["U_h"] - self.v["U_h"].T - gamma * np.eye(h.shape[1])
        return h @ matrix.T

    def antisymmetric(self, x, h, *, dt=0.1, gamma=0.01):
        return (h + dt * np.tanh(self._skew(h, gamma) + self.outer("h", x)),)

    def gated_antisymmetric(self, x, h, *, dt=0.1, gamma=0.01):
        z = sigma(self._skew(h, gamma) + self.outer("z", x))
        return (h + dt * z * np.tanh(self._skew(h, gamma) + self.outer("h", x)),)

    def lipschitz_rnn(self, x, h, *, beta=0.75, gamma=0.001, dt=0.03):
        def between(m):
            return (1 - beta) * (m + m.T) + beta * (m - m.T) - gamma * np.eye(len(m))

        driven = np.tanh(h @ between(self.v["U_h"]).T + self.outer("h", x))
        return (h + dt * (h @ between(self.v["U_a"]).T + driven),)

    def cornn(self, x, y, z, *, dt=0.042, gamma=2.7, epsilon=4.7):
        force = np.tanh(self.pre("z", x, y) + self.at("U_v", z))
        z = z + dt * force - dt * gamma * y - dt * epsilon * z
        return y + dt * z, z

    def unicornn(self, x, y, z, *, dt=0.19, alpha=30.65):
        step = dt * sigma(self.v["k"])
        z = z - step * (np.tanh(self.v["w_z"] * y + self.outer("z", x)) + alpha * y)
        return y + step * z, z

    def lem(self, x, y, z):
        one, two = sigma(self.pre("d", x, y)), sigma(self.pre("e", x, y))
        z = (1 - two) * z + two * np.tanh(self.pre("z", x, y))
        return (1 - one) * y + one * np.tanh(self.pre("y", x, z)), z

    def cfc(self, x, h, *, elapsed=1.0):
        backbone = 1.7159 * np.tanh(0.666 * self.pre("a", x, h))
        one, two = np.tanh(self.inner("n", backbone)), np.tanh(self.inner("m", backbone))
        gate = sigma(self.inner("s", backbone) * elapsed + self.inner("z", backbone))
        return (one * (1 - gate) + gate * two,)

    def cfc_irregular(self, x, h, *, gap):
        # h = sigma(-f t) g + (1 - sigma(-f t)) h, and f as in ncps: time_a * ts + time_b
        a = 1.7159 * np.tanh(0.666 * self.pre("a", x, h))
        blend = sigma(self.inner("s", a) * gap + self.inner("z", a))
        first, second = np.tanh(self.inner("n", a)), np.tanh(self.inner("m", a))
        return (first * (1 - blend) + blend * second,)

    def ode_rnn(self, x, h, *, gap):
        # algorithm 1
        for _ in range(4):
            h = h + gap / 4 * self.inner("b", np.tanh(self.inner("a", h)))
        return (np.tanh(self.pre("h", x, h)),)
