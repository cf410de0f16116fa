"""Tasks made of short random sequences, generated without end.

Shapes: T time steps, B parallel streams, L steps generated at a time, N symbols in a row.
"""

from __future__ import annotations

import hashlib
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


class GeneratedTask(Task):
    """Learns from sequences drawn at random; a subclass says how to draw them.

    Training streams are independent concatenations of sequences. Held-out data are one
    concatenation with a seed fixed by the spec and the split, cut into columns between two
    sequences, so that no column starts in the middle of one.
    """

    is_text = False

    def __init__(
        self,
        name: str,
        *,
        symbols: tuple[str, ...],
        counted: str,
        mean_length: float,
        prime: str,
        options: Mapping[str, object],
    ) -> None:
        self.name = name
        self.symbols = symbols
        self.counted = counted
        self._options = dict(options)
        self._prime = prime
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._per_chunk = max(1, round(CHUNK / mean_length))

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
        return _batches(streams, unroll=unroll)

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

        A column begins with a sequence, of which nothing comes before: there is no warm-up.
        """
        assert split in ("valid", "test")
        check_shape(batch_size=batch_size, unroll=unroll, characters=characters, warmup=warmup)
        length = HELD_OUT_CHARACTERS if characters is None else characters
        digest = hashlib.sha256(f"odyssey held-out data: {self.name}, {split}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest))
        chunks: list[Sequences] = []
        generated = 0
        while generated < length + 1:
            chunks.append(self.draw(rng, self._per_chunk))
            generated += chunks[-1].symbols_N.size
        offsets = np.cumsum([0] + [chunk.symbols_N.size for chunk in chunks])
        ends = np.concatenate([at + chunk.ends for at, chunk in zip(offsets, chunks, strict=False)])
        # Target j is symbol j + 1: after a sequence that ends at e, target e - 1 starts the next.
        cuts = ends - 1
        wanted = np.arange(1, batch_size, dtype=np.int64) * length // batch_size
        inner = np.minimum(cuts[np.searchsorted(cuts, wanted)], length)
        bounds = np.concatenate([[0], inner, [length]]).astype(np.int64)
        last = np.zeros(offsets[-1], dtype=np.bool_)
        last[ends - 1] = True
        return in_pieces(
            np.concatenate([chunk.symbols_N for chunk in chunks]),
            np.concatenate([chunk.counted_N for chunk in chunks]),
            bounds[:-1],
            bounds[1:],
            unroll=unroll,
            last=last,
        )

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


def _batches(streams: list[_Stream], *, unroll: int) -> Iterator[Batch]:
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
            yield Batch(
                inputs_TB=symbols_BL[:, start:end].T.astype(np.int64, order="C"),
                targets_TB=symbols_BL[:, start + 1 : end + 1].T.astype(np.int64, order="C"),
                weights_TB=counted_BL[:, start + 1 : end + 1].T.copy(order="C"),
            )
        # The last target of this block is the first input of the next.
        symbols_BL[:, 0] = symbols_BL[:, -1]
