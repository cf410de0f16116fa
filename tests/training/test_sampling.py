"""Sampling from a trained model: what is drawn, and how it streams as text."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_loop import SMALL

import odyssey
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks.registry import get_task
from odyssey.tasks.signature import Signature
from odyssey.training.loop import train
from odyssey.training.model import SequenceModel
from odyssey.training.sampling import sample, stream_text


def test_learns_a_deterministic_text(tmp_path):
    path = tmp_path / "cycle.txt"
    path.write_text("abcd" * 2000)
    task = get_task(f"text:{path}")
    config = replace(SMALL, optimizer="adam", epochs=3, updates_per_epoch=30, dtype="float32")
    member = Member(0, 1, hidden_size=12, learning_rate=0.03)
    trained = train(odyssey.get_cell("gru"), task, [member], config)
    (result,) = trained.results
    assert result.test_accuracy > 0.99
    assert result.test_nats < 0.05
    text = sample(
        trained.models[0][0],
        task.encode("ab"),
        length=8,
        temperature=0,
        rng=np.random.default_rng(0),
    )
    assert task.decode(list(text)) == "cdabcdab"


def test_sampling_errors_and_temperature():
    model = SequenceModel(odyssey.get_cell("elman"), Signature.symbols(5), [3], 1)
    start, rng = np.array([0]), np.random.default_rng(0)
    with pytest.raises(ConfigError, match="temperature"):
        list(sample(model, start, length=3, temperature=-1, rng=rng))
    with pytest.raises(ConfigError, match="at least one"):
        list(sample(model, start[:0], length=3, temperature=1, rng=rng))
    with pytest.raises(ConfigError, match="top-k"):
        list(sample(model, start, length=3, temperature=1, top_k=0, rng=rng))
    drawn = list(sample(model, start, length=200, temperature=5.0, rng=rng))
    assert set(drawn) == set(range(5))


def test_top_k_draws_among_the_likeliest_alone():
    model = SequenceModel(odyssey.get_cell("elman"), Signature.symbols(5), [3], 1)
    with torch.no_grad():
        model.readout.zero_()
        model.readout_bias[0] = torch.tensor([0.0, 3.0, 3.0, 1.0, 2.0])
    start = np.array([0])

    def drawn(k):
        rng = np.random.default_rng(1)
        found = list(sample(model, start, length=400, temperature=2.0, top_k=k, rng=rng))
        return np.bincount(found, minlength=5) / 400

    assert set(np.flatnonzero(drawn(3))) == {1, 2, 4}
    assert drawn(3)[4] == pytest.approx(1 / (1 + 2 * np.exp(0.5)), abs=0.08)
    assert len(np.flatnonzero(drawn(1))) == 1  # ties are no reason to keep two
    np.testing.assert_array_equal(drawn(9), drawn(None))


@pytest.mark.parametrize("unit", ["bytes", "characters"])
def test_text_streams_as_it_decodes(tmp_path, unit):
    path = tmp_path / "text.txt"
    path.write_text("aé€😀z" * 400, "utf-8")
    task = get_task(f"text:{path}@unit={unit}")
    indices = task.encode("aé€😀z€").tolist()
    assert list(stream_text(task, indices)) == list("aé€😀z€")
    rng = np.random.default_rng(1)
    wild = rng.integers(task.num_symbols, size=300).tolist()
    assert "".join(stream_text(task, wild)) == task.decode(wild)
