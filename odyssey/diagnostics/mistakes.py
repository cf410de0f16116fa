"""What a character model gets wrong, and why: Karpathy et al. 2015, section 4.4.

A symbol is an *error* where the model gave it a probability of less than one half. Oracles, each
a little cleverer than the one before, take errors away in a fixed order; what an oracle takes is
its category. Shapes: M symbols of a held-out text, N of the training text.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from odyssey.diagnostics.probes import CLOSING, QUOTES, in_word
from odyssey.errors import ConfigError, TaskError
from odyssey.tasks.base import HeldOut, Task
from odyssey.tasks.ngrams import ngram_probabilities
from odyssey.tasks.text import MissingText, TextTask
from odyssey.tasks.words import WordVocabulary
from odyssey.wording import NATS_PER_BIT

OPENING = frozenset([*QUOTES, "'"]) - frozenset(CLOSING)
BRACKETS = {")": "(", "]": "[", "}": "{"}
CATEGORIES = ("n-gram", "memory", "rare word", "word model", "punctuation", "boost")
"""In the order in which errors are taken away."""


@dataclass(frozen=True)
class Oracles:
    """How far the oracles go; the defaults are those of Karpathy et al. 2015.

    Attributes:
        contexts: The longest context of the n-gram oracle, in characters: 9, as their n counts.
        memory: An error on a word that was seen whole in so many last characters; rising, and
            math.inf for ever.
        rare: A rare word occurs at most so often in the training text.
        boosts: By how much the probability of what remains is raised; rising, the last to 0.5.
    """

    contexts: int = 9
    memory: tuple[float, ...] = (100, 500, 1000, 5000)
    rare: int = 5
    boosts: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)

    def __post_init__(self) -> None:
        if self.contexts < 1:
            raise ConfigError(f"contexts must be at least 1, got {self.contexts}")
        if self.rare < 0:
            raise ConfigError(f"rare must not be negative, got {self.rare}")
        for name in ("memory", "boosts"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or not all(v > 0 for v in values):
                raise ConfigError(f"{name} must be positive and rise, got {values}")
        if not self.boosts or self.boosts[-1] != 0.5:
            raise ConfigError("boosts must end with 0.5, which takes every error away")


@dataclass(frozen=True)
class AnnotatedText:
    """A held-out text as the oracles see it; made once for all models of a task.

    Attributes:
        text: Its characters; entry 0 is only read.
        ngram: The highest probability that any n-gram oracle gives each character, (M,).
        longest: The probability after the longest context, (M,): a model without memory.
        distance: Characters since the word that a character belongs to was last seen whole, (M,);
            inf for new words, for first letters and outside words.
        known: How often that word occurs in the training text, (M,); -1 for first letters and
            outside words.
        begins: Whether a character begins a word after a space, a line's end or a quote.
    """

    text: str
    ngram: NDArray[np.float64]
    longest: NDArray[np.float64]
    distance: NDArray[np.float64]
    known: NDArray[np.int64]
    begins: NDArray[np.bool_]


def require_characters(task: Task) -> TextTask:
    """Gives the task as a text of characters.

    Raises:
        TaskError: It is none.
    """
    if isinstance(task, MissingText):
        raise TaskError(task.why)
    if not isinstance(task, TextTask):
        raise TaskError(f"{task.name} is no text: its errors have no words to be sorted by")
    if isinstance(task.vocabulary, WordVocabulary):
        raise TaskError(f"{task.name} is read by words: errors are sorted by characters")
    return task


def annotate_text(
    task: Task, *, characters: int, split: HeldOut = "test", oracles: Oracles | None = None
) -> AnnotatedText:
    """Prepares the first `characters` + 1 symbols of a split.

    A word is a longest run of letters, digits and underscores; bytes above ASCII are letters.

    Raises:
        TaskError: As `require_characters`.
    """
    oracles, task = oracles or Oracles(), require_characters(task)
    train_N, held_M = task.indices("train"), task.indices(split)[: characters + 1]
    vocabulary = task.vocabulary
    assert not isinstance(vocabulary, WordVocabulary)
    train, held = ("".join(vocabulary.characters(part)) for part in (train_N, held_M))
    probability = ngram_probabilities(
        train_N, held_M, longest=oracles.contexts, num_symbols=task.num_symbols
    )
    distance, known = _words(held, Counter(w for _, w in words_of(train)))
    inside = np.array([_in_word(c) for c in held])
    before = np.array([True, *(c.isspace() or c in OPENING for c in held[:-1])])
    starts = inside & ~np.concatenate([[False], inside[:-1]])
    best, longest = probability[1:].max(0), probability[-1]
    return AnnotatedText(held, best, longest, distance, known, starts & before)


def ngram_predictions(reading: AnnotatedText) -> pd.DataFrame:
    """Gives the losses of the n-gram with the longest context as `predictions.predict` would.

    Returns:
        Columns position, nats.
    """
    nats = -np.log(reading.longest[1:])
    return pd.DataFrame({"position": np.arange(1, len(reading.text)), "nats": nats})


@cache  # asked for every character of a text, of which few differ
def _in_word(character: str) -> bool:
    return in_word(character) or "\ue000" <= character <= "\uf8ff"


def words_of(text: str) -> list[tuple[int, str]]:
    """Lists the words of a text with the places where they begin."""
    found, start = [], None
    for place, character in enumerate(text):
        if _in_word(character):
            start = place if start is None else start
        elif start is not None:
            found.append((start, text[start:place]))
            start = None
    if start is not None:
        found.append((start, text[start:]))
    return found


def _words(text: str, counts: Counter[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    distance = np.full(len(text), np.inf)
    known = np.full(len(text), -1, dtype=np.int64)
    ended: dict[str, int] = {}
    for start, word in words_of(text):
        later = slice(start + 1, start + len(word))
        if word in ended:
            distance[later] = start - ended[word]
        known[later] = counts[word]
        ended[word] = start + len(word)
    return distance, known


def sort_errors(
    predictions: pd.DataFrame, reading: AnnotatedText, *, oracles: Oracles | None = None
) -> pd.DataFrame:
    """Names the category of every error.

    In this order: `n-gram`, a context of at most nine characters gives it more than one half;
    `memory`, it belongs to a word that was seen lately; `rare word`; `word model`, it begins a
    word after a space or a quote; `punctuation`; `boost`, the rest. Memory and rare words do not
    take first letters: nothing read so far says which word comes.

    Args:
        predictions: Of `predictions.predict` on the same split.
        reading: Of `annotate_text`, at least as long.
        oracles: As given to `annotate_text`.

    Returns:
        The predictions with columns category ("" where the model is right) and level (the
        smallest window, or boost, that takes the error away; NaN in other categories).

    Raises:
        ConfigError: The predictions are longer than the text, or of another one.
    """
    oracles = oracles or Oracles()
    at = predictions["position"].to_numpy()
    if at.max(initial=0) >= len(reading.text):
        raise ConfigError(
            f"predictions reach to character {at.max()}, the text has {len(reading.text)}"
        )
    p = np.exp(-predictions["nats"].to_numpy())
    category = np.full(len(at), "", dtype=object)
    level = np.full(len(at), np.nan)
    left = p < 0.5
    mark = np.array([not _in_word(c) and not c.isspace() for c in reading.text], dtype=bool)[at]

    def take(name: str, which: NDArray[np.bool_], value: float = math.nan) -> None:
        nonlocal left
        taken = left & which
        category[taken], level[taken] = name, value
        left = left & ~taken

    take("n-gram", reading.ngram[at] > 0.5)
    for window in oracles.memory:
        take("memory", reading.distance[at] <= window, window)
    take("rare word", (reading.known[at] >= 0) & (reading.known[at] <= oracles.rare))
    take("word model", reading.begins[at])
    take("punctuation", mark)
    for boost in oracles.boosts:
        take("boost", p + boost >= 0.5, boost)
    return predictions.assign(category=category, level=level)


def count_errors(sorted_errors: pd.DataFrame) -> pd.DataFrame:
    """Counts the errors of every category, in the order in which they were taken.

    Args:
        sorted_errors: Of `sort_errors`.

    Returns:
        Columns category, level (NaN where a category has none), errors, share (of all errors; NaN
        without any), nats (their loss, in nats a character of the text, so that the categories
        and `right` sum to the mean loss). The last row, `right`, has the loss where the model is
        right: no errors, share 0.
    """
    total = max(int((sorted_errors["category"] != "").sum()), 0)
    rows = []
    for name in CATEGORIES:
        part = sorted_errors[sorted_errors["category"] == name]
        for level, group in (
            part.groupby("level", dropna=False) if len(part) else [(math.nan, part)]
        ):
            share = len(group) / total if total else math.nan
            rows.append((name, level, len(group), share, float(group["nats"].sum())))
    right = sorted_errors[sorted_errors["category"] == ""]
    rows.append(("right", math.nan, 0, 0.0, float(right["nats"].sum())))
    frame = pd.DataFrame(rows, columns=["category", "level", "errors", "share", "nats"])
    frame["nats"] /= len(sorted_errors)
    return frame


def closing_brackets(text: str) -> pd.DataFrame:
    """Finds every closing bracket and the one that it closes.

    Args:
        text: Any text. Every kind of bracket is matched for itself, so that a lone `(` in a
            comment does not upset the braces; one that closes nothing is left out.

    Returns:
        Columns position (of the closing one), bracket (its character), distance (characters from
        the opening one to it, at least 1).
    """
    opened: dict[str, list[int]] = {character: [] for character in BRACKETS.values()}
    rows = []
    for place, character in enumerate(text):
        if character in opened:
            opened[character].append(place)
        elif character in BRACKETS and opened[BRACKETS[character]]:
            rows.append((place, character, place - opened[BRACKETS[character]].pop()))
    return pd.DataFrame(rows, columns=["position", "bracket", "distance"])


def bracket_losses(predictions: pd.DataFrame, text: str) -> pd.DataFrame:
    """Gives the loss of every closing bracket with its distance to the opening one.

    Args:
        predictions: Of `predictions.predict`; a column nats, a row a position.
        text: The text they are of.

    Returns:
        Columns position, bracket, distance, nats.
    """
    found = closing_brackets(text)
    return found.merge(predictions[["position", "nats"]], on="position")


def loss_by_distance(losses: pd.DataFrame, *, edges: Sequence[float] | None = None) -> pd.DataFrame:
    """Averages the loss of closing brackets by their distance to the opening ones.

    Args:
        losses: Of `bracket_losses`.
        edges: Borders of the bins in characters, rising: [edge, next). By default each is 1.5 times
            the one before, from 1.

    Returns:
        Columns distance (geometric mean in the bin), from, to, nats (mean), error (its standard
        error; NaN for one), right (share with a probability above one half), n; bins without
        brackets are left out.
    """
    distances = losses["distance"].to_numpy(dtype=float)
    if edges is None:
        edges = [1.0]
        while edges[-1] <= distances.max(initial=1.0):
            edges.append(max(edges[-1] + 1, float(round(edges[-1] * 1.5))))
    if list(edges) != sorted(set(edges)):
        raise ConfigError(f"edges of distances must rise, got {list(edges)}")
    place = np.array([bisect_right(edges, d) - 1 for d in distances], dtype=int)
    rows = []
    for k in sorted(set(place)):
        if not 0 <= k < len(edges) - 1:
            continue
        inside = losses[place == k]
        nats = inside["nats"].to_numpy(dtype=float)
        spread = float(nats.std(ddof=1) / math.sqrt(len(nats))) if len(nats) > 1 else math.nan
        middle = float(np.exp(np.log(inside["distance"].astype(float)).mean()))
        right = float((nats < NATS_PER_BIT).mean())
        rows.append((middle, edges[k], edges[k + 1], nats.mean(), spread, right, len(nats)))
    columns = ["distance", "from", "to", "nats", "error", "right", "n"]
    return pd.DataFrame(rows, columns=columns)
