"""Odyssey: find out which recurrent cells work, and why.

`train`, `search`, `ablate` and the others are what a person does. Nothing heavy is imported until
it is used: `odyssey.RNN` brings torch, the language brings sympy.

`expr/` is the language, `cells/` the library, `transforms/` what changes a cell, `compiler/` makes
a torch module of one; `tasks/` are what is learned, `training/` learns it, `strategies/` decide
what to try next, `studies/` run it all into the records of `storage/`. `statistics/` and `report/`
look at records, `diagnostics/` inside models, `speed/` at the clock; `formats/` are what a cell
leaves as. `jobs/` are what people do with all of this, `cli/` the command line that calls them,
started by `__main__.py`. `specs.py` reads what names a cell, `hyperparameters.py` has a row for
each hyperparameter, `distributions.py` one for each distribution that they are drawn from,
`ranges.py` what numbers may be, `backend_names.py` and `version.py` what must be known without
torch; `names.py` makes names fit to show, `wording.py` has words of messages, `errors.py` the
mistakes of users, `threads.py` bounds threads, `pace.py` tells how long what is left will take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odyssey.version import __version__ as __version__

if TYPE_CHECKING:
    from odyssey.compiler import RNN as RNN
    from odyssey.compiler import RNNCell as RNNCell
    from odyssey.compiler import from_torch as from_torch
    from odyssey.errors import CellError as CellError
    from odyssey.errors import OdysseyError as OdysseyError
    from odyssey.expr import Cell as Cell
    from odyssey.expr import parse_cell as parse_cell
    from odyssey.jobs.ablate import ablate_cell
    from odyssey.jobs.caption import caption_pictures
    from odyssey.jobs.compare import compare_runs
    from odyssey.jobs.export import export_cell
    from odyssey.jobs.extend import extend_run
    from odyssey.jobs.gradients import measure_gradients
    from odyssey.jobs.mistakes import sort_mistakes
    from odyssey.jobs.path import follow_path
    from odyssey.jobs.promote import promote_cells
    from odyssey.jobs.sample import sample_text
    from odyssey.jobs.search import run_study
    from odyssey.jobs.train import train_cell
    from odyssey.jobs.units import study_units
    from odyssey.specs import get_cell as get_cell
    from odyssey.specs import list_cells as list_cells
    from odyssey.storage import load_curves as load_curves
    from odyssey.storage import load_results as load_results

    ablate = ablate_cell
    caption = caption_pictures
    compare = compare_runs
    extend = extend_run
    export = export_cell
    gradients = measure_gradients
    mistakes = sort_mistakes
    path = follow_path
    promote = promote_cells
    sample = sample_text
    search = run_study
    train = train_cell
    units = study_units

# Name -> where it is, and what it is called there.
_WHERE = {
    "RNN": ("odyssey.compiler", "RNN"),
    "RNNCell": ("odyssey.compiler", "RNNCell"),
    "from_torch": ("odyssey.compiler", "from_torch"),
    "CellError": ("odyssey.errors", "CellError"),
    "OdysseyError": ("odyssey.errors", "OdysseyError"),
    "Cell": ("odyssey.expr", "Cell"),
    "parse_cell": ("odyssey.expr", "parse_cell"),
    "get_cell": ("odyssey.specs", "get_cell"),
    "list_cells": ("odyssey.specs", "list_cells"),
    "load_curves": ("odyssey.storage", "load_curves"),
    "load_results": ("odyssey.storage", "load_results"),
    "ablate": ("odyssey.jobs.ablate", "ablate_cell"),
    "caption": ("odyssey.jobs.caption", "caption_pictures"),
    "compare": ("odyssey.jobs.compare", "compare_runs"),
    "extend": ("odyssey.jobs.extend", "extend_run"),
    "export": ("odyssey.jobs.export", "export_cell"),
    "gradients": ("odyssey.jobs.gradients", "measure_gradients"),
    "mistakes": ("odyssey.jobs.mistakes", "sort_mistakes"),
    "path": ("odyssey.jobs.path", "follow_path"),
    "promote": ("odyssey.jobs.promote", "promote_cells"),
    "sample": ("odyssey.jobs.sample", "sample_text"),
    "search": ("odyssey.jobs.search", "run_study"),
    "train": ("odyssey.jobs.train", "train_cell"),
    "units": ("odyssey.jobs.units", "study_units"),
}

__all__ = [*sorted(_WHERE), "__version__", "report"]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "report":
        return importlib.import_module("odyssey.report")
    if name in _WHERE:
        module, attribute = _WHERE[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'odyssey' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
