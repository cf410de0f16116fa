"""Streams of dropout masks, one for every member of a population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from odyssey.hyperparameters import Member
from odyssey.training.seeds import stream


class Masks:
    """Draws the masks of one kind of dropout, each member's from a stream of its own.

    Args:
        members: The members.
        kind: Name of the streams.
        dtype: Type of the masks, which are on the CPU.
    """

    def __init__(self, members: Sequence[Member], kind: str, dtype: torch.dtype) -> None:
        self.kind, self.dtype = kind, dtype
        self._generators = [
            torch.Generator().manual_seed(int(stream(m.seed, kind).integers(2**62)))
            for m in members
        ]

    def draw(self, member: int, shape: tuple[int, ...], p: float) -> Tensor:
        """Draws a mask: 0 with probability p, and otherwise 1 / (1 - p).

        Args:
            member: Number of the member.
            shape: Shape of the mask.
            p: The probability, below 1; where it is 0 nothing is drawn.
        """
        if not p:
            return torch.ones(shape, dtype=self.dtype)
        drawn = torch.rand(shape, generator=self._generators[member], dtype=self.dtype)
        return (drawn >= p) / (1 - p)

    def state(self) -> dict[str, Any]:
        """Gives the state of all streams, as arrays."""
        states = (g.get_state().numpy() for g in self._generators)
        return {f"{self.kind}_{k}": state for k, state in enumerate(states)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sets all streams to what `state` gave; those of which it knows nothing stay."""
        for k, generator in enumerate(self._generators):
            if (own := state.get(f"{self.kind}_{k}")) is not None:
                generator.set_state(torch.from_numpy(own.copy()))
