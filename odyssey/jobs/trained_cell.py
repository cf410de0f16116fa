"""What a training of one cell leaves, and how it shows itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError
from odyssey.names import printable
from odyssey.report.page.shows import shows
from odyssey.storage.schema import CURVE_COLUMNS, OK
from odyssey.wording import accuracy_of, duration, in_bits, loss_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from odyssey.storage.places import Place
    from odyssey.studies.trained import TrainedModel
    from odyssey.tasks.base import Task
    from odyssey.training.config import TrainingConfig
    from odyssey.training.model import SequenceModel


@dataclass(frozen=True, repr=False)
class TrainedCell:
    """What a training left.

    Attributes:
        row: The columns of `storage.schema.RESULT_COLUMNS`.
        sample: What the model writes; empty where the task is no text.
        task: The task.
        config: The training options.
        model: The model with its best parameters, one member.
        points: The measurements along training: the columns of `storage.schema.CURVE_COLUMNS`.
        path: Its run directory; None where nothing is kept.
    """

    row: dict[str, Any]
    sample: str
    task: Task
    config: TrainingConfig
    model: SequenceModel
    points: tuple[Mapping[str, Any], ...] = ()
    path: Place | None = None

    @property
    def trained(self) -> TrainedModel:
        """The model with its task, to be called: `y, state = trained(x)`."""
        import pandas as pd

        from odyssey.studies.trained import TrainedModel

        return TrainedModel(self.model, self.task, pd.Series(self.row))

    @property
    def table(self) -> pd.DataFrame:
        """One row: the columns of `storage.schema.RESULT_COLUMNS`."""
        import pandas as pd

        return pd.DataFrame([self.row])

    @property
    def curves(self) -> pd.DataFrame:
        """One row a measurement along training: the columns of `CURVE_COLUMNS`."""
        import pandas as pd

        return pd.DataFrame(list(self.points), columns=list(CURVE_COLUMNS))

    def figure(self) -> Figure:
        """Draws the validation loss along training.

        Raises:
            ConfigError: Nothing was measured along training.
        """
        from odyssey.report.page.style import figure_of
        from odyssey.report.page.units import counting
        from odyssey.report.study.plots import plot_learning_curves
        from odyssey.statistics.estimates import curve_bands
        from odyssey.statistics.ranking import with_labels

        if not self.points:
            raise ConfigError("nothing was measured along this training: it has no epoch")
        with counting({"tasks": {self.row["task"]: self.task.describe()}}):
            bands = curve_bands(with_labels(self.curves), with_labels(self.table))
            return figure_of(plot_learning_curves(bands))

    def scores(self) -> list[tuple[str, str]]:
        """Gives in words what it scores on held-out data: a split, and loss and accuracy."""
        record, row = self.task.describe(), self.row
        return [
            (
                split,
                f"{in_bits(row[f'{split}_nats'], record):.4f} {loss_of(record, short=True)},"
                f" {row[f'{split}_accuracy']:.2%} {accuracy_of(record)}",
            )
            for split in ("valid", "test", "longer")
            if not math.isnan(row.get(f"{split}_nats", math.nan))
        ]

    def __repr__(self) -> str:
        said = "; ".join(f"{split} {text}" for split, text in self.scores())
        if self.row["status"] != OK:
            said = f"{self.row['status']}: {self.row['reason']}"
        name = f"{printable(self.row['spec'])} on {printable(self.row['task'])}"
        return f"<TrainedCell {name}: {said}; {self.row['num_parameters']:,} parameters>"

    @shows
    def _repr_html_(self) -> str:
        from markupsafe import Markup

        from odyssey.report.page.html import plain_table
        from odyssey.report.page.shown import figure_html, fragment

        lost = [] if self.row["status"] == OK else [f"{self.row['status']}: {self.row['reason']}"]
        rows = [(split, text) for split, text in self.scores()]
        blocks = [plain_table([("split", False), ("score", False)], rows)] if rows else []
        if self.points:
            blocks.append(figure_html(self.figure(), "Validation loss along training"))
        if self.sample:
            blocks.append(Markup("<pre>{}</pre>").format(self.sample))
        return fragment(
            f"{self.row['spec']} on {self.row['task']}",
            lead=f"{self.row['num_parameters']:,} parameters, {duration(self.row['seconds'])}",
            blocks=blocks,
            notes=[*lost, *([f"kept in {self.path}"] if self.path else [])],
        )
