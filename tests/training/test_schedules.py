"""Learning rates along training against torch's own schedules, and members that differ in them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks.registry import get_task
from odyssey.training.config import SCHEDULES, TrainingConfig, training_config
from odyssey.training.loop import train
from odyssey.training.schedules import SCHEDULE_RULES, Rates

SMALL = TrainingConfig(
    batch_size=3,
    unroll=6,
    updates_per_epoch=5,
    epochs=4,
    valid_characters=100,
    test_characters=100,
    eval_batch=4,
    eval_unroll=20,
    dtype="float64",
)
UPDATES, RATE, WARMUP, FINAL = 20, 0.3, 6, 0.05


def by_torch(make):
    """The rates of a schedule of torch, one an update."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], RATE)
    schedule, found = make(optimizer), []
    for _ in range(UPDATES):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def warmed(then):
    """A warm-up of torch before another schedule."""

    def make(optimizer):
        rise = lr_scheduler.LinearLR(optimizer, 1 / WARMUP, total_iters=WARMUP - 1)
        return lr_scheduler.SequentialLR(optimizer, [rise, then(optimizer)], [WARMUP])

    return make


def cosine(left):
    return lambda o: lr_scheduler.CosineAnnealingLR(o, left, eta_min=FINAL * RATE)


def one_cycle(optimizer, **more):
    more = {"final_div_factor": 1 / 25 / FINAL} | more
    return lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=UPDATES, cycle_momentum=False, **more
    )


