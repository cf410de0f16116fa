"""What is asked of the models that a study has kept: gradients and errors."""

import itertools
import re
from functools import partial

import pandas as pd
import pytest
from support.answers import refused, table, well
from support.small_studies import small_study

from odyssey.jobs import mistakes
from odyssey.pace import Course

STUDY = small_study(
    name="kept",
    cells=["gru", "elman"],
    tasks=["text:a.txt"],
    training={"optimizer": "adam"},
    space={"hidden_size": {"choice": [5, 6]}},
)
TEXT = 'the cat (old, "fat [and] grey") sat on a mat. ' * 400


@pytest.fixture(scope="module")
def folder(search):
    return search(STUDY, {"a.txt": TEXT}).parent


def test_gradients_of_the_best_models(odyssey, folder):
    small = ("--steps", 12, "--rows", 2)
    lines = table(odyssey("gradients", folder / "run", *small, "--out", folder / "g"))
    assert {line.split()[0] for line in lines[1:3]} == {"gru", "elman"}
    assert "over 2 stretches of validation data" in lines[3]
    for name in ("norms.csv", "paths.csv", "figures/singular_values.png", "gradients.gif"):
        assert (folder / "g" / name).stat().st_size > 0
    norms = pd.read_csv(folder / "g/norms.csv")
    assert set(norms["steps_back"]) == set(range(13))
    one = ("--cell", "gru", "--no-animation", "--json", "--out", folder / "one")
    found = well(odyssey("gradients", folder / "run", *small, *one)).json
    assert [row["label"] for row in found["summary"]] == ["gru"]
    assert "gif" not in found["files"]


def test_errors_say_how_long_they_still_take(odyssey, folder, monkeypatch):
    # the first model takes a thousand seconds, and so each look at the clock little of them
    clock = itertools.chain([0.0, 0.0, 0.0], itertools.count(1000.0))
    monkeypatch.setattr(mistakes, "Course", partial(Course, clock=clock.__next__))
    called = well(odyssey("errors", folder / "run", "--characters", 500, "--out", folder / "time"))
    assert re.findall(r"(\w+): model (\d) of 2  about .* left", called.out)[0][1] == "1"


def test_errors_of_the_best_models(odyssey, folder):
    done = odyssey("errors", folder / "run", "--characters", 500, "--out", folder / "e")
    lines = table(done)
    assert {line.split()[0] for line in lines[1:3]} == {"gru", "elman"}
    assert "500 characters of text:" in lines[3]
    frame = pd.read_csv(folder / "e/figures/errors.csv")
    for _, part in frame.groupby("label"):
        assert part["share"].sum() == pytest.approx(1.0)
    brackets = pd.read_csv(folder / "e/figures/brackets.csv")
    assert set(brackets["label"]) == {"gru", "elman", "9-gram"}
    assert brackets.groupby("label")["n"].sum().nunique() == 1
    command = ("errors", folder / "run", "--cell", "gru", "--split", "valid", "--json")
    found = well(odyssey(*command, "--characters", 100, "--out", folder / "j")).json
    assert {row["label"] for row in found["errors"]} == {"gru"}
    assert found["split"] == "valid"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gradients", "RUN", "--hidden-size", 7), "--hidden-size goes with cells"),
        (("gradients", "RUN", "--set", "a=1"), "--set goes with cells"),
        (("gradients", "RUN", "gru"), "gru is no run, others are"),
        (("gradients", "RUN", "--steps", 0), "--steps and --rows must be at least 1"),
        (("gradients", "RUN", "--steps", 10**6), "no counted symbol after 1000000 steps"),
        (("gradients", "RUN", "--cell", "lstm"), "no cell with weights in the run called 'lstm'"),
        (("gradients", "RUN", "--member", 9), "no member with weights in the run called '9'"),
        (("gradients", "RUN", "--task", "xml"), "no task with weights in the run called 'xml'"),
        (("gradients", "gru", "--member", 1), "--member goes with the trained models of a run"),
        (("gradients", "EMPTY"), "is not a run"),
        (("errors", "RUN", "--characters", 0), "--characters must be at least 1"),
        (("errors", "nowhere"), "no run at nowhere"),
        (("errors", "EMPTY"), "is not a run"),
    ],
)
def test_what_makes_no_sense_gets_one_line(odyssey, folder, cwd, arguments, says):
    (cwd / "empty").mkdir()
    places = {"RUN": folder / "run", "EMPTY": "empty"}
    assert says in refused(odyssey(*(places.get(a, a) for a in arguments)))


def test_errors_need_words(odyssey, cwd):
    train = ("train", "gru", "--task", "xml", "--hidden-size", 4, "--epochs", 0, "--sample", 0)
    sizes = ("--set", "valid_characters=100", "--set", "test_characters=100")
    well(odyssey(*train, *sizes, "--out", "run"))
    assert "xml is no text" in refused(odyssey("errors", "run"))
