"""Metrics see what scores are made of: from it the scores themselves come out again."""

import numpy as np
import pytest

import odyssey
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks.registry import get_task
from odyssey.training.config import TrainingConfig
from odyssey.training.loop import train
from odyssey.training.metrics import METRICS, Metric

CONFIG = TrainingConfig(
    batch_size=4,
    unroll=8,
    updates_per_epoch=20,
    epochs=2,
    optimizer="adam",
    valid_characters=100,
    test_characters=300,
    eval_batch=5,
    eval_unroll=7,
    dtype="float64",
)
MEMBERS = [Member(m, m + 1, hidden_size=6, learning_rate=0.02) for m in range(2)]
ALL = ("classes", "bits", "reals")


def hits(p):
    if p.kind == "classes":
        assert ((p.rank == 0) == (p.predicted == p.targets)).all()
        return p.predicted == p.targets
    return (np.abs(p.predicted - p.targets) < 0.04).all(-1)


def exact(p):
    wrong = np.unique(p.sequence[~hits(p)])
    return 1 - len(wrong) / len(np.unique(p.sequence))


def negative_log(p):
    if p.kind == "classes":
        assert p.rank.max() < p.size
        assert (p.confidence >= np.exp(-p.nats) - 1e-12).all()
        return p.nats.mean()
    if p.kind == "bits":
        said = np.where(p.targets == 1, p.predicted, 1 - p.predicted)
        return float(-np.log(said).sum(-1).mean())
    return float(np.square(p.predicted - p.targets).sum(-1).mean())


ROWS = {
    "loss": Metric(about="loss", measure=negative_log, better="low", kinds=ALL),
    "hits": Metric(about="hits", measure=lambda p: hits(p).mean(), better="high", kinds=ALL),
    "exact": Metric(about="exact", measure=exact, better="high"),
    "bits": Metric(about="bits", measure=lambda p: 1.0, better="high", kinds=("bits",)),
}


@pytest.fixture
def rows():
    for name, row in ROWS.items():
        METRICS.add(name, row, source="my.py")
    yield
    for name in METRICS.added:
        del METRICS[name]


@pytest.mark.parametrize("spec", ["copy@length=2,symbols=3,delay=1", "xml@max_steps=9", "adding"])
@pytest.mark.usefixtures("rows")
def test_the_scores_come_out_again(spec):
    task = get_task("adding@length=5" if spec == "adding" else spec)
    for result in train(odyssey.get_cell("gru"), task, MEMBERS, CONFIG).results:
        assert result.metrics["loss"] == pytest.approx(result.test_nats, rel=1e-9)
        assert result.metrics["hits"] == pytest.approx(result.test_accuracy, abs=1e-12)
        assert "bits" not in result.metrics
        if task.exact and spec != "adding":
            assert 0 < result.metrics["exact"] < 1
            assert result.metrics["exact"] == pytest.approx(result.test_exact, abs=0.02)


@pytest.mark.usefixtures("rows")
def test_bits_have_probabilities():
    (result,) = train(odyssey.get_cell("gru"), get_task("paint"), MEMBERS[:1], CONFIG).results
    wanted = {"loss", "hits", "bits"} if "bits" in result.metrics else {"loss", "hits", "exact"}
    assert set(result.metrics) == wanted
    assert result.metrics["loss"] == pytest.approx(result.test_nats, rel=1e-9)


def test_without_rows_there_are_no_metrics():
    (result,) = train(odyssey.get_cell("gru"), get_task("xml"), MEMBERS[:1], CONFIG).results
    assert result.metrics == {}


@pytest.mark.parametrize("measure", [lambda p: 1 / 0, lambda p: "high", lambda p: p.nats])
def test_a_metric_that_fails_says_which(measure):
    METRICS.add("bad", Metric(about="bad", measure=measure, better="low"), source="my.py")
    try:
        with pytest.raises(ConfigError, match="metric bad: "):
            train(odyssey.get_cell("gru"), get_task("xml"), MEMBERS[:1], CONFIG)
    finally:
        del METRICS["bad"]
