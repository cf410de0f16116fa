"""What a task is: parallel streams, cut into truncated-BPTT segments, or whole sequences.

Shapes: T time steps, B parallel streams, N targets, I numbers of an input, K of an output.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.names import printable
from odyssey.tasks.signature import Signature
from odyssey.wording import plural

HeldOut = Literal["valid", "test"]
Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Batch:
    """Holds one truncated-BPTT segment of B parallel streams.

    The recurrent state carries over from the previous batch of the same iterator, but in columns
    that are fresh.

    Attributes:
        inputs_TB: Class indices (T, B), int64; or bits (T, B, I), uint8, or reals, float32.
        targets_TB: The class that is to be predicted at each input (T, B), int64: of a stream the
            symbol that follows; or bits (T, B, K), uint8, or reals, float32.
        weights_TB: The positions that count in loss and accuracy, bool.
        fresh_B: The columns whose state begins anew with this batch, bool; None: none does.
        ends_TB: The positions at which a sequence ends, bool; None where there are no sequences.
        given_B: What the sequence of each column is conditioned on (B, ...), float32; all columns
            are then fresh.
        read: How many inputs are no padding; None: all.
    """

    inputs_TB: NDArray[np.int64] | NDArray[np.uint8] | NDArray[np.float32]
    targets_TB: NDArray[np.int64] | NDArray[np.uint8] | NDArray[np.float32]
    weights_TB: NDArray[np.bool_]
    fresh_B: NDArray[np.bool_] | None = None
    ends_TB: NDArray[np.bool_] | None = None
    given_B: NDArray[np.float32] | None = None
    read: int | None = None


@dataclass(frozen=True)
class Baseline:
    """Holds what a predictor with known means scores on the counted targets.

    Attributes:
        nats: Its mean loss.
        accuracy: The share of targets that it finds likeliest; NaN where nobody knows.
    """

    nats: float
    accuracy: float


CERTAIN = Baseline(nats=0.0, accuracy=1.0)
"""The optimum of a task whose counted targets follow from what was read before."""


def guess(weights: NDArray[np.floating | np.integer] | Sequence[float]) -> Baseline:
    """Scores a guess by the frequencies of the targets, whatever the input.

    Args:
        weights: How often each class is a counted target; any multiple of it will do.
    """
    share = np.asarray(weights, dtype=np.float64)
    share = share[share > 0] / share.sum()
    return Baseline(nats=float(-(share * np.log(share)).sum()), accuracy=float(share.max()))


class Task(ABC):
    """What is to be predicted at every step: in most tasks, the next symbol of a stream.

    Attributes:
        name: The normalised spec: options that equal their default are left out.
        symbols: The printable form of each class; the index is the class.
        counted: Which positions count, in words.
        is_text: Whether a sample of generated text means anything to a reader.
        unit: What a symbol is: "characters", or the "bytes" or "words" of a text.
        notices: What its user may not expect of how it was read, a line each.
        chance: What a guess by the frequencies of the counted targets scores, where that is known.
        optimum: What no predictor can beat, where that is known.
        memoryless_nats: The mean loss of one who knows how the task is made and remembers nothing
            of what was drawn, where that is known and less than n-grams give.
        bound_nats: A loss that no predictor goes below, where the optimum itself is not known.
        longer: The spec of the same task at twice the length, with the same symbols in the same
            order: what a model has learned on one can be measured on the other. None where there
            is none.
    """

    name: str
    symbols: tuple[str, ...]
    counted: str
    is_text: bool
    unit: str = "characters"
    notices: tuple[str, ...] = ()
    chance: Baseline | None = None
    optimum: Baseline | None = None
    memoryless_nats: float | None = None
    bound_nats: float | None = None
    longer: str | None = None

    def __repr__(self) -> str:
        symbols = f"{plural(len(self.symbols), 'symbol')}; " if self.symbols else ""
        return f"<Task {printable(self.name)}: {symbols}counted: {self.counted}>"

    @property
    def num_symbols(self) -> int:
        """Counts the symbols."""
        return len(self.symbols)

    @property
    def signature(self) -> Signature:
        """Says what a model reads and predicts: here, symbols."""
        return Signature.symbols(self.num_symbols)

    @property
    def steps(self) -> int | None:
        """Gives the steps of a batch, at most, where the task decides it and not the unroll."""
        return None

    @property
    def exact(self) -> bool:
        """Whether a sequence can be answered wholly right, so that this is worth a score."""
        return self.optimum is not None and self.optimum.accuracy == 1

    start: int | None = None
    """The class that is read first where an output is written from its condition alone."""
    end: int | None = None
    """The class that ends such an output."""

    is_stream: bool = True
    """Whether it is a stream of symbols, each of which is the input that follows its target."""

    def require_stream(self, what: str) -> None:
        """Raises TaskError for a task that is no stream, naming what needs one."""
        if not self.is_stream:
            raise TaskError(f"{self.name} is no stream of symbols, which {what} needs")

    enough: Mapping[str, int] = MappingProxyType({"valid": 5_000, "test": 10_000})
    """Targets of held-out data that a measurement takes where nobody says how many."""

    @abstractmethod
    def characters(self, split: Split) -> int | None:
        """Gives the length of a split in symbols; None where it is generated without end."""

    @abstractmethod
    def train(self, *, batch_size: int, unroll: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yields batches of shape (unroll, batch_size) without end; `rng` decides everything."""

    def train_in_order(self, *, batch_size: int, unroll: int) -> Iterator[Batch]:
        """Yields the train split from its beginning, pass after pass, each with fresh states.

        Raises:
            TaskError: The data are generated, and have no beginning to come back to.
        """
        raise TaskError(f"{self.name} is generated without end; leave out start=beginning")

    def updates_per_pass(self, *, batch_size: int, unroll: int, in_order: bool = False) -> int:
        """Counts the batches after which all of the train split has been read once.

        Args:
            batch_size: The number B of streams.
            unroll: The number T of steps in a batch.
            in_order: Whether they are those of `train_in_order`.

        Raises:
            TaskError: The data are generated, and have no end.
        """
        raise TaskError(
            f"{self.name} is generated without end and has no passes;"
            " give epochs and updates_per_epoch instead"
        )

    @abstractmethod
    def held_out(
        self,
        split: HeldOut,
        *,
        batch_size: int,
        unroll: int,
        characters: int | None = None,
        warmup: int = 0,
    ) -> Iterator[Batch]:
        """Yields the held-out data once, the same at every call.

        Every batch has `batch_size` columns, padded with weight False; the last one may be
        shorter than `unroll`.

        Args:
            split: "valid" or "test".
            batch_size: The number B of pieces that are read side by side.
            unroll: The number T of steps in a batch.
            characters: Stops after this many targets, counted or not.
            warmup: A column that begins in the middle of something first reads so many symbols
                before its beginning, with weight False, so that its first targets are not
                predicted from a state of zeros. Nothing of another split is read.
        """

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int64]:
        """Turns text into class indices (N,); raises TaskError for symbols the task lacks."""

    @abstractmethod
    def decode(self, indices: NDArray[np.integer] | Sequence[int]) -> str:
        """Turns class indices into text, the inverse of `encode`."""

    def data(self, indices: NDArray[np.integer] | Sequence[int]) -> bytes:
        """Turns class indices into the bytes of a file."""
        return self.decode(indices).encode("utf-8", "surrogatepass")

    @abstractmethod
    def sample_prime(self) -> NDArray[np.int64]:
        """Gives a short start (N,) from which generating makes sense."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Describes the task as plain data for tables and records."""

    def baselines(self) -> dict[str, float]:
        """Gives chance and optimum as plain numbers, those that are known."""
        known = {"chance": self.chance, "optimum": self.optimum}
        return {
            f"{name}_{unit}": value
            for name, baseline in known.items()
            if baseline is not None
            for unit, value in (("nats", baseline.nats), ("accuracy", baseline.accuracy))
            if not math.isnan(value)
        }

    def check_fits(self, batch_size: int, unroll: int) -> None:
        """Raises TaskError where the data are too short for one batch of this shape."""
        check_shape(batch_size=batch_size, unroll=unroll)


