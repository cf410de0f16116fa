"""The preset min-char-rnn against a twin in NumPy that shares no code with it."""

import itertools
import math

import numpy as np
import pytest
from support.min_char_rnn import MinCharRnn

from odyssey.hyperparameters import Member
from odyssey.specs import get_cell
from odyssey.tasks import get_task
from odyssey.training.config import training_config
from odyssey.training.loop import train
from odyssey.training.space import fixed_by


@pytest.fixture
def task(tmp_path):
    """A text of 400 symbols, of which 320 are read: a pass is 12 updates of 25 steps."""
    words = itertools.cycle(["to be ", "or not to be", ", that is ", "the question:\n", "whether"])
    path = tmp_path / "book.txt"
    path.write_text("".join(itertools.islice(words, 60))[:400])
    return get_task(f"text:{path}@split=80/20/0")


def trained(task, *, seed=3, rate=0.1, copies=1, **training):
    """Trains as the preset says; gives results and the weights that each member began with."""
    begun = []

    def inspect(updates, model, *, positions):
        if updates == 0:
            begun.extend(
                {n.rpartition(".")[2]: p[k].detach().numpy().copy()
                 for n, p in model.named_parameters()}
                for k in range(len(positions))
            )  # fmt: skip

    values = fixed_by("min-char-rnn") | {"learning_rate": rate}
    options = {"preset": "min-char-rnn", "dtype": "float64", **training}
    members = [Member(k, seed + k, **values) for k in range(copies)]
    done = train(get_cell("elman"), task, members, training_config(options), inspect=inspect)
    return done.results, begun


def twin_of(begun):
    """A twin with the weights that a member began with."""
    w = {n: v.copy() for n, v in begun.items()}
    return MinCharRnn(
        w_xh=w["W_h"], w_hh=w["U_h"], w_hy=w["readout"], b_h=w["b_h"], b_y=w["readout_bias"],
    )  # fmt: skip


def curve(result, metric):
    return [value for _, _, name, value in result.curve if name == metric]


def losses_of(result):
    return 25 * np.array(curve(result, "train_nats"))


@pytest.mark.parametrize("backend", ["native", "eager"])
def test_the_first_losses_are_the_twins(task, backend):
    # With Adagrad's first steps of 0.1 losses double, and most starts hang on the last bit of
    # their weights: the twin itself parts from one that began 1e-15 away. This start's do not.
    (result,), (begun,) = trained(task, seed=6, updates_per_epoch=1, epochs=10, backend=backend)
    assert begun["W_h"].shape == (100, task.num_symbols)
    assert 0.03 < np.abs(begun["U_h"]).max() < 0.06  # N(0, 0.01^2)
    text = task.indices("train").tolist()
    twin, other = twin_of(begun), twin_of({**begun, "U_h": begun["U_h"] * (1 + 1e-15)})
    losses = np.array([twin.update(text) for _ in range(10)])
    assert np.abs(losses - [other.update(text) for _ in range(10)]).max() < 1e-10
    assert losses[0] == pytest.approx(25 * math.log(task.num_symbols), rel=1e-3)
    np.testing.assert_allclose(losses_of(result), losses, rtol=0, atol=1e-9)
    smooth = 25 * math.log(task.num_symbols)
    for loss in losses:
        smooth = 0.999 * smooth + 0.001 * loss
    assert 25 * curve(result, "smooth_nats")[-1] == pytest.approx(smooth, abs=1e-9)


@pytest.mark.parametrize("backend", ["native", "eager"])
def test_reading_begins_again_where_the_twins_does(task, backend):
    (result,), (begun,) = trained(task, rate=0.01, updates_per_epoch=1, epochs=40, backend=backend)
    twin, text = twin_of(begun), task.indices("train").tolist()
    twin.rate = 0.01
    losses = [twin.update(text) for _ in range(40)]
    assert twin.resets == 4  # 12 updates a pass
    np.testing.assert_allclose(losses_of(result), losses, rtol=0, atol=1e-9)


def test_many_updates_in_one_call_begin_again_where_single_ones_do(task):
    single, _ = trained(task, rate=0.01, updates_per_epoch=1, epochs=60, copies=2)
    many, _ = trained(task, rate=0.01, updates_per_epoch=60, epochs=1, copies=2)
    for one, other in zip(single, many, strict=True):
        assert np.mean(curve(one, "train_nats")) == pytest.approx(
            curve(other, "train_nats")[0], abs=1e-12
        )
        assert curve(one, "smooth_nats")[-1] == pytest.approx(
            curve(other, "smooth_nats")[-1], abs=1e-12
        )


def test_a_pass_is_what_the_twin_reads_before_it_begins_again(task):
    (result,), (begun,) = trained(task, rate=0.01, passes=3)
    twin, text = twin_of(begun), task.indices("train").tolist()
    twin.rate = 0.01
    passes = [[twin.update(text) for _ in range(12)] for _ in range(3)]
    assert twin.resets == 3
    assert result.updates == 36
    np.testing.assert_allclose(losses_of(result), [np.mean(p) for p in passes], rtol=0, atol=1e-9)


def test_without_a_test_split_the_test_is_not_measured(task):
    (result,), _ = trained(task, updates_per_epoch=2, epochs=1)
    assert result.status == "ok"
    assert result.valid_nats > 0
    assert math.isnan(result.test_nats)
    assert math.isnan(result.test_accuracy)
