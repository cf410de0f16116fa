"""What holds for every stream of symbols: a new row of the registry is tested by these."""

import itertools
import json
import pickle

import numpy as np
import pytest

from odyssey.errors import TaskError
from odyssey.tasks import Task, get_task, list_tasks

SPECS = [
    *list_tasks(sequences=False),
    "text:FILE",
    "text:FILE@unit=characters,split=60/20/20",
    "text:FILE@unit=words,words=60,split=60/20/20",
    "tinyshakespeare@unit=characters",
    "memorization@length=3,symbols=5",
    "arithmetic@digits=1,distractors=0",
    "arithmetic@digits=18",
    "xml@max_steps=1",
    "dyck@kinds=1,depth=1,counts=closing",
    "group@name=S5",
    "modular@depth=2",
    "recall@pairs=1,keys=1",
    "python-source@bytes=5000",
]


@pytest.fixture(params=SPECS)
def task(request, corpora, tmp_path) -> Task:
    file = tmp_path / "book.txt"
    lines = (f"Zeile {i * i % 977} über ☃, von {i} bis hinten.\n" for i in range(80))
    file.write_text("".join(lines), encoding="utf-8")
    return get_task(request.param.replace("FILE", str(file)))


def first(task, count, *, batch_size=3, unroll=7, seed=0):
    rng = np.random.default_rng(seed)
    stream = task.train(batch_size=batch_size, unroll=unroll, rng=rng)
    return list(itertools.islice(stream, count))


def joined(batches, part):
    return np.concatenate([getattr(batch, part) for batch in batches])


def same(one, other):
    return all(
        np.array_equal(joined(one, part), joined(other, part))
        for part in ("inputs_TB", "targets_TB", "weights_TB")
    )


def test_training_batches_have_the_promised_shape(task):
    for batch in first(task, 5):
        assert batch.inputs_TB.shape == batch.targets_TB.shape == batch.weights_TB.shape == (7, 3)
        assert batch.inputs_TB.dtype == batch.targets_TB.dtype == np.int64
        assert batch.weights_TB.dtype == np.bool_
        assert batch.inputs_TB.flags.c_contiguous
        assert batch.targets_TB.flags.c_contiguous
        assert not np.shares_memory(batch.inputs_TB, batch.targets_TB)
        for part in (batch.inputs_TB, batch.targets_TB):
            assert part.min() >= 0
            assert part.max() < task.num_symbols


def test_targets_are_the_next_inputs_across_many_batches(task):
    # 1,500 batches of 7 steps cross the border of generated blocks and the end of short texts.
    batches = first(task, 1500)
    targets, inputs = joined(batches, "targets_TB")[:-1], joined(batches, "inputs_TB")[1:]
    if (blank := getattr(task, "blank", None)) is not None:
        targets = np.where(joined(batches, "weights_TB")[:-1], task.encode(blank), targets)
    assert np.array_equal(targets, inputs)
    assert joined(batches, "weights_TB").any(axis=0).all()


def test_the_seed_decides_the_training_data(task):
    assert same(first(task, 20), first(task, 20))
    assert not same(first(task, 20), first(task, 20, seed=1))


def test_a_restored_generator_restores_the_training_data(task):
    rng, other = np.random.default_rng(3), np.random.default_rng(99)
    rng.random(5)
    other.bit_generator.state = rng.bit_generator.state
    one, two = (task.train(batch_size=2, unroll=30, rng=r) for r in (rng, other))
    assert same(list(itertools.islice(one, 4)), list(itertools.islice(two, 4)))


def test_the_streams_differ(task):
    inputs_TB = joined(first(task, 40), "inputs_TB")
    assert len({column.tobytes() for column in inputs_TB.T}) == 3


def test_the_unroll_does_not_change_the_streams(task):
    short, long = first(task, 60, unroll=5), first(task, 10, unroll=30)
    assert np.array_equal(joined(short, "inputs_TB"), joined(long, "inputs_TB"))
    assert np.array_equal(joined(short, "weights_TB"), joined(long, "weights_TB"))


def test_held_out_data_are_the_same_at_every_call(task):
    for split in ("valid", "test"):
        once, again = (
            list(task.held_out(split, batch_size=4, unroll=9, characters=500)) for _ in range(2)
        )
        assert same(once, again)


def test_held_out_splits_differ(task):
    valid, test = (
        joined(task.held_out(split, batch_size=1, unroll=50, characters=90), "inputs_TB")
        for split in ("valid", "test")
    )
    assert not np.array_equal(valid, test)


def test_held_out_batches_have_the_promised_shape(task):
    batches = list(task.held_out("valid", batch_size=4, unroll=9))
    assert {batch.inputs_TB.shape for batch in batches[:-1]} == {(9, 4)}
    assert 1 <= batches[-1].inputs_TB.shape[0] <= 9
    for batch in batches:
        assert batch.inputs_TB.shape == batch.targets_TB.shape == batch.weights_TB.shape
        assert batch.inputs_TB.shape[1] == 4
        assert batch.inputs_TB.dtype == batch.targets_TB.dtype == np.int64
        assert batch.weights_TB.dtype == np.bool_
        assert max(batch.inputs_TB.max(), batch.targets_TB.max()) < task.num_symbols
    assert joined(batches, "weights_TB").any()


@pytest.mark.parametrize("batch_size", [1, 3, 200])
def test_held_out_counts_the_same_targets_however_wide(task, batch_size):
    def counted(width):
        batches = list(task.held_out("test", batch_size=width, unroll=11, characters=80))
        targets = joined(batches, "targets_TB").T[joined(batches, "weights_TB").T]
        return targets.tolist()  # column by column: the order of the stream

    assert counted(batch_size) == counted(1)
    assert 0 < len(counted(1)) <= 80


