"""What a trial is: one cell on one task with one population, as plain data.

A trial crosses process borders, so it holds text, numbers, lists and dicts only. The worker
parses the cell, builds the task and trains. Its id is a hash of everything that decides its
result, so that a finished trial is recognised after a crash and never run twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from odyssey.plugins import digests
from odyssey.training.config import EARLIER

_ABSENT = object()
_NO_RESULT = ("index", "group", "limit", "rung")  # what a trial's result does not depend on


@dataclass(frozen=True)
class Trial:
    """One cell on one task with one population and budget.

    Attributes:
        index: Place in the logical order of the study, from 0.
        spec: The cell as the study names it, such as `lstm:no_forget_gate`.
        cell_text: The cell's text.
        cell_key: The cell's content key.
        lineage: How the cell was made, oldest first.
        task: The task spec, such as `arithmetic` or `text:book.txt`.
        members: One dict a member: its `member` number, `seed` and hyperparameters by name.
        training: The training options (`TrainingConfig` as a dict).
        group: A label that the study gives, such as the stage of a search.
        limit: Seconds of processor time after which it is taken for hanging; 0: never. It decides
            no result, so it is no part of the id.
        rung: The rung of the study's ladder, from 1; its budget is in `training`.
        plugins: Digests of the plug-ins that may decide it; those of this process.
    """

    index: int
    spec: str
    cell_text: str
    cell_key: str
    lineage: tuple[str, ...]
    task: str
    members: tuple[Mapping[str, Any], ...]
    training: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    limit: float = 0.0
    rung: int = 1
    plugins: tuple[str, ...] = field(default_factory=digests)

    @cached_property
    def id(self) -> str:
        """The first 16 hex digits of the sha256 of everything that decides the result."""
        content = {k: v for k, v in self.to_dict().items() if k not in _NO_RESULT}
        if not self.plugins:  # ids of before there were plug-ins
            del content["plugins"]
        content["training"] = {
            k: v for k, v in content["training"].items() if EARLIER.get(k, _ABSENT) != v
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Gives the trial as plain JSON-able data."""
        data = asdict(self)
        data["lineage"] = list(self.lineage)
        data["plugins"] = list(self.plugins)
        data["members"] = [dict(m) for m in self.members]
        data["training"] = dict(self.training)
        return data

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Trial:
        """Reads what `to_dict` wrote."""
        return Trial(
            index=int(data["index"]),
            spec=data["spec"],
            cell_text=data["cell_text"],
            cell_key=data["cell_key"],
            lineage=tuple(data["lineage"]),
            task=data["task"],
            members=tuple(dict(m) for m in data["members"]),
            training=dict(data["training"]),
            group=data.get("group", ""),
            limit=float(data.get("limit", 0.0)),
            rung=int(data.get("rung", 1)),
            plugins=tuple(data.get("plugins", ())),
        )


@dataclass(frozen=True)
class TrialResult:
    """What a trial left behind.

    Attributes:
        trial_id: The id of the trial.
        index: Its place in the logical order.
        rows: One dict a member: the columns of `odyssey.storage.schema.RESULT_COLUMNS`.
        curves: One dict a measurement along training: `CURVE_COLUMNS` of the same file.
    """

    trial_id: str
    index: int
    rows: tuple[Mapping[str, Any], ...]
    curves: tuple[Mapping[str, Any], ...] = ()
