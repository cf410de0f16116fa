"""What runs before the loop, in torch: it is large operations already, and autograd knows them.

Products that only the loop reads are computed by its own tiles, block by block; others go to torch.
Class indices never become vectors: their rows of the weight table, bias included, are read by the
loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from odyssey.compiler.backends.eager import gather, one_hot, product
from odyssey.compiler.backends.native.plan import Stack
from odyssey.compiler.program import Node, Program
from odyssey.expr.functions import PRIMITIVES

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
}


def functions(program: Program) -> dict[str, Callable[..., Tensor]]:
    """Gives the primitives of a program in torch by name."""
    used = {n.op for n in program.nodes if n.region != "step"}
    return {name: _function(name) for name in used & PRIMITIVES.keys()}


def _function(name: str) -> Callable[..., Tensor]:
    """Makes the function of what a row says, a name or an expression; see `Primitive.torch`."""
    row = PRIMITIVES[name]
    arguments = ("a", "b")[: row.arity]
    text = row.torch if "{0}" in row.torch else f"{row.torch}({', '.join(arguments)})"
    source = f"lambda {', '.join(arguments)}: {text.format(*arguments)}"
    found: Callable[..., Tensor] = eval(source, {"torch": torch})
    return found


class BeforeLoop:
    """Computes the values of the `once` and `sequence` regions of one call."""

    def __init__(
        self,
        program: Program,
        x: Tensor,
        parameters: Mapping[str, Tensor],
        mask: Tensor | None,
        *,
        input_size: int,
        population: bool,
        skip: set[int],
        functions: Mapping[str, Callable[..., Tensor]],
    ) -> None:
        self.program, self.x, self.parameters, self.mask = program, x, parameters, mask
        self.input_size, self.population, self.functions = input_size, population, functions
        self.values: dict[int, Any] = {}
        self.divides = any(n.op == "div" for n in program.nodes)
        groups = {r: g for g in program.groups for r in g.results}
        for k, node in enumerate(program.nodes):
            if node.region == "step" or k in skip or k in self.values or node.op == "input":
                continue
            if node.op == "constant":
                self.values[k] = node.value
            elif node.op == "vector":
                self.values[k] = parameters[node.name]
            elif node.op == "matmul":
                results = tuple(r for r in groups[k].results if r not in skip)
                y = self._product(groups[k].operand, results, groups[k].region)
                sizes = [parameters[program.nodes[r].name].shape[-2] for r in results]
                self.values.update(zip(results, torch.split(y, sizes, -1), strict=True))
            else:
                self.values[k] = self._apply(node)

    def _stacked(self, names: list[str]) -> Tensor:
        parts = [self.parameters[n] for n in names]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -2)

    def dense(self) -> Tensor:
        """Gives the input as vectors."""
        if self.x.is_floating_point():
            return self.x
        return one_hot(self.x, self.input_size, next(iter(self.parameters.values())))

    def _value(self, k: int, *, region: str) -> Any:
        node = self.program.nodes[k]
        if node.op == "input":
            return self.dense()
        value = self.values[k]
        if self.population and region == "sequence" and node.region == "once":
            return value if node.op == "constant" else value[:, None, None]
        return value

    def whole(self) -> Tensor:
        """Gives the program's output where it is a value from before the loop."""
        value: Tensor = self._value(self.program.output, region="sequence")
        return value

    def _apply(self, node: Node) -> Any:
        args = [self._value(a, region=node.region) for a in node.args]
        if node.op in _ARITHMETIC:
            return _ARITHMETIC[node.op](*args)
        if len(args) == 2:  # minimum and maximum take no numbers
            like = next(a for a in args if isinstance(a, Tensor))
            args = [a if isinstance(a, Tensor) else torch.full_like(like, a) for a in args]
        return self.functions[node.op](*args)

    def _unit(self, region: str) -> Tensor:
        assert self.mask is not None
        return self.mask if region == "once" else self.mask[:, None, None]

    def _masks(self, k: int) -> bool:
        node = self.program.nodes[k]
        sized = node.size == "H" or (node.size == "I" and self.program.square)
        return self.mask is not None and sized and node.op != "input"

    def _operand(self, k: int, region: str) -> Tensor:
        value: Tensor = self._value(k, region=self.program.nodes[k].region)
        if self._masks(k):
            value = torch.where(self._unit(region), value, value.new_zeros(()))
        return value

    def _product(self, operand: int, results: tuple[int, ...], region: str) -> Tensor:
        weight = self._stacked([self.program.nodes[r].name for r in results])
        if self.program.nodes[operand].op == "input" and not self.x.is_floating_point():
            y = gather(self.x, weight)
        else:
            value = self._operand(operand, region)
            if self.population and region == "once":
                y = torch.bmm(weight, value.unsqueeze(-1)).squeeze(-1)
            else:
                y = product(value, weight)
        if self.divides and all(self._masks(r) for r in results):
            # 1/0 in a unit that a member lacks gives NaN, and NaN * 0 is NaN on the way back
            unit = self._unit(region)
            tiled = torch.cat([unit] * len(results), -1)
            y = torch.where(tiled, y, y.new_zeros(()))
        return y

    def tensors(self, stack: Stack) -> list[Tensor]:
        """Gives what the loop reads of a stack: rows; or vectors, and the matrices and biases that
        make rows of them; without the vectors where class indices take columns of the matrices."""
        if not stack.results:
            return [self._value(stack.leaves[0], region="sequence")]
        nodes = self.program.nodes
        weights = [self.parameters[nodes[r].name] for r in stack.results]
        biases = [self.values[b] for b in stack.biases if b is not None]
        if nodes[stack.operand].op == "input" and not self.x.is_floating_point():
            return [*weights, *biases]
        return [self._operand(stack.operand, "sequence"), *weights, *biases]
