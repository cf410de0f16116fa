"""The hyperparameters of a member: one row each, which every room reads.

A row says what a study's space may hold, what a member takes where nobody says anything, which
column of the records it fills, on which scale it is drawn and judged, and what people call it. To
add one: a row here, and the place in `odyssey.training` where it acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odyssey.errors import ConfigError, suggest
from odyssey.ranges import Range

LINEAR, LOG, LOG_ONE_MINUS = "linear", "log", "log of one minus"  # scales


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """One row.

    Attributes:
        name: Its name in studies, flags and columns.
        range: What it may be.
        default: Its value where nobody says one; None leaves it out.
        single: What a single training takes where nobody says one; None takes the default.
        scale: How it is usually drawn: evenly on this scale, on which its importance is judged.
        label: Its name on axes.
        meaning: What it is, in help texts and of its column.
        missing: What it means that it has no value.
    """

    name: str
    range: Range
    default: Any = None
    single: Any = None
    scale: str = LINEAR
    label: str
    meaning: str
    missing: str = ""

    def check(self, name: str, value: object) -> None:
        """Raises `ConfigError` unless it may have the value."""
        if value is not None or self.default is not None:
            self.range.check(name, value)

    @property
    def about(self) -> str:
        """Describes its column."""
        return f"{self.meaning}; NaN: {self.missing}" if self.missing else self.meaning

    @property
    def dtype(self) -> str:
        """The type of its column: whole numbers that may be missing are floats there."""
        return "int64" if self.range.kind is int and self.default is not None else "float64"


_ROWS = (
    Hyperparameter(
        name="learning_rate",
        range=Range(float, 0, 1e6, above=True),
        default=0.002,
        single=0.003,
        scale=LOG,
        label="learning rate",
        meaning="learning rate",
    ),
    Hyperparameter(
        name="hidden_size",
        range=Range(int, 1, 65_536),
        default=64,
        single=128,
        scale=LOG,
        label="hidden units per layer",
        meaning="units per layer",
    ),
    Hyperparameter(
        name="parameters",
        range=Range(int, 1, 10_000_000_000),
        scale=LOG,
        label="parameters",
        meaning="parameters wanted, embedding and readout included",
        missing="hidden_size was given",
    ),
    Hyperparameter(
        name="num_layers",
        range=Range(int, 1, 100),
        default=1,
        single=1,
        label="layers",
        meaning="layers",
    ),
    Hyperparameter(
        name="momentum",
        range=Range(float, 0, 1, below=True),
        default=0.0,
        single=0.0,
        scale=LOG_ONE_MINUS,
        label="momentum",
        meaning="momentum of sgd",
    ),
    Hyperparameter(
        name="weight_decay",
        range=Range(float, 0, 1e6),
        scale=LOG,
        label="weight decay",
        meaning="share of the weights, times the learning rate, that an update takes away",
        missing="the optimizer's own, 0.01 of adamw and 0 of others",
    ),
    Hyperparameter(
        name="warmup",
        range=Range(int, 0, 1_000_000_000),
        label="updates of the warm-up",
        meaning="updates over which the learning rate rises",
        missing="the schedule's own, 3 tenths of all of one_cycle and none of others",
    ),
    Hyperparameter(
        name="final_rate",
        range=Range(float, 0, 1e6),
        label="final learning rate (share)",
        meaning="share of the learning rate that a schedule leaves at the end",
        missing="the schedule's own, 0 of cosine and linear, 4e-6 of one_cycle",
    ),
    Hyperparameter(
        name="ema_decay",
        range=Range(float, 0, 1, below=True),
        default=0.0,
        single=0.0,
        scale=LOG_ONE_MINUS,
        label="decay of averaged weights",
        meaning="weight of the past in the running average of weights that is measured; 0: none",
    ),
    Hyperparameter(
        name="input_noise",
        range=Range(float, 0, 1e6),
        default=0.0,
        single=0.0,
        label="input noise (std)",
        meaning="standard deviation of Gaussian noise on the one-hot inputs in training",
    ),
    Hyperparameter(
        name="dropout",
        range=Range(float, 0, 1, below=True),
        default=0.0,
        single=0.0,
        label="dropout",
        meaning="probability that an output of a layer is dropped in training",
    ),
    Hyperparameter(
        name="input_dropout",
        range=Range(float, 0, 1, below=True),
        default=0.0,
        single=0.0,
        label="input dropout",
        meaning="probability that an input is dropped in training",
    ),
    Hyperparameter(
        name="recurrent_dropout",
        range=Range(float, 0, 1, below=True),
        default=0.0,
        single=0.0,
        label="recurrent dropout",
        meaning="probability that what recurrent maps read is dropped in training, for an update",
    ),
    Hyperparameter(
        name="drop_connect",
        range=Range(float, 0, 1, below=True),
        default=0.0,
        single=0.0,
        label="DropConnect",
        meaning="probability that a recurrent weight is dropped in training, for an update",
    ),
    Hyperparameter(
        name="zoneout",
        range=Range(float, 0, 1, below=True),
        default=0.0,
        single=0.0,
        label="zoneout",
        meaning="probability that a unit of a state keeps its value in a step, in training",
    ),
    Hyperparameter(
        name="init_scale",
        range=Range(float, 0, 1_000),
        default=1.0,
        single=1.0,
        scale=LOG,
        label="initial scale",
        meaning="scale of the initial weights",
    ),
    Hyperparameter(
        name="clip_norm",
        range=Range(float, 0, 1e12),
        single=5.0,
        scale=LOG,
        label="largest gradient norm",
        meaning="largest norm of the gradient, or 0",
        missing="not clipped",
    ),
    Hyperparameter(
        name="clip_value",
        range=Range(float, 0, 1e12),
        scale=LOG,
        label="largest gradient element",
        meaning="largest size of a gradient element, or 0",
        missing="not clipped",
    ),
    Hyperparameter(
        name="forget_bias",
        range=Range(float, -1e6, 1e6),
        label="initial forget bias",
        meaning="initial bias of the gate f",
        missing="the cell's own",
    ),
)

HYPERPARAMETERS: dict[str, Hyperparameter] = {row.name: row for row in _ROWS}
_ANY_NUMBER = Range(float, -1e30, 1e30)
OF_CELL = "cell."
"""Before the name of a constant or a size of the cell, wherever a hyperparameter is named."""


@dataclass(frozen=True, kw_only=True)
class CellSetting(Hyperparameter):
    """The row of a constant or a size of cells, which no table knows: `cell.dt`, `cell.R`.

    It may be a number, or of a size a share of the units, `H / 4`; the cell judges it.
    """

    range: Range = _ANY_NUMBER
    meaning: str = "constant or size of the cell; of a size the number that it comes to"
    missing: str = "the cell has none, or its spec sets it"

    def check(self, name: str, value: object) -> None:
        """Raises `ConfigError` for what is neither a number nor a text."""
        if not isinstance(value, str):
            self.range.check(name, value)


def row_of(name: str) -> Hyperparameter | None:
    """Gives the row of a hyperparameter, of the table or of a cell; None for any other name."""
    if name.startswith(OF_CELL):
        return CellSetting(name=name, label=name.removeprefix(OF_CELL))
    return HYPERPARAMETERS.get(name)


SINGLE: dict[str, Any] = {r.name: r.single for r in _ROWS if r.single is not None}
"""What a single training takes where neither its user nor a preset says anything."""

SEEDS = Range(int, 0, 2**63 - 1)


@dataclass(frozen=True, init=False)
class Member:
    """One member of a population; its hyperparameters are attributes: `member.learning_rate`.

    Attributes:
        member: Its number: the same number has the same draw and data for every cell.
        seed: Seed of its initial weights, data order and noise.
        values: A value of every hyperparameter.
        settings: Constants and sizes of the cell that are its own, by their names there.
    """

    member: int
    seed: int
    values: Mapping[str, Any]
    settings: Mapping[str, float | str]

    def __init__(self, member: int, seed: int, **values: Any) -> None:
        known = {"member", "seed", *HYPERPARAMETERS}
        settings = {}
        for name, value in values.items():
            row = row_of(name)
            if row is None:
                raise ConfigError(suggest(name, known, what="hyperparameter"))
            if isinstance(row, CellSetting):
                row.check(name, value)
                settings[name.removeprefix(OF_CELL)] = value
        every = {name: values.get(name, row.default) for name, row in HYPERPARAMETERS.items()}
        for name, value in every.items():
            HYPERPARAMETERS[name].check(name, value)
        SEEDS.check("seed", seed)
        fields = {"member": member, "seed": seed, "values": every, "settings": settings}
        for name, field in fields.items():
            object.__setattr__(self, name, field)

    def __getattr__(self, name: str) -> Any:
        if name in HYPERPARAMETERS:
            return self.values[name]
        raise AttributeError(name)

    def replace(self, **values: Any) -> Member:
        """Gives a copy with other values of some hyperparameters."""
        settings = {OF_CELL + name: value for name, value in self.settings.items()}
        return Member(self.member, self.seed, **{**self.values, **settings, **values})
