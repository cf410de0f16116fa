"""One cell in any of its forms."""

from __future__ import annotations

from typing import Any

from odyssey.backend_names import BACKEND_NAMES
from odyssey.errors import ConfigError, suggest
from odyssey.expr import Cell
from odyssey.expr.jacobian import format_jacobian
from odyssey.expr.text import diff
from odyssey.formats.cell_data import cell_data
from odyssey.formats.portable import Portable
from odyssey.jobs.cells import parameter_formula
from odyssey.specs import get_cell

FORMS = (
    *("text", "latex", "jacobian", "program", "json", "canonical", "torch", "c"),
    *BACKEND_NAMES,
)


def show_cell(
    spec: str, form: str = "text", *, after: str | None = None, against: str | None = None
) -> str:
    """Writes a cell in one of `FORMS`, but for `json`: that is `cell_facts`.

    Args:
        spec: The cell.
        form: The form.
        after: Of `program`: the intermediate representation after this pass.
        against: Of `text`: what differs from this cell, as lines that begin with + and -.

    Raises:
        CellError: A spec makes no cell.
        ConfigError: There is no such form, or an option goes with another one.
    """
    cell = get_cell(spec)
    if form not in FORMS:
        raise ConfigError(suggest(form, FORMS, what="form"))
    if after and form != "program":
        raise ConfigError("--after goes with --as program")
    if against and form != "text":
        raise ConfigError("--against goes with --as text")
    if against:
        return "\n".join([*diff(get_cell(against), cell), ""])
    if form == "text":
        return cell.text
    if form == "latex":
        return cell.latex()
    if form == "jacobian":
        return format_jacobian(cell)
    if form == "canonical":
        return cell.canonical_text
    if form == "torch":
        from odyssey.formats.torch_alone.file import write_torch

        return write_torch(Portable(cell))
    return _compiled(cell, form, after)


def _compiled(cell: Cell, form: str, after: str | None) -> str:
    from odyssey.compiler.backends import BACKENDS, build_layer
    from odyssey.compiler.lowering import lower
    from odyssey.expr.program import format_program

    if form == "program":
        return format_program(lower(cell, after=after))
    names = (name for name, row in BACKENDS.items() if row.language == form)
    backend = next(names, form)
    return build_layer(lower(cell), backend, population=False, masked=False)[1].source


def cell_facts(cell: Cell) -> dict[str, Any]:
    """Gives all about a cell as plain data: texts, identity, states, equations and parameters."""
    shapes = cell.shapes
    return {
        "name": cell.name,
        "text": cell.text,
        "key": cell.key,
        "fingerprint": cell.fingerprint,
        "canonical": cell.canonical_text,
        "latex": cell.latex(),
        "lineage": cell.lineage,
        "citation": cell.citation,
        "states": cell.states,
        "further_inputs": shapes.inputs,
        "recurrent": cell.recurrent,
        "needs_input_size_equal_hidden_size": shapes.square,
        "parameters": {**shapes.matrices, **{n: [s] for n, s in shapes.vectors.items()}},
        "parameter_count": parameter_formula(cell),
        **cell_data(cell),
    }
