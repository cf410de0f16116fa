"""Tasks that judge cells: solved again from their text, by solvers that share no code with them."""

import itertools
import math
import re
import statistics
from collections import Counter

import numpy as np
import pytest

from odyssey.errors import TaskError
from odyssey.tasks import get_task, list_tasks
from odyssey.tasks.generated import CHUNK, GeneratedTask

COUNT = 3000


def drawn(spec, count=COUNT, seed=0):
    """Gives the text and the counted symbols of each sequence."""
    task = get_task(spec)
    sequences = task.draw(np.random.default_rng(seed), count)
    text = task.decode(sequences.symbols_N)
    borders = [0, *sequences.ends.tolist()]
    assert len(borders) == count + 1
    assert borders[-1] == len(text)
    return [(text[a:b], sequences.counted_N[a:b].tolist()) for a, b in itertools.pairwise(borders)]


def are_uniform(counts, classes, deviations=5.0):
    """Whether every class has its share of the counts, up to what chance leaves."""
    expected = sum(counts.values()) / classes
    assert expected > 50
    return len(counts) == classes and all(
        abs(n - expected) < deviations * expected**0.5 for n in counts.values()
    )


# Solvers: what a sequence says before its answer, and the answer.


def reproduced(before):
    return before.replace("_", "") + "."


def backwards(before):
    return before[::-1] + "."


def after_the_mark(before):
    return before.split(">")[1][0] + "."


def listops(before):
    """Evaluates by recursive descent."""

    def node(at):
        if before[at].isdigit():
            return int(before[at]), at + 1
        operator, values, at = before[at], [], at + 1
        while before[at] != "]":
            value, at = node(at)
            values.append(value)
        assert len(values) >= 2
        results = {
            "M": max(values),
            "m": min(values),
            "D": math.floor(statistics.median(values)),
            "S": sum(values) % 10,
        }
        return results[operator], at + 1

    value, end = node(0)
    assert end == len(before)
    return f"{value}."


def modulo(modulus):
    def answer(before):
        assert re.fullmatch(rf"[0-{modulus - 1}(]([-+*()]|[0-{modulus - 1}](?!\d))*", before)
        assert not re.search(r"\(.\)", before)  # no brackets for nothing
        return f"{eval(before) % modulus}."

    return answer


# By spec: the cue before the answer, the answer, and which of its symbols count.
ANSWERED = {
    "copy": (">", reproduced, 8),
    "copy@length=3,symbols=60,delay=1": (">", reproduced, 3),
    "selective-copy": (">", reproduced, 6),
    "selective-copy@length=2,symbols=2,blanks=1": (">", reproduced, 2),
    "reverse": (">", backwards, None),
    "reverse@length=1,symbols=2": (">", backwards, None),
    "induction": (">", after_the_mark, 1),
    "induction@length=2,symbols=2": (">", after_the_mark, 1),
    "listops": ("=", listops, 1),
    "listops@depth=1,arguments=2": ("=", listops, 1),
    "listops@depth=5,arguments=4": ("=", listops, 1),
    "modular": ("=", modulo(5), 1),
    "modular@modulus=10,length=16": ("=", modulo(10), 1),
    "modular@modulus=3,depth=3": ("=", modulo(3), 1),
}


@pytest.mark.parametrize("spec", ANSWERED)
def test_answers_are_right(spec):
    cue, solve, size = ANSWERED[spec]
    for text, counted in drawn(spec, 1000):
        before, _, after = text.rpartition(cue)
        answer = solve(before)
        assert after == answer
        size_here = len(answer) if size is None else size
        start = len(before) + 1
        expected = [start <= i < start + size_here for i in range(len(text))]
        assert counted == expected


@pytest.mark.parametrize("spec", ANSWERED)
def test_primes_ask_for_an_answer(spec):
    cue, solve, _ = ANSWERED[spec]
    task = get_task(spec)
    prime = task.decode(task.sample_prime())
    assert prime.endswith(cue)
    task.encode(solve(prime[:-1]))


