"""A trained model paints digits, and tells by the way which digit a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.errors import ConfigError, StoreError
from odyssey.jobs.choice import ModelChoice, chosen_model
from odyssey.jobs.sample import SampleOptions
from odyssey.options import Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_PICTURES = 1_000


@dataclass(frozen=True, kw_only=True)
class PaintOptions(Options):
    """How a model paints.

    Attributes:
        pictures: How many; they show 0 to 9 in turn.
        to: The folder of the sheet.
    """

    pictures: int = 20
    to: str = "sample"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.pictures <= MOST_PICTURES:
            raise ConfigError(f"--pictures must be 1 to {MOST_PICTURES:,}, got {self.pictures}")


@dataclass(frozen=True)
class PaintedPictures:
    """What a model has painted, and what it tells of pictures that it has never seen.

    Attributes:
        pictures: Levels, (8, 8) each.
        digits: What each was to show.
        nats: Its loss of a test picture under that picture's label.
        accuracy: The share of test pictures whose label it finds likeliest by Bayes' rule.
        files: Paths by suffix: png, pdf, and csv with a row a picture.
    """

    pictures: Sequence[NDArray[np.uint8]]
    digits: Sequence[int]
    nats: float
    accuracy: float
    files: dict[str, Path]


def paint_pictures(
    directory: str,
    options: PaintOptions | None = None,
    *,
    sampling: SampleOptions | None = None,
    choice: ModelChoice | None = None,
) -> PaintedPictures:
    """Lets a model that a run has kept paint; writes a sheet, and measures it on the test split.

    Args:
        directory: The run.
        options: How many pictures, and where the sheet goes.
        sampling: Temperature, top-k and seed, by which levels are drawn, and the device.
        choice: Which of the run's models.

    Raises:
        OdysseyError: There is no such model, it has not learned to paint, or the sheet cannot be
            written.
    """
    import pandas as pd

    from odyssey.diagnostics.painting import judge_pictures, paint
    from odyssey.report.inside.painted import draw_sheet
    from odyssey.report.page.style import save_figure
    from odyssey.tasks.painting import Paint
    from odyssey.training.seeds import stream

    options, sampling = options or PaintOptions(), sampling or SampleOptions()
    trained = chosen_model(directory, choice or ModelChoice(), device=sampling.device)
    task = trained.task
    if not isinstance(task, Paint):
        raise ConfigError(f"a model of {task.name} does not paint; leave out --pictures")
    digits = [k % task.labels for k in range(options.pictures)]
    rng = stream(sampling.seed, "sample")
    pictures = [
        paint(
            trained.model,
            task,
            digit,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            rng=rng,
        )
        for digit in digits
    ]
    judged = judge_pictures(trained.model, task, "test")
    sheet = draw_sheet(
        pictures,
        [str(digit) for digit in digits],
        levels=task.levels,
        columns=min(task.labels, options.pictures),
    )
    levels = [" ".join(map(str, picture.ravel())) for picture in pictures]
    data = pd.DataFrame({"digit": digits, "levels": levels})
    try:
        files = save_figure(sheet, Path(options.to) / "pictures", data=data)
    except OSError as error:
        raise StoreError(f"cannot write to {options.to}: {error.strerror or error}") from error
    return PaintedPictures(pictures, digits, judged.nats, judged.accuracy, files)