@pytest.mark.parametrize("warmup", [0, 1, 13, 500])
def test_a_warm_up_is_read_before_the_columns_and_counts_nowhere(task, warmup):
    if getattr(task, "warmup", 0):
        return  # whole sequences: test_judging_tasks.py
    # Of a part of a text the columns would lie apart: a split is read whole.
    size = task.characters("valid")
    characters = 160 if size is None else size - 1
    shape = {"batch_size": 4, "unroll": 9, "characters": characters}
    cold, warm = (list(task.held_out("valid", **shape, warmup=w)) for w in (0, warmup))
    (whole,) = task.held_out("valid", batch_size=1, unroll=characters, characters=characters)
    stream = whole.inputs_TB[:, 0].tolist()
    at = 0
    for column in range(4):
        before, own = ([*joined(b, "inputs_TB")[:, column]] for b in (cold, warm))
        counts, inside = (joined(b, "weights_TB")[:, column] for b in (cold, warm))
        targets = [joined(b, "targets_TB")[:, column] for b in (cold, warm)]
        assert targets[0][counts].tolist() == targets[1][inside].tolist()
        length = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
        read = min(warmup, at) if task.is_text else 0
        assert own[: read + length] == stream[at - read : at] + before[:length]
        assert not inside[:read].any()
        at += length
    with pytest.raises(TaskError, match="warmup"):
        task.held_out("valid", **shape, warmup=-1)


def test_fewer_held_out_characters_are_the_beginning_of_more(task):
    short, long = (
        joined(task.held_out("valid", batch_size=1, unroll=10, characters=n), "targets_TB")[:, 0]
        for n in (30, 60)
    )
    assert short.size == 30
    assert np.array_equal(short, long[:30])


def test_text_and_indices_are_inverse(task):
    text = task.decode(joined(first(task, 30), "inputs_TB")[:, 0])
    if task.is_text and task.describe()["unit"] == "bytes":
        text = text.replace("\\x", "").strip("\\")  # a character cut in two is not a character
        text = "".join(c for c in text if c.isascii() and c in task.symbols)
    assert len(text) > 50
    assert task.decode(task.encode(text)) == text
    assert task.encode(text).dtype == np.int64


def test_unknown_symbols_are_refused(task):
    if task.unit == "words":
        assert task.decode(task.encode("\x00")) == "<unk>"
        return
    with pytest.raises(TaskError, match="has no symbol"):
        task.encode("\x00")


def test_the_prime_is_short_and_known(task):
    prime = task.sample_prime()
    assert prime.dtype == np.int64
    assert prime.ndim == 1
    assert prime.size >= 1
    assert prime.max() < task.num_symbols
    assert task.decode(prime)


def test_symbols_are_distinct_and_printable(task):
    assert len(set(task.symbols)) == task.num_symbols >= 2
    assert all(symbol.isprintable() for symbol in task.symbols)


def test_the_description_is_plain(task):
    row = task.describe()
    assert json.loads(json.dumps(row)) == row
    assert row["name"] == task.name
    assert row["num_symbols"] == task.num_symbols
    assert row["counted"] == task.counted


def test_the_name_makes_the_same_task(task):
    again = get_task(task.name)
    assert again.name == task.name
    assert again.describe() == task.describe()
    assert same(first(again, 3), first(task, 3))


def test_tasks_travel_between_processes(task):
    assert same(first(pickle.loads(pickle.dumps(task)), 3), first(task, 3))


def test_a_pass_reads_a_text_from_its_beginning_once_and_begins_again(task):
    shape = {"batch_size": 3, "unroll": 7}
    if not task.is_text:
        with pytest.raises(TaskError, match="leave out start"):
            task.train_in_order(**shape)
        with pytest.raises(TaskError, match="has no passes; give epochs"):
            task.updates_per_pass(**shape)
        return
    length = task.characters("train")
    assert task.updates_per_pass(**shape) == length // 21
    updates = task.updates_per_pass(**shape, in_order=True)
    batches = list(itertools.islice(task.train_in_order(**shape), 2 * updates + 1))
    fresh = [k for k, batch in enumerate(batches) if batch.fresh_B is not None]
    assert fresh == [0, updates, 2 * updates]
    assert all(batches[k].fresh_B.all() for k in fresh)
    assert same(batches[:updates], batches[updates:-1])
    # column by column: a third of the split each, but for less than two batches at its end
    piece = length // 3
    for column, read in enumerate(joined(batches[:updates], "inputs_TB").T):
        assert piece - 14 <= read.size < piece
        assert read.tolist() == task.indices("train")[column * piece :][: read.size].tolist()
    targets = joined(batches[:updates], "targets_TB")
    assert np.array_equal(targets[:-1], joined(batches[:updates], "inputs_TB")[1:])
    assert joined(batches, "weights_TB").all()


def test_lengths_are_known_for_texts_only(task):
    for split in ("train", "valid", "test"):
        length = task.characters(split)
        assert (length is None) != task.is_text
        assert length is None or length >= 2


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"unroll": 0}, {"unroll": -3}])
def test_nonsense_shapes_are_refused_at_once(task, bad):
    shape = {"batch_size": 2, "unroll": 5, **bad}
    what = next(iter(bad))
    with pytest.raises(TaskError, match=what):
        task.train(**shape, rng=np.random.default_rng(0))
    with pytest.raises(TaskError, match=what):
        task.held_out("valid", **shape)
    with pytest.raises(TaskError, match=what):
        task.check_fits(**shape)
    with pytest.raises(TaskError, match="characters"):
        task.held_out("valid", batch_size=2, unroll=5, characters=0)
