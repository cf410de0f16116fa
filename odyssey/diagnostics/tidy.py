"""Arrays with named axes, written out as tidy frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor


def tidy(axes: Mapping[str, Sequence[Any]], **values: Tensor) -> pd.DataFrame:
    """Writes arrays of one shape as a frame: a column for each axis, and one for each array.

    Args:
        axes: Name of each axis -> its labels, in the arrays' order.
        values: Name of each array -> the array.
    """
    shape = tuple(len(labels) for labels in axes.values())
    frame: dict[str, Any] = {}
    for place, (name, labels) in enumerate(axes.items()):
        index = np.arange(shape[place]).reshape(
            [-1 if k == place else 1 for k in range(len(shape))]
        )
        frame[name] = np.asarray(labels)[np.broadcast_to(index, shape).ravel()]
    for name, value in values.items():
        assert tuple(value.shape) == shape, (name, value.shape, shape)
        frame[name] = value.detach().cpu().numpy().ravel()
    return pd.DataFrame(frame)
