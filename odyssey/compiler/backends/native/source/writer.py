"""Writes the C file of a program: the whole sequence, forward and backward, in one call each.

A step is a row of phases. A phase computes, for a tile of units and a block of batch rows, all
products that it needs in registers (`tile_*`: the operand's numbers are broadcast, the packed
matrices stream), then the pointwise code on the results while they are hot.
"""

from __future__ import annotations

from odyssey.compiler.backends.native.plan import Phase, Plan
from odyssey.compiler.backends.native.source.blocks import Blocks
from odyssey.compiler.backends.native.source.frame import ENTRY, FLUSH, PRELUDE, write_tiles
from odyssey.compiler.backends.native.source.functions import TYPES, write_functions
from odyssey.compiler.backends.native.source.member_fields import member_table
from odyssey.compiler.backends.native.source.pointwise import Pointwise
from odyssey.compiler.backends.native.targets import TARGETS, Product, wide_tile
from odyssey.expr.program import Group


class Writer:
    """Writes one program for one dtype and target."""

    def __init__(self, plan: Plan, *, dtype: str, target: str) -> None:
        self.plan, self.dtype, self.target = plan, dtype, target
        self.lines: list[str] = []
        self.panels: dict[str, tuple[str, str, int]] = {}  # field -> unit size, inner size, maps
        self.scratch: dict[str, str] = {}  # field -> size of its rows
        self.tiles: set[tuple[int, int]] = set()  # (vectors, rows)
        self.used: set[str] = set()
        self.again: set[int] = set()  # inputs of the loop that a backward step reads
        self.matrix = {name: n for n, name in enumerate(plan.matrices)}
        self.state = {name: n for n, name in enumerate(plan.program.states)}
        self.update: dict[int, int] = {}
        for n, k in enumerate(plan.program.updates):
            self.update.setdefault(k, n)

    def write(self) -> str:
        """Writes the file."""
        plan = self.plan
        forward = [self._phase(p, backward=False) for p in self._phases(backward=False)]
        backward = [self._phase(p, backward=True) for p in self._phases(backward=True)]
        entry = self._entries()
        self.table = member_table(self)
        kind = TYPES[self.dtype]
        head = PRELUDE.substitute(
            name=plan.program.name,
            dtype=self.dtype,
            target=self.target,
            real=kind["real"],
            integer=kind["integer"],
            bytes=TARGETS[self.target].bytes,
            fields=self.table.text,
        )
        functions = write_functions(self.used, self.dtype)
        tiles = write_tiles(self.tiles)
        return "\n".join([head, functions, tiles, *forward, *backward, entry])

    def _phases(self, *, backward: bool) -> list[Phase]:
        found = set((self.plan.backward_phase if backward else self.plan.forward_phase).values())
        return sorted({*found, (0, "H")})

    def about(self, k: int) -> str:
        """Names a value for a comment."""
        node = self.plan.backward.nodes[k]
        return node.label or node.name or f"%{k} {node.op}"

    def maps(self, group: Group) -> tuple[int, ...]:
        """The products of a group whose matrices get a gradient."""
        return tuple(r for r in group.results if r in self.plan.backward.results)

    # addresses

    def offset(self, row: tuple[int, ...], k: int) -> str:
        """Writes how far into a row of values one begins, as ` + 2 * H`."""
        h, i = self.plan.offset(row, k)
        return "".join(f" + {n} * {s}" for n, s in ((h, "H"), (i, "I")) if n)

    def width(self) -> str:
        """Writes the length of a gradient row."""
        sizes = [self.plan.size(k) for k in self.plan.slots]
        h, i = sizes.count("H"), sizes.count("I")
        return f"({h} * H + {i} * I)" if h and i else f"({h} * H)" if h else f"({i} * I)"

    def states(self, n: int, time: str) -> str:
        """Writes the address of a state's row after step `time - 1`."""
        return f"m->s{n} + (SLOT({time}) * B + b) * H"

    def row(self, k: int, *, time: str = "t") -> str:
        """The address of a stored forward value of this step, at unit 0 of batch row b."""
        plan, node = self.plan, self.plan.backward.nodes[k]
        if node.op == "previous":
            return self.states(self.state[node.name], time)
        if k in self.update:
            return self.states(self.update[k], f"{time} + 1")
        if k in plan.saved:
            return f"m->v{k} + (KEPT({time}) * B + b) * {plan.size(k)}"
        self.scratch[f"f{k}"] = plan.size(k)
        return f"m->f{k} + b * {plan.size(k)}"

    # phases

    def _products(self, phase: Phase, *, backward: bool) -> list[Product]:
        plan, found = self.plan, []
        if backward:
            for k, node in enumerate(plan.backward.nodes):
                if plan.backward_phase.get(k) != phase or node.op not in ("later", "transpose"):
                    continue
                if node.op == "later" and node.name not in plan.backward.carried:
                    continue
                group = (
                    plan.backward.carried[node.name]
                    if node.op == "later"
                    else plan.backward.transposes[k]
                )
                maps = tuple(r for r in group.results if r in plan.backward.results)
                panel = f"b{group.operand}"
                # the packed length is the sum over the maps
                self.panels[panel] = (phase[1], "+".join(plan.size(r) for r in maps), 1)
                found.append(Product(k, maps, panel, plan.groups.index(group)))
            return found
        for number, group in enumerate(plan.groups):
            maps = tuple(r for r in group.results if plan.forward_phase.get(r) == phase)
            for first in range(0, len(maps), 4):
                part = maps[first : first + 4]
                panel = f"w{part[0]}"
                self.panels[panel] = (phase[1], plan.size(group.operand), len(part))
                found.append(Product(group.operand, part, panel, number))
        return found

    def _phase(self, phase: Phase, *, backward: bool) -> str:
        name = f"{'backward' if backward else 'forward'}_{phase[0]}{phase[1].lower()}"
        products = self._products(phase, backward=backward)
        code = Pointwise(self, phase, products, backward=backward).lines()
        units = "m->h" if phase[1] == "H" else "I"
        out = [
            f"static void {name}(const struct sizes *z, const struct member *m, long t,"
            " long first) {"
        ]
        out += ["  const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;"]
        out += [f"  const long units = {units};"]
        if not products:
            out += [
                "  for (long b = 0; b < B; b++) {",
                "    const long at = t * B + b, here = at - first * B;",
            ]
            out += ["    for (long j = 0; j < units; j += V) {", "      const long n = units - j;"]
            out += [f"      {line}" for line in code]
            out += ["    }", "  }", "}", ""]
            return "\n".join(out)
        wide = wide_tile(products, backward=backward)
        table = TARGETS[self.target].rows
        widths = [1 if backward else len(p.maps) for p in products]
        most = min(table[g * wide] for g in widths)
        for g in widths:
            self.tiles |= {(g * wide, most), (g, most)}
        total = sum(g * wide * most for g in widths)
        out += [f"  real hot[{total} * V] __attribute__((aligned(64)));"]
        out += [f"  const long blocks = (B + {most - 1}) / {most};"]
        out += ["  for (long j0 = 0, wide; j0 < units; j0 += wide * V) {"]
        out += [f"    wide = {f'width(units - j0, {wide})' if wide > 1 else '1'};"]
        out += ["    for (long k = 0, b0 = 0, rows; k < blocks; k++, b0 += rows) {"]
        out += ["      rows = (B - b0 + blocks - k - 1) / (blocks - k);"]
        start = 0
        for p, g in zip(products, widths, strict=True):
            call = self._backward_product if backward else self._forward_product
            out += [f"      {line}" for line in call(p, g, wide, most, start)]
            start += g * wide * most
        out += ["      for (long r = 0; r < rows; r++) {"]
        out += ["        const long b = b0 + r, at = t * B + b, here = at - first * B;"]
        out += ["        for (long u = 0; u < wide; u++) {"]
        out += ["          const long j = j0 + u * V, n = units - j;"]
        out += [f"          {line}" for line in code]
        out += ["        }", "      }", "    }", "  }", "}", ""]
        return "\n".join(out)

    def _call(self, g: int, wide: int, most: int, arguments: str) -> str:
        if wide == 1:
            return f"product_{g}_{most}({arguments});"
        return f"(wide == 1 ? product_{g}_{most} : product_{g * wide}_{most})({arguments});"

    def _forward_product(self, p: Product, g: int, wide: int, most: int, start: int) -> list[str]:
        size = self.plan.size(p.operand)
        inner = "m->h" if size == "H" else "I"
        row = self.row(p.operand).replace("+ b)", "+ b0)").replace("+ b *", "+ b0 *")
        names = ", ".join(self.plan.program.nodes[r].name for r in p.maps)
        tile = f"hot + {start} * V, {g} * wide * V, 0, 0, {row}, {size}, 1"
        weights = f"m->{p.panel} + j0 * {g} * {inner}, {g} * wide * V"
        return [
            f"/* {names} @ {self.about(p.operand)} */",
            self._call(g, wide, most, f"{tile}, {weights}, {inner}, rows"),
        ]

    def _backward_product(self, p: Product, g: int, wide: int, most: int, start: int) -> list[str]:
        plan = self.plan
        later = plan.backward.nodes[p.operand].op == "later"
        out = [f"/* gradient of {self._gradient_name(p)} through the products */"]
        time = "t + 1" if later else "t"
        if later:
            out.append("if (t + 1 < T) {")
        indent = "  " * later
        out += [indent + line for line in self._segments(p, g, wide, most, start, time)]
        if later:
            out.append(f"}} else clear(hot + {start} * V, {g} * wide * rows);")
        return out

    def _gradient_name(self, p: Product) -> str:
        return self.about(self.plan.groups[p.group].operand)

    def _segments(
        self, p: Product, g: int, wide: int, most: int, start: int, time: str
    ) -> list[str]:
        """Adds up one product a map; one for all where their gradients lie side by side."""
        plan = self.plan
        slots = [plan.slots.index(plan.backward.results[r]) for r in p.maps]
        sizes = [plan.size(r) for r in p.maps]
        row = f"m->d + (({time} - first) * B + b0) * {self.width()}"
        inner = " + ".join("m->h" if s == "H" else "I" for s in sizes)
        panel = f"m->{p.panel} + j0 * ({inner})"

        def product(slot: int, before: str, length: str, more: int) -> str:
            offset = self.offset(plan.slots, plan.slots[slot])
            weights = f"{panel} + wide * V * ({before})" if before != "0" else panel
            begin = f"hot + {start} * V" if more else "0"
            tile = f"hot + {start} * V, wide * V, {begin}, wide * V"
            return self._call(
                g,
                wide,
                most,
                f"{tile}, {row}{offset}, {self.width()}, 1, {weights}, wide * V, {length}, rows",
            )

        apart = []
        before: list[str] = []
        for n, (slot, size) in enumerate(zip(slots, sizes, strict=True)):
            length = "m->h" if size == "H" else "I"
            apart.append(product(slot, " + ".join(before) or "0", length, int(n > 0)))
            before.append(length)
        joined = slots == list(range(slots[0], slots[0] + len(slots)))
        if len(slots) == 1 or not joined:
            return apart
        one = product(slots[0], "0", inner, 0)
        return ["if (m->h == H) {", f"  {one}", "} else {", *(f"  {a}" for a in apart), "}"]

    # entry points

    def _entries(self) -> str:
        plan, states = self.plan, range(len(self.state))
        firsts = self.firsts()
        self.tiles |= {(4, TARGETS[self.target].rows[4]), (1, TARGETS[self.target].rows[4])}

        def steps(*, backward: bool) -> list[str]:
            name = "backward" if backward else "forward"
            return [
                f"        {name}_{level}{size.lower()}(z, m, t, first);"
                for level, size in self._phases(backward=backward)
            ]

        pack_forward: list[str] = []
        pack_backward: dict[str, list[str]] = {}
        for phase in self._phases(backward=False):
            products = self._products(phase, backward=False)
            wide = wide_tile(products, backward=False)
            for p in products:
                pack_forward += self._pack(p, phase, wide)
        finish: list[str] = []
        for phase in self._phases(backward=True):
            products = self._products(phase, backward=True)
            wide = wide_tile(products, backward=True)
            for p in products:
                pack_backward[p.panel] = self._pack_transposed(p, phase, wide)
        for name in plan.backward.carried:
            p = self._carried(name)
            pack_backward.setdefault(p.panel, self._pack_transposed(p, (0, "H"), 4))
        for name, n in self.state.items():
            finish += self._first(name, n)
        blocks = Blocks(self)
        return ENTRY.substitute(
            firsts=firsts,
            flush=FLUSH,
            most=TARGETS[self.target].rows[4],
            load="\n".join(f"    copy_rows(m->s{n}, H, m->i{n}, H, B, m->h);" for n in states),
            unload="\n".join(
                f"    copy_rows(m->o{n}, H, m->s{n} + SLOT(T) * B * H, H, B, m->h);" for n in states
            ),
            pack_forward="\n".join(pack_forward + blocks.pack(backward=False)),
            pack_backward="\n".join(
                [line for lines in pack_backward.values() for line in lines]
                + blocks.pack(backward=True)
            ),
            forward="\n".join(steps(backward=False)),
            backward="\n".join(steps(backward=True)),
            start="\n".join(f"    copy_rows(m->c{n}, H, m->do{n}, H, B, m->h);" for n in states),
            finish="\n".join(finish),
            width=self.width(),
            inputs="\n".join(blocks.inputs(again=False)),
            inputs_again="\n".join(blocks.inputs(again=True)),
            gradients="\n".join(blocks.gradients()),
        )

    def _pack(self, p: Product, phase: Phase, wide: int) -> list[str]:
        plan = self.plan
        matrices = [f"m->m{self.matrix[plan.program.nodes[r].name]}" for r in p.maps]
        units = "m->h" if phase[1] == "H" else "I"
        size = plan.size(p.operand)
        inner = "m->h" if size == "H" else "I"
        return [
            f"    pack(m->{p.panel}, (const real *[]){{{', '.join(matrices)}}},"
            f" {len(matrices)}, {wide}, {units}, {inner}, {size});"
        ]

    def _pack_transposed(self, p: Product, phase: Phase, wide: int) -> list[str]:
        plan = self.plan
        matrices = [f"m->m{self.matrix[plan.program.nodes[r].name]}" for r in p.maps]
        units = "m->h" if phase[1] == "H" else "I"
        size = plan.size(plan.groups[p.group].operand)
        inner = ["m->h" if plan.size(r) == "H" else "I" for r in p.maps]
        return [
            f"    pack_transposed(m->{p.panel}, (const real *[]){{{', '.join(matrices)}}},"
            f" (const long[]){{{', '.join(inner)}}}, {len(matrices)}, {wide}, {units}, {size});"
        ]

    def _first(self, name: str, n: int) -> list[str]:
        """Writes the gradient of a state before the first step."""
        if name not in self.plan.backward.carried:
            return [f"    copy_rows(m->di{n}, H, m->c{n}, H, B, m->h);"]
        return [f"    first_{n}(z, m);"]

    def _carried(self, name: str) -> Product:
        """The product that brings the gradient of a state from a step to the one before."""
        plan = self.plan
        group = plan.backward.carried[name]
        number = next(
            k for k, n in enumerate(plan.backward.nodes) if n.op == "later" and n.name == name
        )
        maps = tuple(r for r in group.results if r in plan.backward.results)
        panel = f"b{group.operand}"
        self.panels.setdefault(panel, ("H", "+".join(plan.size(r) for r in maps), 1))
        return Product(number, maps, panel, plan.groups.index(group))

    def firsts(self) -> str:
        """Writes the functions behind `_first`."""
        out = []
        table = TARGETS[self.target].rows
        for name, n in self.state.items():
            if name not in self.plan.backward.carried:
                continue
            p = self._carried(name)
            most = table[4]
            self.tiles |= {(4, most), (1, most)}
            out += [f"static void first_{n}(const struct sizes *z, const struct member *m) {{"]
            out += ["  const long B = z->B, H = z->H, I = z->I, first = 0;"]
            out += [f"  real hot[{4 * most} * V] __attribute__((aligned(64)));"]
            out += ["  for (long j0 = 0, wide; j0 < m->h; j0 += wide * V) {"]
            out += ["    wide = width(m->h - j0, 4);"]
            out += ["    for (long b0 = 0, rows; b0 < B; b0 += rows) {"]
            out += [f"      rows = B - b0 < {most} ? B - b0 : {most};"]
            out += [f"      {line}" for line in self._segments(p, 1, 4, most, 0, "0")]
            out += [
                "      for (long r = 0; r < rows; r++)",
                "        for (long u = 0; u < wide; u++) {",
            ]
            out += ["          const long j = j0 + u * V, at = (b0 + r) * H + j;"]
            out += [f"          const vec sum = ld(m->c{n} + at, m->h - j) + HOT(0, r * wide + u);"]
            out += [
                f"          st(m->di{n} + at, sum, m->h - j);",
                "        }",
                "    }",
                "  }",
                "}",
                "",
            ]
        return "\n".join(out)


def generate(plan: Plan, *, dtype: str, target: str) -> tuple[str, Writer]:
    """Writes the C file of a plan.

    Returns:
        The source, and the writer, which knows the fields of the struct.
    """
    writer = Writer(plan, dtype=dtype, target=target)
    return writer.write(), writer
