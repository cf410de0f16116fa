"""Maps of the past that keep lengths: orthogonal, unitary, shuffled; and signs and clocks."""

import numpy as np
from scipy import linalg

from support.textbook.page import Page, relu, sigma


def skew(matrix):
    return (matrix - matrix.T) / 2


def modrelu(z, b):
    """Arjovsky et al. 2016, equation 8, of real or complex numbers."""
    size = np.abs(z)
    return np.where(size + b > 0, (size + b) * z / size, 0)


def softly(z, b):
    """The same with 0.00001 added to the square of the modulus."""
    size = np.sqrt(np.abs(z) ** 2 + 1e-5)
    return relu(size + b) / size * z


def reflected(vectors):
    """Mhammedi et al. 2017: a product of reflections, the k-th of the last n - k + 1 units."""
    n = len(vectors)
    product = np.eye(n)
    for k in range(vectors.shape[1]):
        u = vectors[k:, k]
        whole = np.eye(n)
        whole[k:, k:] -= 2 * np.outer(u, u) / (u @ u)
        product = product @ whole
    return product


def turned(z, angles, *, first=0):
    """Turns pairs of neighbours, the first of which begins at a unit, by an angle each."""
    z = z.copy()
    for pair, angle in enumerate(angles):
        i = (2 * pair + first) % z.shape[1]
        j = (i + 1) % z.shape[1]
        c, s = np.cos(angle), np.sin(angle)
        z[:, i], z[:, j] = c * z[:, i] - s * z[:, j], s * z[:, i] + c * z[:, j]
    return z


class Rotations(Page):
    """Cells whose past turns, is shuffled, or waits for its clock."""

    def modrelu_rnn(self, x, h):
        return (modrelu(self.pre("h", x, h, bias=False), self.v["b_h"]),)

    def exprnn(self, x, h):
        turn = linalg.expm(skew(self.v["U_h"]))
        return (modrelu(self.at("W_h", x) + h @ turn.T, self.v["b_h"]),)

    def ornn(self, x, h):
        z = self.outer("h", x) + h @ reflected(self.v["U_h"]).T
        return (np.where(z > 0, z, 0.01 * z),)

    def spectral_rnn(self, x, h, *, r=0.1):
        values = np.diag(2 * r * (sigma(self.v["p"]) - 0.5) + 1)
        matrix = reflected(self.v["U_l"]) @ values @ reflected(self.v["U_r"]).T
        return (np.tanh(self.outer("h", x) + h @ matrix.T),)

    def nnrnn(self, x, h):
        basis = linalg.expm(skew(self.v["U_p"]))
        inside = h @ basis
        turns = turned(inside, self.v["theta"]) * np.repeat(self.v["gamma"], 2)
        schur = turns + inside @ np.tril(self.v["U_t"], -1)
        return (modrelu(self.at("W_h", x) + schur @ basis.T, self.v["b_h"]),)

    def urnn(self, x, real, imaginary):
        def phase(k, z):
            return np.exp(1j * self.v[f"d{k}"]) * z

        def reflect(k, z):
            v = self.v[f"p{k}"] + 1j * self.v[f"q{k}"]
            return z - 2 * (z @ v.conj())[:, None] * v / np.vdot(v, v)

        z = phase(1, real + 1j * imaginary)
        z = reflect(1, np.fft.fft(z, norm="ortho")) @ self.v["P"].T
        z = phase(3, reflect(2, np.fft.ifft(phase(2, z), norm="ortho")))
        return self._read(softly(z + self._into(x), self.v["b_m"]))

    def _into(self, x):
        return self.at("W_a", x) + 1j * self.at("W_b", x)

    def _read(self, h):
        y = (h @ (self.v["U_a"] - 1j * self.v["U_b"]).T).real + self.v["b_y"]
        return y, h.real, h.imag

    def urnn_full(self, x, h):
        k = h.shape[1] // 2
        raw = self.v["U_h"]
        # the antisymmetric part that commutes with i, as a skew-Hermitian matrix of k units
        s = skew(raw)
        hermitian = (s[:k, :k] + s[k:, k:]) / 2 + 1j * (s[k:, :k] - s[:k, k:]) / 2
        unitary = np.linalg.inv(np.eye(k) - hermitian) @ (np.eye(k) + hermitian)
        z = self.at("W_h", x)
        z = z[:, :k] + 1j * z[:, k:] + (h[:, :k] + 1j * h[:, k:]) @ unitary.T
        z = softly(z, self.v["c"])
        return (np.hstack([z.real, z.imag]),)

    def eunn(self, x, real, imaginary):
        z = turned(real + 1j * imaginary, self.v["theta1"]) * np.exp(1j * self.v["phi1"])
        # the second layer begins with the pair of the last unit and the first
        z = turned(z, self.v["theta2"], first=-1) * np.exp(1j * self.v["phi2"])
        return self._read(softly(z + self._into(x), self.v["b_m"]))

    def goru(self, x, h):
        r, z = sigma(self.pre("r", x, h)), sigma(self.pre("z", x, h))
        past = turned(turned(h, self.v["theta1"]), self.v["theta2"], first=-1)
        n = modrelu(self.at("W_n", x) + r * past, self.v["b_n"])
        return (z * h + (1 - z) * n,)

    def rum(self, x, h):
        z = sigma(self.pre("z", x, h))
        target, e = self.pre("tau", x, h), self.outer("e", x)
        rows = []
        for a, b, past in zip(e, target, h, strict=True):
            u = a / np.sqrt(a @ a + 1e-5)
            w = b - (u @ b) * u
            plane = np.stack([u, w / np.sqrt(w @ w + 1e-5)])
            cosine, sine = plane @ b / np.sqrt(b @ b + 1e-5)
            turn = np.array([[cosine, -sine], [sine, cosine]])
            rotation = np.eye(len(a)) + plane.T @ (turn - np.eye(2)) @ plane
            rows.append(rotation @ past)
        return (z * h + (1 - z) * relu(e + np.stack(rows)),)

    def shuffling_rnn(self, x, h):
        n = relu(self.inner("n", relu(self.outer("a", x))))
        return (relu(np.roll(h, 1, axis=1) + n * sigma(self.outer("g", x))),)

    def hopfield(self, x, u, *, dt=0.1):
        weights = (self.v["U_u"] + self.v["U_u"].T) / 2
        u = (1 - dt) * u + dt * (np.tanh(u) @ weights.T + self.outer("u", x))
        return np.tanh(u), u

    def clockwork(self, x, h, n):
        groups = np.arange(h.shape[1]) * 4 // h.shape[1]
        allowed = groups[:, None] <= groups
        new = np.tanh(self.outer("h", x) + h @ (allowed * self.v["U_h"]).T)
        ticks = n + 0.5 > 2**groups - 1  # the count of steps since the last tick is full
        return np.where(ticks, new, h), np.where(ticks, 0, n + 1)

    def dale_rnn(self, x, v, *, alpha=0.2):
        excites = np.arange(v.shape[1]) < round(0.8 * v.shape[1])
        signed = np.abs(self.v["U_v"]) * np.where(excites, 1, -1)
        drive = x @ np.abs(self.v["W_v"]).T + relu(v) @ signed.T + self.v["b_v"]
        v = v + alpha * (drive - v)
        return relu(v), v