@pytest.mark.parametrize(
    "spec", ["recall", "recall@pairs=1,keys=1,values=2", "recall@pairs=4,keys=4"]
)
def test_recall_gives_the_values_of_keys(spec):
    pairs = get_task(spec).describe()["pairs"]
    for text, counted in drawn(spec):
        given, asked = text.removesuffix(".").split(">")
        known = dict(zip(given[::2], given[1::2], strict=True))
        assert len(known) == pairs
        assert len(asked) == 2 * pairs
        assert [known[key] for key in asked[::2]] == list(asked[1::2])
        asks = [i > 2 * pairs and i % 2 == 0 for i in range(4 * pairs + 1)]
        assert counted == [*asks, False]


def test_recall_distributions():
    texts = [text for text, _ in drawn("recall@pairs=4,keys=8,values=9")]
    assert are_uniform(Counter(key for text in texts for key in text[:8:2]), 8)
    assert are_uniform(Counter(value for text in texts for value in text[1:8:2]), 9)
    # Which pair is asked for says nothing of the next one.
    orders = Counter(tuple(text[:8:2].index(key) for key in text[9:13:2]) for text in texts)
    assert are_uniform(orders, 16)
    with pytest.raises(TaskError, match="pairs=7 for recall@pairs=7, with keys=6"):
        get_task("recall@pairs=7")


@pytest.mark.parametrize("spec", ["copy", "selective-copy", "reverse", "induction"])
def test_the_symbols_are_uniform(spec):
    symbols = [symbol for symbol in get_task(spec).symbols if symbol not in "_>."]
    letters = Counter(
        c for text, _ in drawn(spec) for c in text.rpartition(">")[0] if c not in "_>"
    )
    assert set(letters) == set(symbols)
    assert are_uniform(letters, len(symbols))


def test_places_and_lengths_are_uniform():
    held = Counter(i for text, _ in drawn("selective-copy") for i in range(36) if text[i] != "_")
    assert are_uniform(held, 36)
    assert all(text[:8].isalpha() and text[8:18] == "_" * 10 for text, _ in drawn("copy", 100))
    lengths = Counter(text.index(">") for text, _ in drawn("reverse"))
    assert are_uniform(lengths, get_task("reverse").describe()["length"])
    marks = Counter(text.index(">") for text, _ in drawn("induction", 6000))
    assert are_uniform(marks, get_task("induction").describe()["length"] - 1)


def test_shapes_of_trees():
    first = [text for text, _ in drawn("listops@depth=1,arguments=3")]
    assert are_uniform(Counter(text[0] for text in first), 4)
    assert are_uniform(Counter(len(text) - 5 for text in first), 2)
    assert are_uniform(Counter(c for text in first for c in text.split("]")[0][1:]), 10)
    depths = Counter()
    for text, _ in drawn("listops@depth=3,arguments=2"):
        level = np.cumsum([(c in "MmDS") - (c == "]") for c in text])
        depths[int(level.max())] += 1
    # A child is a node with probability 0.4: neither of two is one in 0.36 of all trees.
    deepest = 1 - (0.6 + 0.4 * 0.36) ** 2
    for depth, share in ((1, 0.36), (3, deepest)):
        assert abs(depths[depth] / COUNT - share) < 0.05
    flat = [text for text, _ in drawn("modular")]
    assert are_uniform(Counter(len(re.findall("[0-4]", text)) - 1 for text in flat), 3)
    assert are_uniform(Counter(c for text in flat for c in text if c in "+-*"), 3)
    assert are_uniform(Counter(c for text in flat for c in text.split("=")[0] if c.isdigit()), 5)
    nested = [text for text, _ in drawn("modular@depth=1,length=2")]
    assert abs(np.mean(["(" not in text for text in nested]) - 0.49) < 0.05


def test_counting_runs():
    for spec, letters, length in (("anbncn", "abc", 60), ("anbncn@length=7,letters=5", "abcde", 7)):
        lengths = Counter()
        for text, counted in drawn(spec, 6000):
            n = text.count("a")
            assert text == "".join(letter * n for letter in letters) + "."
            assert all(counted)
            lengths[n] += 1
        assert set(lengths) == set(range(1, length + 1))
        assert are_uniform(lengths, length)


