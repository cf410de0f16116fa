"""Runs what `source.py` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odyssey.compiler.backends.base import Backend, Layer
from odyssey.compiler.backends.eager.operations import gather, one_hot, product, units_of
from odyssey.compiler.backends.eager.source import write_before_loop, write_layer
from odyssey.expr.program import Program


@dataclass(frozen=True)
class _EagerLayer:
    source: str
    function: Callable[..., Any]

    def __call__(
        self, x: Any, state: Any, parameters: Any, mask: Any, sizes: Any, further: Any = ()
    ) -> Any:
        return self.function(x, state, parameters, mask, *sizes[:2], further)


def _compile(program: Program, source: str, name: str) -> Callable[..., Any]:
    called = {f.__name__: f for f in (gather, product, one_hot, units_of)}
    space: dict[str, Any] = {"torch": torch, **called}
    exec(compile(source, f"<odyssey eager {program.name}>", "exec"), space)
    function: Callable[..., Any] = space[name]
    return function


def _build(program: Program, *, population: bool, masked: bool) -> Layer:
    """Builds the layer's function from its generated source."""
    source = write_layer(program, population=population, masked=masked)
    return _EagerLayer(source=source, function=_compile(program, source, "layer"))


def build_before_loop(
    program: Program,
    values: Sequence[int],
    operands: Sequence[int],
    *,
    population: bool,
    masked: bool,
) -> Callable[..., list[Tensor]]:
    """Builds a function of values from before the loop, for a backend with a loop of its own.

    Args:
        program: The program.
        values: Numbers of the values; those that are the same in all steps lead with P alone.
        operands: Numbers of values that products read: with zeros where a member has no units.
        population: Whether tensors lead with P.
        masked: Whether members may have fewer units than the tensors.

    Returns:
        A function of x, the parameters by name, the mask, I, H and the further inputs that gives
        values, then operands.
    """
    source = write_before_loop(program, values, operands, population=population, masked=masked)
    return _compile(program, source, "before")


EAGER = Backend(language="python", supports=lambda program: "", build=_build)
