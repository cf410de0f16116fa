"""Tasks made of whole sequences: finite sets, or drawn without end, side by side in buckets.

A batch holds B sequences, of like length where they have no condition, padded to the longest, every
one from a fresh state. So they are back-propagated whole, and the unroll of truncated BPTT does not
apply; sequences longer than `most_steps` are cut there, and the state is carried on.

Shapes: T time steps, B sequences side by side, I and K numbers of an input and an output.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.base import Batch, HeldOut, Split, Task, check_shape
from odyssey.tasks.examples import Example, Packed, pack
from odyssey.tasks.pictures import read_picture
from odyssey.tasks.signature import BITS, CLASSES, REALS, Signature
from odyssey.wording import SQUARED_ERROR

ACCURACY = {
    CLASSES: "of counted targets right",
    BITS: "frame accuracy",
    REALS: "of counted targets within 0.04",
}
Shown = Literal["own", "another", "mean"]
"""What sequences are shown as their condition: their own, another's of the split, or the mean."""
OWN: Shown = "own"
ANOTHER: Shown = "another"
MEAN: Shown = "mean"

POOL = 16  # batches among which sequences are sorted by length
WHOLE_SPLIT = 10**9
MOST_STEPS = 2_000


def with_conditions(examples: Sequence[Example], shown: Shown) -> list[Example]:
    """Gives sequences with their own conditions, each with another one's, or all with the mean.

    Which other one is fixed: the next on one round through all of them in a random order, so that
    none has its own where there are two or more.
    """
    if shown == OWN:
        return list(examples)
    given = [e.given for e in examples if e.given is not None]
    assert len(given) == len(examples), "sequences without conditions have no others"
    if shown == MEAN:
        mean = np.stack(given).mean(0, dtype=np.float64).astype(np.float32)
        return [replace(e, given=mean) for e in examples]
    order = np.random.default_rng(0).permutation(len(examples))
    after = dict(zip(order.tolist(), np.roll(order, -1).tolist(), strict=True))
    return [replace(e, given=given[after[k]]) for k, e in enumerate(examples)]