PAIRS = dict(zip(")]}>ABC", "([{<abc", strict=True))


def stack_of(text):
    """Yields the open brackets before every symbol; ends with an empty stack."""
    stack = []
    for symbol in text:
        yield list(stack)
        if symbol in PAIRS:
            assert stack.pop() == PAIRS[symbol]
        else:
            stack.append(symbol)
    assert not stack


@pytest.mark.parametrize(("kinds", "depth"), [(1, 1), (1, 3), (3, 8), (7, 2)])
def test_dyck_brackets_match(kinds, depth):
    opening, closing = "([{<abc"[:kinds], ")]}>ABC"[:kinds]
    deepest, moves, kind, excursions = 0, Counter(), Counter(), Counter()
    for text, counted in drawn(f"dyck@kinds={kinds},depth={depth}"):
        assert all(counted)
        assert text[-1] == "."
        assert len(text) > 1
        back = 0
        for symbol, stack in zip(text[:-1], stack_of(text[:-1]), strict=True):
            assert symbol in (closing if len(stack) == depth else opening + closing)
            deepest = max(deepest, len(stack) + (symbol in opening))
            back += not stack
            if 0 < len(stack) < depth:
                moves[symbol in opening] += 1
            if symbol in opening:
                kind[symbol] += 1
        excursions[back] += 1
    assert deepest == depth
    assert are_uniform(kind, kinds)
    assert depth == 1 or are_uniform(moves, 2)
    for n in (1, 2, 3):  # excursions of a sequence are geometric
        assert abs(excursions[n] / COUNT - 0.5**n) < 0.05


def test_dyck_can_count_closing_brackets_only():
    for text, counted in drawn("dyck@counts=closing", 300):
        assert counted == [symbol in PAIRS for symbol in text]
    assert get_task("dyck@counts=closing").optimum.nats == 0.0
    assert get_task("dyck@counts=closing").chance.nats == pytest.approx(math.log(3))


# How many elements have which order.
ORDERS = {
    "Z2": {1: 1, 2: 1},
    "S3": {1: 1, 2: 3, 3: 2},
    "Z60": {n: sum(math.gcd(n, k) == 1 for k in range(n)) or 1 for n in range(1, 61) if not 60 % n},
    "A4": {1: 1, 2: 3, 3: 8},
    "S4": {1: 1, 2: 9, 3: 8, 4: 6},
    "A5": {1: 1, 2: 15, 3: 20, 5: 24},
    "S5": {1: 1, 2: 25, 3: 20, 4: 30, 5: 24, 6: 20},
}


@pytest.mark.parametrize("name", ORDERS)
def test_group_answers_are_products_in_that_group(name):
    # The table is read off the text; a group of such an order is known by the orders of elements.
    task = get_task(f"group@name={name}")
    order = sum(ORDERS[name].values())
    elements = task.symbols[:order]
    assert task.symbols[order:] == ("?", ".")
    table = {}
    count = 400 if order < 10 else 12_000
    sequences = task.draw(np.random.default_rng(0), count)
    rows = sequences.symbols_N.reshape(count, -1)
    assert (rows[:, -1] == order + 1).all()
    read, said = rows[:, 0:-1:2], rows[:, 1:-1:2]
    before = np.concatenate([np.zeros((count, 1), dtype=np.uint8), said[:, :-1]], axis=1)
    for p, g, q in np.unique(np.stack([before, read, said]).reshape(3, -1), axis=1).T.tolist():
        assert table.setdefault((p, g), q) == q
    assert len(table) == order**2
    product = np.array([[table[p, g] for g in range(order)] for p in range(order)])
    assert elements[0] == "a"
    assert (product[0] == np.arange(order)).all()
    assert (product[:, 0] == np.arange(order)).all()
    rng = np.random.default_rng(1)
    p, g, q = rng.integers(order, size=(3, 5000))
    assert (product[product[p, g], q] == product[p, product[g, q]]).all()
    orders = Counter()
    for element in range(order):
        power, times = element, 1
        while power:
            power, times = int(product[power, element]), times + 1
        orders[times] += 1
    assert orders == ORDERS[name]
    assert (product == product.T).all() == name.startswith("Z")
    assert are_uniform(Counter(read.ravel().tolist()), order)
    counted = sequences.counted_N.reshape(count, -1)
    assert (counted == (np.arange(rows.shape[1]) % 2 == 1)).all()


