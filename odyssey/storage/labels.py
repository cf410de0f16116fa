"""Labels of a run that grows: which trial of its study every record is, or is a part of.

A trial of a larger study holds the members of one of a smaller one, and more. What was recorded
keeps its file and its own label until all members are there; until then readers put the labels of
the larger study in their place. A trial that is there in one piece counts before its parts, so that
nothing is there twice while it is written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import pyarrow as pa


class Label(NamedTuple):
    """The id of a trial of the study, and its place in the logical order."""

    trial: str
    place: int


Labels = Mapping[str, Label]
"""By the id under which something was recorded, or is to be."""


def parts_of(labels: Labels) -> dict[str, list[str]]:
    """Gives the parts of every trial that has some, by its id."""
    parts: dict[str, list[str]] = {}
    for part, label in labels.items():
        if part != label.trial:
            parts.setdefault(label.trial, []).append(part)
    return parts


def finished_trials(recorded: frozenset[str], labels: Labels) -> frozenset[str]:
    """Gives the trials that are finished: recorded in one piece, or in all their parts."""
    parts = parts_of(labels)
    in_parts = {whole for whole, of in parts.items() if recorded.issuperset(of)}
    return recorded.difference(*parts.values()) | in_parts


def superseded(recorded: AbstractSet[str], labels: Labels) -> set[str]:
    """Gives the parts of trials that are recorded in one piece."""
    return {part for part, label in labels.items() if part != label.trial in recorded}


def relabelled(table: pa.Table, labels: Labels) -> pa.Table:
    """Gives rows the id and the index that their trials have in the study."""
    before = table.column("trial").to_pylist()
    if labels.keys().isdisjoint(before):
        return table
    pairs = zip(before, table.column("trial_index").to_pylist(), strict=True)
    now = [labels.get(trial, Label(trial, index)) for trial, index in pairs]
    for name, values in (
        ("trial", [n.trial for n in now]),
        ("trial_index", [n.place for n in now]),
    ):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, table.column(place).type))
    return table