class SequenceTask(Task):
    """Predicts targets of whole sequences; a subclass says which.

    Args:
        name: The normalised spec.
        signature: What a model reads and predicts.
        symbols: The printable forms of the output's classes, where there are any.
        counted: Which targets count, in words.
        facts: What `describe` says beside that.
        most_steps: Steps of a batch, at most.
    """

    is_text = False
    is_stream = False
    unit = "steps"
    enough = MappingProxyType({"valid": WHOLE_SPLIT, "test": WHOLE_SPLIT})

    def __init__(
        self,
        name: str,
        *,
        signature: Signature,
        symbols: tuple[str, ...] = (),
        counted: str,
        facts: Mapping[str, object],
        most_steps: int = MOST_STEPS,
    ) -> None:
        self.name = name
        self.symbols = symbols
        self.counted = counted
        self.most_steps = most_steps
        self._signature = signature
        self._facts = dict(facts)

    @property
    def signature(self) -> Signature:
        """Says what a model reads and predicts."""
        return self._signature

    @property
    def steps(self) -> int:
        """Gives the steps of a batch, at most."""
        return min(self.most_steps, max(map(len, self.held_out_examples("valid"))))

    @abstractmethod
    def held_out_examples(self, split: HeldOut) -> Sequence[Example]:
        """Gives the sequences of a held-out split, the same at every call."""

    @abstractmethod
    def pools(self, rng: np.random.Generator, count: int) -> Iterator[Sequence[Example]]:
        """Yields training sequences without end, `count` at a time."""

    def characters(self, split: Split) -> int | None:
        """Gives the number of steps in a held-out split; None for what is drawn without end."""
        if split == "train":
            return None
        return sum(map(len, self.held_out_examples(split)))

    def train(self, *, batch_size: int, unroll: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yields batches of whole sequences; in a pool they are sorted, and batches shuffled."""
        check_shape(batch_size=batch_size, unroll=unroll)
        seed = rng.integers(2**63, size=2)  # a restored state restores the batches
        return self._train(np.random.default_rng(seed), batch_size)

    def _train(self, rng: np.random.Generator, batch_size: int) -> Iterator[Batch]:
        # sequences of one length are alike in what they are conditioned on, and an encoder that
        # takes means over a batch would lose just that
        size = POOL if self._signature.condition is None else 1
        for pool in map(pack, self.pools(rng, size * batch_size)):
            order = np.argsort(pool.lengths_N, kind="stable")
            for k in rng.permutation(size):
                chosen = pool.take(order[k * batch_size : (k + 1) * batch_size])
                yield from self._side_by_side(chosen, batch_size)

    def held_out(
        self,
        split: HeldOut,
        *,
        batch_size: int,
        unroll: int,
        characters: int | None = None,
        warmup: int = 0,
        shown: Shown = OWN,
    ) -> Iterator[Batch]:
        """Yields whole sequences, the first so many that have `characters` targets at most.

        Every sequence begins from a fresh state: there is no warm-up. With `shown`, what they are
        conditioned on is not their own: does a model look at it at all?
        """
        check_shape(batch_size=batch_size, unroll=unroll, characters=characters, warmup=warmup)
        return self._held_out(split, batch_size, characters, shown)

    def _held_out(
        self, split: HeldOut, batch_size: int, characters: int | None, shown: Shown
    ) -> Iterator[Batch]:
        examples = with_conditions(self.held_out_examples(split), shown)
        if characters is not None:
            ends = np.cumsum([len(e) for e in examples])
            examples = examples[: max(1, int(np.searchsorted(ends, characters, side="right")))]
        examples.sort(key=len)
        packed = pack(examples)
        for start in range(0, len(packed), batch_size):
            yield from self._side_by_side(packed[start : start + batch_size], batch_size)

    def _side_by_side(self, sequences: Packed, columns: int) -> Iterator[Batch]:
        return sequences.side_by_side(self._signature, columns=columns, most_steps=self.most_steps)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what can be made again."""
        return {k: v for k, v in vars(self).items() if k not in ("_packed", "_held_out_drawn")}

    dark = True
    """Whether the ground of its pictures is dark, so that bright ones are to be inverted."""

    def read_picture(self, path: str) -> NDArray[np.float32]:
        """Reads a picture file as the task's own pictures are; see `pictures.read_picture`."""
        condition = self._signature.condition
        assert condition is not None, "its sequences have no pictures"
        height, width, _ = condition.shape
        return read_picture(path, height, width, dark=self.dark)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Raises TaskError: its sequences are no text."""
        raise TaskError(f"{self.name} reads no text")

    def decode(self, indices: NDArray[np.integer] | Sequence[int]) -> str:
        """Turns the classes of an output into text."""
        return "".join(self.symbols[int(k)] for k in indices)

    def sample_prime(self) -> NDArray[np.int64]:
        """Raises TaskError: nothing is generated from a text."""
        hint = "" if self.end is None else "; `odyssey caption` lets it read pictures"
        raise TaskError(f"{self.name} writes no text: nothing to sample from a model of it{hint}")

    def describe(self) -> dict[str, object]:
        """Describes the task as plain data."""
        inputs, outputs = self._signature.inputs, self._signature.outputs
        return {
            "name": self.name,
            "counted": self.counted,
            "unit": self.unit,
            "inputs": f"{inputs.size} {inputs.kind}",
            "outputs": f"{outputs.size} {outputs.kind}",
            "accuracy": ACCURACY[outputs.kind],
            **({"loss": SQUARED_ERROR} if outputs.kind == REALS else {}),
            **({} if outputs.dense else {"num_symbols": outputs.size}),
            **self.baselines(),
            **self._facts,
        }


class FiniteTask(SequenceTask):
    """Learns from a finite set of sequences, each once in every pass, in an order of its own."""

    _packed: Packed | None = None  # the training set

    @abstractmethod
    def examples(self, split: Split) -> Sequence[Example]:
        """Gives the sequences of a split, the same at every call."""

    @property
    def steps(self) -> int:
        """Gives the steps of a batch, at most."""
        longest = max(len(e) for e in (*self.examples("train"), *self.examples("valid")))
        return min(self.most_steps, longest)

    def held_out_examples(self, split: HeldOut) -> Sequence[Example]:
        """Gives the sequences of a held-out split."""
        return self.examples(split)

    def updates_per_pass(self, *, batch_size: int, unroll: int, in_order: bool = False) -> int:
        """Counts the batches after which every sequence has been read once, rounded up.

        Raises:
            TaskError: As `Task.updates_per_pass`, for an order; or sequences are cut.
        """
        if in_order:
            return super().updates_per_pass(batch_size=batch_size, unroll=unroll, in_order=True)
        examples = self.examples("train")
        if max(map(len, examples)) > self.most_steps:
            raise TaskError(
                f"{self.name} cuts sequences, so that passes have no fixed number of updates;"
                " give epochs and updates_per_epoch instead"
            )
        return -(-len(examples) // batch_size)

    def pools(self, rng: np.random.Generator, count: int) -> Iterator[Sequence[Example]]:
        """Yields the training set, permuted anew in every pass; a pool may span passes."""
        if self._packed is None:  # all members of a population share it
            self._packed = pack(self.examples("train"))
        waiting: list[int] = []
        while True:
            while len(waiting) < count:
                waiting += rng.permutation(len(self._packed)).tolist()
            yield self._packed.take(waiting[:count])
            del waiting[:count]


class DrawnTask(SequenceTask):
    """Learns from sequences drawn at random without end."""

    held_out_sequences: int = 1_000
    _held_out_drawn: Mapping[HeldOut, Sequence[Example]] = MappingProxyType({})

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int, split: Split) -> Sequence[Example]:
        """Draws independent sequences; of a held-out split, from data that training never sees."""

    def held_out_examples(self, split: HeldOut) -> Sequence[Example]:
        """Draws those of a held-out split, with a seed fixed by the spec and the split."""
        if split not in self._held_out_drawn:  # every validation asks for them
            name = f"odyssey held-out data: {self.name}, {split}"
            digest = hashlib.sha256(name.encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest))
            drawn = self.draw(rng, self.held_out_sequences, split)
            self._held_out_drawn = {**self._held_out_drawn, split: drawn}
        return self._held_out_drawn[split]

    def pools(self, rng: np.random.Generator, count: int) -> Iterator[Sequence[Example]]:
        """Draws without end."""
        while True:
            yield self.draw(rng, count, "train")
