"""Outputs written from what they are conditioned on: greedily, by sampling, or by beam search.

A model of a task with marks of a start and an end (`Task.start`, `Task.end`) reads its condition
and the start, and from then on what it wrote itself, until it writes the end. All sequences of a
batch are written side by side, a column a sequence and beam.

Shapes: B sequences, K beams, C = B K columns, V classes, L places that are looked at, T steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler.backends.base import State
from odyssey.errors import ConfigError
from odyssey.tasks.base import Task
from odyssey.tasks.signature import ATTENTION
from odyssey.training.condition import Memory
from odyssey.training.model import SequenceModel, read_out


@dataclass(frozen=True)
class Writing:
    """How outputs are written.

    Attributes:
        longest: Symbols after which an output is cut, the end among them.
        beams: How many beginnings are kept at every step; 1 is greedy. Of several the likeliest
            output is given, by the sum of its log-probabilities: lengths are not made up for.
        temperature: Divides the logits and draws every symbol; None for the likeliest.
    """

    longest: int
    beams: int = 1
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise ConfigError(f"write at least one symbol, got {self.longest}")
        if self.beams < 1:
            raise ConfigError(f"--beam must be at least 1, got {self.beams}")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature must be a number > 0, got {self.temperature}")
        if self.temperature is not None and self.beams > 1:
            raise ConfigError("a beam search draws nothing: leave out the temperature or the beams")


@dataclass(frozen=True)
class Answer:
    """What was written of one condition.

    Attributes:
        symbols: Classes, without start and end.
        ended: Whether the end was written.
        nats: Negative log-probability of the symbols, and of the end where it was written.
        looks_TL: With attention, how much it looked at every place at each step, that of the end
            included; else None.
    """

    symbols: tuple[int, ...]
    ended: bool
    nats: float
    looks_TL: NDArray[np.float32] | None


@torch.no_grad()
def write(
    model: SequenceModel,
    task: Task,
    given: NDArray[np.float32],
    how: Writing,
    *,
    rng: np.random.Generator | None = None,
    member: int = 0,
) -> list[Answer]:
    """Writes an output of every condition.

    Args:
        model: The model.
        task: Its task, with marks of start and end.
        given: What outputs are conditioned on (B, ...), as `Condition.shape`.
        how: How they are written.
        rng: Draws symbols, where there is a temperature.
        member: Row of the population.

    Raises:
        ConfigError: The task has no condition, or no marks of start and end.
    """
    if task.start is None or task.end is None or model.conditioner is None:
        raise ConfigError(f"{task.name}: nothing is written from what is given")
    if how.temperature is not None:
        assert rng is not None, "sampling wants a generator"
        columns = _Columns(model, given, 1, member)
        marks = task.start, task.end
        return _sample(columns, marks, how.longest, how.temperature, rng)
    return _search(_Columns(model, given, how.beams, member), task.start, task.end, how)


class _Columns:
    """A model that writes in B K columns, those of a sequence next to each other.

    Args:
        model: The model.
        given: The conditions (B, ...).
        beams: K.
        member: Row of the population.
    """

    def __init__(
        self, model: SequenceModel, given: NDArray[np.float32], beams: int, member: int
    ) -> None:
        self.model, self.member, self.sequences = model, member, len(given)
        self.device = model.readout.device
        own = torch.from_numpy(given).to(self.device, model.readout.dtype)
        memory = model.encode(own.expand(len(model.readout), *own.shape))
        assert memory is not None
        self._memory = _repeated(memory, beams)
        self._state: State | None = None

    def step(self, read_C: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.float32] | None]:
        """Reads a symbol a column; gives logits (C, V), float64, and what was looked at (C, L)."""
        model = self.model
        x = torch.from_numpy(read_C).to(self.device).view(1, 1, -1)
        x = x.expand(len(model.readout), -1, -1)
        looks = None
        condition = model.signature.condition
        assert condition is not None
        if condition.way == ATTENTION:
            h, self._state, weights = model.attend(x, self._state, self._memory)
            looks = weights[self.member, 0].float().cpu().numpy()
        else:
            h, self._state = model.hidden(x, self._state, self._memory)
        logits = read_out(h, model.readout, model.readout_bias)
        return logits[self.member, 0].cpu().double(), looks

    def choose(self, columns: NDArray[np.int64]) -> None:
        """Goes on with the states of these columns, one a column; memories are a sequence's."""
        assert self._state is not None
        index = torch.from_numpy(columns).to(self.device)
        self._state = tuple(s.index_select(2, index) for s in self._state)


