"""Writes the C file of a program: the whole sequence, forward and backward, in one call each.

A step is a row of phases, each a function. It computes, for a tile of units and a block of batch
rows, all products that it needs in registers (`tile_*`: the operand's numbers are broadcast, the
packed matrices stream), then the pointwise code on the results while they are hot. The parts of
the file, in order:

1. the head, with the structure of a member (`abi.member`), and the functions that the phases call;
2. the register tiles, as wide and high as the phases use them;
3. the phases of the forward step, then those of the backward step (`_phase`);
4. the two entry points: they pack matrices, go through the sequence in blocks of steps, and call
   the phases for each step (`_entries`, with `blocks` for what happens once a block).
"""

from __future__ import annotations

from odyssey.compiler.backends.native.abi.member import member_table
from odyssey.compiler.backends.native.plan import Phase, Plan
from odyssey.compiler.backends.native.products import (
    Product,
    Tile,
    carried_product,
    products,
    tile_width,
)
from odyssey.compiler.backends.native.source.addresses import Addresses, count
from odyssey.compiler.backends.native.source.blocks import BlockWriter
from odyssey.compiler.backends.native.source.frame import ENTRY, FLUSH, write_preamble, write_tiles
from odyssey.compiler.backends.native.source.functions import write_functions
from odyssey.compiler.backends.native.source.pointwise import Pointwise
from odyssey.compiler.backends.native.targets import TARGETS

_SIZES = "const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;"


def generate(plan: Plan, *, dtype: str, target: str) -> str:
    """Writes the C file of a plan.

    Args:
        plan: The plan.
        dtype: float32 or float64.
        target: A row of `targets.TARGETS`.
    """
    return _Writer(plan, dtype=dtype, target=target).write()


