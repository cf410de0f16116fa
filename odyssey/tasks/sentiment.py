"""Sentences from film reviews, and whether they praise: many to one, of natural language.

Shapes: N sentences, T characters or words of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from odyssey.errors import TaskError
from odyssey.tasks.base import Split, guess
from odyssey.tasks.download import dataset_path
from odyssey.tasks.examples import Example
from odyssey.tasks.sequences import FiniteTask
from odyssey.tasks.signature import CLASSES, Signature, Values
from odyssey.tasks.text import read_file
from odyssey.tasks.vocabulary import Vocabulary
from odyssey.tasks.words import WordVocabulary, known_words

FILES = ("sentiment-negative", "sentiment-positive")
"""The data sets, a sentence a line, in the order of the classes."""

UNITS = ("characters", "words")
_HELD_OUT = 10  # one sentence of so many is for validation, and one for the test


class Sentiment(FiniteTask):
    """Reads a sentence, and says at its last symbol whether its author liked the film.

    The sentences of Pang and Lee (2005), half of them positive. Validation and test have a tenth
    each, chosen by a fixed permutation.

    Args:
        name: The normalised spec.
        unit: What is read at a step, one of `UNITS`.
        words: How many words are known, at most, the one of all others included: the most frequent
            ones of the train split.

    Raises:
        TaskError: The data are not there and cannot be got, or hold too few sentences.
    """

    def __init__(self, name: str, *, unit: str, words: int) -> None:
        data = [read_file(dataset_path(file)) for file in FILES]
        sentences = [(text, label) for label, part in enumerate(data) for text in _lines(part)]
        order = np.random.default_rng(0).permutation(len(sentences)).tolist()
        size = len(order) // _HELD_OUT
        if size == 0:
            raise TaskError(f"{name} has {len(order)} sentences, too few for three splits")
        numbers = {
            "valid": order[:size],
            "test": order[size : 2 * size],
            "train": order[2 * size :],
        }
        split = [text.split() for text, _ in sentences]
        if unit == "words":
            counted = [word for k in numbers["train"] for word in split[k]]
            known = WordVocabulary(known_words(counted, most=words, least_count=1), name=name)
            inputs, classes = [known.index(line).astype(np.int64) for line in split], known.symbols
        else:
            codes = sorted({ord(c) for text, _ in sentences for c in text})
            letters = Vocabulary(codes, unit="characters", name=name)
            inputs = [letters.classes([ord(c) for c in text]) for text, _ in sentences]
            classes = letters.symbols
        examples = [
            Example(x_T, np.full(len(x_T), label), np.arange(len(x_T)) == len(x_T) - 1)
            for x_T, (_, label) in zip(inputs, sentences, strict=True)
        ]
        self._examples = {part: [examples[k] for k in own] for part, own in numbers.items()}
        self.read = classes
        super().__init__(
            name,
            signature=Signature(Values(CLASSES, len(classes)), Values(CLASSES, len(FILES))),
            symbols=("-", "+"),
            counted="the verdict, at the last symbol",
            facts={
                "data": "sentences of film reviews (Pang and Lee, 2005)",
                "reads": unit,
                **{f"{part}_sentences": len(own) for part, own in numbers.items()},
                "digest": hashlib.sha256(b"".join(data)).hexdigest(),
            },
        )
        self.chance = guess(np.bincount([label for _, label in sentences]))

    def examples(self, split: Split) -> Sequence[Example]:
        """Gives the sentences of a split."""
        return self._examples[split]


def _lines(data: bytes) -> list[str]:
    """Gives the sentences of a file: UTF-8 as we get it, Latin-1 as its authors published it."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    # not splitlines(), which also ends lines at the control characters of Latin-1
    return [line.strip() for line in text.split("\n") if line.strip()]
