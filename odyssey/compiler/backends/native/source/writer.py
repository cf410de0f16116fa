"""Writes the C file of a program: the whole sequence, forward and backward, in one call each.

A step is a row of phases, each a function. For some batch rows at a time, it computes all products
that it needs, one after the other (`shared`), then the pointwise code row by row: saved values are
written and read in the order in which they lie, which is what a processor's prefetching expects.
The parts of the file, in order:

1. the head, with the structure of a member (`abi.member`), and the functions that the phases call;
2. the phases of the forward step, then those of the backward step (`_phase`);
3. the two entry points: they pack matrices, go through the sequence in blocks of steps, and call
   the phases for each step (`_entries`, with `blocks` for what happens once a block).
"""

from __future__ import annotations

from odyssey.compiler.backends.native.abi.member import member_table
from odyssey.compiler.backends.native.plan import Phase, Plan
from odyssey.compiler.backends.native.products import Product, carried_product, products
from odyssey.compiler.backends.native.source.addresses import (
    Addresses,
    count,
    define_sizes,
    extent,
)
from odyssey.compiler.backends.native.source.blocks import BlockWriter
from odyssey.compiler.backends.native.source.frame import (
    ENTRY,
    FLUSH,
    write_preamble,
    write_structures,
)
from odyssey.compiler.backends.native.source.functions import write_functions
from odyssey.compiler.backends.native.source.pointwise import Pointwise
from odyssey.compiler.backends.native.source.rows import write_rows
from odyssey.expr.sizes import ONE, PLAIN

