"""What there is to learn from: tasks, and data sets on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def get_data(name: str) -> Path:
    """Gets a data set, from the network where it is not there yet; gives its file.

    Raises:
        TaskError: There is no such data set, or it cannot be got.
    """
    return dataset_path(name)
