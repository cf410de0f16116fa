"""min-char-rnn in NumPy, from its equations: an oracle that shares no code with what it judges.

    h[t] = tanh(W_xh[:, x[t]] + W_hh h[t-1] + b_h),    p[t] = softmax(W_hy h[t] + b_y)

The loss is the summed -ln p[t][target] of T steps; gradients are clipped to +-5 element by element
and Adagrad divides by the root of their summed squares + 1e-8. The text is read from its beginning;
where T + 1 symbols more would reach its end, reading begins again with h = 0.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class MinCharRnn:
    """A network with its place in the text."""

    w_xh: np.ndarray
    w_hh: np.ndarray
    w_hy: np.ndarray
    b_h: np.ndarray
    b_y: np.ndarray
    steps: int = 25
    rate: float = 0.1
    at: int = 0
    h: np.ndarray | None = None
    resets: int = 0
    squares: dict = field(default_factory=dict)

    @staticmethod
    def start(symbols, hidden, rng):
        """Draws weights N(0, 0.01^2); biases are zero."""
        draw = lambda *shape: 0.01 * rng.standard_normal(shape)  # noqa: E731
        return MinCharRnn(
            draw(hidden, symbols), draw(hidden, hidden), draw(symbols, hidden),
            np.zeros(hidden), np.zeros(symbols),
        )  # fmt: skip

    def update(self, text):
        """Reads T symbols and learns; gives the summed loss of before."""
        if self.h is None or self.at + self.steps + 1 >= len(text):
            self.at, self.h = 0, np.zeros(len(self.b_h))
            self.resets += 1
        inputs = text[self.at : self.at + self.steps]
        targets = text[self.at + 1 : self.at + self.steps + 1]
        self.at += self.steps
        loss, gradients = self._gradients(inputs, targets)
        for name, gradient in gradients.items():
            clipped = np.clip(gradient, -5, 5)
            self.squares[name] = self.squares.get(name, 0) + clipped**2
            getattr(self, name)[...] -= self.rate * clipped / np.sqrt(self.squares[name] + 1e-8)
        return loss

    def _gradients(self, inputs, targets):
        before, states, errors, loss = [self.h], [], [], 0.0
        for x, target in zip(inputs, targets, strict=True):
            h = np.tanh(self.w_xh[:, x] + self.w_hh @ before[-1] + self.b_h)
            scores = self.w_hy @ h + self.b_y
            p = np.exp(scores - scores.max())
            p /= p.sum()
            loss -= np.log(p[target])
            p[target] -= 1.0  # d loss / d scores
            states.append(h)
            before.append(h)
            errors.append(p)
        g = {n: np.zeros_like(getattr(self, n)) for n in ("w_xh", "w_hh", "w_hy", "b_h", "b_y")}
        later = np.zeros_like(self.h)
        for t in range(len(inputs) - 1, -1, -1):
            g["w_hy"] += np.outer(errors[t], states[t])
            g["b_y"] += errors[t]
            inner = (1 - states[t] ** 2) * (self.w_hy.T @ errors[t] + later)
            g["b_h"] += inner
            g["w_xh"][:, inputs[t]] += inner
            g["w_hh"] += np.outer(inner, before[t])
            later = self.w_hh.T @ inner
        self.h = states[-1]
        return loss, g
