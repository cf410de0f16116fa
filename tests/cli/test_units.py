"""`odyssey units` finds what a small model does, writes its files, and refuses in one line."""

import itertools
import json
import re
import sys
from functools import partial

import h5py
import numpy as np
import pandas as pd
import pytest
from support.answers import refused, well

from odyssey.diagnostics.probes import PROBES
from odyssey.jobs import units
from odyssey.pace import Course

TRAIN = ("--hidden-size", 12, "--learning-rate", 0.02, "--updates-per-epoch", 20, "--epochs", 1)
SIZES = ("--set", "valid_characters=200", "--set", "test_characters=200", "--batch-size", 8)
UNITS = ("units", "run", "--shifts", 19, "--page-characters", 300)


@pytest.fixture
def reader(odyssey, cwd):
    """A model of a text with words and quotes."""
    (cwd / "some.txt").write_text('He said "so é" and (left).\n\tThen\n' * 800)
    command = ("train", "gru", "--task", "text:some.txt", "--sample", 0, "--out", "run")
    well(odyssey(*command, *TRAIN, *SIZES))
    return cwd


def test_it_scores_and_writes(odyssey, reader):
    (reader / "mine.py").write_text("def is_e(text):\n    return [c == 'e' for c in text]\n")
    called = well(odyssey(*UNITS, "--probes", "mine.py", "--out", "out"))
    assert "gru read 1,319 symbols: 48 units in 4 values" in called.out
    absent = called.out.split("not scored, for this text does not vary in them: ")[1].split("\n")[0]
    assert {"inside_comment", "inside_if"} <= set(absent.split(", "))
    scores = pd.read_csv(reader / "out/scores.csv")
    assert {"inside_quotes", "bracket_depth", "upper_case", "is_e"} <= set(scores.probe)
    assert (scores.groupby("probe").size() == 48).all()
    assert set(scores.track) == {"h", "r", "z", "n"}
    assert (reader / "out/saturation.png").stat().st_size > 1000
    page = (reader / "out/units.html").read_text("utf-8")
    facts = page.split('id="facts">')[1].split("</script>")[0]
    assert len(json.loads(facts)["symbols"]) == 300
    again = well(odyssey(*UNITS, "--probes", "mine.py", "--out", "out", "--json")).json
    assert {row["probe"] for row in again["best"]} == set(scores.probe)
    assert sorted([*again["absent"], *set(scores.probe)]) == sorted([*PROBES, "is_e"])
    assert pd.read_csv(reader / "out/scores.csv").equals(scores)


def test_it_says_how_long_it_still_takes(odyssey, reader, monkeypatch):
    clock = itertools.count(0.0, 7.0)  # every look at it is seven seconds later
    monkeypatch.setattr(units, "Course", partial(Course, clock=clock.__next__))
    words = re.findall(r"scored (\d+) of 48 units  about .* left", well(odyssey(*UNITS)).out)
    assert words[:2] == ["12", "24"]
    well(odyssey(*UNITS, "--json")).json


def test_it_reads_another_text_and_exports(odyssey, reader):
    (reader / "other.txt").write_text('said "He" (so).\n' * 60)
    command = (*UNITS, "--text", "other.txt", "--characters", 500, "--page-characters", 0)
    called = well(odyssey(*command))
    assert "gru read 500 symbols" in called.out
    assert (reader / "run/units/scores.csv").is_file()
    assert not (reader / "run/units/units.html").exists()
    well(odyssey(*command, "--lstmvis", "vis"))
    with h5py.File(reader / "vis/states.h5") as states, h5py.File(reader / "vis/train.h5") as train:
        assert {k: v.shape for k, v in states.items()} == {f"{n}1": (500, 12) for n in "hrzn"}
        codes = list(train["word_ids"])
        values = states["h1"][:]
        assert np.isfinite(values).all()
        assert values.std() > 0.01
    words = dict(
        reversed(line.split())
        for line in (reader / "vis/words.dict").read_text("utf-8").splitlines()
    )
    text = "".join(words[str(k)] for k in codes).replace("␣", " ").replace("⏎", "\n")
    assert text == ('said "He" (so).\n' * 60)[:500]
    config = (reader / "vis/lstm.yml").read_text("utf-8")
    assert "{type: state, layer: 1, path: z1, transform: none, unsigned: true}" in config


