"""What there is to learn from: tasks, and data sets on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odyssey.pace import SAID_EVERY, Course, Part
from odyssey.tasks.download import data_dir, dataset_path, list_datasets
from odyssey.tasks.registry import describe_tasks
from odyssey.tasks.sets import TASK_SETS


@dataclass(frozen=True)
class DataListing:
    """What there is.

    Attributes:
        directory: The folder of data sets.
        datasets: A row a data set: name, bytes, present, licence and more.
        tasks: A row a task.
        sets: A row a set of tasks.
    """

    directory: Path
    datasets: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    sets: list[dict[str, Any]]


def list_data() -> DataListing:
    """Lists tasks, sets of them, and data sets."""
    tasks = [dict(row) for row in describe_tasks()]
    sets = [{"name": name, "tasks": ", ".join(members)} for name, members in TASK_SETS.items()]
    return DataListing(data_dir(), list_datasets(), tasks, sets)


_TIMED = 0.5  # seconds of arriving after which it is told how long all of it takes


def get_data(
    name: str,
    *,
    progress: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Gets a data set, from the network where it is not there yet; gives its file.

    Args:
        name: Of the data set.
        progress: Hears in a line how long it takes: first when some of it has come, for nothing
            else says how fast the network is.
        clock: Gives seconds.

    Raises:
        TaskError: There is no such data set, or it cannot be got.
    """
    began: list[float] = []
    course: list[Course] = []

    def tell(done: int, size: int) -> None:
        now = clock()
        began.append(now) if not began else None
        if not course and size and now - began[0] >= _TIMED:
            seconds = (now - began[0]) * size / done
            course.append(Course({"": Part(size, seconds)}, every=SAID_EVERY, clock=clock))
            if about := course[0].before():
                progress(f"{name}: {size / 1e6:,.1f} MB: {about}")
        elif course and (left := course[0].after(done)):
            progress(f"{done / 1e6:,.1f} of {size / 1e6:,.1f} MB{left}")

    return dataset_path(name, progress=tell)
