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
from odyssey.tasks.signature import BITS, Signature, Values
from odyssey.training.loop import train
from odyssey.training.model import SequenceModel
from odyssey.training.sampling import sample, sample_frames, stream_text


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


def player(spec="lstm", keys=6):
    bits = Values(BITS, keys)
    model = SequenceModel(odyssey.get_cell(spec), Signature(bits, bits), [7, 5], 1)
    for k, size in enumerate((7, 5)):
        model.initialise(k, Member(k, 3 + k, hidden_size=size), "normal")
    return model


def frames_of(model, prime, temperature, *, length=8, member=0, seed=0):
    rng = np.random.default_rng(seed)
    found = sample_frames(
        model, prime, length=length, temperature=temperature, rng=rng, member=member
    )
    return np.stack(list(found))


@pytest.mark.parametrize("member", [0, 1])
def test_frames_are_those_of_the_whole_sequence_read_at_once(member):
    """What is written becomes what is read: one frame at a time gives what all at once give."""
    model, rng = player(), np.random.default_rng(1)
    with torch.no_grad():
        model.readout *= 30
    prime = (rng.random((4, 6)) < 0.5).astype(np.uint8)
    made = frames_of(model, prime, 0, member=member)
    read = torch.from_numpy(np.concatenate([prime, made]))[None, :, None].float()
    logits, _ = model(read.expand(2, -1, -1, -1), None)
    assert np.array_equal(made, (logits[member, 3:-1, 0] > 0).numpy())
    assert made.any()
    assert not made.all()


def test_bits_are_independent_and_a_temperature_moves_them_to_one_half():
    model = player("elman", keys=3)
    with torch.no_grad():
        model.readout.zero_()
        model.readout_bias[:] = torch.tensor([2.0, -1.0, 0.0])
    prime = np.zeros((1, 3), dtype=np.uint8)
    for temperature in (1.0, 4.0):
        made = frames_of(model, prime, temperature, length=4000)
        want = 1 / (1 + np.exp(-np.array([2.0, -1.0, 0.0]) / temperature))
        np.testing.assert_allclose(made.mean(0), want, atol=0.03)
        assert np.abs(np.corrcoef(made.T) - np.eye(3)).max() < 0.06
    assert np.array_equal(frames_of(model, prime, 0)[:, :2], np.tile([1, 0], (8, 1)))
    warm = [frames_of(model, prime, 1.0, seed=s, length=50) for s in (0, 0, 1)]
    assert np.array_equal(warm[0], warm[1])
    assert not np.array_equal(warm[0], warm[2])


def test_frames_need_a_beginning_and_a_temperature():
    model, prime = player(), np.zeros((1, 6), dtype=np.uint8)
    with pytest.raises(ConfigError, match="at least one frame"):
        frames_of(model, prime[:0], 1)
    with pytest.raises(ConfigError, match="temperature"):
        frames_of(model, prime, -1)
