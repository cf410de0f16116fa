"""What the generated sequences mean, judged by parsers that share no code with the generators."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest

from odyssey.tasks import get_task, list_tasks
from odyssey.tasks.download import DATASETS

COUNT = 4000


def drawn(spec, count=COUNT, seed=0):
    """Gives the text and the counted flags of each sequence."""
    task = get_task(spec)
    sequences = task.draw(np.random.default_rng(seed), count)
    text = task.decode(sequences.symbols_N)
    borders = [0, *sequences.ends.tolist()]
    assert len(borders) == count + 1
    assert borders[-1] == len(text)
    return [(text[a:b], sequences.counted_N[a:b].tolist()) for a, b in itertools.pairwise(borders)]


def close(found, expected, *, deviations=5.0, spread, count):
    return abs(found - expected) < deviations * spread / count**0.5


@pytest.mark.parametrize(
    ("spec", "length", "symbols"),
    [("memorization", 5, 26), ("memorization@length=2,symbols=3", 2, 3)],
)
def test_memorization_reproduces(spec, length, symbols):
    assert get_task(spec).num_symbols == symbols + 2
    letters = Counter()
    for text, counted in drawn(spec):
        given, _, repeated = text.partition(">")
        assert repeated == given + "."
        assert len(given) == length
        assert counted == [False] * (length + 1) + [True] * length + [False]
        letters.update(given)
    assert len(letters) == symbols
    expected = COUNT * length / symbols
    assert all(abs(n - expected) < 5 * expected**0.5 for n in letters.values())


@pytest.mark.parametrize("digits", [1, 2, 8, 18])
@pytest.mark.parametrize("distractors", [0.0, 0.48])
def test_arithmetic_answers_are_right(digits, distractors):
    spec = f"arithmetic@digits={digits},distractors={distractors}"
    for text, counted in drawn(spec, 1000):
        question, _, answer = re.sub("[a-z]", "", text).partition("=")
        left, sign, right = re.fullmatch(r"(\d+)([+-])(\d+)", question).groups()
        for operand in (left, right):
            assert len(operand) <= digits
            assert operand == str(int(operand))  # no leading zeros
        result = int(left) + int(right) if sign == "+" else int(left) - int(right)
        assert answer == f"{result}."
        # The answer has no distractors, and it alone counts.
        assert text.endswith("=" + answer)
        assert counted == [False] * (len(text) - len(answer)) + [True] * len(answer)
        assert text[0].isdigit()
        if distractors == 0:
            assert text == f"{question}={answer}"


def test_arithmetic_distributions():
    texts = [text for text, _ in drawn("arithmetic")]
    runs = [
        len(run) for text in texts for run in re.findall(r"[0-9+-]([a-z]*)", text.partition("=")[0])
    ]
    p = 0.48
    for least in (1, 2, 3):  # geometric: P(run >= k) = p ** k
        share = np.mean([run >= least for run in runs])
        expected = p**least
        assert close(share, expected, spread=(expected * (1 - expected)) ** 0.5, count=len(runs))
    questions = [re.sub("[a-z]", "", text).partition("=")[0] for text in texts]
    operands = [re.split("[+-]", question) for question in questions]
    sizes = Counter(len(operand) for pair in operands for operand in pair)
    assert sorted(sizes) == list(range(1, 9))
    assert all(abs(n - COUNT / 4) < 5 * (COUNT / 4) ** 0.5 for n in sizes.values())
    for share in (
        np.mean(["+" in question for question in questions]),
        np.mean(["=-" in text for text in texts]) * 2,  # half the differences are negative
    ):
        assert close(share, 0.5, spread=1.0, count=COUNT)
    letters = Counter(letter for text in texts for letter in text if letter.isalpha())
    expected = letters.total() / 26
    assert len(letters) == 26
    assert all(abs(n - expected) < 5 * expected**0.5 for n in letters.values())


def test_the_example_of_the_paper_can_be_read():
    task = get_task("arithmetic")
    example = "3e36d9-h1h39f94eeh43keg3c=-13991064."
    assert task.num_symbols == 40
    assert task.decode(task.encode(example)) == example


def tags(document):
    found = re.findall(r"<(/?)([a-z]+)>", document)
    assert "".join(f"<{slash}{name}>" for slash, name in found) == document
    return found


def steps_of(document):
    """Replays a document on a stack; gives its depth after each tag."""
    open_names, depths = [], []
    for slash, name in tags(document):
        assert 2 <= len(name) <= 10
        if slash:
            assert open_names.pop() == name
        else:
            open_names.append(name)
        depths.append(len(open_names))
    assert open_names == []
    return depths


@pytest.mark.parametrize("max_steps", [1, 2, 7, 50])
def test_xml_is_well_formed(max_steps):
    longest = 0
    for document, counted in drawn(f"xml@max_steps={max_steps}", 1500):
        assert all(counted)
        depths = steps_of(document)
        assert depths
        # After the last step, closing tags only.
        after = depths[max_steps - 1 :]
        assert after == sorted(after, reverse=True)
        longest = max(longest, len(depths))
    assert max_steps < longest <= 2 * max_steps


def test_xml_distributions():
    documents = [document for document, _ in drawn("xml")]
    depths = [steps_of(document) for document in documents]
    # Of documents with a tag, half close it at once and half of these end then.
    single = np.mean([len(d) == 2 for d in depths])
    assert close(single, 0.25, spread=0.433, count=COUNT)
    # While the walk is free (between the first and the 50th step), half the tags open.
    free = [b > a for d in depths for a, b in itertools.pairwise(d[:50]) if a > 0]
    assert close(np.mean(free), 0.5, spread=0.5, count=len(free))
    opened = [name for document in documents for slash, name in tags(document) if not slash]
    sizes = Counter(map(len, opened))
    assert all(abs(sizes[n] - len(opened) / 9) < 5 * (len(opened) / 9) ** 0.5 for n in range(2, 11))
    letters = Counter("".join(opened))
    expected = letters.total() / 26
    assert all(abs(n - expected) < 5 * expected**0.5 for n in letters.values())


def test_as_many_xml_documents_are_cut_short_as_should_be():
    # Independent of the generator: the depth after 50 steps, the first of them up, by its chances.
    chances = {1: 1.0}
    for _ in range(49):
        after = Counter()
        for depth, chance in chances.items():
            after[depth - 1] += chance / 2
            after[depth + 1] += chance / 2
        del after[-1]
        chances = after
    expected = sum(chance for depth, chance in chances.items() if depth > 0)  # 0.216
    cut = np.mean([len(steps_of(document)) > 50 for document, _ in drawn("xml")])
    assert close(cut, expected, spread=0.5, count=COUNT)


@pytest.mark.parametrize("spec", ["memorization", "arithmetic", "xml"])
def test_training_streams_are_whole_sequences(spec):
    task = get_task(spec)
    stream = task.train(batch_size=3, unroll=100, rng=np.random.default_rng(5))
    batches = list(itertools.islice(stream, 100))
    for column in range(3):
        inputs = np.concatenate([batch.inputs_TB[:, column] for batch in batches])
        text = task.decode(inputs)
        weights = np.concatenate([batch.weights_TB[:, column] for batch in batches])
        if spec == "xml":
            depth = np.cumsum([-1 if slash else 1 for slash in re.findall("<(/?)[a-z]", text)])
            assert depth[0] == 1
            assert depth.min() == 0
            assert weights.all()
            continue
        counted = "".join(c for c, w in zip(text[1:], weights[:-1], strict=True) if w)
        whole = text.split(".")[:-1]
        if spec == "memorization":
            assert {len(sequence) for sequence in whole} == {11}
            expected = "".join(sequence[6:] for sequence in whole)
        else:
            assert all(sequence.count("=") == 1 for sequence in whole)
            expected = "".join(sequence.partition("=")[2] + "." for sequence in whole)
        assert counted.startswith(expected)


GENERATED = [
    n for n in list_tasks(sequences=False) if n not in DATASETS and not get_task(n).is_text
]


@pytest.mark.parametrize("spec", GENERATED)
def test_held_out_columns_start_at_a_sequence(spec):
    task = get_task(spec)
    batches = list(task.held_out("test", batch_size=8, unroll=64))
    inputs = np.concatenate([batch.inputs_TB for batch in batches])
    last = {text[-1] for text, _ in drawn(spec)}
    # The first input of a column is the end of the sequence before; the first column has none.
    assert {task.decode(inputs[:1, b]) for b in range(1, 8)} <= last
    if spec == "xml":
        for b in range(1, 8):
            assert task.decode(inputs[1:3, b])[0] == "<"
            assert task.decode(inputs[1:3, b])[1] != "/"


def test_held_out_size_of_generated_tasks():
    batches = list(get_task("xml").held_out("valid", batch_size=10, unroll=50))
    assert sum(int(batch.weights_TB.sum()) for batch in batches) == 20_000


def test_every_spec_has_its_own_held_out_seed():
    # From one seed, the letters of 16 would be those of 32, two by two.
    one, other = (
        next(get_task(spec).held_out("valid", batch_size=1, unroll=6000)).inputs_TB[:, 0]
        for spec in ("memorization@symbols=32", "memorization@symbols=16")
    )
    letter = np.arange(6000) % 12 < 5
    assert np.mean(one[letter] // 2 == other[letter]) < 0.1
