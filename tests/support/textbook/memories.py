"""Gates around a memory cell that is not the output, and the deep cells made of such."""

import numpy as np

from support.textbook.page import Page, normal, sigma


class Memories(Page):
    """LSTM and its relatives."""

    def lstm(self, x, h, c, *, out=sigma):
        i, f, o = sigma(self.pre("i", x, h)), sigma(self.pre("f", x, h)), out(self.pre("o", x, h))
        c = f * c + i * np.tanh(self.pre("g", x, h))
        return o * np.tanh(c), c

    def lstm_1997(self, x, h, c):
        # page 1744 f.: g in [-2, 2], h in [-1, 1]
        c = c + sigma(self.pre("i", x, h)) * (4 / (1 + np.exp(-self.pre("g", x, h))) - 2)
        return sigma(self.pre("o", x, h)) * (2 / (1 + np.exp(-c)) - 1), c

    def lstm_jozefowicz(self, x, h, c):
        return self.lstm(x, h, c, out=np.tanh)

    def lstm_peephole(self, x, h, c, *, output=lambda h, o, c: o * np.tanh(c)):
        i = sigma(self.pre("i", x, h) + self.v["p_i"] * c)
        f = sigma(self.pre("f", x, h) + self.v["p_f"] * c)
        c = f * c + i * np.tanh(self.pre("g", x, h))
        o = sigma(self.pre("o", x, h) + self.v["p_o"] * c)
        return output(h, o, c), c

    def _slim_lstm(self, x, h, c, gate):
        i, f, o = (sigma(gate(k)) for k in "ifo")
        c = f * c + i * np.tanh(self.pre("g", x, h))
        return o * np.tanh(c), c

    def lstm1(self, x, h, c):
        return self._slim_lstm(x, h, c, lambda k: self.inner(k, h))

    def lstm2(self, x, h, c):
        return self._slim_lstm(x, h, c, lambda k: self.at(f"U_{k}", h))

    def lstm3(self, x, h, c):
        return self._slim_lstm(x, h, c, lambda k: self.v[f"b_{k}"])

    def multiplicative_lstm(self, x, h, c):
        return self.lstm(x, self.at("W_m", x) * self.at("U_m", h), c)

    def mi_lstm(self, x, h, c):
        i, f, o, g = (self.integrated(k, x, h) for k in "ifog")
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        return sigma(o) * np.tanh(c), c

    def ran(self, x, h, c):
        i, f = sigma(self.pre("i", x, h)), sigma(self.pre("f", x, h))
        c = i * self.at("W_g", x) + f * c
        return np.tanh(c), c

    def residual_lstm(self, x, h, c):
        def output(h, o, c):
            return o * (self.at("U_p", np.tanh(c)) + self.at("W_h", x))

        return self.lstm_peephole(x, h, c, output=output)

    def wmclstm(self, x, h, c):
        def working(k, c):
            return np.tanh(self.at(f"U_c{k}", c) + self.v[f"m_{k}"])

        i = sigma(self.pre("i", x, h) + working("i", c))
        f = sigma(self.pre("f", x, h) + working("f", c))
        c = f * c + i * np.tanh(self.pre("g", x, h))
        return sigma(self.pre("o", x, h) + working("o", c)) * np.tanh(c), c

    def mclstm(self, x, v, c):
        f, i, o, m = (sigma(self.pre(k, x, v)) for k in "fiok")
        c = f * c + i * np.tanh(self.pre("g", x, v))
        return o * np.tanh(c), m * np.tanh(c), c

    def slstm(self, x, h, c, n, m):
        i, f, g, o = (self.pre(k, x, h) for k in "ifgo")
        kept = np.log(sigma(f)) + m
        m = np.maximum(kept, i)
        i, f = np.exp(i - m), np.exp(kept - m)
        c, n = f * c + i * np.tanh(g), f * n + i
        return sigma(o) * (c / n), c, n, m

    def lstmp(self, x, r, c):
        m, c = self.lstm_peephole(x, r, c, output=lambda h, o, c: o * np.tanh(c))
        return self.at("U_h", m), c

    def ln_lstm(self, x, h, c):
        of_x = normal(np.hstack([self.at(f"W_{k}", x) for k in "fiog"]))
        of_h = normal(np.hstack([self.at(f"U_{k}", h) for k in "fiog"]))
        f, i, o, g = (
            self.v[f"alpha_{k}"] * a + self.v[f"beta_{k}"] * b + self.v[f"b_{k}"]
            for k, a, b in zip("fiog", np.hsplit(of_x, 4), np.hsplit(of_h, 4), strict=True)
        )
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        return sigma(o) * np.tanh(self.v["s_c"] * normal(c) + self.v["b_c"]), c

    def on_lstm(self, x, h, c):
        i, f, o = (sigma(self.pre(k, x, h)) for k in "ifo")
        up, down = (
            np.cumsum(np.exp(a) / np.exp(a).sum(1, keepdims=True), axis=1)
            for a in (self.pre("k", x, h), self.pre("m", x, h))
        )
        master_f, master_i = up, 1 - down
        overlap = master_f * master_i
        f_hat = f * overlap + (master_f - overlap)
        i_hat = i * overlap + (master_i - overlap)
        c = f_hat * c + i_hat * np.tanh(self.pre("g", x, h))
        return o * np.tanh(c), c

    # deep: several layers in one step

    def rhn(self, x, s):
        for layer in (1, 2, 3):
            first = layer == 1
            n, t = (
                (self.at(f"W_{k}", x) if first else 0) + self.inner(f"{k}{layer}", s) for k in "nk"
            )
            s = np.tanh(n) * sigma(t) + s * (1 - sigma(t))
        return (s,)

    def nested_lstm(self, x, h, c, m):
        i, f, o = (sigma(self.pre(k, x, h)) for k in "ifo")
        g = np.tanh(self.pre("g", x, h))
        read, kept = i * g, f * c  # what the inner cell has for input and hidden state

        def pre(k):
            return self.at(f"U_a{k}", read) + self.at(f"U_b{k}", kept) + self.v[f"b_{k}i"]

        m = sigma(pre("f")) * m + sigma(pre("i")) * np.tanh(pre("g"))
        c = sigma(pre("o")) * np.tanh(m)
        return o * np.tanh(c), c, m

    def fs_lstm(self, x, h, c, s, k):
        def lstm(first, first_name, second, second_name, c, number):
            i, f, o, g = (
                self.at(first_name.format(gate), first)
                + self.at(second_name.format(gate), second)
                + self.v[f"b_{gate}{number}"]
                for gate in "ifog"
            )
            c = sigma(f) * c + sigma(i) * np.tanh(g)
            return sigma(o) * np.tanh(c), c

        h, c = lstm(x, "W_{}", h, "U_{}1", c, 1)
        s, k = lstm(h, "U_{}2", s, "U_{}3", k, 2)
        h, c = lstm(s, "U_{}4", h, "U_{}5", c, 3)
        return h, c, s, k

    def mogrifier_lstm(self, x, h, c):
        for turn in (1, 2, 3, 4, 5):
            if turn % 2:
                x = 2 * sigma(self.at(f"Q_{turn}", h) + self.v[f"q_{turn}"]) * x
            else:
                h = 2 * sigma(self.outer(f"r{turn}", x)) * h
        return self.lstm(x, h, c)

    def time_aware_lstm(self, x, h, c, *, gap):
        short = np.tanh(self.inner("s", c))
        adjusted = (c - short) + short * (1 / np.log(np.e + gap))
        f, i, o = (sigma(self.pre(k, x, h)) for k in "fio")
        c = f * adjusted + i * np.tanh(self.pre("g", x, h))
        return o * np.tanh(c), c

    def phased_lstm(self, x, h, c, phase, *, gap):
        phase = (phase + gap / np.exp(self.v["w"])) % 1
        at, ratio = (phase - self.v["s"]) % 1, self.v["r"]
        k = np.where(at < ratio, 2 - 2 * at / ratio, 0.001 * at)  # falling, then the leak
        k = np.where(at < ratio / 2, 2 * at / ratio, k)  # rising
        i = sigma(self.pre("i", x, h) + self.v["p_i"] * c)
        f = sigma(self.pre("f", x, h) + self.v["p_f"] * c)
        proposed = f * c + i * np.tanh(self.pre("g", x, h))
        new_c = k * proposed + (1 - k) * c
        o = sigma(self.pre("o", x, h) + self.v["p_o"] * new_c)
        return k * o * np.tanh(proposed) + (1 - k) * h, new_c, phase

    def context_lstm(self, x, h, c, *, context):
        # equations 1 to 3
        i, f, o = (sigma(self.pre(k, x, h) + self.at(f"V_{k}", context)) for k in "ifo")
        c = f * c + i * np.tanh(self.pre("g", x, h) + self.at("V_g", context))
        return o * np.tanh(c), c
