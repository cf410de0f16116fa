"""What a search would do, without doing it."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from odyssey.cli.printing import duration, print_json
from odyssey.studies.study import Study

if TYPE_CHECKING:
    from odyssey.storage.store import RunStore


def left(store: RunStore, *, as_json: bool) -> None:
    """Prints how many candidates an interrupted search has left."""
    from odyssey.storage.candidates import load_candidates

    facts = store.run
    total = len(facts["cells"]) + int(facts["candidates"])
    told = len(load_candidates(store.path))
    if as_json:
        print_json({"study": facts["study"], "candidates": total, "left": total - told})
    else:
        print(f"candidates left: {total - told} of {total}")


def run(study: Study, args: argparse.Namespace) -> None:
    """Prints what would run and between which times, from timed updates of the baseline."""
    from odyssey.storage.candidates import SEED_ARM
    from odyssey.studies.engine import choose_runner
    from odyssey.studies.estimate import estimate_trials
    from odyssey.studies.evolve.candidate import Candidate, Life
    from odyssey.studies.evolve.search import check_search
    from odyssey.training.space import draw_members

    plan = study.search
    assert plan is not None, "the study is a search"
    _, workers = choose_runner(
        study, runner=args.runner, workers=args.workers, address=args.address
    )
    checked = check_search(study)
    cells, name = checked.seeds, checked.baseline
    cell = cells[name]
    space = study.distributions
    began = time.monotonic()

    def draws(count: int, first: int) -> list[dict[str, object]]:
        return draw_members(space, count=count, seed=study.seed, first=first)

    life = Life(Candidate(0, SEED_ARM, name, cell.key, "", cell.text), plan, draws=draws, index=0)
    stages, start_up = [], 0.0
    for number, stage in enumerate(plan.stages):
        life.stage = number
        estimate = estimate_trials(life.enter())
        start_up += estimate.start_up
        stages.append({"stage": stage.name, "seconds_a_candidate": round(estimate.seconds, 2)})
    every = [float(s["seconds_a_candidate"]) for s in stages]  # type: ignore[arg-type]
    seeds = len(cells) * sum(every)
    facts = {
        "study": study.name,
        "strategy": plan.strategy,
        "arms": list(plan.arms),
        "candidates": plan.candidates,
        "seeds": list(cells),
        "stages": stages,
        "workers": workers,
        "start_up_seconds": round(start_up, 1),
        "seconds_if_all_stop_first": round((seeds + plan.candidates * every[0]) / workers, 1),
        "seconds_if_none_stops": round((seeds + plan.candidates * sum(every)) / workers, 1),
    }
    if args.json:
        print_json(facts)
        return
    print(f"{study.name}: {plan.candidates} candidates by {' and '.join(plan.arms)}")
    print(f"  seeds        {', '.join(cells)}")
    for line in stages:
        print(f"  {line['stage']:<12} {line['seconds_a_candidate']} s a candidate")
    low, high = facts["seconds_if_all_stop_first"], facts["seconds_if_none_stops"]
    print(
        f"  wall time    from {duration(float(low))} if every candidate stops at the first stage"  # type: ignore[arg-type]
    )
    print(f"               to {duration(float(high))} if none stops, workers: {workers}")  # type: ignore[arg-type]
    print(
        f"  (estimated from {duration(time.monotonic() - began)} of timed updates of"
        f" {name}, without {duration(start_up)} of start-up; nothing was run)"
    )
