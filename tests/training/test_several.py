"""Several updates in one call give what single ones give, to the bit."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from odyssey.compiler.backends import native
from odyssey.compiler.backends.native.call import training_steps
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.specs import get_cell
from odyssey.tasks.registry import get_task
from odyssey.training import group, update
from odyssey.training.config import TrainingConfig
from odyssey.training.loop import train

pytestmark = pytest.mark.skipif(bool(native.missing()), reason="needs a C compiler")
GOOD = Member(0, 1, hidden_size=20, learning_rate=0.01)
POPULATION = [
    GOOD,
    Member(1, 2, hidden_size=17, learning_rate=0.02),
    Member(
        2, 3, hidden_size=20, learning_rate=1e6, clip_norm=0.0
    ),  # leaves in the middle of a call
]


def config(**options):
    given = {"batch_size": 5, "unroll": 7, "updates_per_epoch": 40, "epochs": 3}
    given |= {"valid_characters": 200, "test_characters": 200, "backend": "native"}
    return TrainingConfig(**{**given, **options})


# what moves along the updates: rates, decay and averages
MOVING = [
    GOOD.replace(warmup=30, weight_decay=0.1, ema_decay=0.9),
    Member(1, 2, hidden_size=17, learning_rate=0.02, final_rate=0.5),
]


def told(spec, members, options, task="arithmetic"):
    trained = train(get_cell(spec), get_task(task), members, options)
    return [
        (r.curve, r.test_nats, r.test_accuracy, r.status, r.updates, r.characters, r.reason)
        for r in trained.results
    ]


@pytest.fixture
def counted(monkeypatch):
    """How many updates each call made."""
    run, made = training_steps.NativeSteps.run, []

    def counting(self, batch):
        done = run(self, batch)
        made.append((len(batch.inputs), done.updates))
        return done

    monkeypatch.setattr(training_steps.NativeSteps, "run", counting)
    monkeypatch.setattr(group, "SECONDS_AT_A_TIME", 1e9)  # as many as fit, however slow
    return made


@pytest.mark.parametrize("members", [[GOOD], POPULATION], ids=["one", "population"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("spec", ["lstm", "gru", "elman", "lstm_peephole"])
def test_several_updates_equal_single_ones(spec, optimizer, members, counted, monkeypatch):
    options = config(optimizer=optimizer, loss="sum" if optimizer == "sgd" else "mean")
    several = told(spec, members, options)
    assert counted
    assert max(made for _, made in counted) > 1
    monkeypatch.setattr(update, "make_several", lambda *parts: None)
    single = told(spec, members, options)
    assert repr(several) == repr(single)  # which says nan of nan
    assert len(members) == 1 or "diverged" in {row[3] for row in single}


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_several_updates_move_rates_and_averages_as_single_ones(
    optimizer, schedule, counted, monkeypatch
):
    options = config(optimizer=optimizer, schedule=schedule)
    several = told("gru", MOVING, options)
    assert max(made for _, made in counted) > 1
    monkeypatch.setattr(update, "make_several", lambda *parts: None)
    assert told("gru", MOVING, options) == several


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", ["gru_d", "time_aware_lstm", "cfc_irregular"])
def test_several_updates_with_further_inputs(spec, dtype, counted, monkeypatch):
    several = told(spec, POPULATION[:2], config(dtype=dtype), "irregular@length=9")
    assert max(made for _, made in counted) > 1
    monkeypatch.setattr(update, "make_several", lambda *parts: None)
    assert several == told(spec, POPULATION[:2], config(dtype=dtype), "irregular@length=9")


def test_a_call_ends_where_a_member_diverges_and_loses_no_batch(counted, monkeypatch):
    monkeypatch.setattr(training_steps.NativeSteps, "most", 16)
    grown = [
        Member(0, 1, hidden_size=20, learning_rate=30.0, clip_norm=0.0),
        Member(1, 2, hidden_size=20),
    ]
    options = config(optimizer="sgd", diverged_factor=1.001)
    several = told("elman", grown, options)
    assert any(made < asked for asked, made in counted)
    monkeypatch.setattr(update, "make_several", lambda *parts: None)
    assert repr(several) == repr(told("elman", grown, options))


@pytest.mark.parametrize(
    ("part", "what"), [("inputs_TB", "class indices"), ("targets_TB", "targets")]
)
def test_a_symbol_that_is_none_is_refused(part, what, counted, monkeypatch):
    task = get_task("arithmetic")
    whole = task.train

    def spoilt(**sizes):
        for number, batch in enumerate(whole(**sizes)):
            if number == 3:
                wrong = getattr(batch, part).copy()
                wrong[2, 1] = task.num_symbols
                batch = replace(batch, **{part: wrong})
            yield batch

    monkeypatch.setattr(task, "train", spoilt)
    with pytest.raises(ConfigError, match=f"{what} must be 0 to {task.num_symbols - 1}"):
        train(get_cell("elman"), task, [GOOD], config())


def test_arrays_that_are_not_what_they_must_be_are_refused():
    found = []
    run = training_steps.NativeSteps.run

    def tampering(self, batch):
        for name, change in itertools.product(
            ("inputs", "targets", "weights"),
            (lambda a: a[:, 1:], lambda a: a.astype(np.int32), lambda a: np.asfortranarray(a)),
        ):
            arrays = list(getattr(batch, name))
            arrays[-1] = change(arrays[-1])
            with pytest.raises(ConfigError, match="row-major"):
                run(self, replace(batch, **{name: arrays}))
            found.append(name)
        assert self.longest == batch.weights[0].shape[1]
        longer = [np.concatenate([w, w[:, :1]], axis=1) for w in batch.weights]
        with pytest.raises(ConfigError, match=f"at most {self.longest} steps"):
            run(self, replace(batch, weights=longer))
        return run(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_steps.NativeSteps, "run", tampering)
        train(get_cell("elman"), get_task("arithmetic"), [GOOD], config(epochs=1))
    assert found
