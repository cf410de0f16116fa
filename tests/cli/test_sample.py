"""A trained model is kept and writes; what is no such model gets one line."""

import json

import numpy as np
import pytest
from answers import refused, well

TRAIN = ("--hidden-size", 16, "--learning-rate", 0.03, "--updates-per-epoch", 40, "--epochs", 2)
SIZES = ("--set", "valid_characters=200", "--set", "test_characters=200", "--batch-size", 8)


@pytest.fixture
def writer(odyssey, cwd):
    """A model that has learned a text by heart."""
    (cwd / "cycle.txt").write_text("abcdé" * 1000)
    command = ("train", "gru", "--task", "text:cycle.txt", "--sample", 12, "--out", "run")
    called = well(odyssey(*command, *TRAIN, *SIZES, "--sample-every", 40))
    return called, cwd


def test_a_trained_model_writes(odyssey, writer):
    trained, _ = writer
    assert trained.out.count("--- sample after") == 2
    assert "--- sample after 80 updates\n" in trained.out
    sample = ("sample", "run", "--length", 13, "--temperature", 0)
    assert well(odyssey(*sample, "--prime", "abc")).out == "abcdéabcdéabcd\n"  # 13 bytes
    found = well(odyssey(*sample, "--prime", "é", "--json")).json
    assert found == {"prime": "é", "text": "abcdéabcdéa"}
    warm = ("sample", "run", "--length", 60, "--temperature", 3)
    outputs = [well(odyssey(*warm, "--seed", s)).out for s in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]
    sure = [well(odyssey(*warm, "--top-k", 1, "--seed", s)).out for s in (1, 2)]
    assert sure[0] == sure[1]


def test_what_cannot_write_says_why(odyssey, writer):
    _, cwd = writer
    for arguments, says in (
        (("nowhere",), "no run at nowhere"),
        (("run", "--length", 0), "--length"),
        (("run", "--temperature", -1), "--temperature"),
        (("run", "--top-k", 0), "--top-k"),
        (("run", "--seed", -1), "--seed"),
        (("run", "--prime", ""), "--prime is empty"),
        (("run", "--prime", "xyz"), "x"),
    ):
        assert says in refused(odyssey("sample", *arguments))
    weights = cwd / "run/weights.npz"
    kept = weights.read_bytes()
    for broken in (b"", b"no zip", kept[:200]):
        weights.write_bytes(broken)
        assert "does not hold the weights" in refused(odyssey("sample", "run"))
    np.savez(weights, readout=np.zeros((2, 2)))
    assert "does not hold the weights" in refused(odyssey("sample", "run"))
    weights.unlink()
    assert "keeps no weights" in refused(odyssey("sample", "run"))
    weights.write_bytes(kept)
    (cwd / "cycle.txt").write_text("abcdè" * 1000)
    assert "text has changed" in refused(odyssey("sample", "run"))
    assert json.loads((cwd / "run/run.json").read_text())["study"]
