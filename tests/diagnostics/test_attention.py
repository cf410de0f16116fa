"""Where models look in pictures: columns of places, looks of a model, and how they follow."""

import numpy as np
import pandas as pd
import pytest
import torch

import odyssey
from odyssey.diagnostics.attention import attends, left_to_right, looks, place_columns
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks import get_task
from odyssey.tasks.signature import ATTENTION, Condition
from odyssey.training.model import SequenceModel


def test_columns_of_places():
    found = place_columns(Condition((8, 10, 1), ATTENTION))
    assert found.tolist() == [1.5, 5.5, 8.5] * 2  # of the last place two columns are there


def test_looks_are_mean_columns_of_the_attention():
    task = get_task("house-numbers@digits=2")
    model = SequenceModel(odyssey.get_cell("gru"), task.signature, [6], 1)
    model.initialise(0, Member(0, 1, hidden_size=6, init_scale=3.0), "uniform_fan")
    frame = looks(model, task)
    examples = task.held_out_examples("test")
    assert frame["sequence"].nunique() == len(examples)
    columns = place_columns(task.signature.condition)
    for place in (0, 7, 512):
        example, rows = examples[place], frame[frame["sequence"] == place]
        assert rows["target"].tolist() == example.columns_T[:-1].tolist()
        assert rows["length"].tolist() == [len(example) - 1] * (len(example) - 1)
        with torch.no_grad():
            memory = model.encode(torch.from_numpy(example.given)[None, None])
            x = torch.from_numpy(example.inputs_T).view(1, -1, 1)
            _, _, weights = model.attend(x, None, memory)
        want = weights[0, :-1, 0].numpy() @ columns
        assert rows["look"].to_numpy() == pytest.approx(want, abs=1e-4)
    with pytest.raises(ConfigError, match="no attention"):
        looks(model, get_task("house-numbers@look=first"))
    assert not attends(get_task("house-numbers@look=every"))


def made(look):
    """Gives sequences of three targets at random columns, looked at by a rule."""
    rng = np.random.default_rng(0)
    rows = []
    for sequence in range(400):
        targets = np.sort(rng.choice(48, 3, replace=False)).astype(float)
        rows += [(sequence, 3, t, look(t, targets[t], rng), targets[t]) for t in range(3)]
    return left_to_right(
        pd.DataFrame(rows, columns=["sequence", "length", "step", "look", "target"])
    )


def test_a_clock_moves_to_the_right_and_looks_at_nothing():
    seen = made(lambda step, target, rng: target + rng.normal(0, 0.1))
    clock = made(lambda step, target, rng: 12.0 * (step + 1) + rng.normal(0, 0.1))
    chance = made(lambda step, target, rng: rng.random() * 48)
    assert seen["rightward"] > 0.99
    assert clock["rightward"] == 1
    assert abs(chance["rightward"] - 0.5) < 0.06
    assert clock["correlation"] > 0.7
    assert seen["within"] > 0.99
    assert abs(clock["within"]) < 0.1
    assert abs(chance["within"]) < 0.1
    assert seen["off"] < 0.2
    assert clock["off"] > 3


def test_too_few_looks_say_nothing():
    frame = pd.DataFrame(
        {"sequence": [0], "length": [1], "step": [0], "look": [2.0], "target": [3.0]}
    )
    found = left_to_right(frame)
    assert found["off"] == 1
    assert all(np.isnan(found[name]) for name in ("rightward", "correlation", "within"))
