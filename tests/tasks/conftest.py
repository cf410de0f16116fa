"""Small stand-ins for the corpora, put by hand into a data folder of the test's own."""

import dataclasses
import hashlib
import random

import pytest

from odyssey.tasks import download


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    """A data folder where every corpus is present, 5,000 bytes of it; gives the folder."""
    folder = tmp_path / "data"
    monkeypatch.setenv(download.DATA_VARIABLE, str(folder))
    for name, dataset in download.DATASETS.items():
        words = random.Random(name)
        lines = ("".join(words.choices("abcdefgh é", k=40)) for _ in range(200))
        data = "\n".join(lines).encode()[:5000]
        data = data.decode("utf-8", "ignore").encode().ljust(5000, b"a")  # no half character
        (folder / name).mkdir(parents=True)
        (folder / name / "input.txt").write_bytes(data)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        entry = dataclasses.replace(dataset, size=len(data), digest=digest)
        monkeypatch.setitem(download.DATASETS, name, entry)
    return folder
