"""How tilings are chosen, with made-up rates and a made-up clock; real layers run once, small."""

import itertools
import json

import pytest
import torch

from odyssey.compiler.backends.native import toolchain, tuning
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.errors import ConfigError
from odyssey.jobs.tune import TuneOptions, forget_tunings, tune
from odyssey.speed.matrix_products import LayerProducts
from odyssey.speed.tuning import (
    LEAST_ROUNDS,
    MOST_ROUNDS,
    PRODUCTS,
    TORCH,
    Size,
    choose,
    prepare_layers,
    tune_sizes,
)

TILINGS = TARGETS[toolchain.target()].tilings
FIRST, SECOND, THIRD, *_ = TILINGS


def rates(**changed):
    """Gives the rates of a round: 10, but for those that are named by number."""
    known = {t.name: 10.0 for t in TILINGS} | {PRODUCTS: 12.0, TORCH: 7.0}
    return known | {TILINGS[int(k[1:])].name: v for k, v in changed.items()}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "cache"))
    tuning.reread()
    yield tmp_path / "cache" / "native"
    tuning.reread()


# the choice


def test_the_fastest_is_taken():
    assert choose([rates(t1=10.5, t2=11.0)] * 8, TILINGS) == THIRD
    assert choose([rates(t1=10.2)] * 8, TILINGS) == SECOND


def test_what_is_hardly_faster_is_noise():
    assert choose([rates(t1=10.19)] * 8, TILINGS) == FIRST
    assert choose([rates(t1=9.0)] * 8, TILINGS) == FIRST


def test_a_gain_must_be_there_in_most_rounds():
    fast, slow = rates(t1=14.0), rates(t1=9.0)
    assert choose([fast] * 6 + [slow] * 2, TILINGS) == FIRST
    assert choose([fast] * 7 + [slow], TILINGS) == SECOND
    assert choose([fast] * 26 + [slow] * 14, TILINGS) == FIRST
    assert choose([fast] * 27 + [slow] * 13, TILINGS) == SECOND


def test_rounds_in_which_all_is_slow_change_nothing():
    slow = {name: rate / 5 for name, rate in rates(t1=10.5).items()}
    assert choose([rates(t1=10.5), slow] * 4, TILINGS) == SECOND


# the rounds


def measured(sizes, *, seconds, cost):
    """Tunes with a clock that a round of a size moves on by `cost`."""
    now = [100.0]
    told = []

    def prepare(size):
        def measure():
            now[0] += cost(size)
            return rates(t1=10.0 + size.hidden / 10)

        return measure

    found = tune_sizes(
        sizes, seconds=seconds, progress=told.append, prepare=prepare, clock=lambda: now[0]
    )
    return list(found), told, now[0] - 100.0


def test_time_is_shared_and_what_is_left_goes_on():
    sizes = [Size("float32", hidden, 1) for hidden in (32, 8, 16)]
    found, told, spent = measured(sizes, seconds=30.0, cost=lambda s: s.hidden / 64)
    assert [row.size.hidden for row in found] == [8, 16, 32]  # small ones first
    assert [row.rounds for row in found] == [MOST_ROUNDS, MOST_ROUNDS, 30]
    assert spent == 30.0
    assert [p.seconds_left for p in told] == [30.0, 25.0, 15.0]
    assert [(p.done, p.sizes) for p in told] == [(0, 3), (1, 3), (2, 3)]
    row = found[1]
    assert (row.tiling, row.rate, row.built_in) == (SECOND, 11.6, 10.0)
    assert (row.products, row.torch) == (12.0, 7.0)


def test_every_size_gets_some_rounds():
    sizes = [Size("float32", 10, batch) for batch in (1, 2)]
    found, told, _ = measured(sizes, seconds=0.0, cost=lambda s: 1.0)
    assert [row.rounds for row in found] == [LEAST_ROUNDS] * 2
    assert [p.seconds_left for p in told] == [0.0, 0.0]


def test_one_thread_while_it_lasts():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in tune_sizes([Size("float32", 4, 1)], seconds=0.0, progress=print):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_round_has_every_tiling_and_torch(dtype):
    measure = prepare_layers(Size(dtype, 5, 3))
    for _ in range(2):
        found = measure()
        assert set(found) == {*(t.name for t in TILINGS), PRODUCTS, TORCH}
        assert all(rate > 0 for rate in found.values())


@pytest.mark.parametrize("hidden", [5, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_products_alone_are_the_same_by_us_and_by_torch(dtype, hidden):
    alone = LayerProducts(dtype, 60, 2, hidden, 4)  # two blocks of steps
    found = []
    for run in (alone.torch(), *(alone.ours(tiling) for tiling in TILINGS)):
        alone.dx.zero_(), alone.dw.zero_()
        run()
        found.append((alone.dx.clone(), alone.dw.clone()))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


# the job


def prepare(size):
    turn = itertools.count()
    return lambda: rates(t2=20.0 + next(turn)) if size.batch > 8 else rates()


def test_the_job_writes_what_it_found(cache):
    options = TuneOptions(seconds=0, dtype="both", hidden=(8, 16, 8), batch=(4, 32))
    report = tune(options, prepare=prepare)
    assert [(r.size.hidden, r.size.batch) for r in report.rows] == [
        (8, 4), (8, 4), (16, 4), (16, 4), (8, 32), (8, 32), (16, 32), (16, 32),
    ]  # fmt: skip
    assert sorted(cache.iterdir()) == sorted(report.files)
    target = toolchain.target()
    for dtype in ("float32", "float64"):
        assert tuning.tiling_for(dtype, target, 8, 32) == THIRD
        assert tuning.tiling_for(dtype, target, 8, 4) == FIRST
        assert tuning.origin(dtype, target).startswith("tuned ")
    assert report.machine["target"] == target
    assert set(forget_tunings()) == set(report.files)
    assert forget_tunings() == ()


def test_an_interruption_leaves_what_was_there(cache):
    (path,) = tune(TuneOptions(seconds=0, hidden=(8,), batch=(32,)), prepare=prepare).files
    before = path.read_text()
    assert json.loads(before)["choices"] == [{"hidden": 8, "batch": 32, "tiling": THIRD.name}]

    def interrupted(size):
        if size.hidden > 8:
            raise KeyboardInterrupt
        return prepare(size)

    with pytest.raises(KeyboardInterrupt):
        tune(TuneOptions(seconds=0, hidden=(8, 16), batch=(4,)), prepare=interrupted)
    assert path.read_text() == before
    assert list(cache.iterdir()) == [path]


def test_a_cache_that_cannot_be_used_is_refused_at_once(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(ConfigError, match=r"tilings cannot be kept: .* written by other users"):
        tune(TuneOptions(seconds=0), prepare=lambda size: pytest.fail("it began to measure"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": -1.0}, "seconds must be a number from 0 to 86,400, got -1.0"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"dtype": "float"}, "no value of dtype called 'float'; closest: float"),
        ({"hidden": (64, 0)}, "hidden must be a whole number from 1 to 4,096, got 0"),
        ({"batch": (5000,)}, "batch must be"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TuneOptions(**options)
