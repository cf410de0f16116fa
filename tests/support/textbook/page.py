"""What the equations of all cells are written with."""

import numpy as np


def sigma(a):
    return 1 / (1 + np.exp(-a))


def relu(a):
    return np.where(a > 0, a, 0)


def normal(a):
    """Layer normalisation of each row, without gain and bias."""
    return (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + 1e-5)


class Page:
    """Equations over given weights."""

    def __init__(self, values):
        self.v = values

    def at(self, name, s):
        return s @ self.v[name].T

    def pre(self, k, x, s, *, bias=True):
        return self.at(f"W_{k}", x) + self.at(f"U_{k}", s) + (self.v[f"b_{k}"] if bias else 0)

    def inner(self, k, s):
        return self.at(f"U_{k}", s) + self.v[f"b_{k}"]

    def outer(self, k, x):
        return self.at(f"W_{k}", x) + self.v[f"b_{k}"]

    def integrated(self, k, x, s, *, suffix=None):
        """Multiplicative integration, Wu et al. 2016, equation 4."""
        end = f"_{k}" if suffix is None else suffix
        wx, us = self.at(f"W_{k}", x), self.at(f"U_{k}", s)
        alpha, beta, gamma = (self.v[name + end] for name in ("alpha", "beta", "gamma"))
        return alpha * wx * us + beta * us + gamma * wx + self.v[f"b_{k}"]
