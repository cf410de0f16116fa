"""The loop that a careful user of torch writes by hand: the yardstick for cells torch lacks.

What is known before the time loop is computed for all steps by stacked calls of
`functional.linear`, with biases inside. Each step makes one stacked product for all maps of a
value, cuts it into gates with `chunk`, and calls one torch function for each operation of the
cell. Parameters are held stacked, so that no call joins them first; gradients are autograd's.

Shapes: T steps, B batch rows, I input, H hidden units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from odyssey.compiler import RNN, lower
from odyssey.compiler.backends.base import State
from odyssey.expr import Cell
from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Group, Program

_CLAMP = {"minimum": "max", "maximum": "min"}  # the same where one argument is a number


@dataclass(frozen=True)
class _Piece:
    """Neighbouring columns of an input product that are added to one product of the loop."""

    group: Group  # the product of the loop
    leaves: tuple[int, ...]  # what is added to each of its results
    sums: tuple[int, ...]


class _Writer:
    """Writes the Python function of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes = program.nodes
        self.uses = program.uses()
        self.lines: list[str] = []
        self.names = {k: self._constant(k) or f"v{k}" for k in range(len(self.nodes))}
        self.done: set[int] = set()
        self.stacks: dict[str, tuple[str, ...]] = {}  # stacked parameter -> its members
        self.matrices = Counter(n.name for n in self.nodes if n.op == "matmul")
        self.owner = {r: g for g in program.groups for r in g.results}
        self.biases = {g: self._bias(g) for g in program.groups if g.region == "sequence"}
        self.pieces = [p for g in program.groups if (p := self._piece(g))]
        self.added = {p.group: p for p in self.pieces}

    def _constant(self, k: int) -> str:
        node = self.nodes[k]
        return repr(node.value) if node.op == "constant" else ""

    def _reader(self, k: int) -> int | None:
        """The one node that reads a value, if there is just one and nothing else does."""
        found = [j for j, n in enumerate(self.nodes) if k in n.args]
        return found[0] if len(found) == 1 and self.uses[k] == 1 else None

    def _sum(self, k: int) -> tuple[int, int] | None:
        """The sum that a value goes into and nothing else: (its number, what is added)."""
        reader = self._reader(k)
        if reader is None or self.nodes[reader].op != "add":
            return None
        (other,) = (a for a in self.nodes[reader].args if a != k)
        return reader, other

    def _bias(self, group: Group) -> tuple[tuple[int, int], ...]:
        """For every product of a group the sum with its own bias; nothing if one has none."""
        found = [self._sum(r) for r in group.results]
        whole = tuple(f for f in found if f and self.nodes[f[1]].op == "vector")
        fits = len(whole) == len(found) and all(self.uses[vector] == 1 for _, vector in whole)
        return whole if fits else ()

    def _leaf(self, k: int) -> Group | None:
        """The input product that a value is a column of."""
        for group, bias in self.biases.items():
            if k in ([total for total, _ in bias] or group.results):
                return group
        return None

    def _piece(self, group: Group) -> _Piece | None:
        found = [self._sum(r) for r in group.results]
        sums = [f for f in found if f and self.uses[f[1]] == 1]
        sources = {self._leaf(leaf) for _, leaf in sums}
        if group.region != "step" or len(sums) < len(found) or None in sources or len(sources) > 1:
            return None
        return _Piece(group, tuple(leaf for _, leaf in sums), tuple(total for total, _ in sums))

    def write(self) -> str:
        program = self.program
        self._emit("def layer(x, state, p, I, H):", 0)
        for k in range(len(self.nodes)):
            if self.nodes[k].region != "step":
                self._value(k)
        self._open_loop()
        for k in range(len(self.nodes)):
            if self.nodes[k].region == "step":
                self._value(k, indent=2)
        finals = [self._wide(u) for u in program.updates]
        for n, text in enumerate(finals):
            self._emit(f"new{n} = {text}", 2)
        looped = self.nodes[program.output].region == "step"
        if looped:
            self._emit(f"outputs.append({self.names[program.output]})", 2)
        for n in range(len(finals)):
            self._emit(f"s{n} = new{n}", 2)
        whole = f"v{program.output}"
        if self.nodes[program.output].op == "input":
            whole = "x"
        result = "torch.stack(outputs)" if looped else whole
        states = "".join(f"s{n}, " for n in range(len(finals)))
        self._emit(f"return {result}, ({states})")
        return "\n".join(self.lines) + "\n"

    def _emit(self, line: str, indent: int = 1) -> None:
        self.lines.append("    " * indent + line)

    def _wide(self, k: int) -> str:
        """A new state, which must have a row for every batch row."""
        once = self.nodes[k].region == "once"
        return f"{self.names[k]}.expand_as(s0)" if once else self.names[k]

    def _value(self, k: int, indent: int = 1) -> None:
        node = self.nodes[k]
        if k in self.done or node.op == "constant":
            return
        note = f"  # {node.label}" if node.label else ""
        args = [self.names[a] for a in node.args]
        match node.op:
            case "input":
                self.names[k] = "x"
                return
            case "previous":
                self.names[k] = f"s{self.program.states.index(node.name)}"
                return
            case "vector":
                self.stacks.setdefault(node.name, (node.name,))
                text = f"p[{node.name!r}]"
            case "matmul":
                self._product(self.owner[k], indent)
                return
            case "neg":
                text = f"-{args[0]}"
            case op if op in ARITHMETIC and op != "neg":
                text = f"{args[0]} {ARITHMETIC[op].symbol} {args[1]}"
            case _:
                text = self._function(k, args)
        self._emit(f"v{k} = {text}{note}", indent)

    def _function(self, k: int, args: list[str]) -> str:
        node = self.nodes[k]
        constants = [self.nodes[a].op == "constant" for a in node.args]
        if node.op in _CLAMP and any(constants):
            value, bound = args if constants[1] else reversed(args)
            return f"torch.clamp({value}, {_CLAMP[node.op]}={bound})"
        spelling = PRIMITIVES[node.op].torch
        return spelling.format(*args) if "{0}" in spelling else f"{spelling}({', '.join(args)})"

    def _stacked(self, names: list[str]) -> str:
        """One parameter for several matrices or vectors; joined in the call where one is shared."""
        if any(self.matrices[n] > 1 for n in names):
            self.stacks |= {n: (n,) for n in names}
            parts = ", ".join(f"p[{n!r}]" for n in names)
            return f"torch.cat([{parts}])" if len(names) > 1 else f"p[{names[0]!r}]"
        self.stacks["+".join(names)] = tuple(names)
        return f"p[{'+'.join(names)!r}]"

    def _product(self, group: Group, indent: int) -> None:
        results = list(group.results)
        bias = dict(zip(results, self.biases.get(group, ()), strict=False))
        pieces = [p for p in self.pieces if self._leaf(p.leaves[0]) is group]
        leaf = {r: bias[r][0] if bias else r for r in results}
        inside = [k for p in pieces for k in p.leaves]
        # columns that go into one product of the loop lie next to each other, in its order
        order = [*inside, *(leaf[r] for r in results)]
        results.sort(key=lambda r: order.index(leaf[r]))
        weight = self._stacked([self.nodes[r].name for r in results])
        more = ""
        if bias:
            more = f", {self._stacked([self.nodes[bias[r][1]].name for r in results])}"
            self.done.update(vector for _, vector in bias.values())
        self.done.update(results, leaf.values())
        operand = self.names[group.operand]
        key = f"y{self.program.groups.index(group)}"
        text = f"functional.linear({operand}, {weight}{more})"
        targets = [leaf[r] for r in results]
        if group in self.added:
            text = f"{self._sliced(group)} + {text}"
            targets = list(self.added[group].sums)
            self.done.update(targets)
        columns = [(f"a{self.program.groups.index(p.group)}", list(p.leaves)) for p in pieces]
        columns += [(f"v{k}", [k]) for k in targets if k not in inside]
        notes = [self.nodes[k].label for k in targets if self.nodes[k].label]
        note = f"  # {', '.join(notes)}" if notes else ""
        if len(columns) == 1:
            self._emit(f"{columns[0][0]} = {text}{note}", indent)
            return
        self._emit(f"{key} = {text}", indent)
        sizes = [" + ".join(self.nodes[k].size for k in members) for _, members in columns]
        names = ", ".join(name for name, _ in columns)
        even = len({*sizes}) == 1
        cut = f"chunk({len(columns)}, -1)" if even else f"split([{', '.join(sizes)}], -1)"
        self._emit(f"{names} = {key}.{cut}{note}", indent)

    def _sliced(self, group: Group) -> str:
        return f"a{self.program.groups.index(group)}_t"

    def _open_loop(self) -> None:
        inside = {k for p in self.pieces for k in p.leaves}
        read = {a for n in self.nodes if n.region == "step" for a in n.args}
        read |= {*self.program.updates}
        rows = {
            k: self.names[k] for k in sorted(read - inside) if self.nodes[k].region == "sequence"
        }
        unbound = {f"{name}_t": name for name in rows.values()}
        unbound |= {self._sliced(p.group): self._sliced(p.group)[:-2] for p in self.pieces}
        self.names |= {k: f"{name}_t" for k, name in rows.items()}
        for n in range(len(self.program.states)):
            self._emit(f"s{n} = state[{n}]")
        self._emit("outputs = []")
        sources = [f"{name}.unbind(0)" for name in unbound.values()]
        if len(sources) == 1:
            self._emit(f"for {', '.join(unbound)} in {sources[0]}:")
        elif sources:
            self._emit(f"for {', '.join(unbound)} in zip({', '.join(sources)}, strict=True):")
        else:
            self._emit("for _ in range(x.shape[0]):")


