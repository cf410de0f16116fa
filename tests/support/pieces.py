"""Music that is no music: a .mat file as those of the papers, with few and short pieces."""

import io

import numpy as np
from scipy.io import savemat


def pieces(seed):
    """The bytes of a .mat file with 6 pieces a split, of 1, 8, 15, ... 36 frames."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in ("traindata", "validdata", "testdata"):
        cells = np.empty((1, 6), dtype=object)
        for k in range(6):
            cells[0, k] = (rng.random((1 + 7 * k, 88)) < 0.05).astype(np.uint8)
        found[name] = cells
    file = io.BytesIO()
    savemat(file, found)
    return file.getvalue()