def check_shape(**sizes: int | None) -> None:
    """Raises TaskError for a size below one, or a warm-up below none; None is no size."""
    for what, size in sizes.items():
        least = 0 if what == "warmup" else 1
        if size is not None and size < least:
            raise TaskError(f"{what} is {size}; it must be at least {least}")


def in_pieces(
    symbols: NDArray[np.integer],
    counted: NDArray[np.bool_] | None,
    first_B: NDArray[np.int64],
    end_B: NDArray[np.int64],
    *,
    unroll: int,
    warmup: int | NDArray[np.int64] = 0,
    blank: int | None = None,
    last: NDArray[np.bool_] | None = None,
) -> Iterator[Batch]:
    """Yields a finite stream once, as B contiguous pieces side by side.

    Target j is symbol j + 1, and symbol j is its input: no target is lost between two pieces.

    Args:
        symbols: The stream, (N + 1,).
        counted: The symbols that count as targets, (N + 1,); None when all do.
        first_B: First target of every column.
        end_B: The one behind its last.
        unroll: The number of steps in a batch.
        warmup: Symbols that a column reads before its own, with weight False, one number or one
            a column; fewer where the stream has fewer, so that the first column begins with its
            first target.
        blank: The class that is read in place of every counted symbol; None where they are read.
        last: The symbols that end a sequence, (N + 1,); None where there are none.
    """
    read = symbols if blank is None or counted is None else np.where(counted, blank, symbols)
    start_B = np.maximum(first_B - warmup, 0)
    longest = int((end_B - start_B).max())
    for start in range(0, longest, unroll):
        steps = np.arange(start, min(start + unroll, longest), dtype=np.int64)
        at_TB = start_B + steps[:, None]
        inside_TB = at_TB < end_B
        counts_TB = inside_TB & (at_TB >= first_B)
        at_TB = np.where(inside_TB, at_TB, 0)
        yield Batch(
            inputs_TB=read[at_TB].astype(np.int64),
            targets_TB=symbols[at_TB + 1].astype(np.int64),
            weights_TB=counts_TB if counted is None else counts_TB & counted[at_TB + 1],
            ends_TB=None if last is None else counts_TB & last[at_TB + 1],
        )
