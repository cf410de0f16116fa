"""Odyssey: find out which recurrent cells work, and why.

`expr/` is the language, `cells/` the library, `transforms/` what changes a cell, `compiler/` what
makes a torch module of one; `tasks/` are what is learned, `training/` learns it, `strategies/`
decides what to try next and `studies/` runs it all, into the records of `storage/`. `statistics/`
and `report/` look at records, `diagnostics/` inside models, `speed/` at the clock. `cli/` is the
command line, and `__main__.py` starts it. `specs.py` reads what names cells and tasks, `names.py`
makes names fit to show, `wording.py` words of messages, `errors.py` are the mistakes of users,
`threads.py` bounds threads.

Nothing heavy is imported until it is used: `odyssey.RNN` brings torch, the language brings sympy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odyssey.compiler import RNN as RNN
    from odyssey.errors import CellError as CellError
    from odyssey.errors import OdysseyError as OdysseyError
    from odyssey.expr import Cell as Cell
    from odyssey.expr import parse_cell as parse_cell
    from odyssey.specs import get_cell as get_cell
    from odyssey.specs import list_cells as list_cells
    from odyssey.storage import load_curves as load_curves
    from odyssey.storage import load_results as load_results

__version__ = "0.1.0"

_WHERE = {
    "RNN": "odyssey.compiler",
    "CellError": "odyssey.errors",
    "OdysseyError": "odyssey.errors",
    "Cell": "odyssey.expr",
    "parse_cell": "odyssey.expr",
    "get_cell": "odyssey.specs",
    "list_cells": "odyssey.specs",
    "load_curves": "odyssey.storage",
    "load_results": "odyssey.storage",
}

__all__ = [*sorted(_WHERE), "__version__", "report"]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "report":
        return importlib.import_module("odyssey.report")
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'odyssey' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