OWN = {"final_rate": FINAL}
REFERENCES = {
    "cosine": (OWN, cosine(UPDATES)),
    "cosine after a warm-up": (OWN | {"warmup": WARMUP}, warmed(cosine(UPDATES - WARMUP))),
    "linear": (OWN, lambda o: lr_scheduler.LinearLR(o, 1, FINAL, total_iters=UPDATES)),
    "one_cycle": ({}, lambda o: one_cycle(o, final_div_factor=1e4)),
    "one_cycle that rises for long": (
        OWN | {"warmup": WARMUP},
        lambda o: one_cycle(o, pct_start=WARMUP / UPDATES),
    ),
    "constant after a warm-up": (
        {"warmup": WARMUP},
        warmed(lambda o: lr_scheduler.ConstantLR(o, 1, 0)),
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_rates_are_those_of_torch(name):
    settings, make = REFERENCES[name]
    config = replace(SMALL, schedule=name.split()[0])
    plain = Member(1, 1, learning_rate=0.1, warmup=3)
    members = [Member(0, 0, learning_rate=RATE, **settings), plain]
    rates = Rates(members, config, torch.float64)
    ahead = rates.ahead(0, UPDATES)
    np.testing.assert_allclose(ahead[:, 0], by_torch(make), rtol=1e-12)
    alone = Rates([plain], config, torch.float64).ahead(0, UPDATES)
    assert np.array_equal(ahead[:, 1:], alone)
    for update in range(UPDATES):  # one at a time, and from anywhere
        rates.turn_to(update)
        assert np.array_equal(rates.rate_P.numpy(), ahead[update])
        assert np.array_equal(rates.ahead(update, 2)[0], ahead[update])


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [None, 0, 1, UPDATES, UPDATES + 5])
def test_rates_stay_between_zero_and_the_members_own(name, warmup):
    config = replace(SMALL, schedule=name, patience=1)
    member = Member(0, 0, learning_rate=RATE, warmup=warmup)
    ahead = Rates([member], config, torch.float64).ahead(0, UPDATES)
    assert ((ahead > 0) & (ahead <= RATE)).all()
    assert warmup == UPDATES + 5 or ahead.max() == pytest.approx(RATE)


def test_what_the_epochs_do_stays_beside_the_warm_up():
    config = replace(SMALL, schedule="decay", decay=0.5, decay_after=1)
    rates = Rates([Member(0, 0, learning_rate=1.0, warmup=10)], config, torch.float64)
    rates.after_epoch(0, 1, improved=True)
    rates.turn_to(5)
    assert rates.rate_P.item() == 0.5 * 6 / 10


# Settings of their own for every member: in one population as alone.
MIXED = [
    Member(0, 1, hidden_size=6, learning_rate=0.02, warmup=7, weight_decay=0.1),
    Member(1, 2, hidden_size=5, learning_rate=0.05, final_rate=0.5, ema_decay=0.8),
    Member(2, 3, hidden_size=6, learning_rate=0.01),
    Member(3, 4, hidden_size=6, learning_rate=1e6, ema_decay=0.5),  # which diverges
]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_members_of_their_own_settings_learn_as_alone(backend, schedule, optimizer):
    config = replace(SMALL, schedule=schedule, optimizer=optimizer, backend=backend)
    cell, task = odyssey.get_cell("elman_relu"), get_task("xml")
    together = train(cell, task, MIXED, config).results
    assert [r.status for r in together] == ["ok", "ok", "ok", "diverged"]
    for member, result in zip(MIXED, together, strict=True):
        (alone,) = train(cell, task, [member], config).results
        assert [c[:3] for c in alone.curve] == [c[:3] for c in result.curve]
        mine, theirs = ([*(c[3] for c in r.curve), r.test_nats] for r in (alone, result))
        assert mine == pytest.approx(theirs, abs=1e-10, nan_ok=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_member_that_stops_early_says_when_and_leaves_the_others_alone(backend):
    config = replace(SMALL, epochs=8, patience=2, backend=backend, optimizer="adam")
    cell, task = odyssey.get_cell("elman"), get_task("xml")
    stops = Member(0, 1, hidden_size=5, learning_rate=3.0)  # it gets no better
    learns = Member(1, 2, hidden_size=5, learning_rate=0.003)
    both = train(cell, task, [stops, learns], config).results
    (alone,) = train(cell, task, [learns], config).results
    assert both[0].status == "ok"
    assert both[0].stopped_at == both[0].updates < 40
    since = both[0].stopped_at - both[0].best_update
    assert since == 3 * config.updates_per_epoch  # more than two epochs without improvement
    assert both[1].stopped_at is None
    assert both[1].updates == 40
    # torch multiplies two matrices in another order than one, on some processors
    near = 1e-12 if backend == "eager" else 0.0
    mine, theirs = ([*(c[3] for c in r.curve), r.test_nats] for r in (alone, both[1]))
    assert mine == pytest.approx(theirs, rel=near, abs=0.0)
    assert [c[:3] for c in alone.curve] == [c[:3] for c in both[1].curve]


def test_schedules_that_look_at_the_end_say_so():
    long = replace(SMALL, epochs=9)
    for name, rule in SCHEDULE_RULES.items():
        configs = [replace(c, schedule=name, patience=1) for c in (SMALL, long)]
        member = Member(0, 0, learning_rate=RATE, warmup=3)
        one, other = (Rates([member], c, torch.float64).ahead(0, UPDATES) for c in configs)
        assert rule.ends == (not np.array_equal(one, other)), name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("task", "layers", "loss"), [("xml", 2, "mean"), ("memorization", 1, "sum")]
)
def test_parts_of_a_batch_add_up_to_the_whole(task, layers, loss, backend):
    config = replace(SMALL, batch_size=6, loss=loss, backend=backend, optimizer="adam")
    sizes = {"num_layers": layers, "learning_rate": 0.01}
    members = [Member(0, 1, hidden_size=5, **sizes), Member(1, 2, hidden_size=4, **sizes)]
    found = [
        train(odyssey.get_cell("lstm"), get_task(task), members, replace(config, accumulate=n))
        for n in (1, 3)
    ]
    for other in found[1:]:
        for a, b in zip(found[0].results, other.results, strict=True):
            assert [c[:3] for c in a.curve] == [c[:3] for c in b.curve]
            assert [c[3] for c in a.curve] == pytest.approx([c[3] for c in b.curve], abs=1e-11)
            assert a.test_nats == pytest.approx(b.test_nats, abs=1e-11)


def test_parts_of_a_batch_with_conditions_and_noise_are_trained():
    config = replace(SMALL, batch_size=4, accumulate=2, epochs=1)
    drops = {"dropout": 0.2, "recurrent_dropout": 0.2, "drop_connect": 0.1, "zoneout": 0.1}
    member = Member(0, 1, hidden_size=4, learning_rate=0.01, input_noise=0.1, **drops)
    cell, task = odyssey.get_cell("lstm"), get_task("house-numbers")
    (result,) = train(cell, task, [member], config).results
    assert result.status == "ok"
    assert math.isfinite(result.test_nats)
    plain = Member(0, 1, hidden_size=4, learning_rate=0.01)
    whole, parts = (
        train(cell, task, [plain], replace(config, accumulate=n)).results[0] for n in (1, 2)
    )
    assert parts.test_nats == pytest.approx(whole.test_nats, abs=1e-11)


def test_parts_must_be_equal():
    with pytest.raises(ConfigError, match=r"accumulate must divide training.batch_size = 6, got 4"):
        training_config({"batch_size": 6, "accumulate": 4})
