"""Writes a program as the source of a Python function.

First stand the values that need no loop, for all steps at once; then the loop, from `_open_loop`
to `_close_loop`. A value has one name before the loop and another inside it, which `name` gives.
Units that a member does not have are masked: `unit` writes the mask of a size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import MAIN_INPUT, Group, Node, Program, reach
from odyssey.expr.reductions import REDUCTIONS, RESHAPINGS
from odyssey.expr.sizes import (
    INPUTS,
    MATRIX,
    ONE,
    UNITS,
    axes,
    is_matrix,
    multiple,
    parts,
    source,
)
from odyssey.registry import View

# What has no value or no slope at zero, which is what units hold that a member does not have.
_UNDEFINED_AT_ZERO = View(
    lambda: dict.fromkeys(
        ["div", *(name for name, row in PRIMITIVES.items() if row.edge == "end")], True
    ),
    PRIMITIVES,
)


def write_layer(program: Program, *, population: bool, masked: bool) -> str:
    """Writes `layer(x, state, p, mask, I, H, more)`, which runs a layer as a `base.Layer` does."""
    return _Source(program, population=population, masked=masked).write()


def write_before_loop(
    program: Program,
    values: Sequence[int],
    operands: Sequence[int],
    *,
    population: bool,
    masked: bool,
) -> str:
    """Writes `before(x, p, mask, I, H, more)`, which gives values from before the loop.

    Arguments are those of `layer.build_before_loop`.
    """
    computed = [k for k in values if program.nodes[k].op != "vector"]
    needed = reach([*computed, *operands], lambda k: program.nodes[k].args)
    wanted = ((g, tuple(r for r in g.results if r in needed)) for g in program.groups)
    part = replace(program, groups=tuple(replace(g, results=r) for g, r in wanted if r))
    writer = _Source(part, population=population, masked=masked)
    return writer.write_before(values, operands, needed)


class _Source:
    """Writes the Python function of a program."""

    def __init__(self, program: Program, *, population: bool, masked: bool) -> None:
        self.program, self.population, self.masked = program, population, masked
        self.uses = program.uses()
        self.lines: list[str] = []
        self.done: set[int] = set()
        self.sliced: dict[int, str] = {}
        self.fused: dict[int, int] = {}  # a result -> the addition that happens in its product
        self.groups = {r: g for g in program.groups for r in g.results}
        self.divides = any(n.op in _UNDEFINED_AT_ZERO for n in program.nodes)
        self.units = {UNITS: "unit"}
        self.further = {name: f"more[{n}]" for n, name in enumerate(program.inputs)}
        self.raw_reads = any(
            n.op != "matmul" and any(self.is_main(a) for a in n.args) for n in program.nodes
        ) or any(map(self.is_main, program.roots))

    def is_main(self, k: int) -> bool:
        """Says whether a value is the main input, which may be class indices."""
        node = self.program.nodes[k]
        return node.op == "input" and node.name == MAIN_INPUT

    def write(self) -> str:
        p = self.program
        self.emit("def layer(x, state, p, mask, I, H, more):", indent=0)
        for line in self._preamble():
            self.emit(line)
        for k, node in enumerate(p.nodes):
            if node.region in ("once", "sequence"):
                self.value(k, node)
        steps = any(n.region == "step" for n in p.nodes)
        states = p.states or ()
        if not steps and not states:
            self.emit(f"return {self.whole(p.output)}, ()")
            return "\n".join(self.lines) + "\n"
        self._open_loop()
        for k, node in enumerate(p.nodes):
            if node.region == "step":
                self.value(k, node, step=True)
        self._close_loop()
        return "\n".join(self.lines) + "\n"

    def write_before(self, values: Sequence[int], operands: Sequence[int], needed: set[int]) -> str:
        """See `write_before_loop`."""
        preamble = self._preamble()  # which names the masks
        for k in sorted(needed):
            self.value(k, self.program.nodes[k])
        results = [self._leaving(k) for k in values]
        results += [self._operand(k, self.name(k, step=False), whole=True) for k in operands]
        body = [*self.lines, f"    return [{', '.join(results)}]"]
        for line in reversed(preamble):  # what it defines is often not used
            if any(line.split()[0] in later for later in body):
                body.insert(0, f"    {line}")
        return "\n".join(["def before(x, p, mask, I, H, more):", *body, ""])

    def _leaving(self, k: int) -> str:
        """A value as the caller of `write_before` gets it."""
        node = self.program.nodes[k]
        if node.op == "vector":
            return f"p[{node.name!r}]"
        if node.region == "once":
            return f"v{k}.squeeze(1)" if self.population else f"v{k}"
        return self.name(k, step=False)

    def emit(self, line: str, indent: int = 1) -> None:
        self.lines.append("    " * indent + line)

    def _preamble(self) -> list[str]:
        lines = ["classes = not x.is_floating_point()"]
        if self.masked:
            lines += [
                "unit = mask.unsqueeze(1)  # (P, 1, H)",
                "units = mask[:, None, None]  # (P, 1, 1, H)",
                *self._other_units(),
                "zero = (next(iter(p.values())) if classes else x).new_zeros(())",
            ]
        if self.raw_reads:
            lines.append("dense = one_hot(x, I, next(iter(p.values()))) if classes else x")
        return lines

    def _other_units(self) -> list[str]:
        """Writes the masks of sizes that are multiples of H."""
        used = {*(n.size for n in self.program.nodes), *self.program.state_sizes}
        sizes = {self._padded_size(axis) for size in used for axis in axes(size)}
        lines = []
        for number, size in enumerate(sorted(sizes - {"", UNITS})):
            _, factor = parts(size)
            name = self.units[size] = f"unit{number}"
            lines.append(
                f"{name} = units_of(mask, {factor.numerator}, {factor.denominator}).unsqueeze(1)"
            )
            lines.append(f"{name}s = {name}.unsqueeze(1)")
        return lines

    def _padded_size(self, size: str) -> str:
        """Gives a size as a multiple of H if members may have fewer units of it, else nothing."""
        if is_matrix(size):
            every = [self._padded_size(axis) for axis in axes(size)]
            return MATRIX.join(every) if any(every) else ""
        base, factor = parts(size)
        if not self.masked or base == ONE or (base == INPUTS and not self.program.square):
            return ""
        return multiple(UNITS, factor)

    def unit(self, size: str, *, whole: bool) -> str:
        """The mask of a size, as source, for one step or for the whole sequence."""
        if is_matrix(size):
            rows, columns = (self._padded_size(axis) for axis in axes(size))
            parts = [f"{self.unit(rows, whole=whole)}.unsqueeze(-1)"] if rows else []
            parts += [f"{self.unit(columns, whole=whole)}.unsqueeze(-2)"] if columns else []
            return f"({' & '.join(parts)})"
        return self.units[self._padded_size(size)] + ("s" if whole else "")

    def rows(self, result: int) -> str:
        """The size of a product's result, as source."""
        return source(self.program.nodes[result].size)

    def name(self, k: int, *, step: bool) -> str:
        """The variable that holds a value, as it is needed in a region."""
        node = self.program.nodes[k]
        if node.op == "constant":
            return repr(node.value) if math.isfinite(node.value) else f"float('{node.value}')"
        if step and node.region == "sequence":
            return self.sliced[k]
        if node.op == "input":
            return self.further.get(node.name, "dense")
        if not step and node.region == "once" and self.population and node.op != "constant":
            return f"v{k}.unsqueeze(1)"
        return f"v{k}"

    def value(self, k: int, node: Node, *, step: bool = False) -> None:
        indent = 2 if step else 1
        if k in self.done or node.op in ("constant", "input"):
            return
        self.done.add(k)
        note = f"  # {node.label}" if node.label else ""
        if node.op == "vector":
            tail = ".unsqueeze(1)" if self.population else ""
            text = f"p[{node.name!r}]{tail}"
            if self.divides and self._masks(k):  # as for products, see _guards
                text = f"torch.where({self.unit(node.size, whole=False)}, {text}, zero)"
            self.emit(f"v{k} = {text}", indent)
        elif node.op == "previous":
            state = f"s{self.program.states.index(node.name)}"
            if is_matrix(node.size):
                state += f".unflatten(-1, {_shape(node.size)})"
            self.emit(f"v{k} = {state}", indent)
        elif node.op == "matmul":
            self._product(self.groups[k], step=step)
        else:
            once = node.region == "once"
            args = [self.name(a, step=step or once) for a in node.args]
            if node.op in REDUCTIONS:
                text = self._reduction(node, args[0], whole=not (step or once))
            elif node.op in RESHAPINGS:
                text = self._reshaping(node, args[0])
            elif is_matrix(node.size):
                text = self._operation(
                    node, [self._widened(a, t) for a, t in zip(node.args, args, strict=True)]
                )
            else:
                text = self._operation(node, args)
            self.emit(f"v{k} = {text}{note}", indent)

    def _reduction(self, node: Node, arg: str, *, whole: bool) -> str:
        """Writes a function over units; those that a member does not have do not count."""
        row, operand = REDUCTIONS[node.op], self.program.nodes[node.args[0]]
        count = f"({source(operand.size)})"  # `2 * hidden` divides as one number
        if self._padded_size(operand.size) and row.padding:
            unit = self.unit(operand.size, whole=whole)
            arg = f"torch.where({unit}, {arg}, {row.padding})"
            count = f"{unit}.sum(-1, keepdim=True)"
        return row.torch.format(arg, count)

    def _operation(self, node: Node, args: list[str]) -> str:
        if node.op in ARITHMETIC and node.op != "neg":
            return f"{args[0]} {ARITHMETIC[node.op].symbol} {args[1]}"
        if node.op == "neg":
            return f"-{args[0]}"
        spelling = PRIMITIVES[node.op].torch
        if len(args) == 2:  # minimum and maximum take no numbers
            known = {"dense", *self.sliced.values(), *self.further.values()}
            tensors = [a for a in args if a[0] == "v" or a in known]
            args = [a if a in tensors else f"torch.full_like({tensors[0]}, {a})" for a in args]
        return spelling.format(*args) if "{0}" in spelling else f"{spelling}({', '.join(args)})"

    def _reshaping(self, node: Node, arg: str) -> str:
        """Writes a function between vectors and matrices; sums leave padding out."""
        row, operand = RESHAPINGS[node.op], self.program.nodes[node.args[0]]
        if row.reads_matrix and self._padded_size(operand.size):
            arg = f"torch.where({self.unit(operand.size, whole=False)}, {arg}, zero)"
        return row.torch.format(arg)

    def _widened(self, k: int, text: str) -> str:
        """Gives a value as it meets matrices: a number of a row is one of all the matrix."""
        node = self.program.nodes[k]
        number = node.op != "constant" and not is_matrix(node.size)
        return f"{text}.unsqueeze(-1)" if number else text

    def _masks(self, k: int) -> bool:
        node = self.program.nodes[k]
        return bool(self._padded_size(node.size)) and node.op != "previous"

    def _stack(self, group: Group) -> str:
        nodes = [self.program.nodes[r] for r in group.results]
        names = [f"p[{n.name!r}]{'.mT' if n.transposed else ''}" for n in nodes]
        return names[0] if len(names) == 1 else f"torch.cat([{', '.join(names)}], -2)"

    def _product(self, group: Group, *, step: bool) -> None:
        g = self.program.groups.index(group)
        self.done.update(group.results)
        if step:
            self._step_product(group, g)
            return
        whole = group.region != "once"
        self.emit(f"W{g} = {self._stack(group)}")
        if self.is_main(group.operand):
            self.emit(f"y{g} = gather(x, W{g}) if classes else product(x, W{g})")
        else:
            text = self.name(group.operand, step=group.region == "once")
            text = self._operand(group.operand, text, whole=whole)
            self.emit(f"y{g} = product({text}, W{g})")
        if self._guards(group):
            self.emit(f"y{g} = torch.where({self._tiled(group, whole=whole)}, y{g}, zero)")
        self._split(group.results, f"y{g}", [f"v{r}" for r in group.results], indent=1)

    def _operand(self, k: int, text: str, *, whole: bool) -> str:
        """What a product reads: zeros in units that a member does not have."""
        if not self._masks(k):
            return text
        return f"torch.where({self.unit(self.program.nodes[k].size, whole=whole)}, {text}, zero)"

    def _tiled(self, group: Group, *, whole: bool) -> str:
        """The masks of a group's results, side by side."""
        units = [self.unit(self.program.nodes[r].size, whole=whole) for r in group.results]
        if len(units) == 1:
            return units[0]
        if len(set(units)) == 1:
            return f"torch.cat([{units[0]}] * {len(units)}, -1)"
        return f"torch.cat([{', '.join(units)}], -1)"

    def _guards(self, group: Group) -> bool:
        # 1/0 in a unit that a member does not have gives NaN, and NaN * 0 is NaN on the way back
        return self.divides and all(self._masks(r) for r in group.results)

    def _split(self, results: tuple[int, ...], text: str, names: list[str], *, indent: int) -> None:
        if len(names) == 1:
            self.emit(f"{names[0]} = {text}", indent)
            return
        sizes = ", ".join(self.rows(r) for r in results)
        self.emit(f"{', '.join(names)} = {text}.split([{sizes}], -1)", indent)

    def _addend(self, result: int) -> tuple[int, int] | None:
        """Finds the addition that can happen inside the product: (its number, what is added)."""
        if self.uses[result] != 1:
            return None
        for k, node in enumerate(self.program.nodes):
            if result in node.args:
                other = [a for a in node.args if a != result]
                if node.op == "add" and len(other) == 1:
                    added = self.program.nodes[other[0]]
                    alike = ONE not in (added.size, self.program.nodes[result].size)
                    if added.region != "step" and added.op != "constant" and alike:
                        return k, other[0]
                return None
        return None

    def _open_loop(self) -> None:
        p = self.program
        self.emit("T = x.shape[1]" if self.population else "T = x.shape[0]")
        plans: list[tuple[int, list[tuple[int, int] | None]]] = []
        for g, group in enumerate(p.groups):
            if group.region != "step":
                continue
            self.emit(f"R{g} = ({self._stack(group)}).mT")
            addends = [self._addend(r) for r in group.results]
            if any(addends):
                plans.append((g, addends))
        needed: dict[int, int] = {}
        for node in p.nodes:
            if node.region == "step":
                for a in node.args:
                    needed[a] = needed.get(a, 0) + 1
        for r in p.roots:
            needed[r] = needed.get(r, 0) + 1
        for g, addends in plans:
            self._addends(g, addends)
            for f in addends:
                if f:
                    self.fused[f[0]] = f[1]
                    needed[f[1]] -= 1
        for k, count in needed.items():
            node = p.nodes[k]
            if node.region == "sequence" and count > 0:
                self.emit(f"x{k} = {self.name(k, step=False)}.unbind(-3)")
                self.sliced[k] = f"x{k}[t]"
        for n, name in enumerate(p.states):
            self.emit(f"s{n} = {self._padded(f'state[{n}]', p.state_size(name))}")
        self.emit("outputs = []")
        self.emit("for t in range(T):")

    def _addends(self, g: int, addends: list[tuple[int, int] | None]) -> None:
        """Writes what is added inside a product, for all steps at once."""
        group = self.program.groups[g]
        sequence = any(f and self.program.nodes[f[1]].region == "sequence" for f in addends)
        lead = "*x.shape[:3]" if self.population else "*x.shape[:2]"
        like = "next(iter(p.values()))"
        parts = []
        for r, f in zip(group.results, addends, strict=True):
            rows = self.rows(r)
            if f is None:
                once = f"x.shape[0], 1, {rows}" if self.population else f"{rows},"
                parts.append(f"{like}.new_zeros(({f'{lead}, {rows}' if sequence else once}))")
            elif self.program.nodes[f[1]].region == "sequence":
                parts.append(self.name(f[1], step=False))
            elif sequence:
                parts.append(f"{self.name(f[1], step=False)}.expand({lead}, {rows})")
            else:
                parts.append(f"v{f[1]}")
        whole = parts[0] if len(parts) == 1 else f"torch.cat([{', '.join(parts)}], -1)"
        self.emit(f"a{g} = ({whole}).unbind(-3)" if sequence else f"a{g} = {whole}")
        self.sliced[-1 - g] = f"a{g}[t]" if sequence else f"a{g}"

    def _step_product(self, group: Group, g: int) -> None:
        operand = f"v{group.operand}"
        if self.program.nodes[group.operand].region == "sequence":
            operand = self.sliced[group.operand]
        operand = self._operand(group.operand, operand, whole=False)
        added = self.sliced.get(-1 - g)
        if added:
            call = "torch.baddbmm" if self.population else "torch.addmm"
            self.emit(f"z{g} = {call}({added}, {operand}, R{g})", 2)
        else:
            self.emit(f"z{g} = {operand} @ R{g}", 2)
        if self._guards(group):
            self.emit(f"z{g} = torch.where({self._tiled(group, whole=False)}, z{g}, zero)", 2)
        targets = [self._target(r) for r in group.results]
        self.done.update(targets)
        runs = self._runs(targets)
        starts = [sum(len(m) for _, m in runs[:n]) for n in range(len(runs))]
        pieces = [f"z{g}_{n}" for n in range(len(runs))] if len(runs) > 1 else [f"z{g}"]
        parts = [group.results[s : s + len(m)] for s, (_, m) in zip(starts, runs, strict=True)]
        if len(runs) > 1:
            sizes = ", ".join(" + ".join(self.rows(r) for r in part) for part in parts)
            self.emit(f"{', '.join(pieces)} = z{g}.split([{sizes}], -1)", 2)
        for piece, part, (op, members) in zip(pieces, parts, runs, strict=True):
            if op:
                members = [self._reader(t) for t in members]
                self.emit(f"{piece} = {self._operation(Node(op, (0,)), [piece])}", 2)
                self.done.update(members)
            self._split(part, piece, [f"v{m}" for m in members], indent=2)

    def _target(self, result: int) -> int:
        """What a product's slot holds: the result, or the sum that happens inside the product."""
        return next((k for k in self.fused if result in self.program.nodes[k].args), result)

    def _reader(self, k: int) -> int:
        return next(j for j, n in enumerate(self.program.nodes) if k in n.args)

    def _runs(self, targets: list[int]) -> list[tuple[str, list[int]]]:
        """Splits neighbouring values into runs that go through the same activation."""
        runs: list[tuple[str, list[int]]] = []
        for k in targets:
            op = ""
            if self.uses[k] == 1 and k not in self.program.roots:
                reader = self.program.nodes[self._reader(k)]
                if reader.op in PRIMITIVES and len(reader.args) == 1:
                    op = reader.op
            if runs and runs[-1][0] == op:
                runs[-1][1].append(k)
            else:
                runs.append((op, [k]))
        return runs

    def _close_loop(self) -> None:
        p = self.program
        finals = []
        for n, k in enumerate(p.updates):
            node = p.nodes[k]
            text = self.name(k, step=True)
            if is_matrix(node.size):
                text = (
                    f"{text}.expand_as(state[{n}].unflatten(-1, {_shape(node.size)})).flatten(-2)"
                )
            if node.region == "once":
                text = f"(torch.zeros_like(state[{n}]) + {text})"
            finals.append(self._padded(text, p.state_size(p.states[n])))
        whole = p.nodes[p.output].region != "step"
        same = p.updates.index(p.output) if p.output in p.updates else None
        if finals:
            names = ", ".join(f"s{n}" for n in range(len(finals)))
            self.emit(f"{names} = {', '.join(finals)}", 2)
        if same is not None:
            self.emit(f"outputs.append(s{same})", 2)
        elif not whole:
            text = self._padded(self.name(p.output, step=True), UNITS)
            self.emit(f"outputs.append({text})", 2)
        elif not finals:
            self.emit("pass", 2)
        stacked = same is not None or not whole
        result = "torch.stack(outputs, -3)" if stacked else self.whole(p.output)
        states = "".join(f"s{n}, " for n in range(len(finals)))
        self.emit(f"return {result}, ({states})")

    def _padded(self, text: str, size: str) -> str:
        """A state or output with zeros in units that a member does not have."""
        if not self._padded_size(size):
            return text
        unit = self.unit(size, whole=False)
        if is_matrix(size):  # states are flat between steps
            rows, columns = axes(size)
            unit = f"{unit}.expand(-1, 1, {source(rows)}, {source(columns)}).flatten(-2)"
        return f"torch.where({unit}, {text}, zero)"

    def whole(self, k: int) -> str:
        """A value of the sequence region as the output."""
        text = self.name(k, step=False)
        return f"torch.where(units, {text}, zero)" if self.masked else text


def _shape(size: str) -> str:
    rows, columns = axes(size)
    return f"({source(rows)}, {source(columns)})"
