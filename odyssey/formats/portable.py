"""What leaves: a cell, its sizes and weights, and the model around it; plain data, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from odyssey.errors import ConfigError
from odyssey.expr.cell import Cell
from odyssey.expr.primitives import Array
from odyssey.expr.schemes import InitScheme
from odyssey.names import printable
from odyssey.tasks.signature import Condition

ENCODER = "conditioner."
"""How the names of the arrays of an encoder begin."""


@dataclass(frozen=True)
class Surroundings:
    """What a trained model has around its recurrent layers.

    Attributes:
        inputs: How many classes it reads, or how many numbers.
        classes: Whether it reads indices of classes, which are one-hot vectors.
        outputs: How many numbers the readout gives.
        arrays: `readout.weight`, `readout.bias` and, where inputs go through one, `embedding`
            (H, inputs).
        symbols: What the classes stand for, or nothing.
        places: Which numbers of a step are x, and which each further input of the cell, in
            declared order; empty where all are x.
        condition: What sequences are conditioned on, and how the layers read it; or None. The
            arrays of its encoder begin with `ENCODER`.
    """

    inputs: int
    classes: bool
    outputs: int
    arrays: Mapping[str, Array]
    symbols: tuple[str, ...] = ()
    places: tuple[tuple[int, ...], ...] = ()
    condition: Condition | None = None


@dataclass(frozen=True)
class Portable:
    """What is written.

    Attributes:
        cell: The cell.
        input_size: I; None where it is left open.
        hidden_size: H; None where it is left open.
        num_layers: Layers.
        stored: Weights of every layer as they are trained, or nothing.
        used: Weights of every layer as the equations read them: what their properties make of them.
        around: The model around the layers, or None.
        scheme: How weights without an `init` line start.
        notes: Where it comes from, a line each.
    """

    cell: Cell
    input_size: int | None = None
    hidden_size: int | None = None
    num_layers: int = 1
    stored: tuple[Mapping[str, Array], ...] = ()
    used: tuple[Mapping[str, Array], ...] = ()
    around: Surroundings | None = None
    scheme: InitScheme = field(default_factory=InitScheme)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cell's name, in one line."""
        return printable(self.cell.name)

    @property
    def arrays(self) -> dict[str, Array]:
        """All that is trained, by the names that it has in Odyssey and in what is written."""
        prefix = "rnn." if self.around else ""
        layers = {
            f"{prefix}layers.{n}.{name}": value
            for n, layer in enumerate(self.stored)
            for name, value in layer.items()
        }
        return {**(self.around.arrays if self.around else {}), **layers}

    def sizes(self) -> tuple[int, int]:
        """Gives I and H.

        Raises:
            ConfigError: One is left open.
        """
        if self.input_size is None or self.hidden_size is None:
            raise ConfigError(
                f"{self.name} has no sizes: say how many numbers it reads and how many units it has"
                " (--input N --hidden N)"
            )
        return self.input_size, self.hidden_size
