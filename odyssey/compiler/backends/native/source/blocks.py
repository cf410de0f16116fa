"""The products of a block of steps: inputs of the loop before it, gradients of matrices after it.

A block is so short that its input products and its gradient rows stay in the cache, and are never
kept for the whole sequence.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from odyssey.compiler.backends.native.plan import Stack
from odyssey.expr.program import Group

if TYPE_CHECKING:
    from odyssey.compiler.backends.native.source.writer import Writer


class Blocks:
    """Writes what happens once a call and once a block."""

    def __init__(self, writer: Writer) -> None:
        self.w, self.plan = writer, writer.plan

    def _total(self, row: tuple[int, ...]) -> str:
        sizes = [self.plan.size(k) for k in row]
        return " + ".join(f"{sizes.count(s)} * {s}" for s in ("H", "I") if s in sizes)

    def _stacks(self) -> list[tuple[int, Stack]]:
        return [(n, s) for n, s in enumerate(self.plan.stacks) if s.results]

    def pack(self, *, backward: bool) -> list[str]:
        """Packs the matrices of the input products."""
        out = []
        for n, stack in self._stacks():
            inner, total = self.plan.size(stack.operand), self._total(stack.leaves)
            if not backward or n in self.w.again:
                out.append(
                    f"    if (m->a{n}) pack(m->aw{n}, (const real *[]){{m->wx{n}}}, 1, 4, {total},"
                    f" {inner}, {inner});"
                )
            if backward:
                out.append(
                    f"    if (m->ga{n}) pack_transposed(m->bw{n}, (const real *[]){{m->wx{n}}},"
                    f" (const long[]){{{total}}}, 1, 4, {inner}, {inner});"
                )
        return out

    def inputs(self, *, again: bool) -> list[str]:
        """Computes the input products of a block; `again` only what a backward step reads."""
        out = []
        for n, stack in self._stacks():
            if again and n not in self.w.again:
                continue
            inner = self.plan.size(stack.operand)
            out.append(
                f"      if (m->a{n}) affine(m->x{n}, m->a{n} + first * B * {inner}, {inner},"
                f" m->aw{n}, {inner}, 0, {inner}, m->qx{n}, count, {self._total(stack.leaves)}, 0);"
            )
        return out

    def gradients(self) -> list[str]:
        """Adds a block's gradient rows to the gradients of matrices, biases and inputs."""
        out = []
        for n, group in enumerate(self.plan.groups):
            if self.w.maps(group):
                out += self._matrix(n, group)
        for n, stack in enumerate(self.plan.stacks):
            out += self._stack(n, stack) if stack.results else self._rows(n, stack)
        return out

    def _runs(self, numbers: list[int]) -> list[list[int]]:
        """Splits positions where the gradients do not lie side by side."""
        slots = [self.plan.slots.index(k) for k in numbers]
        cuts = [0, *(p + 1 for p, (a, b) in enumerate(pairwise(slots)) if b != a + 1), len(slots)]
        return [list(range(a, b)) for a, b in pairwise(cuts)]

    def _operand(self, group: Group) -> str:
        """The rows that a group read in this block."""
        plan, k = self.plan, group.operand
        node = plan.program.nodes[k]
        if node.op == "previous":
            return f"m->s{self.w.state[node.name]} + first * B * H"
        if k in self.w.update:
            return f"m->s{self.w.update[k]} + (first + 1) * B * H"
        return f"m->v{k} + first * B * {plan.size(k)}"

    def _matrix(self, n: int, group: Group) -> list[str]:
        plan = self.plan
        maps = self.w.maps(group)
        found = [plan.backward.results[r] for r in maps]
        inner = plan.size(group.operand)
        whole, apart = [], []
        for run in self._runs(found):
            whole.append(self._outer(n, group, maps, found, run, inner, inner))
            units = "m->h" if inner == "H" else inner
            apart += [self._outer(n, group, maps, found, [p], inner, units) for p in run]
        return self._either(whole, apart)

    def _either(self, whole: list[str], apart: list[str]) -> list[str]:
        return [
            "      if (m->h == H) {",
            *(f"        {line}" for line in whole),
            "      } else {",
            *(f"        {line}" for line in apart),
            "      }",
        ]

    def _length(self, row: list[int]) -> str:
        if len(row) == 1:
            return "m->h" if self.plan.size(row[0]) == "H" else "I"
        return self._total(tuple(row))

    def _column(self, k: int) -> str:
        return self.w.offset(self.plan.slots, k)

    def _outer(
        self,
        n: int,
        group: Group,
        maps: tuple[int, ...],
        found: list[int],
        places: list[int],
        inner: str,
        units: str,
    ) -> str:
        before = self._total(tuple(maps[: places[0]]))
        to = f"m->gm{n} + ({before}) * {inner}" if before else f"m->gm{n}"
        return (
            f"outer({to}, {inner}, m->d{self._column(found[places[0]])}, {self.w.width()},"
            f" {self._operand(group)}, {inner}, count, {self._length([maps[p] for p in places])},"
            f" {units}, more);"
        )

    def _leaves(self, stack: Stack) -> tuple[list[int], list[int]]:
        """Positions of the leaves that have a gradient, and its numbers."""
        leaves = self.plan.backward.leaves
        places = [p for p, leaf in enumerate(stack.leaves) if leaf in leaves]
        return places, [leaves[stack.leaves[p]] for p in places]

    def _rows(self, n: int, stack: Stack) -> list[str]:
        """Hands on the gradients of rows that are no products."""
        out = []
        for leaf in stack.leaves:
            if leaf in self.plan.backward.leaves:
                column = self._column(self.plan.backward.leaves[leaf])
                size = self.plan.size(leaf)
                units = "m->h" if size == "H" else "I"
                out.append(
                    f"      copy_rows(m->gx{n} + first * B * {size}, {size}, m->d{column},"
                    f" {self.w.width()}, count, {units});"
                )
        return out

    def _stack(self, n: int, stack: Stack) -> list[str]:
        """Gradients of matrix, bias and vectors; of a table's rows where an index took them."""
        plan = self.plan
        places, found = self._leaves(stack)
        if not places:
            return []
        leaves, width = stack.leaves, self.w.width()
        out = [f"      if (m->x{n}_index) {{"]
        for p, k in zip(places, found, strict=True):
            column = self.w.offset(leaves, leaves[p])
            units = "m->h" if plan.size(leaves[p]) == "H" else "I"
            out.append(
                f"        scatter(m->gx{n}{column}, m->x{n}_row, m->x{n}_index + first * B,"
                f" m->d{self._column(k)}, {width}, count, {units});"
            )
        out.append("      } else {")
        whole: list[str] = []
        apart: list[str] = []
        for run in self._runs(found):
            whole += self._dense(n, stack, [places[r] for r in run], [found[r] for r in run], whole)
            for r in run:
                apart += self._dense(n, stack, [places[r]], [found[r]], apart)
        out += [f"  {line}" for line in self._either(whole, apart)]
        return [*out, "      }"]

    def _dense(
        self, n: int, stack: Stack, places: list[int], found: list[int], before: list[str]
    ) -> list[str]:
        inner, total = self.plan.size(stack.operand), self._total(stack.leaves)
        offset = self._total(stack.leaves[: places[0]]) or "0"
        length = self._length([stack.leaves[p] for p in places])
        rows = f"m->d{self._column(found[0])}, {self.w.width()}"
        return [
            f"outer(m->gw{n} + ({offset}) * {inner}, {inner}, {rows},"
            f" m->a{n} + first * B * {inner}, {inner}, count, {length}, {inner}, more);",
            f"if (m->gq{n}) sum_rows(m->gq{n} + {offset}, {rows}, count, {length});",
            f"if (m->ga{n}) affine(m->ga{n} + first * B * {inner}, {rows}, m->bw{n}, {total},"
            f" {offset}, {length}, 0, count, {inner}, {int(bool(before))});",
        ]
