"""Which of the models that a run has kept is meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.options import Options

if TYPE_CHECKING:
    from odyssey.studies.trained import TrainedModel


@dataclass(frozen=True, kw_only=True)
class ModelChoice(Options):
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


def names_run(spec: str) -> bool:
    """Tells a run from a cell; a folder that is called like a cell of the library is no run."""
    from odyssey.specs import list_cells

    return spec not in list_cells() and Path(spec).is_dir()


def chosen_model(directory: str, choice: ModelChoice, *, device: str) -> TrainedModel:
    """Reads the model that is meant of a run, and moves it to a device, which is looked for first.

    Raises:
        OdysseyError: There is no such device, or as `studies.trained.load_trained`.
    """
    from odyssey.studies.trained import load_trained
    from odyssey.training.devices import find_device

    there = find_device(device)
    trained = load_trained(directory, **asdict(choice))
    trained.model.to(there)
    return trained


def chosen_models(
    directories: Sequence[str], choice: ModelChoice, *, by_run: bool
) -> Iterator[tuple[str, str, TrainedModel]]:
    """Gives the models that are meant of several runs: the run, a label, and the model.

    Args:
        directories: The runs; a run that is given twice counts once.
        choice: Which of their models.
        by_run: Whether labels begin with the name of the run.

    Raises:
        OdysseyError: As `studies.trained.load_all_trained`.
    """
    from odyssey.studies.trained import load_all_trained

    for directory in dict.fromkeys(directories):
        for trained in load_all_trained(directory, **asdict(choice)):
            label = str(trained.row["spec"])
            named = f"{Path(directory).name}: {label}" if by_run else label
            yield directory, named, trained
