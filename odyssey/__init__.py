"""Odyssey: find out which recurrent cells work, and why.

`train`, `search`, `ablate` and the others are what a person does; a `Run` is what they leave, a
`Study` what is to be run, a `Cell` what it is about, a `Task` what it learns (docs/python.md).
Nothing heavy is imported until it is used: `odyssey.RNN` brings torch, the language brings sympy.

`expr/` is the language, `cells/` the library, `transforms/` what changes a cell, `compiler/` makes
a torch module of one; `tasks/` are what is learned, `training/` learns it, `strategies/` decide
what to try next, `studies/` run it all into the records of `storage/`. `statistics/` and `report/`
look at records, `diagnostics/` inside models, `speed/` at the clock; `formats/` are what a cell
leaves as; `contracts/` checks the rows of tables. `progress/` shows work as it goes by. `jobs/` are
what people do with all of this: `interface/` makes Python's functions and objects of them, `cli/`
the command line, started by `__main__.py`. `specs.py` reads what names a cell, `hyperparameters.py`
has a row for each hyperparameter, `distributions.py` one for each distribution that they are drawn
from, `ranges.py` what numbers may be, `options.py` what options of jobs have in common,
`registry.py` tables that plug-ins of `plugins/` add to, `user_cache.py` the user's cache folder,
`backend_names.py`, `device_names.py` and `version.py` what must be known without torch,
`scheme_names.py` what without sympy; `names.py` makes names fit to show, `wording.py` has words of
messages, `errors.py` the mistakes of users, `threads.py` bounds threads, `pace.py` tells how long
what is left will take.
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
    from odyssey.interface.run import Run as Run
    from odyssey.interface.verbs import ablate as ablate
    from odyssey.interface.verbs import caption as caption
    from odyssey.interface.verbs import compare as compare
    from odyssey.interface.verbs import export as export
    from odyssey.interface.verbs import extend as extend
    from odyssey.interface.verbs import gradients as gradients
    from odyssey.interface.verbs import load_plugin as load_plugin
    from odyssey.interface.verbs import mistakes as mistakes
    from odyssey.interface.verbs import path as path
    from odyssey.interface.verbs import promote as promote
    from odyssey.interface.verbs import resume as resume
    from odyssey.interface.verbs import sample as sample
    from odyssey.interface.verbs import search as search
    from odyssey.interface.verbs import task as task
    from odyssey.interface.verbs import train as train
    from odyssey.interface.verbs import units as units
    from odyssey.specs import get_cell as get_cell
    from odyssey.specs import list_cells as list_cells
    from odyssey.specs import spec_of as spec_of
    from odyssey.storage import load_curves as load_curves
    from odyssey.storage import load_results as load_results
    from odyssey.studies.study import Study as Study
    from odyssey.tasks.base import Task as Task
    from odyssey.tasks.registry import list_tasks as list_tasks

# Where each name is.
_WHERE = {
    "RNN": "odyssey.compiler",
    "RNNCell": "odyssey.compiler",
    "from_torch": "odyssey.compiler",
    "CellError": "odyssey.errors",
    "OdysseyError": "odyssey.errors",
    "Cell": "odyssey.expr",
    "parse_cell": "odyssey.expr",
    "Run": "odyssey.interface.run",
    "ablate": "odyssey.interface.verbs",
    "caption": "odyssey.interface.verbs",
    "compare": "odyssey.interface.verbs",
    "export": "odyssey.interface.verbs",
    "extend": "odyssey.interface.verbs",
    "gradients": "odyssey.interface.verbs",
    "load_plugin": "odyssey.interface.verbs",
    "mistakes": "odyssey.interface.verbs",
    "path": "odyssey.interface.verbs",
    "promote": "odyssey.interface.verbs",
    "resume": "odyssey.interface.verbs",
    "sample": "odyssey.interface.verbs",
    "search": "odyssey.interface.verbs",
    "task": "odyssey.interface.verbs",
    "train": "odyssey.interface.verbs",
    "units": "odyssey.interface.verbs",
    "get_cell": "odyssey.specs",
    "list_cells": "odyssey.specs",
    "spec_of": "odyssey.specs",
    "load_curves": "odyssey.storage",
    "load_results": "odyssey.storage",
    "Study": "odyssey.studies.study",
    "Task": "odyssey.tasks.base",
    "list_tasks": "odyssey.tasks.registry",
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
