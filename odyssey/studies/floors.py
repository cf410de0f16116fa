"""What is scored on the tasks of a run without having learned them, as its models are scored."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from odyssey.errors import OdysseyError
from odyssey.storage.floors import floors_frame, read_floors
from odyssey.storage.store import RunStore
from odyssey.studies.study import recorded_study
from odyssey.tasks.floors import task_floors
from odyssey.tasks.recorded import recorded_task
from odyssey.training.budget import in_updates


def run_floors(directory: Path) -> pd.DataFrame:
    """Gives the floors and ceilings of a run's tasks: those it has, and measured those it lacks.

    A task whose data are not there has none.

    Returns:
        As `storage.floors.FLOOR_COLUMNS`, in the order of the tasks.

    Raises:
        StoreError: There is no run.
    """
    store = RunStore.open(directory)
    known = read_floors(directory)
    records = store.run.get("tasks")
    if not isinstance(records, dict):
        return known
    try:
        study = recorded_study(store.study_text, store.run)
    except OdysseyError:
        return known  # no study of cells and tasks
    config = study.config
    if study.rungs:  # as much as the draws of the last rung read
        config = study.rungs[-1].config(config)
    rows: list[tuple[object, ...]] = []
    for spec, record in records.items():
        there = known[known["task"] == spec]
        if len(there):
            rows += there.astype(object).itertuples(index=False, name=None)
            continue
        try:
            task = recorded_task(spec, record)
            budget = in_updates(config, task)
            found = task_floors(
                task,
                symbols=budget.updates * config.batch_size * config.unroll,
                characters=config.test_characters or task.enough["test"],
                batch_size=config.eval_batch,
                unroll=config.eval_unroll,
                warmup=config.eval_warmup,
            )
        except OdysseyError:
            continue
        rows += [(spec, f.kind, f.context, f.nats, f.symbols) for f in found]
    return floors_frame(rows)
