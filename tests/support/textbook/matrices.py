"""States that are matrices, one a row of the batch: linear attention and fast weights."""

import numpy as np

from support.textbook.page import Page, normal, relu, sigma


def outer(a, b):
    return a[:, :, None] * b[:, None, :]


def read(matrix, v):
    return (matrix @ v[:, :, None])[:, :, 0]


def dot(a, b):
    return (a * b).sum(1, keepdims=True)


def feature(v):
    """The feature map elu(v) + 1 of Katharopoulos et al. 2020."""
    return np.where(v > 0, v + 1, np.exp(v))


def silu(v):
    return v * sigma(v)


class Matrices(Page):
    """Cells whose memory is a matrix."""

    def _queried(self, x):
        return tuple(self.at(f"W_{k}", x) for k in "qkv")

    def linear_attention(self, x, s, z):
        q, k, v = self._queried(x)
        s, z = s + outer(v, feature(k)), z + feature(k)
        return read(s, feature(q)) / dot(z, feature(q)), s, z

    def retnet(self, x, s, *, gamma=1 - 2**-5):
        q, k, v = self._queried(x)
        s = gamma * s + outer(v, k)
        return read(s, q), s

    def deltanet(self, x, s):
        # what the key finds is replaced by a blend of it with the new value
        q, k, v = self._queried(x)
        q, k = (feature(u) / feature(u).sum(1, keepdims=True) for u in (q, k))
        beta, old = sigma(self.at("W_b", x)), read(s, k)
        new = beta * v + (1 - beta) * old
        s = s - outer(old, k) + outer(new, k)
        return read(s, q), s

    def gated_deltanet(self, x, s):
        q, k, v = map(silu, self._queried(x))
        q, k = (u / np.sqrt(dot(u, u) + 1e-6) for u in (q, k))
        step = np.log1p(np.exp(self.at("W_a", x) + self.v["b_a"]))
        alpha, beta = np.exp(-np.exp(self.v["s"]) * step), sigma(self.at("W_b", x))
        erased = np.eye(k.shape[1]) - beta[:, :, None] * outer(k, k)
        s = s @ (alpha[:, :, None] * erased) + beta[:, :, None] * outer(v, k)
        return read(s, q), s

    def mlstm_xlstm(self, x, c, n, m):
        q, k, v, u, f = (self.outer(name, x) for name in "qkvif")
        # the sums themselves, of which the states are scaled by exp(m)
        scale = np.exp(m)
        whole = sigma(f)[:, :, None] * scale[:, :, None] * c + np.exp(u)[:, :, None] * outer(v, k)
        total = sigma(f) * scale * n + np.exp(u) * k
        h = sigma(self.outer("o", x)) * read(whole, q) / np.maximum(np.abs(dot(total, q)), 1)
        m = np.maximum(np.log(sigma(f)) + m, u)
        return h, whole / np.exp(m)[:, :, None], total / np.exp(m), m

    def fast_weights(self, x, h, a, *, decay=0.95, rate=0.5):
        slow = self.pre("h", x, h)
        settled = normal(slow + read(a, relu(slow)))
        h = relu(self.v["g_h"] * settled + self.v["d_h"])
        return h, decay * a + rate * outer(h, h)
