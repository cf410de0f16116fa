"""The parameters of one layer, as a module of its own: what torch hangs on modules acts on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from odyssey.errors import ConfigError
from odyssey.expr.properties import apply_properties, read, stored_shape


class Weights(nn.ParameterDict):
    """Holds a layer's parameters by name; a call gives them as they are to be used.

    A call runs the hooks of the module, and reads attributes: so parametrizations, pruning,
    spectral and weight norm of `torch.nn.utils` act on every backend.
    """

    __call__ = nn.Module.__call__  # which a ParameterDict refuses
    making: Mapping[str, Making] = MappingProxyType({})
    """What makes a parameter of the one that is stored, by name."""

    def forward(self) -> dict[str, Tensor]:
        """Gives the parameters by name.

        Raises:
            ConfigError: One is no longer there.
        """
        missing = [name for name in self if not hasattr(self, name)]
        if missing:
            raise ConfigError(f"the layer has lost its parameter {missing[0]!r}; build a new RNN")
        stored = {name: getattr(self, name) for name in self}
        return stored | {name: make(stored[name]) for name, make in self.making.items()}


@dataclass(frozen=True)
class Making:
    """Makes parameters of what is stored for them, by their properties in the cell.

    Attributes:
        properties: As cell text has them.
        shapes: For members of different sizes the shape of each, padding apart; else None.
        whole: The shape with padding.
    """

    properties: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...] | None
    whole: tuple[int, ...]

    def __call__(self, stored: Tensor) -> Tensor:
        """Makes (rows, columns) or (P, rows, columns), or (n,) or (P, n)."""
        if not all(read(p)[0].trained for p in self.properties):
            stored = stored.detach()
        if self.shapes is None:
            made: Tensor = apply_properties(torch, stored, self.properties)
            return made
        # blocks of a matrix lie elsewhere in members of other sizes
        members = []
        for raw, shape in zip(stored, self.shapes, strict=True):
            own = tuple(map(slice, stored_shape(shape, self.properties)))
            made = apply_properties(torch, raw[own], self.properties)
            padding = [
                n for a, b in zip(self.whole[::-1], shape[::-1], strict=True) for n in (0, a - b)
            ]
            members.append(nn.functional.pad(made, padding))
        return torch.stack(members)


def is_plain(weights: Weights) -> bool:
    """Says whether a call gives the parameters themselves, and nothing else happens in it."""
    return not weights.making and is_own(weights)


def is_own(weights: Weights) -> bool:
    """Says whether nobody from outside has parametrized, pruned or hooked the parameters."""
    return not hooked(weights) and all(name in weights._parameters for name in weights)


def hooked(weights: Weights) -> bool:
    """Says whether anything is to happen when the module is called."""
    return bool(
        weights._forward_pre_hooks
        or weights._forward_hooks
        or weights._backward_pre_hooks
        or weights._backward_hooks
        or _has_any_global_hook()  # type: ignore[no-untyped-call]
    )
