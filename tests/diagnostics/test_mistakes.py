"""Categories of errors and distances of brackets on texts whose answers are known."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from odyssey.diagnostics.mistakes import (
    AnnotatedText,
    Oracles,
    annotate_text,
    bracket_losses,
    closing_brackets,
    count_errors,
    loss_by_distance,
    ngram_predictions,
    sort_errors,
    words_of,
)
from odyssey.diagnostics.predictions import SYMBOLS_A_CALL, predict
from odyssey.errors import ConfigError, TaskError
from odyssey.hyperparameters import Member
from odyssey.specs import get_cell
from odyssey.tasks.registry import get_task
from odyssey.tasks.signature import Signature
from odyssey.training.model import SequenceModel

TRAIN = 'the cat sat. "the cat sat." the cat sat: ' * 200


@pytest.fixture
def task(tmp_path):
    """A text whose last tenth holds words, old and new."""
    held = 'the cat sat on Zorba. "Zorba sat!" (quick Zorba) ' * 8
    text = TRAIN[: 9 * len(held)] + held
    (tmp_path / "a.txt").write_text(text)
    return get_task(f"text:{tmp_path / 'a.txt'}@split=80/10/10")


def made_up(text, **values):
    size = len(text)
    fields = {
        "ngram": np.zeros(size),
        "longest": np.full(size, 0.5),
        "distance": np.full(size, np.inf),
        "known": np.full(size, -1),
        "begins": np.zeros(size, dtype=bool),
    }
    return AnnotatedText(text, **(fields | values))


def predictions(p):
    return pd.DataFrame(
        {"position": np.arange(1, len(p) + 1), "nats": -np.log(np.array(p, dtype=float))}
    )


def test_a_reading_knows_words_and_what_is_before_them(task):
    reading = annotate_text(task, characters=60)
    assert reading.text == "".join(task.decode(task.indices("test")[:61]))
    place = reading.text.index("Zorba")
    assert not math.isfinite(reading.distance[place + 1])  # seen for the first time
    assert reading.known[place : place + 5].tolist() == [-1, 0, 0, 0, 0]
    again = reading.text.index("Zorba", place + 1)
    assert reading.begins[[place, again]].all()
    assert reading.distance[again + 1] == again - (place + 5)
    assert not math.isfinite(reading.distance[again])  # a first letter
    sat = reading.text.index("sat")
    assert reading.known[sat + 1] > 100
    assert not reading.begins[sat + 1]
    assert reading.ngram[sat + 1] > 0.9
    assert reading.ngram[place + 2] < 0.5
    assert reading.longest[sat + 2] > 0.9


def test_words():
    assert words_of("an x_1, don't\n") == [(0, "an"), (3, "x_1"), (8, "don"), (12, "t")]
    assert words_of("end") == [(0, "end")]
    assert words_of("") == []


def test_every_error_has_one_category_and_the_first_that_fits():
    text = ".abcdefgh;ij"
    reading = made_up(
        text,
        ngram=np.array([0, 0.6, *[0.1] * 10]),
        distance=np.array([np.inf, 1, 80, 80.5, 5001, *[np.inf] * 7]),
        known=np.array([-1, 0, 0, 99, 3, 5, 6, *[-1] * 5]),
        begins=np.array([*[False] * 7, True, True, *[False] * 3]),
    )
    oracles = Oracles(memory=(80, 100))
    found = sort_errors(
        predictions([0.1, 0.2, 0.3, 0.4, 0.49, 0.1, 0.2, 0.9, 0.4, 0.15, 0.39]),
        reading,
        oracles=oracles,
    )
    expected = [
        ("n-gram", math.nan),
        ("memory", 80),
        ("memory", 100),
        ("rare word", math.nan),
        ("rare word", math.nan),
        ("boost", 0.4),
        ("word model", math.nan),
        ("", math.nan),  # 0.9 is right
        ("punctuation", math.nan),
        ("boost", 0.4),
        ("boost", 0.2),
    ]
    assert found["category"].tolist() == [c for c, _ in expected]
    np.testing.assert_array_equal(found["level"], [v for _, v in expected])
    table = count_errors(found)
    assert table["errors"].sum() == 10
    assert table["share"].sum() == pytest.approx(1.0)
    assert table["nats"].sum() == pytest.approx(found["nats"].mean())
    boosts = table[table.category == "boost"].set_index("level").errors
    assert boosts.to_dict() == {0.2: 1, 0.4: 2}


def test_a_model_without_errors_has_none():
    found = sort_errors(predictions([0.9, 0.8]), made_up("abc"))
    table = count_errors(found)
    assert table["errors"].sum() == 0
    assert table.set_index("category").nats["right"] == pytest.approx(found["nats"].mean())
    assert table["share"].iloc[:-1].isna().all()


def test_predictions_are_those_of_one_long_stream(task):
    model = SequenceModel(get_cell("lstm"), task.signature, [8], 2, dtype=torch.float64)
    model.initialise(0, Member(0, 1, hidden_size=8, num_layers=2, init_scale=2.0), "uniform_fan")
    found = predict(model, task, characters=150)
    symbols = torch.as_tensor(task.indices("test")[:151].astype(np.int64))
    with torch.no_grad():
        logits, _ = model(symbols[None, :-1, None], None)
    truth = torch.nn.functional.cross_entropy(logits[0, :, 0], symbols[1:], reduction="none")
    np.testing.assert_allclose(found["nats"], truth.numpy(), rtol=1e-12)
    assert found["position"].tolist() == list(range(1, 151))
    assert found["counted"].all()
    assert len(predict(model, task, characters=10**6)) == task.characters("test") - 1


def test_predictions_carry_the_state_from_piece_to_piece():
    task = get_task("arithmetic")
    model = SequenceModel(get_cell("gru"), task.signature, [8], 1)
    model.initialise(0, Member(0, 1, hidden_size=8, init_scale=3.0), "uniform_fan")
    many = predict(model, task, characters=SYMBOLS_A_CALL + 5, split="valid")
    batch = next(task.held_out("valid", batch_size=1, unroll=SYMBOLS_A_CALL + 5))
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(batch.inputs_TB)[None], None)
    truth = torch.nn.functional.cross_entropy(
        logits[0, :, 0], torch.from_numpy(batch.targets_TB[:, 0]), reduction="none"
    )
    np.testing.assert_allclose(
        many["nats"], truth.numpy()[: SYMBOLS_A_CALL + 5], rtol=1e-4, atol=1e-5
    )
    assert 0 < many["counted"].sum() < len(many)


def test_brackets_are_matched_kind_by_kind():
    found = closing_brackets("{(a[0]) ':(' ]}")
    assert found.to_records(index=False).tolist() == [(5, "]", 2), (6, ")", 5), (14, "}", 14)]
    assert closing_brackets("none").empty


def test_loss_by_distance():
    text = "()(x)(xx)((xxxxxxxxx))"
    p = np.full(len(text) - 1, 0.9)
    for place, value in ((1, 0.8), (4, 0.4), (8, 0.2), (20, 0.1), (21, 0.5)):
        p[place - 1] = value
    losses = bracket_losses(predictions(p), text)
    assert losses["distance"].tolist() == [1, 2, 3, 10, 12]
    bins = loss_by_distance(losses, edges=[1, 2, 4, 20])
    assert bins["n"].tolist() == [1, 2, 2]
    np.testing.assert_allclose(bins["nats"], -np.log([0.8, np.sqrt(0.08), np.sqrt(0.05)]))
    np.testing.assert_allclose(bins["distance"], [1, np.sqrt(6), np.sqrt(120)])
    spread = abs(math.log(0.4) - math.log(0.2)) / 2
    assert bins["error"].iloc[1] == pytest.approx(spread)
    assert math.isnan(bins["error"].iloc[0])
    assert bins["right"].tolist() == [1.0, 0.0, 0.0]
    assert loss_by_distance(losses)["n"].sum() == 5
    assert loss_by_distance(losses.iloc[:0]).empty


def test_the_ngram_is_a_baseline(task):
    reading = annotate_text(task, characters=100)
    found = ngram_predictions(reading)
    assert len(found) == 100
    np.testing.assert_allclose(np.exp(-found["nats"]), reading.longest[1:])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: annotate_text(get_task("xml"), characters=5), TaskError, "xml is no text"),
        (lambda: Oracles(contexts=0), ConfigError, "contexts must be at least 1"),
        (lambda: Oracles(rare=-1), ConfigError, "rare must not be negative"),
        (lambda: Oracles(memory=(5, 5)), ConfigError, "memory must be positive and rise"),
        (lambda: Oracles(boosts=(0.1,)), ConfigError, "boosts must end with 0.5"),
        (lambda: sort_errors(predictions([0.5] * 3), made_up("abc")), ConfigError, "character 3"),
        (
            lambda: predict(
                SequenceModel(get_cell("gru"), Signature.symbols(3), [2], 1),
                get_task("xml"),
                characters=0,
            ),
            ConfigError,
            "at least one character",
        ),
        (
            lambda: loss_by_distance(bracket_losses(predictions([0.5]), "()"), edges=[2, 1]),
            ConfigError,
            "must rise",
        ),
    ],
)
def test_nonsense_gets_one_line(call, error, says):
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
