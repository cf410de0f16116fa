"""Cells that searches have found."""

import numpy as np

from support.textbook.page import Page, relu, sigma


class Searched(Page):
    """MUT1 to MUT3, the NAS cell, ENAS and DARTS."""

    def mut1(self, x, h, *, read=np.tanh):
        z = sigma(self.outer("z", x))
        r = sigma(self.pre("r", x, h))
        n = np.tanh(self.at("U_h", r * h) + read(x) + self.v["b_h"])
        return (n * z + h * (1 - z),)

    def mut1_mapped(self, x, h):
        return self.mut1(x, h, read=lambda x: np.tanh(self.at("W_h", x) + self.v["b_w"]))

    def mut2(self, x, h):
        z = sigma(self.pre("z", x, h))
        r = sigma(x + self.inner("r", h))
        return (np.tanh(self.pre("h", x, r * h)) * z + h * (1 - z),)

    def mut2_mapped(self, x, h):
        z, r = sigma(self.pre("z", x, h)), sigma(self.pre("r", x, h))
        return (np.tanh(self.pre("h", x, r * h)) * z + h * (1 - z),)

    def mut3(self, x, h):
        z, r = sigma(self.pre("z", x, np.tanh(h))), sigma(self.pre("r", x, h))
        return (np.tanh(self.pre("h", x, r * h)) * z + h * (1 - z),)

    def nas(self, x, h, c):
        a = {k: self.at(f"W_{k}", x) for k in range(1, 9)}
        m = {k: self.inner(str(k), h) for k in range(1, 9)}
        l1, l2 = sigma(a[1] + m[1]), relu(a[2] + m[2])
        l3, l4 = sigma(a[3] + m[3]), relu(a[4] * m[4])
        l5, l6 = np.tanh(a[5] + m[5]), sigma(a[6] + m[6])
        l7, l8 = np.tanh(a[7] + m[7]), sigma(a[8] + m[8])
        c = np.tanh(np.tanh(l1 * l2) + c) * np.tanh(l3 + l4)
        return np.tanh(c * np.tanh(np.tanh(l5 * l6) + sigma(l7 + l8))), c

    def _highway(self, x, h, genotype, averaged):
        """Nodes that carry on what an earlier one has; `genotype` is (function, node read)."""
        gate = sigma(self.pre("k", x, h, bias=False))
        nodes = [h + gate * (np.tanh(self.pre("a", x, h, bias=False)) - h)]
        for number, (function, read) in enumerate(genotype, start=1):
            s = nodes[read]
            gate = sigma(self.at(f"U_k{number}", s))
            nodes.append(s + gate * (function(self.at(f"U_a{number}", s)) - s))
        return (np.mean([nodes[k] for k in averaged], axis=0),)

    def enas(self, x, h):
        # the published arc of Penn Treebank: activation, then (node read, activation) of each node
        arc = ["0", "0 0", "1 1", "2 1", "2 0", "2 0", "5 1", "1 0", "6 1", "8 1", "8 1", "8 1"]
        functions = {"0": np.tanh, "1": relu, "2": lambda v: v, "3": sigma}
        genotype = [(functions[f], int(read)) for read, f in map(str.split, arc[1:])]
        loose = set(range(12)) - {read for _, read in genotype}
        return self._highway(x, h, genotype, sorted(loose))

    def darts_v1(self, x, h):
        functions = (relu, relu, np.tanh, relu, relu, lambda v: v, relu, relu)
        reads = (0, 1, 2, 3, 4, 1, 5, 1)
        return self._highway(x, h, list(zip(functions, reads, strict=True)), range(1, 9))

    def darts_v2(self, x, h):
        functions = (sigma, relu, relu, lambda v: v, np.tanh, sigma, np.tanh, relu)
        reads = (0, 1, 1, 1, 2, 5, 3, 5)
        return self._highway(x, h, list(zip(functions, reads, strict=True)), range(1, 9))
