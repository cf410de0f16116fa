"""Dropout: where it acts, with which gradient, and that a member's masks are its own."""

from dataclasses import replace

import pytest
import torch
from support.one_update import one_update
from torch import nn
from torch.nn import functional

import odyssey
from odyssey.hyperparameters import Member
from odyssey.tasks.registry import get_task
from odyssey.training.config import TrainingConfig
from odyssey.training.group import Group
from odyssey.training.loop import train
from odyssey.training.masks import Masks
from odyssey.training.noise import Noise

CONFIG = TrainingConfig(
    batch_size=3, unroll=6, updates_per_epoch=4, epochs=2, valid_characters=200,
    test_characters=200, eval_batch=4, eval_unroll=20, dtype="float64",
)  # fmt: skip


def group_of(*members, backend="auto", task="xml", cell="lstm"):
    config = replace(CONFIG, backend=backend)
    return Group(odyssey.get_cell(cell), get_task(task), members, config)


def recorded(monkeypatch):
    """Keeps every mask that is drawn."""
    masks, draw = [], Masks.draw
    monkeypatch.setattr(Masks, "draw", lambda *args: masks.append(draw(*args)) or masks[-1])
    return masks


@pytest.mark.parametrize("backend", ["native", "eager"])
@pytest.mark.parametrize("layers", [1, 3])
def test_an_update_is_that_of_nn_lstm_with_the_same_masks(monkeypatch, backend, layers):
    masks = recorded(monkeypatch)
    member = Member(
        0, 7, hidden_size=8, num_layers=layers, dropout=0.4, input_dropout=0.3, learning_rate=0.1
    )
    group = group_of(member, backend=backend)
    own = {n: p.detach()[0].clone() for n, p in group.model.named_parameters()}
    symbols = group.task.num_symbols
    cells = [nn.LSTM(8 if k else symbols, 8).double() for k in range(layers)]
    with torch.no_grad():
        for k, lstm in enumerate(cells):
            for name, kind in (("weight_ih_l0", "W"), ("weight_hh_l0", "U"), ("bias_ih_l0", "b")):
                parts = [own[f"rnn.layers.{k}.{kind}_{g}"] for g in "ifgo"]
                getattr(lstm, name).copy_(torch.cat(parts))
            lstm.bias_hh_l0.zero_()
    readout = own["readout"].clone().requires_grad_()
    batch = group.draws.streams[0]
    batch = next(get_task("xml").train(batch_size=3, unroll=6, rng=_data(group)))
    _, nll, count = one_update(group, None)
    assert [m.shape for m in masks] == [(6, 3, 1), *[(6, 3, 8)] * layers]
    x = functional.one_hot(torch.tensor(batch.inputs_TB), symbols).double() * masks[0]
    for lstm, mask in zip(cells, masks[1:], strict=True):
        x = lstm(x)[0] * mask
    logits = x @ readout.T + own["readout_bias"]
    loss = functional.cross_entropy(logits.flatten(0, 1), torch.tensor(batch.targets_TB).flatten())
    assert nll[0] / count[0] == pytest.approx(loss.item(), rel=1e-12)
    loss.backward()
    now = {n: p.detach()[0] for n, p in group.model.named_parameters()}
    torch.testing.assert_close(own["readout"] - now["readout"], 0.1 * readout.grad)
    for k, lstm in enumerate(cells):
        for j, gate in enumerate("ifgo"):
            name = f"rnn.layers.{k}.W_{gate}"
            step = 0.1 * lstm.weight_ih_l0.grad[8 * j : 8 * j + 8]
            torch.testing.assert_close(own[name] - now[name], step, rtol=1e-6, atol=1e-12)


def _data(group):
    from odyssey.training.group import _content
    from odyssey.training.seeds import stream

    return stream(group.members[0].seed, "data", _content(group.task))


def test_what_is_kept_is_scaled_up():
    noise = group_of(Member(0, 1, hidden_size=4, dropout=0.25)).noise
    mask = noise._dropout.draw(0, (100, 100, 4), 0.25)
    assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((mask > 0).double().mean()) == pytest.approx(0.75, abs=0.01)


def test_held_out_data_are_read_without_it():
    members = [Member(0, 5, hidden_size=8, dropout=p, input_dropout=p) for p in (0.0, 0.5)]
    one, other = (group_of(m).measure("valid", 200).nats for m in members)
    assert one == other


def test_without_dropout_nothing_is_drawn(monkeypatch):
    masks = recorded(monkeypatch)
    train(odyssey.get_cell("gru"), get_task("xml"), [Member(0, 1, hidden_size=4)], CONFIG)
    assert masks == []


@pytest.mark.parametrize("layers", [1, 2])
def test_a_members_masks_are_its_own(layers):
    members = [
        Member(k, 10 + k, hidden_size=h, num_layers=layers, dropout=p, input_dropout=q)
        for k, (h, p, q) in enumerate([(8, 0.3, 0.0), (10, 0.0, 0.2), (9, 0.5, 0.1)])
    ]
    cell, task = odyssey.get_cell("gru"), get_task("xml")
    together = train(cell, task, members, CONFIG)
    assert len(together.models) == 1
    for member, result in zip(members, together.results, strict=True):
        (alone,) = train(cell, task, [member], CONFIG).results
        assert result.valid_nats == pytest.approx(alone.valid_nats, rel=1e-9)
        assert result.train_nats == pytest.approx(alone.train_nats, rel=1e-9)


def test_a_step_before_the_first_is_dropped_as_well():
    """What sequences are conditioned on is read in a step of its own, by all layers."""
    members = [Member(k, k, hidden_size=5, num_layers=2, dropout=0.3) for k in range(2)]
    together = group_of(*members, task="house-numbers@look=first")
    one_update(together, None)
    for member, row in zip(members, together.flat.values_PN, strict=True):
        alone = group_of(member, task="house-numbers@look=first")
        one_update(alone, None)
        torch.testing.assert_close(alone.flat.values_PN[0], row, rtol=1e-9, atol=1e-12)


def test_masks_differ_from_update_to_update_and_from_member_to_member(monkeypatch):
    masks = recorded(monkeypatch)
    members = [Member(k, k, hidden_size=20, dropout=0.5) for k in range(2)]
    group = group_of(*members)
    for _ in range(2):
        one_update(group, None)
    assert len(masks) == 4
    assert len({m.numpy().tobytes() for m in masks}) == 4


def test_streams_can_be_restored():
    one, other = (
        Noise([Member(0, 3, hidden_size=4, dropout=0.5, input_noise=1.0)], group_of(
            Member(0, 3, hidden_size=4, dropout=0.5, input_noise=1.0)).model)
        for _ in range(2)
    )  # fmt: skip
    one.draw(2, [5])
    other.restore(one.state())
    (noise, mask), again = one.draw(2, [5]), other.draw(2, [5])
    assert noise.any()
    assert mask.any()
    assert all(map(torch.equal, (noise, mask), again))
