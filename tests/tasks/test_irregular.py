"""Signals at irregular times: drawn and scored again by a second reading of their definition."""

import math

import numpy as np
import pytest

from odyssey.errors import TaskError
from odyssey.tasks import get_task


def drawn(spec="irregular", count=400, seed=0):
    task = get_task(spec)
    return task, task.draw(np.random.default_rng(seed), count, "train")


def columns(example, signals):
    """Values, gap, mask and since of a sequence, in the order that its signature says."""
    ends = np.cumsum([signals, 1, signals, signals])
    assert example.inputs_T.shape[1] == ends[-1]
    return np.split(example.inputs_T, ends[:-1], 1)


def test_the_signature_names_the_last_columns():
    signature = get_task("irregular@signals=5").signature
    assert [(part.name, part.size) for part in signature.parts] == [
        ("gap", 1),
        ("mask", 5),
        ("since", 5),
    ]
    assert signature.inputs.size == 16
    assert signature.outputs.size == 5


@pytest.mark.parametrize("signals", [1, 4])
def test_a_step_says_what_is_seen_and_how_long_ago_it_was(signals):
    _, examples = drawn(f"irregular@signals={signals},length=12", 50)
    for example in examples:
        values, gap, mask, since = columns(example, signals)
        times = np.cumsum(gap[:, 0])
        assert gap[0] == 0
        assert (gap[1:] > 0).all()
        assert mask[0].all()
        assert np.isin(mask, (0, 1)).all()
        assert (values == example.targets_T * mask).all()
        assert example.weights_T.tolist() == [False] + [True] * 11
        for d in range(signals):
            for t in range(1, 12):
                last = max(k for k in range(t) if mask[k, d])
                assert since[t, d] == pytest.approx(times[t] - times[last], abs=1e-5)


def test_signals_fade_at_their_rates():
    """The correlation of a signal with itself over a gap is e^(-rate gap)."""
    _, examples = drawn("irregular@length=2", 100_000)
    gap = np.array([e.inputs_T[1, 3] for e in examples])
    both = np.stack([e.targets_T for e in examples]).astype(np.float64)
    assert np.abs(both.mean(0)).max() < 0.02
    assert np.abs(both.var(0) - 1).max() < 0.03
    for d, rate in enumerate((1.0, 0.5, 0.25)):
        kept = np.exp(-rate * gap)
        left = both[:, 1, d] - kept * both[:, 0, d]
        assert np.mean(left * both[:, 0, d]) == pytest.approx(0, abs=0.015)
        for short in (gap < 0.5, gap > 1.5):
            expected = np.mean(1 - kept[short] ** 2)
            assert np.mean(left[short] ** 2) == pytest.approx(expected, rel=0.03)
    assert gap.mean() == pytest.approx(1, abs=0.02)
    assert gap.var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("spec", ["irregular@length=20", "irregular@signals=1,length=9,seen=0.2"])
def test_chance_and_optimum_are_what_their_predictors_score(spec):
    """The optimum by walking through sequences; knowing the steps but not the times costs more."""
    task, examples = drawn(spec, 6000, seed=1)
    signals = task.signature.outputs.size
    rates = np.array([2.0**-d for d in range(signals)])
    best, blind, mean, near = [], [], [], []
    for example in examples:
        values, gap, mask, _ = columns(example, signals)
        last, waited, steps = values[0].astype(float), np.zeros(signals), np.zeros(signals)
        for t in range(1, len(example)):
            waited, steps = waited + gap[t], steps + 1
            seen = mask[t] == 1
            last = np.where(seen, values[t], last)
            waited, steps = np.where(seen, 0, waited), np.where(seen, 0, steps)
            truth = example.targets_T[t]
            best.append(np.square(truth - last * np.exp(-rates * waited)).sum())
            blind.append(np.square(truth - last * (1 + rates) ** -steps).sum())
            mean.append(np.square(truth).sum())
            near.append((np.abs(truth) < 0.04).all())
    assert np.mean(best) == pytest.approx(task.optimum.nats, rel=0.02)
    assert np.mean(mean) == pytest.approx(task.chance.nats, rel=0.02)
    assert np.mean(near) == pytest.approx(task.chance.accuracy, abs=0.004)
    assert np.mean(blind) > 1.04 * np.mean(best)


def test_what_is_not_known_is_not_recorded():
    record = get_task("irregular").describe()
    assert record["optimum_nats"] == get_task("irregular").optimum.nats
    assert "optimum_accuracy" not in record
    assert math.isnan(get_task("irregular").optimum.accuracy)
    assert not get_task("irregular").exact


def test_specs():
    assert get_task("irregular").longer == "irregular@length=100"
    with pytest.raises(TaskError, match="from 2 to"):
        get_task("irregular@length=1")
