"""What models score on held-out data: loss, accuracy, and how many sequences are wholly right.

Shapes: P members, T steps, B columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler.backends.base import ReadoutLoss
from odyssey.errors import ConfigError
from odyssey.tasks.base import Batch, HeldOut, Task
from odyssey.tasks.sequences import ANOTHER, MEAN, Shown
from odyssey.training.batches import join
from odyssey.training.config import TrainingConfig
from odyssey.training.devices import widest
from odyssey.training.metrics import metrics_of
from odyssey.training.model import SequenceModel
from odyssey.training.predictions import PredictionsOfAll
from odyssey.training.step import TorchReadout, make_readout


@dataclass(frozen=True)
class Scores:
    """What every member scores on held-out data.

    Attributes:
        nats: Loss of a counted target.
        accuracy: The share of counted targets that are predicted.
        exact: The share of sequences all of whose counted targets are; NaN where not measured.
        shuffled: Loss with the condition of another sequence; NaN where not measured.
        blank: Loss with the mean of all conditions; NaN where not measured.
        metrics: The metrics of plug-ins on test data (`training.metrics`), by name.
    """

    nats: list[float]
    accuracy: list[float]
    exact: list[float]
    shuffled: list[float]
    blank: list[float]
    metrics: Mapping[str, list[float]] = field(default_factory=dict)


@torch.no_grad()
def measure(
    model: SequenceModel,
    task: Task,
    split: HeldOut,
    config: TrainingConfig,
    *,
    characters: int = 0,
    readout: ReadoutLoss | None = None,
) -> Scores:
    """Measures every member on held-out data; on test data also what only tests need.

    That is the share of sequences wholly right, and the losses with conditions that are not a
    sequence's own: a model that ignores its conditions is as good with them.

    Args:
        model: The model.
        task: A task of its signature.
        split: Of which data.
        config: How held-out data are read: `eval_batch`, `eval_unroll` and `eval_warmup`.
        characters: Targets, at most; 0 takes what the task says is enough.
        readout: The model's, whose buffers are used again; one is made where there is none.

    Raises:
        ConfigError: No target counts.
    """
    characters = characters or task.enough[split]
    readout = readout or make_readout(
        model.rnn.backend, model.rnn.hidden_sizes, model.signature.outputs
    )

    def scored(
        exact: bool = False, collected: PredictionsOfAll | None = None, **shown: Shown
    ) -> _Sums:
        batches = task.held_out(
            split,
            batch_size=config.eval_batch,
            unroll=config.eval_unroll,
            characters=characters,
            warmup=config.eval_warmup,
            **shown,
        )
        return _sums(model, readout, batches, exact=exact, collected=collected)

    outputs, collected = model.signature.outputs, None
    if split == "test" and metrics_of(outputs.kind):
        collected = PredictionsOfAll(outputs, len(model.readout))
    own = scored(exact=task.exact and split == "test", collected=collected)
    if own.count == 0:
        raise ConfigError(
            f"{task.name}: no counted character among {characters} for {split};"
            f" raise training.{split}_characters"
        )
    other = [[math.nan] * len(model.readout)] * 2
    if task.signature.condition is not None and split == "test":
        other = [scored(shown=shown).nats for shown in (ANOTHER, MEAN)]
    metrics = collected.metrics() if collected else {}
    return Scores(own.nats, own.accuracy, own.exact, other[0], other[1], metrics)


@dataclass(frozen=True)
class _Sums:
    """Sums over batches (P,), how many targets they are of, and shares of sequences."""

    nats_P: Tensor
    right_P: Tensor
    exact: list[float]
    count: int

    @property
    def nats(self) -> list[float]:
        means: list[float] = (self.nats_P / self.count).tolist()
        return means

    @property
    def accuracy(self) -> list[float]:
        means: list[float] = (self.right_P / self.count).tolist()
        return means


def _sums(
    model: SequenceModel,
    readout: ReadoutLoss,
    batches: Iterable[Batch],
    *,
    exact: bool,
    collected: PredictionsOfAll | None = None,
) -> _Sums:
    members = len(model.readout)
    judge = TorchReadout(model.signature.outputs.kind)
    nats_P, right_P = model.readout.new_zeros(2, members, dtype=widest(model.readout.device))
    counter = ExactCounter(members) if exact else None
    count = 0
    state = None
    for batch in batches:
        joined, like = join([batch]), (model.readout.dtype, model.readout.device)
        if not model.rnn.reads_classes:
            joined.require_classes(model.signature.inputs.size, model.signature.outputs.size)
        x, target, weight = (t.expand(members, *t.shape[1:]) for t in joined.tensors(*like))
        given, memory = joined.condition(*like), None
        if given is not None:
            memory = model.encode(given.expand(members, *given.shape[1:]))
        h_PTBH, state = model.hidden(x, joined.begin(state, model.rnn.start_state), memory)
        inputs = (h_PTBH, model.readout, model.readout_bias, target, weight)
        nll_P, hits_P = readout.measure(inputs)
        nats_P += nll_P
        right_P += hits_P
        count += int(np.count_nonzero(batch.weights_TB))
        if counter:
            counter.add(judge.hits(inputs).cpu().numpy(), batch)
        if collected:
            collected.add(inputs, batch)
    return _Sums(nats_P, right_P, counter.shares if counter else [math.nan] * members, count)


class ExactCounter:
    """Counts the sequences of parallel streams of which every counted target is predicted.

    A sequence that has not ended, or of which nothing counts, is none.

    Args:
        members: P.
    """

    def __init__(self, members: int) -> None:
        self._right_P = np.zeros(members)
        self._count = 0
        self._wrong_PB: NDArray[np.bool_] | None = None
        self._counted_B: NDArray[np.bool_] | None = None

    def add(self, hits_PTB: NDArray[np.bool_], batch: Batch) -> None:
        """Goes on with a batch; `hits_PTB` says what was predicted."""
        assert batch.ends_TB is not None, "a task with exact scores says where sequences end"
        steps, columns = batch.weights_TB.shape
        if self._wrong_PB is None or self._counted_B is None:
            self._wrong_PB = np.zeros((len(hits_PTB), columns), dtype=np.bool_)
            self._counted_B = np.zeros(columns, dtype=np.bool_)
        if batch.fresh_B is not None:
            self._wrong_PB &= ~batch.fresh_B
            self._counted_B &= ~batch.fresh_B
        for t in range(steps):
            weight_B, end_B = batch.weights_TB[t], batch.ends_TB[t]
            self._wrong_PB |= weight_B & ~hits_PTB[:, t]
            self._counted_B |= weight_B
            whole_B = end_B & self._counted_B
            self._right_P += (whole_B & ~self._wrong_PB).sum(1)
            self._count += int(whole_B.sum())
            self._wrong_PB &= ~end_B
            self._counted_B &= ~end_B

    @property
    def shares(self) -> list[float]:
        """The share of sequences that are wholly right, for every member."""
        if not self._count:
            return [math.nan] * len(self._right_P)
        shares: list[float] = (self._right_P / self._count).tolist()
        return shares