class PlainLoop(nn.Module):
    """One layer of a cell as an eager loop over time, called like `odyssey.RNN`.

    Args:
        cell: A cell with a time loop.
        input_size: Size I of the input.
        hidden_size: Number of units H.
        dtype: Type of the parameters; torch's default if None.

    Attributes:
        source: The Python function, for reading.
        stacks: Stacked parameter -> the cell's parameters that it holds, in order.
    """

    def __init__(
        self, cell: Cell, input_size: int, hidden_size: int, *, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        program = lower(cell)
        assert any(n.region == "step" for n in program.nodes), "a loop needs a recurrence"
        assert not program.inputs, "it reads x alone"
        self.input_size, self.hidden_size, self.program = input_size, hidden_size, program
        writer = _Writer(program)
        self.source = writer.write()
        self.stacks: Mapping[str, tuple[str, ...]] = writer.stacks
        space: dict[str, Any] = {"torch": torch, "functional": functional}
        exec(compile(self.source, f"<handwritten {cell.name}>", "exec"), space)
        self._layer: Callable[..., tuple[Tensor, State]] = space["layer"]
        self.p = nn.ParameterDict()
        for stack, names in self.stacks.items():
            shapes = [program.shape(n, input_size, hidden_size) for n in names]
            rows = sum(s[0] for s in shapes)
            self.p[stack] = nn.Parameter(torch.zeros(rows, *shapes[0][1:], dtype=dtype))

    @torch.no_grad()
    def copy_from(self, rnn: RNN) -> None:
        """Takes the parameters of the first layer of a module of the same cell and sizes."""
        values = rnn.layer_parameters()[0]
        for stack, names in self.stacks.items():
            self.p[stack].copy_(torch.cat([values[n] for n in names]))

    def gradients(self) -> dict[str, Tensor]:
        """Gives the gradients by the cell's own parameter names."""
        found: dict[str, Tensor] = {}
        for stack, names in self.stacks.items():
            gradient = self.p[stack].grad
            assert gradient is not None, "backward comes first"
            sizes = [self.program.shape(n, self.input_size, self.hidden_size)[0] for n in names]
            found |= dict(zip(names, gradient.split(sizes), strict=True))
        return found

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Runs the loop over x (T, B, I); gives the output (T, B, H) and the final states (B, H).

        Args:
            x: The input.
            state: One (B, H) tensor a state; zeros if None.
        """
        if state is None:
            zeros = x.new_zeros(x.shape[1], self.hidden_size)
            state = (zeros,) * len(self.program.states)
        return self._layer(x, state, dict(self.p.items()), self.input_size, self.hidden_size)