def test_parity_of_bits():
    for text, _ in drawn("group@name=Z2,length=9", 200):
        bits = ["ab".index(c) for c in text[:-1:2]]
        assert text[1:-1:2] == "".join("ab"[sum(bits[: i + 1]) % 2] for i in range(9))


def columns(batches):
    """Gives inputs, targets and counted flags, (T, B), of all batches."""
    parts = zip(*((b.inputs_TB, b.targets_TB, b.weights_TB) for b in batches), strict=True)
    return [np.concatenate(part) for part in parts]


def test_the_answers_of_a_group_cannot_be_read():
    # Or else the last answer and the next element would be enough, and no state be kept.
    task = get_task("group")
    stream = task.train(batch_size=4, unroll=17, rng=np.random.default_rng(0))
    held = task.held_out("valid", batch_size=1, unroll=17, characters=9000, warmup=50)
    asked = task.symbols.index("?")
    for batches in (list(itertools.islice(stream, 700)), list(held)):
        inputs_TB, targets_TB, weights_TB = columns(batches)
        # A symbol that has been a counted target is read as '?', every other one as it is.
        alternates = (inputs_TB[1:] == asked) | (inputs_TB[1:] == targets_TB[:-1])
        assert alternates.all()
        assert ((inputs_TB[1:] == asked) >= weights_TB[:-1]).all()
        assert 0.47 < (inputs_TB == asked).mean() < 0.50  # 20 of 41
        assert (targets_TB != asked).all()


# What holds for all generated tasks.

JUDGING = [
    *ANSWERED,
    "recall",
    "dyck",
    "dyck@kinds=2,depth=1",
    "dyck@counts=closing",
    "anbncn",
    "anbncn@letters=2,length=1",
    "group",
    "group@name=A5",
]
NAMED = ["memorization", "arithmetic", "xml", *JUDGING]


def test_all_generated_tasks_are_judged_here(corpora):
    generated = {name for name in list_tasks() if isinstance(get_task(name), GeneratedTask)}
    assert generated == {spec for spec in {"modular", *NAMED} if "@" not in spec}


@pytest.mark.parametrize("spec", [spec for spec in NAMED if spec != "arithmetic"])
def test_chance_is_what_a_guess_by_the_frequencies_scores(spec):
    task = get_task(spec)
    sequences = task.draw(np.random.default_rng(3), 6000)
    counts = np.bincount(sequences.symbols_N[sequences.counted_N])
    share = counts[counts > 0] / counts.sum()
    assert abs(-(share * np.log(share)).sum() - task.chance.nats) < 0.02
    assert abs(share.max() - task.chance.accuracy) < 0.02


def pairs_of(shares, operators):
    """Gives how often each digit is the value of two digits under one of the operators."""
    values = Counter()
    for (a, p), (b, q) in itertools.product(shares.items(), repeat=2):
        for operator in operators:
            values[operator(a, b)] += p * q / len(operators)
    return values


