"""Sets of tasks by name; wherever a study names tasks, a set stands for its members.

To add a set: one row in `TASK_SETS`.
"""

from __future__ import annotations

from collections.abc import Sequence

TASK_SETS: dict[str, tuple[str, ...]] = {
    # Tasks that no search here has used: memory, choice, association, state, stack, counters,
    # composition.
    "unseen10": (
        "copy",
        "selective-copy",
        "recall",
        "group",
        "dyck",
        "anbncn",
        "listops",
    ),
}


def expand_tasks(specs: Sequence[str]) -> list[str]:
    """Replaces the names of sets by their members, but for those that are named beside them."""
    expanded: list[str] = []
    for spec in specs:
        taken = {*specs, *expanded} if spec in TASK_SETS else set()
        expanded += [task for task in TASK_SETS.get(spec, (spec,)) if task not in taken]
    return expanded
