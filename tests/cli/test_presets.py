"""The presets of programs, typed as a person would."""

import pytest
from support.answers import refused, well

from odyssey.training.config import PRESETS

QUICK = ("--hidden-size", 8, "--sample", 0, "--set", "valid_characters=100", "--json")


@pytest.fixture
def book(cwd):
    (cwd / "book.txt").write_text(
        "It was a dark and stormy night; the rain fell in torrents.\n" * 130
    )
    return "text:book.txt@split=95/5/0"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_every_preset_trains_every_cell(odyssey, book, preset, cell):
    size = ("--unroll", 10, "--batch-size", 5, "--epochs", 1, "--updates-per-epoch", 3)
    called = well(odyssey("train", cell, "--preset", preset, "--task", book, *QUICK, *size))
    assert called.json["status"] == "ok"
    assert called.json["updates"] == 3
    assert called.json["test_nats"] is None
    biased = preset in ("char-rnn", "torch-rnn") and cell == "lstm"
    assert called.json["forget_bias"] == (1.0 if biased else None)


def test_char_rnn_reads_so_many_passes(odyssey, book):
    train = ("train", "lstm", "--preset", "char-rnn", "--task", book, "--passes", 2, *QUICK)
    found = well(odyssey(*train)).json
    assert found["training"]["start"] == "beginning"
    assert found["num_layers"] == 2
    assert found["updates"] == 2 * ((int(0.95 * 130 * 59) // 50 - 2) // 50)
    own = well(odyssey(*train, "--num-layers", 1, "--set", "start=anywhere")).json
    assert own["num_layers"] == 1
    assert own["updates"] == 2 * (int(0.95 * 130 * 59) // 2500)


def test_min_char_rnn_shows_its_smooth_loss(odyssey, book):
    train = ("train", "elman", "--preset", "min-char-rnn", "--task", book, "--epochs", 2)
    lines = well(odyssey(*train, "--hidden-size", 8, "--sample", 0)).out.splitlines()
    assert "update    100" in lines[0]
    assert "  smooth " in lines[0]
    assert "smooth" not in well(odyssey(*train, "--set", "smoothing=0", "--sample", 0)).out


def test_what_is_generated_has_no_passes(odyssey):
    said = refused(odyssey("train", "lstm", "--preset", "char-rnn", "--task", "xml"))
    assert "xml is generated without end and has no passes; give epochs" in said
