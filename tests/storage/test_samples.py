"""What a model wrote along training: kept, read back, damaged."""

import pytest

from odyssey.errors import StoreError
from odyssey.storage.samples import SAMPLES, KeptSample, read_samples, write_samples

KEPT = [
    KeptSample(100, "a(b\x00)\n", 2.5, 1, 1),
    KeptSample(200, "\ud800 \u2603", None, 0, 0),
]


def test_samples_are_read_as_they_were_written(tmp_path):
    assert read_samples(tmp_path) == []
    write_samples(tmp_path, KEPT[:1])
    assert read_samples(tmp_path) == KEPT[:1]
    write_samples(tmp_path, KEPT)
    first, second = read_samples(tmp_path)
    assert first == KEPT[0]
    assert second.text == "\\ud800 \u2603"  # a lone surrogate has no UTF-8


def test_damaged_samples_are_refused(tmp_path):
    write_samples(tmp_path, KEPT[:1])
    path = tmp_path / SAMPLES
    path.write_text(path.read_text().replace("2.5", "2.4"))
    with pytest.raises(StoreError, match="damaged"):
        read_samples(tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot write"):
        write_samples(tmp_path / "nowhere", KEPT)
