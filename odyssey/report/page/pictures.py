"""TODO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from odyssey.names import file_name, short_names
from odyssey.report.page import style
from odyssey.report.study import plots
from odyssey.statistics import estimates, ranking
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
import pandas as pd
from markupsafe import Markup
from odyssey.errors import StoreError
from odyssey.names import short_names
from odyssey.report.page import style, tables
from odyssey.report.page.entries import entries
from odyssey.report.page.records import read_records
from odyssey.report.page.shell import render
from odyssey.report.page.units import slash
from odyssey.report.study import pictures as figures, protocol
from odyssey.report.page import pictures
from odyssey.report.study.baseline import BaselineComparison, compare_with_baseline
from odyssey.statistics import estimates, published, ranking
from odyssey.storage import RunStore
from odyssey.storage.schema import RESULT_COLUMNS


@dataclass(frozen=True)
class Picture:
    """A figure with what is needed to print it.

    Attributes:
        name: File name without a suffix.
        task: The task it is about, as people see it.
        title: What it shows.
        caption: How to read it: n, intervals, and what counts as divergence.
        figure: The figure.
        data: The rows behind it.
    """

    name: str
    task: str
    title: str
    caption: str
    figure: Figure = field(repr=False)
    data: pd.DataFrame = field(repr=False)


def data_uri(picture: pictures.Picture) -> str:
    """Gives a figure as an address that holds the figure itself."""
    # As an image, its ids cannot clash with those of the next figure.
    svg = style.to_svg(picture.figure)
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
