"""Section `train`: symbols a second that one core trains on.

Shapes: T steps, B streams, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from odyssey.hyperparameters import Member
from odyssey.speed.section import Case, Finding, Measurement, Settings
from odyssey.speed.steps import cell_step, symbols_task, training_rounds

UNITS = (41, 48, 128)
"""Also a number that is no multiple of any vector: what a budget of parameters gives."""


def _measure(hidden: int, settings: Settings) -> Measurement:
    batch, steps = (4, 6) if settings.quick else (20, 35)
    seconds = training_rounds(
        "lstm",
        symbols_task(4 * batch * steps),
        [Member(0, 1, hidden_size=hidden, learning_rate=0.002, clip_norm=5.0)],
        {
            "batch_size": batch,
            "unroll": steps,
            "optimizer": "adam",
            "updates_per_epoch": 3 if settings.quick else 100,
        },
        {"cell": cell_step(1, hidden, batch, steps)},
        rounds=settings.rounds,
    )
    return {
        "H": hidden,
        "B": batch,
        "T": steps,
        "update": 1e3 * seconds["training"],
        "cell": 1e3 * seconds["cell"],
        "cell / update": seconds["cell"] / seconds["training"],
        "symbols / s": batch * steps / seconds["training"],
    }


def throughput_cases(settings: Settings) -> list[Case]:
    """Lists the numbers of units."""
    return [
        Case(
            f"lstm H={hidden}",
            (20 if settings.quick else 2 * hidden) * settings.rounds,
            partial(_measure, hidden, settings),
        )
        for hidden in settings.hidden_sizes(*UNITS)
    ]


def throughput_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Tells the symbols a second, and the share of the cell in the time."""
    found = []
    for row in rows:
        name = f"lstm of {row['H']} units"
        rate, share = float(row["symbols / s"]), float(row["cell / update"])
        found.append(Finding(f"{name}, symbols a second and core", rate))
        found.append(Finding(f"{name}, share of the cell in an update", share, neutral=True))
    return found
