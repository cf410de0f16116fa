"""What a training goes on from, and what keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True)
class Snapshot:
    """All that training goes on from, to the bit.

    Attributes:
        arrays: Arrays by name.
        facts: Plain data.
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


class Checkpoints(Protocol):
    """Keeps snapshots of the training of one group of members, which are trained side by side."""

    def load(self) -> Snapshot | None:
        """Gives the snapshot to go on from; None begins anew."""
        ...

    def passing(self, updates: int, take: Callable[[], Snapshot], *, last: bool) -> None:
        """Called between updates; it may take a snapshot, and end the training by an exception.

        Args:
            updates: How many have been made.
            take: Takes the snapshot.
            last: Whether no update comes after.
        """
        ...


class KeptGroups(Protocol):
    """Keeps snapshots of all groups of a population, which are trained one after the other."""

    @property
    def earlier(self) -> tuple[float, float]:
        """Seconds and processor seconds that processes before this one have spent on what was
        loaded."""
        ...

    def group(self, number: int, *, of: int) -> Checkpoints:
        """Gives what keeps a group.

        Args:
            number: Which one, from 0 on.
            of: How many there are.
        """
        ...
