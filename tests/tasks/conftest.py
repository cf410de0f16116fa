"""Small stand-ins for the corpora, put by hand into a data folder of the test's own."""

import dataclasses
import hashlib
import io
import random

import numpy as np
import pytest
from scipy.io import savemat

from odyssey.tasks import download


def pieces(seed):
    """The bytes of a .mat file with 6 short pieces a split, one of them of a single frame."""
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


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    """A data folder where every corpus is present, 5,000 bytes of it, and music; gives it."""
    folder = tmp_path / "data"
    monkeypatch.setenv(download.DATA_VARIABLE, str(folder))
    for number, (name, dataset) in enumerate(download.DATASETS.items()):
        words = random.Random(name)
        lines = ("".join(words.choices("abcdefgh é", k=40)) for _ in range(200))
        text = dataset.file == download.FILE_NAME
        data = "\n".join(lines).encode()[:5000] if text else pieces(number)
        (folder / name).mkdir(parents=True)
        (folder / name / dataset.file).write_bytes(data)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        entry = dataclasses.replace(dataset, size=len(data), digest=digest)
        monkeypatch.setitem(download.DATASETS, name, entry)
    return folder