@pytest.mark.parametrize(
    ("spec", "digits", "nested", "operators"),
    [
        (
            "listops@depth=2,arguments=2",
            10,
            0.4,
            (max, min, lambda a, b: (a + b) // 2, lambda a, b: (a + b) % 10),
        ),
        (
            "modular@modulus=7,length=2,depth=1",
            7,
            0.3,
            (lambda a, b: (a + b) % 7, lambda a, b: (a - b) % 7, lambda a, b: a * b % 7),
        ),
    ],
)
def test_the_chance_of_small_trees_by_enumeration(spec, digits, nested, operators):
    leaves = dict.fromkeys(range(digits), 1 / digits)
    inner = pairs_of(leaves, operators)
    child = {d: nested * inner[d] + (1 - nested) * leaves[d] for d in leaves}
    root = pairs_of(child, operators)
    chance = get_task(spec).chance
    assert chance.nats == pytest.approx(-sum(p * math.log(p) for p in root.values()))
    assert chance.accuracy == pytest.approx(max(root.values()))


def optimum_of(strings):
    """Computes what the best predictor scores on a language, from all its strings.

    Args:
        strings: The probability of every string; each ends with its '.'.
    """
    prefixes = Counter()
    for text, probability in strings.items():
        for end in range(len(text) + 1):
            prefixes[text[:end]] += probability
    nats, right, length = 0.0, Counter(), 0.0
    for text, probability in prefixes.items():
        if text:
            before = prefixes[text[:-1]]
            nats -= probability * math.log(probability / before)
            right[text[:-1]] = max(right[text[:-1]], probability)
            length += probability
    return nats / length, sum(right.values()) / length


@pytest.mark.parametrize(("length", "letters"), [(1, 2), (2, 3), (7, 5), (20, 3), (40, 3)])
def test_the_optimum_of_counting_by_enumeration(length, letters):
    strings = {
        "".join(letter * n for letter in "abcde"[:letters]) + ".": 1 / length
        for n in range(1, length + 1)
    }
    optimum = get_task(f"anbncn@length={length},letters={letters}").optimum
    assert (optimum.nats, optimum.accuracy) == pytest.approx(optimum_of(strings))


def test_the_optimum_of_flat_brackets_by_enumeration():
    optimum = get_task("dyck@kinds=2,depth=1").optimum
    strings = {
        "".join(pairs) + ".": 0.25**n
        for n in range(1, 12)
        for pairs in itertools.product(("()", "[]"), repeat=n)
    }
    assert (optimum.nats, optimum.accuracy) == pytest.approx(optimum_of(strings), abs=0.01)


@pytest.mark.parametrize(("kinds", "depth"), [(1, 1), (1, 4), (2, 2), (3, 8), (7, 3)])
def test_the_optimum_of_brackets_is_what_a_stack_scores(kinds, depth):
    optimum = get_task(f"dyck@kinds={kinds},depth={depth}").optimum
    nats, right, count = 0.0, 0.0, 0
    for text, _ in drawn(f"dyck@kinds={kinds},depth={depth}"):
        opens = [symbol in PAIRS.values() for symbol in text]
        for i, stack in enumerate(stack_of(text[:-1])):
            may_open, may_stop = len(stack) < depth, i > 0
            half = 0.5 if may_open and may_stop else 1.0
            nats -= math.log(half / kinds if opens[i] else half)
            # The likeliest is to close, or to end; if neither can be, any kind that opens.
            right += 1 / kinds if not may_stop else not opens[i]
            count += 1
        nats, right, count = nats + math.log(2), right + 1, count + 1  # the end
    assert abs(nats / count - optimum.nats) < 0.02
    assert abs(right / count - optimum.accuracy) < 0.02


@pytest.mark.parametrize("spec", NAMED)
def test_baselines_are_in_the_description(spec):
    task = get_task(spec)
    row = task.describe()
    for name, baseline in (("chance", task.chance), ("optimum", task.optimum)):
        numbers = (row.get(f"{name}_nats"), row.get(f"{name}_accuracy"))
        if baseline is None:
            assert numbers == (None, None)
        else:
            assert numbers == (baseline.nats, baseline.accuracy)
            assert all(type(number) is float for number in numbers)
            assert baseline.nats >= 0
            assert 0 < baseline.accuracy <= 1
    if task.chance and task.optimum:
        assert task.optimum.nats <= task.chance.nats
        assert task.optimum.accuracy >= task.chance.accuracy - 1e-12


@pytest.mark.parametrize(
    ("spec", "longer"),
    [
        ("memorization", "memorization@length=10"),
        ("arithmetic@distractors=0.2", "arithmetic@digits=16,distractors=0.2"),
        ("xml@max_steps=25", "xml"),
        ("copy@delay=7", "copy@delay=14"),
        ("group@name=S5,length=9", "group@name=S5,length=18"),
        ("arithmetic@digits=18", None),  # 36 digits are no 64-bit numbers
        ("recall@pairs=5", None),  # there are 6 keys
        ("python-source", None),
    ],
)
def test_the_longer_variant(spec, longer):
    assert get_task(spec).longer == longer


@pytest.mark.parametrize("spec", NAMED)
def test_the_longer_variant_has_the_same_symbols(spec):
    task = get_task(spec)
    if task.longer is None:
        assert spec in ("modular@modulus=10,length=16",)
        return
    longer = get_task(task.longer)
    assert longer.name == task.longer
    assert longer.symbols == task.symbols
    own, other = task.describe(), longer.describe()
    changed = [k for k in own if own[k] != other[k] and type(own[k]) is int]
    assert [other[k] / own[k] for k in changed] == [2]


@pytest.mark.parametrize("spec", NAMED)
def test_the_mean_length_is_right(spec):
    # By it a chunk has its size: here, the mean of 200.
    task = get_task(spec)
    rng = np.random.default_rng(2)
    sizes = [task.draw(rng, task._per_chunk).symbols_N.size for _ in range(200)]
    assert abs(np.mean(sizes) - CHUNK) < 0.06 * CHUNK


@pytest.mark.parametrize("spec", JUDGING)
def test_measurements_count_enough_answers(spec):
    task = get_task(spec)
    for split, least in (("valid", 900), ("test", 3600)):
        batches = task.held_out(split, batch_size=50, unroll=100, characters=task.enough[split])
        assert sum(int(batch.weights_TB.sum()) for batch in batches) >= least


def check_sequence(spec, text):
    """Reads one sequence; an assertion fails where it is none."""
    if spec in ANSWERED:
        cue, solve, _ = ANSWERED[spec]
        before, _, after = text.rpartition(cue)
        assert after == solve(before)
    elif spec.startswith("dyck"):
        assert list(stack_of(text[:-1]))
    elif spec.startswith("anbncn"):
        assert re.fullmatch(r"(a+)(b+)(c*)\.", text)
        assert text.count("a") == text.count("b")
    elif spec.startswith("recall"):
        given, asked = (set(re.findall("[a-z][A-Z]", part)) for part in text.split(">"))
        assert asked <= given
    else:
        assert text[0] == text[1]  # the product of one element
        assert len(text) == 41


@pytest.mark.parametrize("spec", JUDGING)
def test_columns_warm_up_with_whole_sequences(spec):
    task = get_task(spec)
    shape = {"batch_size": 5, "unroll": 33, "characters": 2500}
    cold, warm = (columns(task.held_out("test", **shape, warmup=w)) for w in (0, 1))
    starts = {text[0] for text, _ in drawn(spec, 500)}
    for column in range(5):
        (cold_in, cold_out, cold_w), (warm_in, warm_out, warm_w) = (
            [part[:, column] for part in parts] for parts in (cold, warm)
        )
        assert cold_out[cold_w].tolist() == warm_out[warm_w].tolist()
        size = int(np.flatnonzero(cold_w)[-1]) + 1
        read = int(np.flatnonzero(warm_w)[-1]) + 1 - size
        assert read >= 200
        assert not warm_w[:read].any()
        assert warm_in[read + 1 : read + size].tolist() == cold_in[1:size].tolist()
        assert task.symbols[warm_in[0]] in starts
        for sequence in task.decode([warm_in[0], *warm_out[:read]]).split(".")[:-1]:
            check_sequence(spec, sequence + ".")


@pytest.mark.parametrize("spec", JUDGING)
def test_training_streams_are_whole_sequences(spec):
    task = get_task(spec)
    stream = task.train(batch_size=2, unroll=100, rng=np.random.default_rng(5))
    inputs_TB, targets_TB, weights_TB = columns(itertools.islice(stream, 100))
    share = np.concatenate([counted for _, counted in drawn(spec, 1000)]).mean()
    assert abs(weights_TB.mean() - share) < 0.03
    for column in range(2):
        text = task.decode([inputs_TB[0, column], *targets_TB[:, column]])
        assert text.count(".") > 20
        for sequence in text.split(".")[:-1]:
            check_sequence(spec, sequence + ".")
