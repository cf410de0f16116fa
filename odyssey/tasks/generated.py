"""Tasks made of short random sequences, generated without end.

Shapes: T time steps, B parallel streams, L steps generated at a time, N symbols in a row,
S sequences, W symbols of the longest of them.
"""

from __future__ import annotations

import hashlib
import string
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.base import Batch, HeldOut, Split, Task, check_shape, in_pieces
from odyssey.wording import quoted

# Symbols a stream generates at a time. A constant, so that a stream depends on its seed alone.
CHUNK = 4096
HELD_OUT_CHARACTERS = 20_000
# Counted targets of a measurement: with fewer, a percent of accuracy is noise.
ENOUGH_COUNTED = {"valid": 1_000, "test": 4_000}
ALPHABET = string.ascii_lowercase + string.ascii_uppercase + string.digits
CUE, END = ">", "."  # ask for the answer, and end a sequence


@dataclass(frozen=True)
class Sequences:
    """Holds whole sequences one after the other.

    Attributes:
        symbols_N: Class indices, uint8.
        counted_N: The symbols that count as targets, bool.
        ends: Where each sequence ends (one past its last symbol), int64.
    """

    symbols_N: NDArray[np.uint8]
    counted_N: NDArray[np.bool_]
    ends: NDArray[np.int64]


def from_rows(
    rows_SW: NDArray[np.uint8],
    counted: NDArray[np.bool_],
    used_SW: NDArray[np.bool_] | None = None,
) -> Sequences:
    """Puts sequences that lie in rows one after the other.

    Args:
        rows_SW: A sequence a row.
        counted: The symbols that count, (S, W), or (W,) where they are the same in every row.
        used_SW: The places that hold a symbol; None where all do.
    """
    counted_SW = np.broadcast_to(counted, rows_SW.shape)
    if used_SW is None:
        ends = np.arange(1, len(rows_SW) + 1, dtype=np.int64) * rows_SW.shape[1]
        return Sequences(rows_SW.ravel(), counted_SW.ravel(), ends)
    ends = np.cumsum(used_SW.sum(axis=1, dtype=np.int64))
    return Sequences(rows_SW[used_SW], counted_SW[used_SW], ends)


