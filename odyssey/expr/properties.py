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
from odyssey.expr.given import exponential

Shape = tuple[int, ...]

_WRITTEN = re.compile(r"([a-z_]+)(?:\((\d+)\))?\Z")
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
        stored: Gives the shape of what is stored, from that of the weight and the number.
        stored_torch: The same as text: {0} and {1} are the sizes of the weight, {2} is the number.
    """

    name: str
    about: str
    make: Callable[[Any, Any, int], Any]
    torch: str = ""
    counted: bool = False
    matrix: bool = True
    square: bool = False
    trained: bool = True
    stored: Callable[[Shape, int], Shape] = lambda shape, number: shape
    stored_torch: tuple[str, str] = ("{0}", "{1}")


def _turned(raw: Any) -> Any:
    return raw.swapaxes(-1, -2)


def _skew(raw: Any) -> Any:
    return (raw - _turned(raw)) / 2


def _identity(xp: Any, like: Any) -> Any:
    ones = xp.ones_like(like)
    return xp.tril(ones) - xp.tril(ones, -1)


def _cayley(xp: Any, skew: Any) -> Any:
    """(I - S)^-1 (I + S) with S antisymmetric (Helfrich et al. 2018)."""
    identity = _identity(xp, skew)
    return xp.linalg.solve(identity - skew, identity + skew)


def _rotation(xp: Any, raw: Any, number: int) -> Any:
    """exp(S) with S antisymmetric (Lezcano-Casado & Martinez-Rubio 2019)."""
    del number
    found = getattr(xp.linalg, "matrix_exp", exponential)  # NumPy has none
    return found(_skew(raw))


def _reflections(xp: Any, raw: Any, number: int) -> Any:
    """H(u_1) ... H(u_m) with H(u) = I - 2 u u^T / u^T u, where u_k begins with k - 1 zeros.

    The product is I - V S^-1 V^T, where V has the u_k for columns, and S is the upper triangle of
    V^T V with half its diagonal (Joffrain et al. 2006; the vectors are those of Mhammedi et al.
    2017).
    """
    del number
    vectors = xp.tril(raw)
    inner = _turned(vectors) @ vectors
    half = xp.tril(xp.triu(inner)) / 2
    whole = vectors @ xp.linalg.solve(xp.triu(inner, 1) + half, _turned(vectors))
    return _identity(xp, whole) - whole


def _unitary(xp: Any, raw: Any, number: int) -> Any:
    """Cayley's map of an antisymmetric matrix that commutes with i, real parts above imaginary."""
    del number

    def times_i(matrix: Any) -> Any:
        half = matrix.shape[-2] // 2
        return xp.concatenate([-matrix[..., half:, :], matrix[..., :half, :]], -2)

    skew = _skew(raw)
    return _cayley(xp, (skew + times_i(_turned(times_i(_turned(skew))))) / 2)


def _even(shape: Shape, number: int) -> Shape:
    del number
    if shape[0] % 2:
        raise ConfigError(f"unitary takes an even number of rows, not a matrix of shape {shape}")
    return shape


def _divided(shape: Shape, number: int) -> Shape:
    if shape[0] % number or shape[1] % number:
        raise ConfigError(f"heads({number}) does not divide a matrix of shape {shape}")
    return shape[0], shape[1] // number


def _block_numbers(xp: Any, like: Any, number: int) -> tuple[Any, Any]:
    """Gives for each number of a matrix in which of so many blocks of rows and columns it is."""
    ones = xp.ones_like(like)
    rows, columns = like.shape[-2:]
    row, column = ones.cumsum(-2) - 1, ones.cumsum(-1) - 1
    return xp.floor(row * number / rows), xp.floor(column * number / columns)


def _upper_blocks(xp: Any, raw: Any, number: int) -> Any:
    row, column = _block_numbers(xp, raw, number)
    return raw * (row <= column)


def _blocks(xp: Any, raw: Any, number: int) -> Any:
    """Puts the blocks (R, C / number), one below the other, on the diagonal of a matrix."""
    wide = xp.concatenate([raw] * number, -1)
    row, column = _block_numbers(xp, wide, number)
    return wide * (row == column)


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
            make=lambda xp, raw, number: _cayley(xp, _skew(raw)),
            torch="""\
one = torch.eye(len(raw)).to(raw)
skew = (raw - raw.mT) / 2
return torch.linalg.solve(one - skew, one + skew)
""",
            square=True,
        ),
        Property(
            name="rotation",
            about="orthogonal: the exponential of its antisymmetric part",
            make=_rotation,
            torch="torch.linalg.matrix_exp((raw - raw.mT) / 2)",
            square=True,
        ),
        Property(
            name="reflections",
            about="orthogonal: a product of so many reflections, whose vectors are stored",
            make=_reflections,
            torch="""\
vectors = raw.tril()
inner = vectors.mT @ vectors
half = inner.triu(1) + inner.diagonal().diag() / 2
return torch.eye(len(raw)).to(raw) - vectors @ torch.linalg.solve(half, vectors.mT)
""",
            counted=True,
            square=True,
            stored=lambda shape, number: (shape[0], min(number, shape[1])),
            stored_torch=("{0}", "min({2}, {1})"),
        ),
        Property(
            name="unitary",
            about="unitary, of half as many complex units, real parts above imaginary ones",
            make=_unitary,
            torch="""\
one = torch.eye(len(raw)).to(raw)
turn = one.roll(len(raw) // 2, 0)
turn[: len(raw) // 2] *= -1
skew = (raw - raw.mT) / 2
skew = (skew + turn @ skew @ turn.mT) / 2
return torch.linalg.solve(one - skew, one + skew)
""",
            square=True,
            stored=_even,
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
            name="strictly_lower",
            about="zero on the diagonal and above",
            make=lambda xp, raw, number: xp.tril(raw, -1),
            torch="raw.tril(-1)",
        ),
        Property(
            name="upper_blocks",
            about="zero below the diagonal of so many blocks",
            make=_upper_blocks,
            torch="""\
row, column = (torch.arange(n, device=raw.device) * number // n for n in raw.shape)
return raw * (row[:, None] <= column)
""",
            counted=True,
        ),
        Property(
            name="heads",
            about="block-diagonal, of so many blocks; only they are stored",
            make=_blocks,
            torch="torch.block_diag(*raw.chunk(number))",
            counted=True,
            stored=_divided,
            stored_torch=("{0}", "{1} // {2}"),
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
        ConfigError: A property does not fit it, as the blocks of `heads`.
    """
    for written in properties:
        row, number = read(written)
        shape = row.stored(shape, number)
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
