"""The products of a block of steps: inputs of the loop before it, gradients of matrices after it.

A block is so short that its input products and its gradient rows stay in the cache, and are never
stored for the whole sequence. Before a block, the products of its inputs are computed with packed
matrices. After it, each matrix gets the product of its gradient rows with the rows that it read.

Columns of gradients that lie side by side make one product (*whole*), but only for a member of H
units; one with fewer has gaps between its columns, and gets one product a map (*apart*).
"""

from __future__ import annotations

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
        """Packs the matrices of the input products."""
        out = []
        for n, stack in self.products:
            inner, total = self.plan.size(stack.operand), self.at.total(stack.leaves)
            matrix = f"(const real *[]){{m->wx{n}}}"
            if not backward or n in self.plan.reread:
                out.append(
                    f"    if (m->a{n}) pack(m->aw{n}, {matrix}, 1, 4, {total}, {inner}, {inner});"
                )
            if backward:
                out.append(
                    f"    if (m->ga{n}) pack_transposed(m->bw{n}, {matrix},"
                    f" (const long[]){{{total}}}, 1, 4, {inner}, {inner});"
                )
        return out

    def inputs(self, *, again: bool) -> list[str]:
        """Computes the input products of a block; `again` only what a backward step reads."""
        out = []
        for n, stack in self.products:
            if not again or n in self.plan.reread:
                inner, total = self.plan.size(stack.operand), self.at.total(stack.leaves)
                out.append(
                    f"      if (m->a{n}) affine(m->x{n}, m->a{n} + first * B * {inner}, {inner},"
                    f" m->aw{n}, {inner}, 0, {inner}, m->qx{n}, count, {total}, 0);"
                )
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

    def _runs(self, gradients: list[int]) -> list[list[int]]:
        """Splits positions where the gradients do not lie side by side."""
        slots = [self.plan.slots.index(k) for k in gradients]
        cuts = [0, *(p + 1 for p, (a, b) in enumerate(pairwise(slots)) if b != a + 1), len(slots)]
        return [list(range(a, b)) for a, b in pairwise(cuts)]

    def _either(self, whole: list[str], apart: list[str]) -> list[str]:
        return [
            "      if (m->h == H) {",
            *(f"        {line}" for line in whole),
            "      } else {",
            *(f"        {line}" for line in apart),
            "      }",
        ]

    def _length(self, row: list[int]) -> str:
        return count(self.plan.size(row[0])) if len(row) == 1 else self.at.total(row)

    def _gradient_rows(self, k: int) -> str:
        return f"m->d{self.at.column(k)}, {self.at.width}"

    def _group(self, n: int, group: Group) -> list[str]:
        """Gradients of the matrices in the loop."""
        plan = self.plan
        maps = plan.trained(group)
        gradients = [plan.backward.results[r] for r in maps]
        inner = plan.size(group.operand)

        def outer(run: list[int], columns: str) -> str:
            before = self.at.total(maps[: run[0]])
            to = f"m->gm{n} + ({before}) * {inner}" if before else f"m->gm{n}"
            return (
                f"outer({to}, {inner}, {self._gradient_rows(gradients[run[0]])},"
                f" {self.at.block(group.operand)}, {inner}, count,"
                f" {self._length([maps[p] for p in run])}, {columns}, more);"
            )

        runs = self._runs(gradients)
        whole = [outer(run, inner) for run in runs]
        return self._either(whole, [outer([p], count(inner)) for run in runs for p in run])

    def _rows(self, n: int, stack: Stack) -> list[str]:
        """Hands on the gradients of rows that are no products."""
        out = []
        for leaf in stack.leaves:
            if leaf in self.plan.backward.leaves:
                size = self.plan.size(leaf)
                rows = self._gradient_rows(self.plan.backward.leaves[leaf])
                out.append(
                    f"      copy_rows(m->gx{n} + first * B * {size}, {size}, {rows}, count,"
                    f" {count(size)});"
                )
        return out

    def _stack(self, n: int, stack: Stack) -> list[str]:
        """Gradients of matrix, bias and vectors; of a table's rows where an index took them."""
        leaves, back = stack.leaves, self.plan.backward.leaves
        columns = [p for p, leaf in enumerate(leaves) if leaf in back]
        if not columns:
            return []
        gradients = [back[leaves[p]] for p in columns]
        out = [f"      if (m->x{n}_index) {{"]
        for p, k in zip(columns, gradients, strict=True):
            out.append(
                f"        scatter(m->gx{n}{self.at.offset(leaves, leaves[p])}, m->x{n}_row,"
                f" m->x{n}_index + first * B, {self._gradient_rows(k)}, count,"
                f" {self._length([leaves[p]])});"
            )
        out.append("      } else {")
        whole: list[str] = []
        apart: list[str] = []
        for run in self._runs(gradients):
            whole += self._dense(n, stack, [columns[r] for r in run], gradients[run[0]], whole)
            for r in run:
                apart += self._dense(n, stack, [columns[r]], gradients[r], apart)
        out += [f"  {line}" for line in self._either(whole, apart)]
        return [*out, "      }"]

    def _dense(
        self, n: int, stack: Stack, columns: list[int], gradient: int, before: list[str]
    ) -> list[str]:
        """Adds to the gradients; the first to those of the vectors writes them."""
        inner, total = self.plan.size(stack.operand), self.at.total(stack.leaves)
        offset = self.at.total(stack.leaves[: columns[0]]) or "0"
        length = self._length([stack.leaves[p] for p in columns])
        rows = self._gradient_rows(gradient)
        return [
            f"outer(m->gw{n} + ({offset}) * {inner}, {inner}, {rows},"
            f" m->a{n} + first * B * {inner}, {inner}, count, {length}, {inner}, more);",
            f"if (m->gq{n}) sum_rows(m->gq{n} + {offset}, {rows}, count, {length});",
            f"if (m->ga{n}) affine(m->ga{n} + first * B * {inner}, {rows}, m->bw{n}, {total},"
            f" {offset}, {length}, 0, count, {inner}, {int(bool(before))});",
        ]
