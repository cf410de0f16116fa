"""A study out of two cells: a chain of single changes between them, each trained on equal draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from odyssey.errors import ConfigError
from odyssey.specs import ablated_spec, get_cell, shown_names
from odyssey.studies.absolute import absolute_cell
from odyssey.studies.make.ablation import AblationOptions, DrawnOptions, ablation_study
from odyssey.studies.study import Study
from odyssey.transforms.chains import MOST_CELLS, MOST_STEPS, find_chain
from odyssey.wording import plural


def path_cells(first: str, last: str) -> list[str]:
    """Lists the specs of a chain of single changes from one cell to another.

    Args:
        first: Spec of the cell where it begins.
        last: Spec of the cell where it ends.

    Raises:
        CellError: A spec makes no cell.
        ConfigError: They are one cell, or no chain was found.
    """
    chain = find_chain(get_cell(first), get_cell(last))
    if chain is None:
        raise ConfigError(
            f"no chain of single changes leads from {first} to {last} (up to {MOST_STEPS} ablations"
            f" of each and {MOST_CELLS:,} cells were tried): name the steps yourself, as in"
            f" odyssey path {first} STEP {last}"
        )
    if not chain.away and not chain.back:
        raise ConfigError(f"{first} and {last} are the same cell: there is no step between them")
    away = [ablated_spec(first, chain.away[:k]) for k in range(len(chain.away) + 1)]
    back = [ablated_spec(last, chain.back[:k]) for k in reversed(range(len(chain.back) + 1))]
    # what is left of both is one cell: the first cell's name stands for it, but where it is the end
    return [*away, *back[1:]] if chain.back else [*away[:-1], last]


def path_study(specs: Sequence[str], options: DrawnOptions | None = None) -> Study:
    """Makes the study of a path between cells.

    Args:
        specs: The first and the last cell, between which a chain is looked for; or three and more,
            which are the path.
        options: How they are trained.

    Raises:
        OdysseyError: There is no path, or the study makes no sense.
    """
    if len(specs) < 2:
        raise ConfigError("a path has two cells or more: odyssey path FIRST LAST")
    absolute = [absolute_cell(spec) for spec in specs]
    path = path_cells(*absolute) if len(specs) == 2 else absolute
    options = options or DrawnOptions()
    drawn = {o.name: getattr(options, o.name) for o in dataclasses.fields(DrawnOptions)}
    study = ablation_study(path[0], AblationOptions(**drawn, variants=tuple(path[1:])))
    shown = list(shown_names(path).values())
    steps = plural(len(path) - 1, "step")
    return dataclasses.replace(
        study,
        name=f"path-{shown[0]}-{shown[-1]}".replace(":", "-").replace("=", "-"),
        description=f"From {shown[0]} to {shown[-1]} in {steps}: {' -> '.join(shown)}; "
        f"{plural(options.draws, 'draw')} a cell and task.",
        path=study.cells,
    )
