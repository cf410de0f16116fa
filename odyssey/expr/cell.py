"""The `Cell`: a recurrent cell's update equations, verified, and all that can be said of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, lru_cache

from odyssey.expr import canonical, fingerprint, identity, notation
from odyssey.expr.equations import Equations
from odyssey.expr.program import Program, prune, translate
from odyssey.expr.shapes import Shapes
from odyssey.expr.text import read_equations
from odyssey.expr.verify import Verified, after_past, verify, verify_renamed

_NAMELESS = ("canonical_text", "key", "fingerprint", "identity", "after_past")
"""What is worked out of a cell and does not depend on its name."""


@dataclass(frozen=True, repr=False)
class Cell(Equations):
    """A legal recurrent cell; building an illegal one raises `CellError`.

    Its fields are those of `Equations`.
    """

    def __reduce__(self) -> tuple[object, ...]:
        # sympy would rebuild sums and products evaluated, in an order of its own
        return _from_text, (self.text, self.lineage)

    def __post_init__(self) -> None:
        self.__dict__["verified"] = verify(self)

    @cached_property
    def verified(self) -> Verified:
        """What verification worked out: the cell's text and sizes."""
        return verify(self)

    @property
    def text(self) -> str:
        """The cell in the language's normal layout; `parse_cell` reads it back."""
        return self.verified.text

    @property
    def shapes(self) -> Shapes:
        """The sizes of all that the cell holds."""
        return self.verified.shapes

    @cached_property
    def program(self) -> Program:
        """The equations as straight-line code, before any pass of the compiler."""
        return translate(self, *self.verified)

    @cached_property
    def live(self) -> Program:
        """The part of `program` that the output depends on, through time."""
        return prune(self.program)

    @cached_property
    def canonical_text(self) -> str:
        """The canonical form: equal for cells that are the same up to names and algebra."""
        return canonical.canonical_text(self, self.verified)

    @cached_property
    def key(self) -> str:
        """The content key: sha256 of the canonical text, 64 hex digits."""
        return canonical.content_key(self.canonical_text)

    @cached_property
    def fingerprint(self) -> str:
        """The numeric fingerprint of the cell as a function, 16 hex digits."""
        return fingerprint.fingerprint(self.live)

    @cached_property
    def identity(self) -> tuple[str, str]:
        """Key and numeric fingerprint, initial values included in both.

        Two cells that agree in either are the same for a search: neither name, form nor, as far
        as numbers tell, algebra makes a difference.
        """
        return identity.identity(self.key, self.live, self.inits)

    @cached_property
    def after_past(self) -> frozenset[str]:
        """The labels of equations whose values depend on a state after the previous step."""
        return after_past(self)

    def renamed(
        self,
        name: str | None = None,
        *,
        lineage: tuple[str, ...] | None = None,
        citation: str | None = None,
    ) -> Cell:
        """Gives the cell with another name, lineage or citation; None leaves what there is.

        What a name cannot change is neither verified nor worked out again.

        Raises:
            CellError: The name or citation is not allowed.
        """
        new = object.__new__(Cell)
        said = {"name": name, "lineage": lineage, "citation": citation}
        new.__dict__.update({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})
        new.__dict__.update({k: value for k, value in said.items() if value is not None})
        new.__dict__.update({k: self.__dict__[k] for k in _NAMELESS if k in self.__dict__})
        new.__dict__["verified"] = verify_renamed(new, self.verified)
        return new

    def latex(self) -> str:
        """Prints the equations as a LaTeX `aligned` block, as papers print them."""
        return notation.to_latex(self)

    def __repr__(self) -> str:
        states = f"states {', '.join(self.states)}" if self.states else "no states"
        count = len(self.shapes.matrices) + len(self.shapes.vectors)
        return f"<Cell {self.name}: {states}; {count} weights and biases>"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}$$"


def parse_cell(text: str) -> Cell:
    """Reads a cell from its text.

    Args:
        text: The cell in the language of docs/language.md, at most 50,000 characters.

    Returns:
        The cell; `parse_cell(cell.text)` equals it.

    Raises:
        CellError: The text is no legal cell; the message names the line and the reason.
    """
    source = read_equations(text)
    with source.located():
        return Cell(**vars(source.cell))


@lru_cache(maxsize=512)
def recall_cell(text: str) -> Cell:
    """Reads a cell as `parse_cell` does, once for all who ask while it is among the latest.

    For what meets the same cells again and again, as a search does; what they derive is shared.
    """
    return parse_cell(text)


def _from_text(text: str, lineage: tuple[str, ...]) -> Cell:
    return parse_cell(text).renamed(lineage=lineage)