def _repeated(memory: Memory, beams: int) -> Memory:
    def each(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.repeat_interleave(beams, 1)

    return Memory(each(memory.vector_PBD), each(memory.places_PBLF), each(memory.keys_PBLD))


def _sample(
    columns: _Columns,
    marks: tuple[int, int],
    longest: int,
    temperature: float,
    rng: np.random.Generator,
) -> list[Answer]:
    """Draws a symbol at a time; probabilities are those of the model, without temperature."""
    (start, end), B = marks, columns.sequences
    read_B = np.full(B, start)
    written: list[list[int]] = [[] for _ in range(B)]
    looked: list[list[NDArray[np.float32]]] = [[] for _ in range(B)]
    nats, open_ = [0.0] * B, [True] * B
    for _ in range(longest):
        logits, looks = columns.step(read_B)
        log_p = torch.log_softmax(logits, 1).numpy()
        p = torch.softmax(logits / temperature, 1).numpy()
        for b in range(B):
            choice = int(rng.choice(p.shape[1], p=p[b] / p[b].sum()))
            read_B[b] = choice
            if not open_[b]:
                continue
            nats[b] -= float(log_p[b, choice])
            if looks is not None:
                looked[b].append(looks[b])
            open_[b] = choice != end
            if open_[b]:
                written[b].append(choice)
        if not any(open_):
            break
    return [
        Answer(tuple(w), not o, n, np.stack(seen) if seen else None)
        for w, o, n, seen in zip(written, open_, nats, looked, strict=True)
    ]


@dataclass(frozen=True)
class _Beam:
    """One beginning of an output, and its column."""

    answer: Answer
    column: int
    looks: tuple[NDArray[np.float32], ...] = ()


def _search(columns: _Columns, start: int, end: int, how: Writing) -> list[Answer]:
    """Keeps the K likeliest beginnings of every output; those that have ended compete with them."""
    B, K = columns.sequences, how.beams
    empty = Answer((), ended=False, nats=0.0, looks_TL=None)
    beams = [[_Beam(empty, b * K)] for b in range(B)]
    read_C = np.full(B * K, start)
    for _ in range(how.longest):
        logits, looks = columns.step(read_C)
        nats_CV = -torch.log_softmax(logits, 1).numpy()
        chosen_C = np.arange(B * K)
        for b in range(B):
            beams[b] = _longer(beams[b], nats_CV, looks, end=end, most=K)
            for k, beam in enumerate(beams[b]):
                chosen_C[b * K + k] = beam.column
                if not beam.answer.ended:
                    read_C[b * K + k] = beam.answer.symbols[-1]
            beams[b] = [replace(beam, column=b * K + k) for k, beam in enumerate(beams[b])]
        if all(beam.answer.ended for beam in (x for own in beams for x in own)):
            break
        columns.choose(chosen_C)
    best = [own[0] for own in beams]
    return [
        replace(beam.answer, looks_TL=np.stack(beam.looks) if beam.looks else None) for beam in best
    ]


def _longer(
    beams: list[_Beam],
    nats_CV: NDArray[np.float64],
    looks: NDArray[np.float32] | None,
    *,
    end: int,
    most: int,
) -> list[_Beam]:
    """Gives the likeliest of what beginnings can become with one more symbol, at most so many."""
    found = [beam for beam in beams if beam.answer.ended]
    for beam in beams:
        if beam.answer.ended:
            continue
        seen = beam.looks if looks is None else (*beam.looks, looks[beam.column])
        nats_V = nats_CV[beam.column]
        for choice in np.argsort(nats_V, kind="stable")[:most].tolist():
            nats = beam.answer.nats + float(nats_V[choice])
            ended = choice == end
            symbols = beam.answer.symbols if ended else (*beam.answer.symbols, choice)
            found.append(_Beam(Answer(symbols, ended, nats, None), beam.column, seen))
    return sorted(found, key=lambda beam: beam.answer.nats)[:most]
