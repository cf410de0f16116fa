"""Does the reach of a cell's gradient say how well it will learn? Trains, and measures the reach.

Usage: python experiments/gradient_flow/run.py [WORK]

WORK (results/runs/gradient_flow) gets one Parquet file a cell and task; what is there is not run
again. `figures.py` reads them.
"""

import sys
import time
from pathlib import Path

import pandas as pd
import torch

from odyssey.diagnostics.conditions import Condition, members_of, of_model, on_task, task_windows
from odyssey.diagnostics.measure import Measurements, measure_decay
from odyssey.specs import expand, get_cell
from odyssey.tasks.registry import get_task
from odyssey.training.config import TrainingConfig
from odyssey.training.loop import train
from odyssey.training.model import hidden_size_for

TASKS = ("tinyshakespeare", "arithmetic")
CELLS = tuple(
    dict.fromkeys(
        [
            *("elman", "elman_relu", "lstm", "lstm_jozefowicz", "gru", "gru_torch"),
            *("mut1", "mut2", "mut3", "mgu", "ugrnn"),
            *expand(["odyssey9"]),  # the peephole LSTM of the library, and it without its parts
        ]
    )
)
SEEDS = (1, 2, 3, 4)
RATES = (0.003, 0.01)
PARAMETERS = 20_000
STEPS, ROWS = 128, 8
CONFIG = TrainingConfig(
    batch_size=16,
    unroll=64,
    updates_per_epoch=150,
    epochs=15,
    optimizer="adam",
    valid_characters=10_000,
    test_characters=40_000,
)
CLIP = 5.0


def reach(found: Measurements, when: str) -> pd.DataFrame:
    """Gives a row a seed: horizons of the whole state (median over rows) and the exponent."""
    whole = found.horizons[found.horizons["state"] == "all"]
    rows = whole.groupby(["member", "factor"])["steps"].quantile(0.5, interpolation="lower")
    frame = rows.unstack("factor").add_prefix("horizon ").reset_index()
    first = found.exponents[found.exponents["index"] == 1]
    frame["exponent"] = first.groupby("member")["exponent"].median().to_numpy()
    frame["when"] = when
    return frame


def run_one(spec: str, task_name: str) -> pd.DataFrame:
    """Trains one cell on one task, all seeds and rates side by side; measures before and after."""
    cell, task = get_cell(spec), get_task(task_name)
    hidden = hidden_size_for(cell, PARAMETERS, signature=task.signature, num_layers=1)
    condition = Condition(
        hidden_size=hidden, steps=STEPS, rows=ROWS, init="uniform_fan", init_scale=1.0
    )
    windows = task_windows(task, steps=STEPS, rows=ROWS)
    draws = [(seed, rate) for rate in RATES for seed in SEEDS]
    seeds = [seed for seed, _ in draws]
    before = reach(measure_decay(on_task(cell, task, condition, seeds)), "initialisation")
    members = [
        m.replace(learning_rate=rate, clip_norm=CLIP)
        for m, (_, rate) in zip(members_of(condition, seeds), draws, strict=True)
    ]
    began = time.perf_counter()
    trained = train(cell, task, members, CONFIG)
    seconds = time.perf_counter() - began
    after = reach(measure_decay(of_model(trained.models[0][0], windows)), "trained")
    frame = pd.concat([before, after], ignore_index=True)
    results = dict(enumerate(trained.results))
    for name in ("status", "valid_nats", "test_nats", "num_parameters", "best_update"):
        frame[name] = [getattr(results[m], name) for m in frame["member"]]
    frame["seed"] = [draws[m][0] for m in frame["member"]]
    frame["learning_rate"] = [draws[m][1] for m in frame["member"]]
    return frame.drop(columns="member").assign(
        cell=spec, task=task_name, hidden_size=hidden, seconds=seconds / len(draws)
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("results/runs/gradient_flow")
    work.mkdir(parents=True, exist_ok=True)
    for spec in CELLS:
        for task_name in TASKS:
            target = work / f"{task_name}_{spec.replace(':', '_')}.parquet"
            if target.exists():
                continue
            frame = run_one(spec, task_name)
            draft = target.with_suffix(".tmp")
            frame.to_parquet(draft, index=False)
            draft.replace(target)
            loss = frame[frame["when"] == "trained"]["test_nats"].median()
            print(
                f"{task_name} {spec}: {loss:.3f} nats, {frame['seconds'].sum() / 2:.0f} s",
                flush=True,
            )
