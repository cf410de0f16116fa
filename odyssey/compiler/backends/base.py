"""What every backend provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from odyssey.expr.program import Program

State = tuple[Tensor, ...]
Sizes = tuple[int, int, tuple[int, ...]]


class Layer(Protocol):
    """Runs one layer over a whole sequence. Shapes lead with P when built for a population."""

    @property
    def source(self) -> str:
        """What was generated, for reading."""
        ...

    def __call__(
        self,
        x: Tensor,
        state: State,
        parameters: Mapping[str, Tensor],
        mask: Tensor | None,
        sizes: Sizes,
    ) -> tuple[Tensor, State]:
        """Runs the layer.

        Args:
            x: (T, B, I) of the parameters' dtype, or (T, B) int64 class indices; T > 0.
            state: One (B, H) tensor a state.
            parameters: Matrices (rows, columns) and vectors (n,) by name.
            mask: (P, H) bool, which units a member has; only when built with `masked`.
            sizes: Input size I, hidden size H and the units of each member.

        Returns:
            The output (T, B, H) and the state after the last step.
        """
        ...


Supports = Callable[[Program], str]


class Build(Protocol):
    """Builds a layer for a program."""

    def __call__(self, program: Program, *, population: bool, masked: bool) -> Layer:
        """Builds it; with `masked`, members may have fewer units than the tensors."""
        ...