@pytest.mark.parametrize("unit", ["bytes", "characters"])
def test_accents_are_themselves_on_the_page_and_in_the_export(odyssey, cwd, unit):
    text = "Il dit: «où est l’été?» — 中文 “bon”.\n" * 300
    (cwd / "some.txt").write_text(text)
    command = ("train", "elman", "--task", f"text:some.txt@unit={unit}", "--sample", 0)
    well(odyssey(*command, "--out", "run", *TRAIN, *SIZES))
    (cwd / "some.txt").rename(cwd / "moved.txt")
    called = odyssey(*UNITS, "--text", "moved.txt", "--lstmvis", "vis", "--out", "out")
    assert "inside_quotes" in well(called).out
    page = (cwd / "out/units.html").read_text("utf-8")
    symbols = json.loads(page.split('id="facts">')[1].split("</script>")[0])["symbols"]
    shown = "".join(symbols)
    assert shown[:-1] in text  # of the last character there may be only a part
    assert len(symbols) == 300
    assert ("" in symbols) == (unit == "bytes")
    words = {line.split()[0] for line in (cwd / "vis/words.dict").read_text("utf-8").splitlines()}
    assert {"ù", "é", "«", "中", "“"} <= words
    with h5py.File(cwd / "vis/train.h5") as train:
        assert len(train["word_ids"]) == int(
            called.out.split(" read ")[1].split()[0].replace(",", "")
        )
    # the other data of the same text, not its test split: another file
    (cwd / "piece.txt").write_text(text[: 40 * 37])
    other = well(odyssey(*UNITS, "--text", "piece.txt", "--page-characters", 0)).out
    sizes = {"bytes": len(text[: 40 * 37].encode()), "characters": 40 * 37}
    assert f"elman read {sizes[unit]:,} symbols" in other


def test_without_h5py_it_says_what_to_install(odyssey, reader, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    says = refused(odyssey(*UNITS, "--page-characters", 0, "--lstmvis", "vis"))
    assert "needs h5py: pip install" in says


def test_it_takes_a_model_of_a_study(odyssey, reader):
    (reader / "study.toml").write_text(
        'name = "two"\ncells = ["gru", "elman"]\ntasks = ["text:some.txt"]\nmembers = 2\n'
        'keep_weights = "all"\n'
        "[training]\nepochs = 1\nupdates_per_epoch = 5\nvalid_characters = 200\n"
        "test_characters = 200\n[space]\nhidden_size = 6\nlearning_rate = 0.01\n"
    )
    study = odyssey("search", "study.toml", "--runner", "local", "--out", "study")
    assert study.code == 0, study.err
    command = ("units", "study", "--shifts", 19, "--page-characters", 0, "--out", "out")
    assert "elman read" in well(odyssey(*command, "--cell", "elman", "--member", 1)).out
    assert "gru read" in well(odyssey(*command, "--cell", "gru")).out
    assert "lstm" in refused(odyssey(*command, "--cell", "lstm"))


def test_what_it_cannot_do_it_says(odyssey, reader):
    (reader / "odd.txt").write_text("XYZ" * 300)
    (reader / "short.txt").write_text("said")
    (reader / "latin.txt").write_bytes(b"\xe9\xe8" * 300)
    for arguments, says in (
        (("units", "nowhere"), "no run at nowhere"),
        ((*UNITS, "--text", "odd.txt"), "has no symbol 'X'"),
        ((*UNITS, "--text", "short.txt"), "too short to judge"),
        ((*UNITS, "--text", "latin.txt"), "is not utf-8"),
        ((*UNITS, "--text", "none.txt"), "no file 'none.txt'"),
        ((*UNITS, "--probes", "none.py"), "none.py: there is no such file"),
        ((*UNITS, "--characters", 0), "--characters"),
        ((*UNITS, "--page-characters", -1), "--page-characters"),
        ((*UNITS, "--shifts", 0), "--shifts"),
        ((*UNITS, "--seed", -1), "--seed"),
    ):
        assert says in refused(odyssey(*arguments))


def test_a_cell_without_recurrence_is_refused(odyssey, reader):
    (reader / "flat.cell").write_text(
        "cell flat\ninput x\nnot recurrent\nh = tanh(W @ x[t] + b)\noutput h\n"
    )
    command = ("train", "flat.cell", "--task", "text:some.txt", "--sample", 0, "--out", "flat")
    well(odyssey(*command, *TRAIN, *SIZES))
    assert "flat has no recurrence" in refused(odyssey("units", "flat"))
