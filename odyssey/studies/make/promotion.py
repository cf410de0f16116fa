"""A study out of a search: its best cells, trained again where selection cannot flatter them."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from odyssey.errors import CellError, ConfigError, StoreError
from odyssey.options import Options
from odyssey.specs import get_cell
from odyssey.storage.schema import SEED_ARM
from odyssey.studies.absolute import absolute_cell, absolute_tasks
from odyssey.studies.reading import Settings
from odyssey.studies.study import Study, parse_study
from odyssey.training.config import EARLIER
from odyssey.training.space import draw_members, fixed_by, grid_size, search_space
from odyssey.wording import plural

BASELINES = ("lstm", "lstm:forget_bias=1", "gru")
# Tasks that need no download; the first that a search has not seen is added to its own.
UNSEEN = ("python-source", "xml", "arithmetic", "memorization")
FALLBACK_HIDDEN = 64
DRAWS = 16


@dataclass(frozen=True, kw_only=True)
class PromotionOptions(Options):
    """Which cells are trained again, and how.

    Attributes:
        top: How many cells, best score first; at most as many as passed all stages.
        against: Specs of the known cells beside them. The first is the baseline of the study, and
            all cells are compared with each of the others, too.
        tasks: Task specs; without them those of the search and one that it has not seen.
        draws: Draws of hyperparameters and seeds per cell and task; without it 16, and where the
            search has grids as many more as make their combinations whole.
        parameters: Of a model, readout included; without it those of the search, and where it has a
            hidden size those of an LSTM of that size on the task where it has most.
        seed: The seed that everything is derived from; one made of the search's own if None.
        settings: Overrides of any field of the study, as in `{"epochs": 40}` or `["epochs=40"]`.
    """

    top: int = 5
    against: Sequence[str] = BASELINES
    tasks: Sequence[str] = ()
    draws: int | None = None
    parameters: int | None = None
    seed: int | None = None
    settings: Settings = ()


def promotion_study(directory: str | Path, options: PromotionOptions | None = None) -> Study:
    """Makes the study that compares the best cells of a search with known ones.

    All cells have the same number of parameters on a task, the same draws of the search's other
    hyperparameters, and seeds that the search never used. The cells are written beside the search,
    as DIR/promoted/NAME.cell.

    Args:
        directory: The run directory of a search; what it has found so far counts.
        options: Which cells, and how.

    Raises:
        ConfigError: The directory holds no search, nothing passed all stages, a number is wrong,
            or the seed gives members that the search has trained.
        StoreError: The directory cannot be read, or the cells not be written.
    """
    from odyssey.storage.candidates import finished_candidates, load_candidates
    from odyssey.studies.engine import reopen

    options = options or PromotionOptions()
    top, parameters = options.top, options.parameters
    given = DRAWS if options.draws is None else options.draws
    if top < 1 or given < 1:
        raise ConfigError(f"--top and --draws must be at least 1, got {top} and {given}")
    folder = Path(directory)
    run = reopen(folder)
    search, plan = run.study, run.study.search
    if plan is None:
        raise StoreError(f"{directory} is a run, but no search")
    best = finished_candidates(load_candidates(folder))
    best = best[best["arm"] != SEED_ARM].drop_duplicates("fingerprint").head(top)
    if best.empty:
        raise ConfigError(f"{folder}: no candidate has passed all stages yet: nothing to promote")
    seen = list(dict.fromkeys([*search.tasks, *(t for s in plan.stages for t in s.tasks)]))
    chosen = absolute_tasks(options.tasks) or [*search.tasks, _unseen(seen)]
    own = search.space.get("parameters")
    if parameters is None:
        parameters = own if isinstance(own, int) else _parameters(search.space, chosen)
    fixed = fixed_by(str(search.training.get("preset", "")))
    fixed.pop("forget_bias", None)  # the search has gone without it
    draws = _draws(options.draws, grid_size(search.distributions))
    space = fixed | {k: v for k, v in search.space.items() if k not in ("hidden_size", "preset")}
    # a search of before an option existed goes on without it; its promotion is a new study
    training = {k: v for k, v in plan.stages[-1].training.items() if EARLIER.get(k) != v}
    scores = ", ".join(f"{n} {s:.3f}" for n, s in zip(best["name"], best["score"], strict=True))
    fresh = [task for task in chosen if task not in seen]
    known = [absolute_cell(spec) for spec in options.against or BASELINES]
    data: dict[str, Any] = {
        "name": f"promote-{re.sub(r'[^A-Za-z0-9_.-]+', '-', search.name)}",
        "description": (
            f"The best {len(best)} of {run.store.run['study']} (scores there: {scores}), trained "
            f"again on seeds that the search did not use, {plural(draws, 'draw')} a cell and task, "
            f"{parameters:,} parameters each; tasks new to them: {', '.join(fresh) or 'none'}. "
            "Only this comparison is a result: the scores of a search are chosen among many."
        ),
        "cells": [*known, *_write(folder / "promoted", best.to_dict("records"))],
        "tasks": chosen,
        "baseline": known[0],
        "more_baselines": known[1:],
        "members": draws,
        "seed": _seed(search) if options.seed is None else options.seed,
        "workers": search.workers,
        "training": training,
        "space": _drawn(search, space) | {"parameters": parameters},
    }
    study = parse_study(tomli_w.dumps(data), settings=options.settings)
    _check_seeds(study, folder)
    return study


def _draws(given: int | None, combinations: int) -> int:
    """Gives how many draws there are: of grids whole rounds."""
    if given is None:
        return combinations * math.ceil(DRAWS / combinations)
    if given % combinations:
        raise ConfigError(
            f"the grids of the search have {combinations} combinations: --draws must be a multiple"
            f" of {combinations}, got {given}"
        )
    return given


def _drawn(search: Study, space: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the hyperparameters of the search without those of a preset's size."""
    preset = search.space.get("preset")
    return {**space, **({"preset": preset} if preset else {})}


