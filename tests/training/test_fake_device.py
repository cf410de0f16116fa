"""Trainings of every kind on a device without values: nothing is mixed, nothing waits for it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.fake_device import DEVICE, FakeDevice, MixedDevicesError, fake_device
from support.one_update import one_update
from support.representatives import REPRESENTATIVES
from torch.nn.utils.rnn import PackedSequence

import odyssey
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks.registry import get_task, list_tasks
from odyssey.tasks.sequences import SequenceTask
from odyssey.training import group as group_module
from odyssey.training.config import SCHEDULES, TrainingConfig
from odyssey.training.group import Group
from odyssey.training.loop import train
from odyssey.training.optimizer_rules import OPTIMIZERS

CONFIG = TrainingConfig(
    batch_size=2,
    unroll=3,
    updates_per_epoch=1,
    epochs=2,
    eval_batch=3,
    eval_unroll=7,
    valid_characters=10,
    test_characters=10,
    device="cuda",
)
PAIR = [Member(0, 1, hidden_size=4, momentum=0.5), Member(1, 2, hidden_size=6, clip_norm=1.0)]


@pytest.fixture
def fake(monkeypatch):
    with fake_device(monkeypatch) as watched:
        yield watched


def trained(cell="lstm", task="xml", members=PAIR, **options):
    config = replace(CONFIG, **options)
    return train(odyssey.get_cell(cell), get_task(task), members, config)


def test_the_fake_device_refuses_what_a_device_would():
    there, here = torch.zeros(3, device=DEVICE), torch.zeros(3)
    with FakeDevice() as watched:
        with pytest.raises(MixedDevicesError):
            there + here
        with pytest.raises(MixedDevicesError):
            torch.where(here > 0, there, there)
        with pytest.raises(RuntimeError):
            bool(there.any())
        assert watched.reads == 0
        assert (there + torch.tensor(1.0)).device == DEVICE
        assert there.cpu().tolist() == [1, 1, 1]
        assert here.to(DEVICE).device == DEVICE
        assert (watched.reads, watched.moves) == (1, 1)


def test_a_training_runs_there_and_leaves_its_results(fake):
    found = trained()
    assert [r.status for r in found.results] == ["ok", "ok"]
    assert [r.updates for r in found.results] == [2, 2]
    assert {p.device for model, _ in found.models for p in model.parameters()} == {DEVICE}
    assert found.models[0][0].rnn.backend == "eager"
    assert fake.operations > 500


@pytest.mark.parametrize("cell", REPRESENTATIVES)
def test_cells_of_every_form_are_trained_there(fake, cell):
    own = odyssey.get_cell(cell)
    if not own.further_inputs:
        group = Group(own, get_task("xml"), PAIR, CONFIG)
        one_update(group, None)
        return
    rnn = odyssey.RNN(own, 3, [4, 6], population=2, backend="eager", device=DEVICE)
    x = torch.zeros(2, 5, 4, 3, device=DEVICE)
    inputs = {n: x.new_zeros(2, 5, 4, size) for n, size in rnn.further_sizes.items()}
    y, _ = rnn(x, inputs=inputs)
    y.sum().backward()
    assert {p.grad.device for p in rnn.parameters()} == {DEVICE}


@pytest.mark.parametrize("task", list_tasks())
def test_every_task_is_trained_there(fake, corpora, task):
    group = Group(odyssey.get_cell("gru"), get_task(task), PAIR, CONFIG)
    one_update(group, None)
    scores = group.measure("test", 300)
    assert scores.nats[0] > 0


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimiser(fake, optimizer):
    trained(optimizer=optimizer, nesterov=True)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(fake, schedule):
    members = [Member(0, 1, hidden_size=4, warmup=2, momentum=0.5, ema_decay=0.5), PAIR[1]]
    trained(members=members, schedule=schedule, patience=1)


KINDS = {
    "layers": {"num_layers": 2},
    "noise": {"input_noise": 0.1},
    "dropout": {"dropout": 0.5, "num_layers": 2},
    "input dropout": {"input_dropout": 0.5},
    "recurrent dropout": {"recurrent_dropout": 0.5},
    "drop connect": {"drop_connect": 0.5},
    "zoneout": {"zoneout": 0.2},
    "averages": {"ema_decay": 0.9},
    "decay": {"weight_decay": 0.1},
    "clips": {"clip_norm": 1.0, "clip_value": 0.1},
    "forget bias": {"forget_bias": 1.0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_hyperparameter(fake, kind):
    members = [Member(0, 1, hidden_size=4, **KINDS[kind]), Member(1, 2, hidden_size=5)]
    members[1] = members[1].replace(num_layers=members[0].num_layers)
    for options in ({}, {"accumulate": 2, "dtype": "float64"}):
        trained(members=members, epochs=1, **options)


def test_groups_of_other_sizes_and_a_cell_without_parameters_of_its_own(fake):
    members = [Member(k, k, hidden_size=h) for k, h in enumerate((4, 40))]
    assert len(trained(members=members).models) == 2


def test_nothing_is_read_while_updates_are_made(fake, monkeypatch):
    group = Group(odyssey.get_cell("lstm"), get_task("xml"), PAIR, CONFIG)
    one_update(group, None)
    before = fake.reads
    assert len(group._ahead(4)) == 4
    assert fake.reads == before + 1
    assert group.updates == 5


def test_how_far_it_goes_ahead_follows_the_clock_and_decides_nothing(fake, monkeypatch):
    group = Group(odyssey.get_cell("lstm"), get_task("xml"), PAIR, CONFIG)
    times = itertools.count(step=1e-3)
    monkeypatch.setattr(group_module.time, "perf_counter", lambda: next(times))
    assert len(group._advance(50)) == 1
    assert len(group._advance(7)) == 7
    assert group.at_a_time == group_module.MOST_AHEAD
    monkeypatch.setattr(group_module.time, "perf_counter", lambda: next(times) * 1e6)
    assert len(group._advance(4)) == 4
    assert group.at_a_time == 1


def test_indices_are_looked_at_before_they_move(fake):
    group = Group(odyssey.get_cell("lstm"), get_task("xml"), PAIR, CONFIG)
    batch = next(group.draws)
    batch.inputs[0, 0, 0] = 1000
    group.draws.give_back([batch])
    with pytest.raises(ConfigError, match="class indices must be 0 to"):
        one_update(group, None)


def test_a_training_goes_on_there_from_a_snapshot(fake):
    members = [Member(0, 1, hidden_size=4, momentum=0.5, ema_decay=0.5, dropout=0.1)]
    one, other = (
        Group(odyssey.get_cell("lstm"), get_task("xml"), members, CONFIG) for _ in range(2)
    )
    one._ahead(3)
    snapshot = one.snapshot()
    assert all(isinstance(value, np.ndarray) for value in snapshot.arrays.values())
    other.restore(snapshot)
    assert other.updates == 3
    assert {s.device for s in other.state} == {DEVICE}
    other._ahead(2)


def test_sequences_of_unlike_lengths(fake):
    task = get_task("dates")
    assert isinstance(task, SequenceTask)
    group = Group(odyssey.get_cell("gru"), task, PAIR, CONFIG)
    group._ahead(3)


def test_packed_sequences(fake):
    rnn = odyssey.RNN(odyssey.get_cell("gru"), 3, 4, 2, bidirectional=True, device=DEVICE)
    packed = PackedSequence(torch.zeros(8, 3, device=DEVICE), torch.tensor([2, 2, 2, 1, 1]))
    y, (h,) = rnn(packed)
    assert y.data.device == h.device == DEVICE
    y.data.sum().backward()
    assert {p.grad.device for p in rnn.parameters()} == {DEVICE}