_SIZES = "const long T = z->T, B = z->B, H = z->H, I = z->I, keep = z->keep;"
_SHARED = "const struct products *q = z->products;"


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
        self.functions: set[str] = set()
        self.rows: set[str] = set()

    def write(self) -> str:
        """Writes the file."""
        plan = self.plan
        phases = [
            self._phase(p, backward=b) for b in (False, True) for p in plan.phases(backward=b)
        ]
        name = f"the cell {plan.program.name}"
        head = write_preamble(name, dtype=self.dtype, target=self.target)
        numbers = any(size == ONE for b in (False, True) for _, size in plan.phases(backward=b))
        numbers |= any(plan.size(k) == ONE for k in (*plan.vectors, *self._inputs()))
        head += write_structures(member_table(plan).text, numbers=numbers)
        functions = write_functions(self.functions, self.dtype)
        more = [part for part in (define_sizes(plan.declared), write_rows(self.rows)) if part]
        return "\n".join([head, functions, *more, *phases, self._entries()])

    def _inputs(self) -> list[int]:
        return [leaf for stack in self.plan.stacks for leaf in stack.leaves]

    # phases

    def _phase(self, phase: Phase, *, backward: bool) -> str:
        inside = products(self.plan, phase, backward=backward)
        results = [r for p in inside for r in p.results]
        hot = {r: f"HOT({n})" for n, r in enumerate(results)}
        code = Pointwise(self.plan, phase, hot, backward=backward)
        self.functions |= code.functions
        name = f"{_name(phase, backward=backward)}_row"
        row = code.call(name, "hot + r * hot_row" if inside else "0")
        row = self._reductions(phase, row, backward=backward)
        numbers = phase[1] == ONE
        body = self._tiled(inside, row, numbers=numbers) if inside else _rows(row, numbers=numbers)
        return "\n".join(
            [
                *code.function(name),
                f"static COLD void {_name(phase, backward=backward)}(const struct sizes *z,"
                " const struct member *m, long t, long first) {",
                f"  {_SIZES}",
                *([f"  {_SHARED}"] if inside else []),
                f"  const long units = {count(phase[1])};",
                *self._inverses(code),
                *body,
                "}",
                "",
            ]
        )

    def _inverses(self, code: Pointwise) -> list[str]:
        """Writes one over the units of each size whose means have gradients in a phase."""
        names = {f"&inverse_{extent(s)}": s for s in ("H", "I", *self.plan.declared)}
        return [
            f"  const real {place[1:]} = 1 / (real)({count(size)});"
            for place, size in names.items()
            if place in code.places
        ]

    def _reductions(self, phase: Phase, row: list[str], *, backward: bool) -> list[str]:
        """Puts the row functions of a phase before its code for a batch row."""
        plan, at, before = self.plan, self.at, []
        for k in plan.reductions(phase, backward=backward):
            node = plan.backward.nodes[k]
            (a,) = node.args
            to, read = (at.handed(k), at.handed(a)) if backward else (at.row(k), at.row(a))
            before.append(f"row_{node.op}({to}, {read}, {count(plan.size(a))});")
            self.rows.add(node.op)
        if phase[1] != ONE or not before:
            return before + row
        loop = ["for (long end = b + batch, b = end - batch; b < end; b++) {"]
        return [*loop, *_indented(2, before), "}", *row]

    def _tiled(self, inside: list[Product], row: list[str], *, numbers: bool) -> list[str]:
        """Writes the loops over batch rows and strips of units, then those of pointwise code."""
        maps = sum(len(p.results) for p in inside)
        out = [
            *_hot(maps, "units"),
            "  for (long b0 = 0, rows; b0 < B; b0 += rows) {",
            "    rows = B - b0 < z->rows ? B - b0 : z->rows;",
            "    for (long j0 = 0, wide; j0 < units; j0 += wide * V) {",
            "      wide = strip(units - j0, q->wide);",
        ]
        start = 0
        for p in inside:
            lines = self._gradient(p, start) if p.transposed else self._maps(p, start)
            start += len(p.results)
            operand = self.plan.about(p.group.operand)
            names = ", ".join(self.plan.program.nodes[r].name for r in p.maps)
            about = f"{names} @ {operand}"
            if p.transposed:
                about = f"gradient of {operand} through the products"
            out += _indented(6, [f"/* {about} */", *lines])
        loop = "    for (long r = 0; r < rows; r++) {"
        begin = "      const long b = b0 + r, at = t * B + b, here = at - first * B;"
        if numbers:
            loop = "    {"
            begin = "      const long b = b0, batch = rows, at = t * B + b, here = at - first * B;"
        return [*out, "    }", loop, begin, *_indented(6, row), *("    }", "  }")]

    def _maps(self, p: Product, start: int) -> list[str]:
        """Writes the calls for maps of one operand."""
        size, maps, inner = self.at.extent(p.group.operand), len(p.maps), count(p.inner[0])
        row = self.at.row(p.group.operand).replace("+ b)", "+ b0)").replace("+ b *", "+ b0 *")
        to = f"hot + ({start} + g) * units_v" if start else "hot + g * units_v"
        return [
            f"for (long g = 0; g < {maps}; g++)",
            f"  q->product({to} + j0, hot_row, 0, 0, {row}, {size}, 1,",
            f"             m->{p.panel} + (j0 * {maps} + g * wide * V) * {inner}, wide,"
            f" {inner}, rows);",
        ]

    def _gradient(self, p: Product, start: int) -> list[str]:
        """Writes the calls for a gradient; what comes from a later step is zero in the last one."""
        if self.plan.backward.nodes[p.results[0]].op != "later":
            return ["{", *_indented(2, self._transposed(p, start, time="t")), "}"]
        return [
            "if (t + 1 < T) {",
            *_indented(2, self._transposed(p, start, time="t + 1")),
            f"}} else clear({_place(start)}, hot_row, wide, rows);",
        ]

    def _transposed(self, p: Product, start: int, *, time: str) -> list[str]:
        """Writes the call for the gradient of an operand."""
        slots = [self.plan.backward.results[r] for r in p.maps]
        rows = [f"before{self.at.column(k)}" for k in slots]
        lengths = [count(size) for size in p.inner]
        return [
            f"const real *const before = m->d + (({time} - first) * B + b0) * {self.at.width};",
            f"q->gradient({_place(start)}, hot_row, {len(rows)},"
            f" (const real *const[]){{{', '.join(rows)}}}, {self.at.width},",
            f"            m->{p.panel} + j0 * ({' + '.join(lengths)}), wide,"
            f" (const long[]){{{', '.join(lengths)}}}, rows);",
        ]

    # entry points

    def _entries(self) -> str:
        plan, states, blocks = self.plan, range(len(self.plan.state)), BlockWriter(self.plan)

        def steps(*, backward: bool) -> list[str]:
            phases = plan.phases(backward=backward)
            return [f"        {_name(p, backward=backward)}(z, m, t, first);" for p in phases]

        def copies(text: str) -> list[str]:
            return [
                f"    q->copy_rows({text.format(n=n, wide=wide[n])}, {wide[n]}, B, {own[n]});"
                for n in states
            ]

        carried = plan.backward.carried
        sizes = [plan.state_size(name) for name in plan.state]
        wide, own = [extent(size) for size in sizes], [count(size) for size in sizes]
        finish = [
            f"    if (m->di{n}) first_{n}(z, m);"
            if name in carried
            else f"    if (m->di{n})"
            f" q->copy_rows(m->di{n}, {wide[n]}, m->c{n}, {wide[n]}, B, {own[n]});"
            for name, n in plan.state.items()
        ]
        parts = {
            "load": copies("m->s{n}, {wide}, m->i{n}"),
            "unload": copies("m->o{n}, {wide}, m->s{n} + SLOT(T) * B * {wide}"),
            "pack_forward": self._packs(backward=False) + blocks.pack(backward=False),
            "pack_backward": self._packs(backward=True) + blocks.pack(backward=True),
            "forward": steps(backward=False),
            "backward": steps(backward=True),
            "start": [
                line
                for n in states
                for line in (
                    f"    if (m->do{n})"
                    f" q->copy_rows(m->c{n}, {wide[n]}, m->do{n}, {wide[n]}, B, {own[n]});",
                    f"    else __builtin_memset(m->c{n}, 0, B * {wide[n]} * sizeof(real));",
                )
            ],
            "leave": blocks.leave(),
            "finish": finish,
            "inputs": blocks.inputs(again=False),
            "inputs_again": blocks.inputs(again=True),
            "gradients": blocks.gradients(),
        }
        return ENTRY.substitute(
            {name: "\n".join(lines) for name, lines in parts.items()},
            firsts="\n".join(line for s in plan.state if s in carried for line in self._first(s)),
            flush=FLUSH,
            width=self.at.width,
        )

    def _packs(self, *, backward: bool) -> list[str]:
        """Packs the matrices of all phases; a panel that several read is packed once."""
        plan = self.plan
        out: dict[str, str] = {}
        for phase in plan.phases(backward=backward):
            inside = products(plan, phase, backward=backward)
            out |= {p.panel: self._pack(p) for p in inside}
        for state in plan.backward.carried if backward else ():
            p = carried_product(plan, state)
            out.setdefault(p.panel, self._pack(p))
        return list(out.values())

    def _pack(self, p: Product) -> str:
        plan = self.plan
        numbers = [plan.matrices.index(plan.program.nodes[r].name) for r in p.maps]
        matrices = f"(const real *[]){{{', '.join(f'm->m{n}' for n in numbers)}}}"
        inner, size = [count(size) for size in p.inner], self.at.extent(p.group.operand)
        if any(plan.program.nodes[r].transposed for r in p.maps):
            return self._pack_mixed(p, inner)
        if not p.transposed:
            return (
                f"    q->pack(m->{p.panel}, {matrices}, {len(p.maps)}, {count(p.units)},"
                f" {inner[0]}, {size});"
            )
        return (
            f"    q->pack_transposed(m->{p.panel}, {matrices},"
            f" (const long[]){{{', '.join(inner)}}}, {len(p.maps)}, {count(p.units)}, {size});"
        )

    def _pack_mixed(self, p: Product, inner: list[str]) -> str:
        """Packs strip by strip, each matrix as it lies or the other way round."""
        plan, whole, before = self.plan, " + ".join(inner), "0"
        out = [
            f"    for (long j = 0, wide, n, all = {count(p.units)}; j < all; j += wide * V) {{",
            "      wide = strip(all - j, q->wide), n = all - j < wide * V ? all - j : wide * V;",
            f"      real *const to = m->{p.panel} + j * ({whole});",
        ]
        for r, length in zip(p.maps, inner, strict=True):
            node = plan.program.nodes[r]
            number, stride = plan.matrices.index(node.name), extent(plan.shape(node.name)[1])
            to = f"to + ({before}) * wide * V"
            if node.transposed == p.transposed:  # rows of the matrix are columns of the strip
                call = f"q->pack({to}, (const real *[]){{m->m{number} + j * {stride}}}, 1, n,"
                out.append(f"      {call} {length}, {stride});")
            else:
                call = f"q->pack_transposed({to}, (const real *[]){{m->m{number} + j}},"
                out.append(f"      {call} (const long[]){{{length}}}, 1, n, {stride});")
            before += f" + {length}"
        return "\n".join([*out, "    }"])

    def _first(self, state: str) -> list[str]:
        """Writes the function that finishes the gradient of a state before the first step."""
        n = self.plan.state[state]
        wide, own = extent(self.plan.state_size(state)), count(self.plan.state_size(state))
        product = self._transposed(carried_product(self.plan, state), 0, time="0")
        return [
            f"static COLD void first_{n}(const struct sizes *z, const struct member *m) {{",
            "  const long B = z->B, H = z->H, I = z->I, first = 0;",
            f"  {_SHARED}",
            *_hot(1, own),
            "  for (long b0 = 0, rows; b0 < B; b0 += rows) {",
            "    rows = B - b0 < z->rows ? B - b0 : z->rows;",
            f"    for (long j0 = 0, wide; j0 < {own}; j0 += wide * V) {{",
            f"      wide = strip({own} - j0, q->wide);",
            *_indented(6, product),
            "    }",
            "    for (long r = 0; r < rows; r++) {",
            f"      for (long j = 0; j < {own}; j += V) {{",
            f"        const long at = (b0 + r) * {wide} + j, n = {own} - j;",
            "        const vec sum = *(const vec *)(hot + r * hot_row + j);",
            f"        st(m->di{n} + at, sum + ld(m->c{n} + at, n), n);",
            *("      }", "    }", "  }", "}", ""),
        ]


def _hot(maps: int, units: str) -> list[str]:
    """Declares the place of a phase's products: for each batch row, whole vectors of each."""
    return [
        "  real *const hot = m->hot;",
        f"  const long units_v = ({units} + V - 1) / V * V, hot_row = {maps} * units_v;",
    ]


def _place(start: int) -> str:
    """Writes where the results of a product begin."""
    return f"hot + {start} * units_v + j0" if start else "hot + j0"


def _name(phase: Phase, *, backward: bool) -> str:
    level, size = phase
    apart = "" if size in PLAIN else "_"
    return f"{'backward' if backward else 'forward'}_{level}{apart}{extent(size).lower()}"


def _indented(spaces: int, lines: list[str]) -> list[str]:
    return [" " * spaces + line for line in lines]


def _rows(row: list[str], *, numbers: bool) -> list[str]:
    """Writes the loop of a phase without products; numbers of all batch rows go by at once."""
    loop, begin = "  for (long b = 0; b < B; b++) {", "    const long at"
    if numbers:
        loop, begin = "  {", "    const long b = 0, batch = B, at"
    return [loop, f"{begin} = t * B + b, here = at - first * B;", *_indented(4, row), "  }"]
