"""The products of a block of steps: inputs of the loop before it, gradients of matrices after it.

A block is so short that its input products and its gradient rows stay in the cache, and are never
stored for the whole sequence. Before a block, the products of its inputs are computed with packed
matrices. After it, each matrix gets the product of its gradient rows with the rows that it read.

Where the input is class indices, its products are rows of a table that is made once a call: the
transposed matrices side by side, biases added. Gradient rows are added up in a table like it, and
taken apart at the end.
"""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.compiler.backends.native.plan import Plan, Stack
from odyssey.compiler.backends.native.source.addresses import Addresses, count, extent
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
            inner, total = self.at.extent(stack.operand), self.at.total(stack.leaves)
            maps, every = len(stack.leaves), range(len(stack.leaves))
            matrices = _pointers(f"m->wx{n}_{i}" for i in every)
            if not backward or n in self.plan.reread:
                out += [
                    f"    if (m->x{n}_index)",
                    f"      q->table(m->x{n}, m->x{n}_row, {matrices}, {maps},"
                    f" {self._places(stack, every)}, {_numbers(self._extents(stack.leaves))},"
                    f" {inner}, {self._biases(n, stack)});",
                    "    else",
                    f"      q->pack_each({_places(f'm->aw{n}_{i}' for i in every)}, {matrices},"
                    f" {maps}, {self._units(stack, every)}, {inner});",
                ]
            if backward:
                out += [
                    f"    if (m->ga{n})",
                    f"      q->pack_transposed(m->bw{n}, {matrices},"
                    f" {_numbers(self._extents(stack.leaves))}, {maps}, {inner}, {inner});",
                    f"    if (m->x{n}_index)",
                    f"      __builtin_memset(m->gx{n}, 0, {inner} * ({total}) * sizeof(real));",
                ]
        return out

    def _biases(self, n: int, stack: Stack) -> str:
        biases = enumerate(stack.biases)
        return _pointers("0" if b is None else f"m->qx{n}_{i}" for i, b in biases)

    def _places(self, stack: Stack, chosen: Iterable[int]) -> str:
        """Writes how far into a row of a stack its leaves begin."""
        return _numbers(self.at.total(stack.leaves[:i]) or "0" for i in chosen)

    def _units(self, stack: Stack, chosen: Iterable[int]) -> str:
        return _numbers(self._count(stack.leaves[i]) for i in chosen)

    def inputs(self, *, again: bool) -> list[str]:
        """Computes the input products of a block; `again` only what a backward step reads."""
        out = []
        for n, stack in self.products:
            if again and n not in self.plan.reread:
                continue
            inner, every = self.at.extent(stack.operand), range(len(stack.leaves))
            panels = _pointers(f"m->aw{n}_{i}" for i in every)
            out += [
                f"      if (m->a{n})",
                f"        q->inputs(m->x{n}, m->x{n}_row, {len(every)},"
                f" {self._places(stack, every)}, {self._units(stack, every)},"
                f" m->a{n} + first * B * {inner}, {panels}, {inner}, {self._biases(n, stack)},"
                " count);",
            ]
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
            trained = [i for i, _ in self._trained(stack)]
            if not trained:
                continue
            matrices = _places(f"m->gw{n}_{i}" for i in trained)
            sizes = _numbers(self.at.extent(stack.leaves[i]) for i in trained)
            out += [
                f"    if (m->x{n}_index)",
                f"      q->leave({matrices}, m->gx{n}, m->x{n}_row, {len(trained)},"
                f" {self._places(stack, trained)}, {sizes}, {self.at.extent(stack.operand)},"
                f" {self._bias_gradients(n, stack, trained)});",
            ]
        return out

    def _bias_gradients(self, n: int, stack: Stack, chosen: Iterable[int]) -> str:
        return _places("0" if stack.biases[i] is None else f"m->gq{n}_{i}" for i in chosen)

    def _count(self, k: int) -> str:
        return count(self.plan.size(k))

    def _extents(self, values: Iterable[int]) -> list[str]:
        return [self.at.extent(k) for k in values]

    def _gradient_rows(self, k: int) -> str:
        return f"m->d{self.at.column(k)}, {self.at.width}"

    def _trained(self, stack: Stack) -> list[tuple[int, int]]:
        """Lists the leaves of a stack that have a gradient, with their places."""
        return [(i, k) for i, k in enumerate(stack.leaves) if k in self.plan.backward.leaves]

    def _gradients_of(self, gradients: Iterable[int]) -> str:
        """Writes where the rows of gradients begin."""
        return _pointers(f"m->d{self.at.column(k)}" for k in gradients)

    def _group(self, n: int, group: Group) -> list[str]:
        """Gradients of the matrices in the loop."""
        plan, every = self.plan, self.plan.trained(group)
        size = plan.size(group.operand)
        inner, units, operand = extent(size), count(size), self.at.block(group.operand)
        turned = {i: r for i, r in enumerate(every) if plan.program.nodes[r].transposed}
        maps = {i: r for i, r in enumerate(every) if i not in turned}
        out = []
        if maps:
            out.append(
                f"      q->outer({_places(f'm->gm{n}_{i}' for i in maps)}, {inner},"
                f" {len(maps)}, {_numbers(self._count(r) for r in maps.values())},"
                f" {self._gradients_of(plan.backward.results[r] for r in maps.values())},"
                f" {self.at.width}, {operand}, {inner}, count, {units}, more);"
            )
        for i, r in turned.items():  # operand and gradient change places
            out.append(
                f"      q->outer({_places([f'm->gm{n}_{i}'])}, {self.at.extent(r)}, 1,"
                f" {_numbers([units])}, {_pointers([operand])}, {inner},"
                f" {self._gradient_rows(plan.backward.results[r])}, count, {self._count(r)}, more);"
            )
        return out

    def _rows(self, n: int, stack: Stack) -> list[str]:
        """Hands on the gradients of rows that are no products."""
        out = []
        for leaf in stack.leaves:
            if leaf in self.plan.backward.leaves:
                size = self.at.extent(leaf)
                rows = self._gradient_rows(self.plan.backward.leaves[leaf])
                out.append(
                    f"      q->copy_rows(m->gx{n} + first * B * {size}, {size}, {rows}, count,"
                    f" {self._count(leaf)});"
                )
        return out

    def _stack(self, n: int, stack: Stack) -> list[str]:
        """Gradients of matrices, biases and vectors; of a table's rows where an index took them."""
        back, inner = self.plan.backward.leaves, self.at.extent(stack.operand)
        trained = [i for i, _ in self._trained(stack)]
        if not trained:
            return []
        maps, units, width = len(trained), self._units(stack, trained), self.at.width
        rows = self._gradients_of(back[stack.leaves[i]] for i in trained)
        places = self._places(stack, trained)
        biases = self._bias_gradients(n, stack, trained)
        vectors = f"m->a{n} + first * B * {inner}"
        sums = [f"        q->add_rows({biases}, {rows}, {width}, {maps}, {units}, count);"]
        return [
            f"      if (m->x{n}_index)",
            f"        q->add_up(m->gx{n}, m->x{n}_row, {maps}, {places}, {units},"
            f" m->x{n}_index + first * B, {rows}, {width}, count);",
            "      else {",
            f"        q->outer_inputs({_places(f'm->gw{n}_{i}' for i in trained)}, {maps}, {units},"
            f" {rows}, {width}, {vectors}, count, {inner}, more);",
            *(sums if stack.biased else []),
            f"        if (m->ga{n})",
            f"          q->into(m->ga{n} + first * B * {inner}, {inner}, {maps}, {places}, {units},"
            f" {rows}, {width}, m->bw{n}, {self.at.total(stack.leaves)}, count);",
            "      }",
        ]


def _numbers(values: Iterable[str]) -> str:
    return f"(const long[]){{{', '.join(values)}}}"


def _pointers(values: Iterable[str]) -> str:
    return f"(const real *const[]){{{', '.join(values)}}}"


def _places(values: Iterable[str]) -> str:
    return f"(real *const[]){{{', '.join(values)}}}"
