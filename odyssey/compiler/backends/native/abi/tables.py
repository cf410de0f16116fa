"""Tables of the fields of C structures: each structure is written down once, as one of these.

A table writes the text of the C structure and says how long the memory of each field is;
`structures.py` fills it. Sizes are sums of names, as ("H", "H", "I"); `lengths` give their values
for one call. The names are P members, T steps, B batch rows, I input, H units of the largest
member, N steps of a block, D one more, K kept steps, S one more; and what a table's owner adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch

Size = tuple[str, ...]
_DTYPES = {"long": torch.int64, "double": torch.float64, "unsigned char": torch.bool}


@dataclass(frozen=True)
class Field:
    """One field of a C structure.

    Attributes:
        name: Its name.
        type: What it points to in C, with `const`; for a number the type of the number.
        note: What it is, for a comment.
        shape: Sizes of the tensor, of one member where there is one structure a member; None for a
            number.
        role: `input` and `output` are tensors of the caller's, `work` lives for one call, `kept`
            from a forward call to its backward call, `number` is no pointer.
        calls: The calls that read or write it: `f`, `b` or both; in others it is null.
        way: Only where a stack's rows are taken by an index (`index`) or computed from vectors
            (`dense`); always if empty.
        stack: The stack that `way` speaks of.
        optional: Whether it may be null.
        pads: Whether the first size is rounded up to whole tiles.
        apart: Whether members may lie at any distance, given by a number of its own, also at none:
            only what one member has must be row-major.
        zeros: When an output must be zero before the call: `always`, `ragged` where members have
            fewer units than H, or never.
    """

    name: str
    type: str
    note: str = ""
    shape: tuple[Size, ...] | None = None
    role: str = "input"
    calls: str = "fb"
    way: str = ""
    stack: int = -1
    optional: bool = False
    pads: bool = False
    apart: bool = False
    zeros: str = ""

    @property
    def text(self) -> str:
        """The declaration in C."""
        star = "" if self.role == "number" else "*"
        note = f" /* {self.note} */" if self.note else ""
        return f"  {self.type} {star}{self.name};{note}"

    def dtype(self, real: torch.dtype) -> torch.dtype:
        """The type of its tensor."""
        return {**_DTYPES, "real": real}[self.type.removeprefix("const ")]


@dataclass(frozen=True)
class Table:
    """The fields of a structure in the order in which they lie."""

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        seen: set[tuple[str, str]] = set()
        for field in self.fields:
            keys = {(field.name, way) for way in ([field.way] if field.way else ["index", "dense"])}
            assert not keys & seen, f"field {field.name} stands twice in a table"
            seen |= keys

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order; a field that two ways share is one."""
        return tuple(dict.fromkeys(f.name for f in self.fields))

    @property
    def text(self) -> str:
        """The declarations in C."""
        texts = {f.name: f.text for f in reversed(self.fields)}
        return "\n".join(texts[name] for name in self.names)

    def of(self, call: str, indexed: frozenset[int] = frozenset()) -> dict[str, Field]:
        """Gives the fields of one kind of call by name.

        Args:
            call: `f` or `b`.
            indexed: The stacks whose rows are taken by an index.
        """
        return {
            f.name: f
            for f in self.fields
            if call in f.calls and (not f.way or (f.way == "index") == (f.stack in indexed))
        }


PRODUCTS = Field("products", "const struct products *", "what all cells share", role="number")
"""The address of the functions that all cells share; see `source.shared`."""


def length(size: Size, lengths: Mapping[str, int]) -> int:
    """Gives the value of a size."""
    return sum(lengths[name] for name in size)


def counts(
    fields: Mapping[str, Field],
    role: str,
    lengths: Mapping[str, int],
    *,
    pad: Callable[[int], int] | None = None,
) -> dict[str, int]:
    """Gives how many numbers each field of a role has, of one member.

    Args:
        fields: Those of one kind of call, see `Table.of`.
        role: `kept` or `work`.
        lengths: Values of the sizes.
        pad: Rounds the first size of a field that `pads`; left as it is if None.
    """
    numbers: dict[str, int] = {}
    for name, field in fields.items():
        if field.role == role:
            shape = [length(size, lengths) for size in field.shape or ()]
            if pad and field.pads:
                shape[0] = pad(shape[0])
            numbers[name] = prod(shape)
    return numbers
