"""The products of a block of steps: inputs of the loop before it, gradients of matrices after it.

A block is so short that its input products and its gradient rows stay in the cache, and are never
stored for the whole sequence. Before a block, the products of its inputs are computed with packed
matrices. After it, each matrix gets the product of its gradient rows with the rows that it read.

Where the input is class indices, its products are rows of a table that is made once a call: the
transposed matrices side by side, biases added. Gradient rows are added up in a table like it, and
taken apart at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from odyssey.compiler.backends.native.plan import Plan, Stack
from odyssey.compiler.backends.native.source.addresses import Addresses, count
from odyssey.expr.program import Group


class BlockWriter:
    """Writes what happens once a call and once a block."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.at = plan, Addresses(plan)
        self.products = [(n, s) for n, s in enumerate(plan.stacks) if s.results]

    def pack(self, *, backward: bool) -> list[str]:
        """Packs the matrices of the input products, or makes a table of them."""
        out = []
        for n, stack in self.products:
            inner, total = self.plan.size(stack.operand), self.at.total(stack.leaves)
            if not backward or n in self.plan.reread:
                out.append(f"    if (m->x{n}_index) {{")
                for i, leaf in enumerate(stack.leaves):
                    to = f"m->x{n}{self.at.offset(stack.leaves, leaf)}, m->x{n}_row"
                    size, bias = self.plan.size(leaf), self._bias(n, stack, i)
                    out.append(f"      q->turn({to}, m->wx{n}_{i}, {size}, {inner}, {bias});")
                out.append("    } else {")
                for i, leaf in enumerate(stack.leaves):
                    size = count(self.plan.size(leaf))
                    matrix = f"(const real *const[]){{m->wx{n}_{i}}}"
                    out.append(
                        f"      q->pack(m->aw{n}_{i}, {matrix}, 1, {size}, {inner}, {inner});"
                    )
                out.append("    }")
            if backward:
                every = ", ".join(f"m->wx{n}_{i}" for i in range(len(stack.leaves)))
                sizes = ", ".join(self.plan.sizes(stack.leaves))
                out.append(
                    f"    if (m->ga{n}) q->pack_transposed(m->bw{n},"
                    f" (const real *const[]){{{every}}}, (const long[]){{{sizes}}},"
                    f" {len(stack.leaves)}, {inner}, {inner});"
                )
                out.append(
                    f"    if (m->x{n}_index)"
                    f" __builtin_memset(m->gx{n}, 0, {inner} * ({total}) * sizeof(real));"
                )
        return out

    def _bias(self, n: int, stack: Stack, i: int) -> str:
        return "0" if stack.biases[i] is None else f"m->qx{n}_{i}"

    def inputs(self, *, again: bool) -> list[str]:
        """Computes the input products of a block; `again` only what a backward step reads."""
        out = []
        for n, stack in self.products:
            if again and n not in self.plan.reread:
                continue
            inner = self.plan.size(stack.operand)
            out.append(f"      if (m->a{n}) {{")
            for i, leaf in enumerate(stack.leaves):
                out.append(
                    f"        q->affine(m->x{n}{self.at.offset(stack.leaves, leaf)}, m->x{n}_row,"
                    f" m->a{n} + first * B * {inner}, {inner}, m->aw{n}_{i}, {inner}, 0, {inner},"
                    f" {self._bias(n, stack, i)}, count, {self._count(leaf)}, 0);"
                )
            out.append("      }")
        return out

    def gradients(self) -> list[str]:
        """Adds a block's gradient rows to the gradients of matrices, biases and inputs."""
        out = []
        for n, group in enumerate(self.plan.groups):
            if self.plan.trained(group):
                out += self._group(n, group)
        for n, stack in enumerate(self.plan.stacks):
            out += self._stack(n, stack) if stack.results else self._rows(n, stack)
        return out

    def leave(self) -> list[str]:
        """Takes the gradients of tables apart, after the last block."""
        out = []
        for n, stack in self.products:
            inner, lines = self.plan.size(stack.operand), []
            for i, leaf in self._trained(stack):
                rows = f"m->gx{n}{self.at.offset(stack.leaves, leaf)}, m->x{n}_row"
                size = self.plan.size(leaf)
                lines.append(f"      q->turn_back(m->gw{n}_{i}, {rows}, {size}, {inner});")
                if stack.biases[i] is not None:
                    lines.append(f"      q->sum_rows(m->gq{n}_{i}, {rows}, {inner}, {size});")
            if lines:
                out += [f"    if (m->x{n}_index) {{", *lines, "    }"]
        return out

    def _count(self, k: int) -> str:
        return count(self.plan.size(k))

    def _gradient_rows(self, k: int) -> str:
        return f"m->d{self.at.column(k)}, {self.at.width}"

    def _trained(self, stack: Stack) -> list[tuple[int, int]]:
        """Lists the leaves of a stack that have a gradient, with their places."""
        return [(i, k) for i, k in enumerate(stack.leaves) if k in self.plan.backward.leaves]

    def _group(self, n: int, group: Group) -> list[str]:
        """Gradients of the matrices in the loop."""
        plan, maps = self.plan, self.plan.trained(group)
        inner = plan.size(group.operand)
        return [
            self._call_outer(
                [f"gm{n}_{i}" for i in range(len(maps))],
                [self._count(r) for r in maps],
                [plan.backward.results[r] for r in maps],
                inner,
                f"{self.at.block(group.operand)}, {inner}, count, {count(inner)}",
            )
        ]

    def _call_outer(
        self,
        matrices: Sequence[str],
        units: Sequence[str],
        gradients: Sequence[int],
        inner: str,
        operand: str,
    ) -> str:
        """Writes the call that adds to the gradients of matrices of one operand."""
        to = ", ".join(f"m->{name}" for name in matrices)
        rows = ", ".join(f"m->d{self.at.column(k)}" for k in gradients)
        return (
            f"      q->outer((real *const[]){{{to}}}, {inner}, {len(matrices)},"
            f" (const long[]){{{', '.join(units)}}}, (const real *const[]){{{rows}}},"
            f" {self.at.width}, {operand}, more);"
        )

    def _rows(self, n: int, stack: Stack) -> list[str]:
        """Hands on the gradients of rows that are no products."""
        out = []
        for leaf in stack.leaves:
            if leaf in self.plan.backward.leaves:
                size = self.plan.size(leaf)
                rows = self._gradient_rows(self.plan.backward.leaves[leaf])
                out.append(
                    f"      q->copy_rows(m->gx{n} + first * B * {size}, {size}, {rows}, count,"
                    f" {count(size)});"
                )
        return out

    def _stack(self, n: int, stack: Stack) -> list[str]:
        """Gradients of matrices, biases and vectors; of a table's rows where an index took them."""
        back, inner = self.plan.backward.leaves, self.plan.size(stack.operand)
        trained = self._trained(stack)
        if not trained:
            return []
        out = [f"      if (m->x{n}_index) {{"]
        for _, leaf in trained:
            out.append(
                f"        q->scatter(m->gx{n}{self.at.offset(stack.leaves, leaf)}, m->x{n}_row,"
                f" m->x{n}_index + first * B, {self._gradient_rows(back[leaf])}, count,"
                f" {self._count(leaf)});"
            )
        gradients = [back[leaf] for _, leaf in trained]
        outer = self._call_outer(
            [f"gw{n}_{i}" for i, _ in trained],
            [self._count(leaf) for _, leaf in trained],
            gradients,
            inner,
            f"m->a{n} + first * B * {inner}, {inner}, count, {inner}",
        )
        out += ["      } else {", f"  {outer}"]
        for i, leaf in trained:
            if stack.biases[i] is not None:
                out.append(
                    f"        q->sum_rows(m->gq{n}_{i}, {self._gradient_rows(back[leaf])}, count,"
                    f" {self._count(leaf)});"
                )
        out += self._into(n, stack, trained)
        return [*out, "      }"]

    def _into(self, n: int, stack: Stack, trained: Sequence[tuple[int, int]]) -> list[str]:
        """Gradients of the vectors: a product a map, or one for maps that lie side by side."""
        inner, total = self.plan.size(stack.operand), self.at.total(stack.leaves)
        back, slots = self.plan.backward.leaves, self.plan.slots

        def product(places: Sequence[int], length: str, *, more: bool) -> str:
            i, leaf = trained[places[0]]
            before = self.at.total(stack.leaves[:i]) or "0"
            return (
                f"q->affine(m->ga{n} + first * B * {inner}, {inner},"
                f" {self._gradient_rows(back[leaf])}, m->bw{n}, {total}, {before}, {length}, 0,"
                f" count, {inner}, {int(more)});"
            )

        runs: list[list[int]] = [[0]]
        for p, ((i, a), (j, b)) in enumerate(pairwise(trained), start=1):
            if i + 1 == j and slots.index(back[a]) + 1 == slots.index(back[b]):
                runs[-1].append(p)
            else:
                runs.append([p])
        apart = [product([p], self._count(leaf), more=p > 0) for p, (_, leaf) in enumerate(trained)]
        whole = [
            product(run, self.at.total([trained[p][1] for p in run]), more=run[0] > 0)
            for run in runs
        ]
        if len(runs) == len(trained):
            return [f"        if (m->ga{n}) {{", *(f"          {x}" for x in apart), "        }"]
        return [
            f"        if (m->ga{n} && m->h == H) {{",
            *(f"          {x}" for x in whole),
            f"        }} else if (m->ga{n}) {{",
            *(f"          {x}" for x in apart),
            "        }",
        ]
