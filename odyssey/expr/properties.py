"""Properties of weights: what is made of the numbers that are trained before they are used.

`weight U : orthogonal` trains any matrix and uses an orthogonal one made of it. Each row of the
table is one function, written for NumPy and torch alike: it is given the module of either (`xp`)
and an array whose last axes are those of the weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.errors import ConfigError

_WRITTEN = re.compile(r"([a-z]+)(?:\((\d+)\))?\Z")
MAX_HEADS = 1_024


@dataclass(frozen=True, kw_only=True)
class Property:
    """One row of the table.

    Attributes:
        name: Name in cell text.
        about: What the weight is, in a line.
        make: Makes it: `(xp, raw, number)`, where number is the argument, or 1.
        torch: The same in torch alone, of the tensor `raw` and of `number`: an expression, or the
            lines of a body. Empty where there is none: then a cell with it does not go there.
        counted: Whether it takes a number, as `heads(4)`.
        matrix: Whether it is for matrices alone.
        square: Whether the matrix must be square.
        trained: Whether the numbers are trained.
    """

    name: str
    about: str
    make: Callable[[Any, Any, int], Any]
    torch: str = ""
    counted: bool = False
    matrix: bool = True
    square: bool = False
    trained: bool = True


def _turned(raw: Any) -> Any:
    return raw.swapaxes(-1, -2)


def _cayley(xp: Any, raw: Any, number: int) -> Any:
    """(I - S)^-1 (I + S) with S antisymmetric (Helfrich et al. 2018)."""
    del number
    ones = xp.ones_like(raw)
    identity = xp.tril(ones) - xp.tril(ones, -1)
    skew = (raw - _turned(raw)) / 2
    return xp.linalg.solve(identity - skew, identity + skew)


def _blocks(xp: Any, raw: Any, number: int) -> Any:
    """Puts the blocks (R, C / number), one below the other, on the diagonal of a matrix."""
    wide = xp.concatenate([raw] * number, -1)
    ones = xp.ones_like(wide)
    row, column = ones.cumsum(-2) - 1, ones.cumsum(-1) - 1
    rows, columns = wide.shape[-2:]
    same = xp.floor(row * number / rows) == xp.floor(column * number / columns)
    return wide * same


PROPERTIES: dict[str, Property] = {
    row.name: row
    for row in (
        Property(
            name="frozen",
            about="not trained",
            make=lambda xp, raw, number: raw,
            torch="raw.detach()",
            matrix=False,
            trained=False,
        ),
        Property(
            name="nonnegative",
            about="its absolute values",
            make=lambda xp, raw, number: abs(raw),
            torch="raw.abs()",
            matrix=False,
        ),
        Property(
            name="orthogonal",
            about="orthogonal: Cayley's map of its antisymmetric part",
            make=_cayley,
            torch="""\
one = torch.eye(len(raw)).to(raw)
skew = (raw - raw.mT) / 2
return torch.linalg.solve(one - skew, one + skew)
""",
            square=True,
        ),
        Property(
            name="symmetric",
            about="(M + M.T) / 2",
            make=lambda xp, raw, number: (raw + _turned(raw)) / 2,
            torch="(raw + raw.mT) / 2",
            square=True,
        ),
        Property(
            name="antisymmetric",
            about="M - M.T",
            make=lambda xp, raw, number: raw - _turned(raw),
            torch="raw - raw.mT",
            square=True,
        ),
        Property(
            name="lower",
            about="zero above the diagonal: unit n reads units up to n",
            make=lambda xp, raw, number: xp.tril(raw),
            torch="raw.tril()",
        ),
        Property(
            name="heads",
            about="block-diagonal, of so many blocks; only they are stored",
            make=_blocks,
            torch="torch.block_diag(*raw.chunk(number))",
            counted=True,
        ),
    )
}


def read(written: str) -> tuple[Property, int]:
    """Gives the row and the number of a property as cell text has it.

    Raises:
        ValueError: It is none.
    """
    match = _WRITTEN.match(written)
    row = PROPERTIES.get(match[1]) if match else None
    if match is None or row is None or row.counted != (match[2] is not None):
        raise ValueError(f"{written[:40]!r} is no property of a weight")
    number = int(match[2] or 1)
    if not 1 <= number <= MAX_HEADS:
        raise ValueError(f"{written}: a number from 1 to {MAX_HEADS:,} is expected")
    return row, number


def stored_shape(shape: tuple[int, ...], properties: Sequence[str]) -> tuple[int, ...]:
    """Gives the shape of the numbers that are stored for a weight of a shape.

    Raises:
        ConfigError: The blocks of `heads` do not fit it.
    """
    for written in properties:
        row, number = read(written)
        if row.counted:
            if shape[0] % number or shape[1] % number:
                raise ConfigError(f"{written} does not divide a matrix of shape {shape}")
            shape = (shape[0], shape[1] // number)
    return shape


def apply_properties(xp: Any, raw: Any, properties: Sequence[str]) -> Any:
    """Makes a weight of what is stored for it.

    Args:
        xp: `numpy` or `torch`.
        raw: Arrays or tensors of the stored shape in the last axes.
        properties: As cell text has them, applied in order.
    """
    for written in properties:
        row, number = read(written)
        raw = row.make(xp, raw, number)
    return raw
