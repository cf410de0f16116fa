"""Which of the models that a run has kept is meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelChoice:
    """The arguments of `studies.trained.load_trained`; without them the run's best model.

    Attributes:
        cell: Of a study: the model of this cell, by its spec or name.
        task: Of a study: the model on this task.
        member: Of a study: the model of this member.
        text: Where the text of the run lies now, if that is another place.
    """

    cell: str = ""
    task: str = ""
    member: int | None = None
    text: str | None = None