def _unseen(seen: Sequence[str]) -> str:
    found = [task for task in UNSEEN if task not in seen]
    if not found:
        raise ConfigError("the search has seen every task that needs no download: name --tasks")
    return found[0]


def _parameters(space: Mapping[str, Any], tasks: Sequence[str]) -> int:
    """Counts the parameters of an LSTM of the search's size, on the task where it has most."""
    from odyssey.tasks.registry import get_task
    from odyssey.training.model import count_parameters

    sizes = [
        m["hidden_size"]
        for m in draw_members(search_space(space), count=64, seed=0)
        if "hidden_size" in m
    ]
    hidden = round(math.exp(sum(map(math.log, sizes)) / len(sizes))) if sizes else FALLBACK_HIDDEN
    lstm = get_cell(BASELINES[0])
    return max(
        count_parameters(lstm, signature=get_task(task).signature, hidden_size=hidden, num_layers=1)
        for task in tasks
    )


def _write(folder: Path, rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Writes cells to files; gives their specs."""
    specs = []
    for row in rows:
        path = (folder / f"{row['name']}.cell").absolute()
        try:
            folder.mkdir(exist_ok=True)
            path.write_text(str(row["cell_text"]), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            get_cell(str(path))
        except CellError as error:
            raise StoreError(f"candidate {row['number']} cannot be read again: {error}") from None
        specs.append(str(path))
    return specs


def _seed(search: Study) -> int:
    """Makes a seed out of the search's own that is another one."""
    digest = hashlib.sha256(f"promote {search.name} {search.seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _check_seeds(study: Study, folder: Path) -> None:
    from odyssey.storage.loading import load_results

    members = draw_members(study.distributions, count=study.members, seed=study.seed)
    used = set(load_results(folder)["seed"].dropna().astype(int))
    if used & {int(m["seed"]) for m in members}:
        raise ConfigError(
            f"seed {study.seed} gives members that the search has trained: take another --seed"
        )