class _Writer:
    """Writes one program for one dtype and target; collects what the phases use."""

    def __init__(self, plan: Plan, *, dtype: str, target: str) -> None:
        self.plan, self.dtype, self.target = plan, dtype, target
        self.at = Addresses(plan)
        self.most = TARGETS[target].rows[4]  # batch rows of the tiles outside the phases
        self.shapes = {(4, self.most), (1, self.most)}  # of tiles: (vectors, rows)
        self.functions: set[str] = set()

    def write(self) -> str:
        """Writes the file."""
        plan = self.plan
        phases = [
            self._phase(p, backward=b) for b in (False, True) for p in plan.phases(backward=b)
        ]
        head = write_preamble(
            plan.program.name, dtype=self.dtype, target=self.target, fields=member_table(plan).text
        )
        functions = write_functions(self.functions, self.dtype)
        return "\n".join([head, functions, write_tiles(self.shapes), *phases, self._entries()])

    # phases

    def _phase(self, phase: Phase, *, backward: bool) -> str:
        inside = products(self.plan, phase, backward=backward)
        tile = Tile(inside, self.target) if inside else None
        code = Pointwise(self.plan, phase, tile.hot if tile else {}, backward=backward)
        self.functions |= code.functions
        body = self._tiled(inside, tile, code.lines) if tile else _rows(code.lines)
        return "\n".join(
            [
                f"static void {_name(phase, backward=backward)}(const struct sizes *z,"
                " const struct member *m, long t, long first) {",
                f"  {_SIZES}",
                f"  const long units = {count(phase[1])};",
                *body,
                "}",
                "",
            ]
        )

    def _tiled(self, inside: list[Product], tile: Tile, code: list[str]) -> list[str]:
        """Writes the loops over tiles and batch rows, which are shared out evenly."""
        self.shapes |= tile.shapes
        wide = f"width(units - j0, {tile.wide})" if tile.wide > 1 else "1"
        out = [
            f"  real hot[{tile.length} * V] __attribute__((aligned(64)));",
            f"  const long blocks = (B + {tile.rows - 1}) / {tile.rows};",
            "  for (long j0 = 0, wide; j0 < units; j0 += wide * V) {",
            f"    wide = {wide};",
            "    for (long k = 0, b0 = 0, rows; k < blocks; k++, b0 += rows) {",
            "      rows = (B - b0 + blocks - k - 1) / (blocks - k);",
        ]
        for p, start in zip(inside, tile.starts, strict=True):
            lines = self._gradient(p, tile, start) if p.transposed else [self._maps(p, tile, start)]
            operand = self.plan.about(p.group.operand)
            names = ", ".join(self.plan.program.nodes[r].name for r in p.maps)
            about = f"{names} @ {operand}"
            if p.transposed:
                about = f"gradient of {operand} through the products"
            out += _indented(6, [f"/* {about} */", *lines])
        return [
            *out,
            "      for (long r = 0; r < rows; r++) {",
            "        const long b = b0 + r, at = t * B + b, here = at - first * B;",
            "        for (long u = 0; u < wide; u++) {",
            "          const long j = j0 + u * V, n = units - j;",
            *_indented(10, code),
            *("        }", "      }", "    }", "  }"),
        ]

    def _maps(self, p: Product, tile: Tile, start: int) -> str:
        """Writes the call for maps of one operand."""
        size, g = self.plan.size(p.group.operand), len(p.maps)
        row = self.at.row(p.group.operand).replace("+ b)", "+ b0)").replace("+ b *", "+ b0 *")
        return _call(
            *(g, tile.wide, tile.rows),
            f"hot + {start} * V, {g} * wide * V, 0, 0, {row}, {size}, 1,"
            f" m->{p.panel} + j0 * {g} * {count(size)}, {g} * wide * V, {count(size)}, rows",
        )

    def _gradient(self, p: Product, tile: Tile, start: int) -> list[str]:
        """Writes the calls for a gradient; what comes from a later step is zero in the last one."""
        if self.plan.backward.nodes[p.results[0]].op != "later":
            return self._transposed(p, tile.wide, tile.rows, start, time="t")
        return [
            "if (t + 1 < T) {",
            *_indented(2, self._transposed(p, tile.wide, tile.rows, start, time="t + 1")),
            f"}} else clear(hot + {start} * V, 1 * wide * rows);",
        ]

    def _transposed(self, p: Product, wide: int, most: int, start: int, *, time: str) -> list[str]:
        """Adds up one product a map; one for all where their gradients lie side by side."""
        plan, width = self.plan, self.at.width
        slots = [plan.slots.index(plan.backward.results[r]) for r in p.maps]
        lengths = [count(size) for size in p.inner]
        inner = " + ".join(lengths)

        def product(slot: int, before: list[str], length: str) -> str:
            weights = f"m->{p.panel} + j0 * ({inner})"
            weights += f" + wide * V * ({' + '.join(before)})" if before else ""
            row = f"m->d + (({time} - first) * B + b0) * {width}{self.at.column(plan.slots[slot])}"
            begin = f"hot + {start} * V" if before else "0"
            return _call(
                *(1, wide, most),
                f"hot + {start} * V, wide * V, {begin}, wide * V, {row}, {width}, 1, {weights},"
                f" wide * V, {length}, rows",
            )

        apart = [product(s, lengths[:n], lengths[n]) for n, s in enumerate(slots)]
        if len(slots) == 1 or slots != list(range(slots[0], slots[0] + len(slots))):
            return apart
        whole = product(slots[0], [], inner)
        return ["if (m->h == H) {", f"  {whole}", "} else {", *_indented(2, apart), "}"]

    # entry points

    def _entries(self) -> str:
        plan, states, blocks = self.plan, range(len(self.plan.state)), BlockWriter(self.plan)

        def steps(*, backward: bool) -> list[str]:
            phases = plan.phases(backward=backward)
            return [f"        {_name(p, backward=backward)}(z, m, t, first);" for p in phases]

        def copies(text: str) -> list[str]:
            return [f"    copy_rows({text.format(n=n)}, H, B, m->h);" for n in states]

        carried = plan.backward.carried
        finish = [
            f"    first_{n}(z, m);" if name in carried else copies("m->di{n}, H, m->c{n}")[n]
            for name, n in plan.state.items()
        ]
        parts = {
            "load": copies("m->s{n}, H, m->i{n}"),
            "unload": copies("m->o{n}, H, m->s{n} + SLOT(T) * B * H"),
            "pack_forward": self._packs(backward=False) + blocks.pack(backward=False),
            "pack_backward": self._packs(backward=True) + blocks.pack(backward=True),
            "forward": steps(backward=False),
            "backward": steps(backward=True),
            "start": copies("m->c{n}, H, m->do{n}"),
            "finish": finish,
            "inputs": blocks.inputs(again=False),
            "inputs_again": blocks.inputs(again=True),
            "gradients": blocks.gradients(),
        }
        return ENTRY.substitute(
            {name: "\n".join(lines) for name, lines in parts.items()},
            firsts="\n".join(line for s in plan.state if s in carried for line in self._first(s)),
            flush=FLUSH,
            most=self.most,
            width=self.at.width,
        )

    def _packs(self, *, backward: bool) -> list[str]:
        """Packs the matrices of all phases; a panel that several read is packed once."""
        plan = self.plan
        out: dict[str, str] = {}
        for phase in plan.phases(backward=backward):
            inside = products(plan, phase, backward=backward)
            out |= {p.panel: self._pack(p, tile_width(inside)) for p in inside}
        for state in plan.backward.carried if backward else ():
            p = carried_product(plan, state)
            out.setdefault(p.panel, self._pack(p, 4))
        return list(out.values())

    def _pack(self, p: Product, wide: int) -> str:
        plan = self.plan
        numbers = [plan.matrices.index(plan.program.nodes[r].name) for r in p.maps]
        matrices = f"(const real *[]){{{', '.join(f'm->m{n}' for n in numbers)}}}"
        inner, size = [count(size) for size in p.inner], plan.size(p.group.operand)
        if not p.transposed:
            return (
                f"    pack(m->{p.panel}, {matrices}, {len(p.maps)}, {wide}, {count(p.units)},"
                f" {inner[0]}, {size});"
            )
        return (
            f"    pack_transposed(m->{p.panel}, {matrices}, (const long[]){{{', '.join(inner)}}},"
            f" {len(p.maps)}, {wide}, {count(p.units)}, {size});"
        )

    def _first(self, state: str) -> list[str]:
        """Writes the function that finishes the gradient of a state before the first step."""
        n, most = self.plan.state[state], self.most
        product = self._transposed(carried_product(self.plan, state), 4, most, 0, time="0")
        return [
            f"static void first_{n}(const struct sizes *z, const struct member *m) {{",
            "  const long B = z->B, H = z->H, I = z->I, first = 0;",
            f"  real hot[{4 * most} * V] __attribute__((aligned(64)));",
            "  for (long j0 = 0, wide; j0 < m->h; j0 += wide * V) {",
            "    wide = width(m->h - j0, 4);",
            "    for (long b0 = 0, rows; b0 < B; b0 += rows) {",
            f"      rows = B - b0 < {most} ? B - b0 : {most};",
            *_indented(6, product),
            "      for (long r = 0; r < rows; r++)",
            "        for (long u = 0; u < wide; u++) {",
            "          const long j = j0 + u * V, at = (b0 + r) * H + j;",
            f"          const vec sum = ld(m->c{n} + at, m->h - j) + HOT(0, r * wide + u);",
            f"          st(m->di{n} + at, sum, m->h - j);",
            *("        }", "    }", "  }", "}", ""),
        ]


def _name(phase: Phase, *, backward: bool) -> str:
    level, size = phase
    return f"{'backward' if backward else 'forward'}_{level}{size.lower()}"


def _indented(spaces: int, lines: list[str]) -> list[str]:
    return [" " * spaces + line for line in lines]


def _rows(code: list[str]) -> list[str]:
    """Writes the loops of a phase without products."""
    return [
        "  for (long b = 0; b < B; b++) {",
        "    const long at = t * B + b, here = at - first * B;",
        "    for (long j = 0; j < units; j += V) {",
        "      const long n = units - j;",
        *_indented(6, code),
        *("    }", "  }"),
    ]


def _call(columns: int, wide: int, most: int, arguments: str) -> str:
    """Writes the call of a register tile: of one vector of units, where only that is left."""
    if wide == 1:
        return f"product_{columns}_{most}({arguments});"
    narrow, full = f"product_{columns}_{most}", f"product_{columns * wide}_{most}"
    return f"(wide == 1 ? {narrow} : {full})({arguments});"