class GeneratedTask(Task):
    """Learns from sequences drawn at random; a subclass says how to draw them.

    Training streams are independent concatenations of sequences. Held-out data are one
    concatenation with a seed fixed by the spec and the split, cut into columns between two
    sequences, so that no column starts in the middle of one.

    Attributes:
        blank: The symbol that is read in place of every counted one; None where they are read as
            they are. An answer at every step that is read again would hand over the very state
            that a cell is to keep.
        warmup: The symbols that a held-out column reads before its own, where a measurement asks
            for a warm-up. Training begins from a state of zeros once: a cell that does not clear
            its state between sequences does not know it.
    """

    is_text = False
    blank: str | None = None
    warmup = 200

    def __init__(
        self,
        name: str,
        *,
        symbols: tuple[str, ...],
        counted: str,
        mean_length: float,
        prime: str,
        options: Mapping[str, object],
        mean_counted: float | None = None,
    ) -> None:
        self.name = name
        self.symbols = symbols
        self.counted = counted
        self._options = dict(options)
        self._prime = prime
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._per_chunk = max(1, round(CHUNK / mean_length))
        if mean_counted is not None:
            self.enough = {
                split: max(least, round(ENOUGH_COUNTED[split] * mean_length / mean_counted))
                for split, least in self.enough.items()
            }

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws `count` independent sequences."""

    def characters(self, split: Split) -> int | None:
        """Gives None: sequences are generated without end."""
        return None

    def train(self, *, batch_size: int, unroll: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yields independent streams of sequences side by side, without end."""
        check_shape(batch_size=batch_size, unroll=unroll)
        # From the state of rng, not from its seed sequence: a restored state restores the streams.
        seeds = rng.integers(2**63, size=(batch_size, 2))
        streams = [_Stream(self, np.random.default_rng(seed)) for seed in seeds]
        return _batches(streams, unroll=unroll, blank=self._blank_class)

    def held_out(
        self,
        split: HeldOut,
        *,
        batch_size: int,
        unroll: int,
        characters: int | None = None,
        warmup: int = 0,
    ) -> Iterator[Batch]:
        """Yields 20,000 targets, or `characters`, of fixed sequences.

        A column begins with a sequence. With a warm-up, however long, it first reads whole
        sequences of at least `self.warmup` symbols: those before its own.
        """
        assert split in ("valid", "test")
        check_shape(batch_size=batch_size, unroll=unroll, characters=characters, warmup=warmup)
        length = HELD_OUT_CHARACTERS if characters is None else characters
        data = self._fixed(split, length + 1)
        # Target j is symbol j + 1: after a sequence that ends at e, target e - 1 starts the next.
        cuts = data.ends - 1
        wanted = np.arange(1, batch_size, dtype=np.int64) * length // batch_size
        inner = np.minimum(cuts[np.searchsorted(cuts, wanted)], length)
        bounds = np.concatenate([[0], inner, [length]]).astype(np.int64)
        before_B = np.zeros(batch_size, dtype=np.int64)
        if warmup and self.warmup:
            # What the first columns read comes from a stream of its own: theirs stays the same.
            first = self._fixed(f"before {split}", self.warmup)
            data = Sequences(
                np.concatenate([first.symbols_N, data.symbols_N]),
                np.concatenate([first.counted_N, data.counted_N]),
                np.concatenate([first.ends, first.symbols_N.size + data.ends]),
            )
            bounds += first.symbols_N.size
            starts = np.append(0, data.ends)
            at_most = bounds[:-1] - self.warmup
            before_B = bounds[:-1] - starts[np.searchsorted(starts, at_most, side="right") - 1]
        last = np.zeros(data.symbols_N.size, dtype=np.bool_)
        last[data.ends - 1] = True
        return in_pieces(
            data.symbols_N,
            data.counted_N,
            bounds[:-1],
            bounds[1:],
            unroll=unroll,
            warmup=before_B,
            blank=self._blank_class,
            last=last,
        )

    def _fixed(self, what: str, length: int) -> Sequences:
        """Draws at least `length` symbols, the same at every call."""
        digest = hashlib.sha256(f"odyssey held-out data: {self.name}, {what}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest))
        chunks: list[Sequences] = []
        generated = 0
        while generated < length:
            chunks.append(self.draw(rng, self._per_chunk))
            generated += chunks[-1].symbols_N.size
        offsets = np.cumsum([0] + [chunk.symbols_N.size for chunk in chunks])
        return Sequences(
            np.concatenate([chunk.symbols_N for chunk in chunks]),
            np.concatenate([chunk.counted_N for chunk in chunks]),
            np.concatenate([at + chunk.ends for at, chunk in zip(offsets, chunks, strict=False)]),
        )

    @property
    def _blank_class(self) -> int | None:
        return None if self.blank is None else self._index[self.blank]

    def encode(self, text: str) -> NDArray[np.int64]:
        """Turns text into class indices (N,); raises TaskError for symbols the task lacks."""
        unknown = next((symbol for symbol in text if symbol not in self._index), None)
        if unknown is not None:
            known = "".join(self.symbols)
            raise TaskError(f"{self.name} has no symbol {quoted(unknown)}; its symbols are {known}")
        return np.array([self._index[symbol] for symbol in text], dtype=np.int64)

    def decode(self, indices: NDArray[np.integer] | Sequence[int]) -> str:
        """Turns class indices into text."""
        return "".join(self.symbols[int(index)] for index in indices)

    def sample_prime(self) -> NDArray[np.int64]:
        """Gives a sequence up to what is to be predicted."""
        return self.encode(self._prime)

    def describe(self) -> dict[str, object]:
        """Describes the task and its options, given or not."""
        return {
            "name": self.name,
            "data": "generated",
            "num_symbols": self.num_symbols,
            "counted": self.counted,
            **self._options,
            **self.baselines(),
        }


class _Stream:
    """Reads one endless concatenation of sequences, piece by piece."""

    def __init__(self, task: GeneratedTask, rng: np.random.Generator) -> None:
        self._task = task
        self._rng = rng
        self._symbols = np.empty(0, dtype=np.uint8)
        self._counted = np.empty(0, dtype=np.bool_)

    def read_into(self, symbols_N: NDArray[np.uint8], counted_N: NDArray[np.bool_]) -> None:
        filled = 0
        while filled < symbols_N.size:
            if not self._symbols.size:
                chunk = self._task.draw(self._rng, self._task._per_chunk)
                self._symbols, self._counted = chunk.symbols_N, chunk.counted_N
            step = min(symbols_N.size - filled, self._symbols.size)
            symbols_N[filled : filled + step] = self._symbols[:step]
            counted_N[filled : filled + step] = self._counted[:step]
            self._symbols, self._counted = self._symbols[step:], self._counted[step:]
            filled += step


def _batches(streams: list[_Stream], *, unroll: int, blank: int | None = None) -> Iterator[Batch]:
    """Yields the streams side by side; generates a block of many batches at a time."""
    steps = max(1, CHUNK // unroll) * unroll
    symbols_BL = np.empty((len(streams), steps + 1), dtype=np.uint8)
    counted_BL = np.empty((len(streams), steps + 1), dtype=np.bool_)
    for b, stream in enumerate(streams):
        stream.read_into(symbols_BL[b, :1], counted_BL[b, :1])
    while True:
        for b, stream in enumerate(streams):
            stream.read_into(symbols_BL[b, 1:], counted_BL[b, 1:])
        for start in range(0, steps, unroll):
            end = start + unroll
            inputs_TB = symbols_BL[:, start:end].T.astype(np.int64, order="C")
            if blank is not None:
                inputs_TB[counted_BL[:, start:end].T] = blank
            yield Batch(
                inputs_TB=inputs_TB,
                targets_TB=symbols_BL[:, start + 1 : end + 1].T.astype(np.int64, order="C"),
                weights_TB=counted_BL[:, start + 1 : end + 1].T.copy(order="C"),
            )
        # The last target of this block is the first input of the next.
        symbols_BL[:, 0] = symbols_BL[:, -1]
        counted_BL[:, 0] = counted_BL[:, -1]
