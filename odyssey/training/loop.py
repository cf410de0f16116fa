"""The training loop: truncated back-propagation for a population, one task.

Shapes: P members, T steps, B streams, N parameters of a member.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler.backends.base import SeveralSteps, StepsBatch, UpdateRules
from odyssey.expr import Cell
from odyssey.hyperparameters import Member
from odyssey.storage.schema import DIVERGED, OK
from odyssey.tasks.base import HeldOut, Task
from odyssey.tasks.registry import get_task
from odyssey.tasks.signature import Signature, Values, guess_nats
from odyssey.training.batches import Draws, JoinedBatch
from odyssey.training.config import TrainingConfig
from odyssey.training.model import SequenceModel, count_parameters, hidden_size_for
from odyssey.training.optimizers import FlatParameters, Optimizer
from odyssey.training.scores import Scores, measure
from odyssey.training.seeds import stream
from odyssey.training.step import make_readout, make_recurrence, make_several, make_update

SECONDS_AT_A_TIME = 0.1  # of updates in one call


class Inspect(Protocol):
    """Looks at a model while it is trained."""

    def __call__(self, updates: int, model: SequenceModel, *, positions: tuple[int, ...]) -> None:
        """Looks."""
        ...


@dataclass
class MemberResult:
    """What training left of one member.

    Losses are of a counted target: nats, or the squared error where outputs are reals.
    """

    member: Member
    num_parameters: int
    status: str = OK
    reason: str = ""
    diverged_at: int | None = None
    updates: int = 0
    characters: int = 0
    best_update: int | None = None
    train_nats: float = math.nan
    valid_nats: float = math.nan
    valid_accuracy: float = math.nan
    test_nats: float = math.nan
    test_accuracy: float = math.nan
    test_exact: float = math.nan
    shuffled_nats: float = math.nan
    blank_nats: float = math.nan
    longer_nats: float = math.nan
    longer_accuracy: float = math.nan
    longer_exact: float = math.nan
    curve: list[tuple[int, int, str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Epoch:
    """Progress after an epoch of one group of members."""

    epoch: int
    epochs: int
    members: tuple[int, ...]
    updates: int
    train_nats: tuple[float, ...]
    valid_nats: tuple[float, ...]
    seconds: float


@dataclass
class Trained:
    """Results in the order of the members, and the models that hold the best parameters.

    `models` has one model a group, with the positions of its members.
    """

    results: list[MemberResult]
    models: list[tuple[SequenceModel, tuple[int, ...]]]


def train(
    cell: Cell,
    task: Task,
    members: Sequence[Member],
    config: TrainingConfig,
    *,
    progress: Callable[[Epoch], None] | None = None,
    inspect: Inspect | None = None,
) -> Trained:
    """Trains a population of members of one cell on one task.

    A member's numbers do not depend on the others: members of like size are trained side by side
    with padding and masks, others apart. A member whose loss is not finite, or grows beyond
    `diverged_factor` times what guessing costs, is frozen and recorded as diverged at that update.

    Args:
        cell: The cell.
        task: The task.
        members: The members; any number, any sizes.
        config: Options, the same for all members.
        progress: Called after every epoch of every group.
        inspect: Called before the first update and after every epoch of every group, with the
            number of updates, the model, which it must leave as it is, and the positions of its
            members. A member that has diverged has only zeros.

    Returns:
        One result a member, in their order; the best parameters are those of the lowest
        validation loss, and the test is measured with them, and the task with longer sequences.

    Raises:
        ConfigError: A member's hyperparameters do not fit the cell.
        TaskError: The data are too short for a batch.
    """
    task.check_fits(config.batch_size, config.unroll)
    sized = [_sized(cell, m, task.signature) for m in members]
    results: dict[int, MemberResult] = {}
    models = []
    for positions in group_members(sized, padding=config.padding):
        group = _Group(cell, task, [sized[k] for k in positions], config)
        look = None if inspect is None else partial(inspect, positions=positions)
        group.run(progress, look)
        results |= dict(zip(positions, group.results, strict=True))
        models.append((group.model, positions))
    return Trained([results[k] for k in range(len(members))], models)


def _sized(cell: Cell, member: Member, signature: Signature) -> Member:
    if member.parameters is None:
        return member
    hidden = hidden_size_for(
        cell, member.parameters, signature=signature, num_layers=member.num_layers
    )
    return member.replace(hidden_size=hidden)


def group_members(members: Sequence[Member], *, padding: float) -> list[tuple[int, ...]]:
    """Splits members into groups of one depth whose hidden sizes differ by at most a factor."""
    order = sorted(
        range(len(members)), key=lambda k: (members[k].num_layers, members[k].hidden_size, k)
    )
    groups: list[list[int]] = []
    for k in order:
        first = members[groups[-1][0]] if groups else None
        if (
            first is not None
            and first.num_layers == members[k].num_layers
            and members[k].hidden_size <= padding * first.hidden_size
        ):
            groups[-1].append(k)
        else:
            groups.append([k])
    return [tuple(sorted(g)) for g in groups]


class _Group:
    """Members of like size, trained side by side."""

    def __init__(
        self, cell: Cell, task: Task, members: Sequence[Member], config: TrainingConfig
    ) -> None:
        self.task, self.members, self.config = task, members, config
        sizes = [m.hidden_size for m in members]
        self.dtype = torch.float64 if config.dtype == "float64" else torch.float32
        self.model = SequenceModel(
            cell,
            task.signature,
            sizes,
            members[0].num_layers,
            backend=config.backend,
            dtype=self.dtype,
        )
        for number, member in enumerate(members):
            self.model.initialise(number, member, config.init)
        self.flat = FlatParameters(self.model, len(members))
        outputs = task.signature.outputs
        self.readout = make_readout(self.model.rnn.backend, self.model.rnn.hidden_sizes, outputs)
        self.results = [
            MemberResult(
                m,
                count_parameters(
                    cell,
                    signature=task.signature,
                    hidden_size=m.hidden_size,
                    num_layers=m.num_layers,
                ),
            )
            for m in members
        ]
        self.alive_P = torch.ones(len(members), dtype=torch.bool)
        self.alive = self.alive_P.numpy()  # the same memory
        self.rate_P = self._vector([m.learning_rate for m in members])
        if config.scale_by_momentum:
            self.rate_P *= 1 - self._vector([m.momentum for m in members])
        self.optimizer = Optimizer(
            config.optimizer,
            self._vector([m.momentum for m in members]),
            nesterov=config.nesterov,
            decay=config.rmsprop_decay,
        )
        rules = UpdateRules(
            self.alive_P,
            self.rate_P,
            self._vector([m.clip_norm or math.inf for m in members]),
            self._vector([m.clip_value or math.inf for m in members]),
            config.diverged_factor * _guess(outputs),
            self._inside() if self.model.rnn.masked else None,
        )
        self.step = make_update(self.model.rnn.backend, self.flat, self.optimizer, rules)
        self.noise = [torch.Generator().manual_seed(m.seed) for m in members]
        self.draws = Draws(
            task.train(
                batch_size=config.batch_size,
                unroll=config.unroll,
                rng=stream(m.seed, "data", _content(task)),
            )
            for m in members
        )
        self.noisy = any(m.input_noise for m in members)
        self.recurrence = make_recurrence(self.model, dense=self.noisy or task.signature.dense)
        self.several = make_several(
            self.model.rnn.backend, self.recurrence, self.readout, self.step
        )
        self.state: tuple[Tensor, ...] | None = None
        self.at_a_time = 1
        self.best_PN = self.flat.values_PN
        self.stale_P = [0] * len(members)  # epochs since the last improvement
        self.halvings_P = [0] * len(members)  # halvings of the plateau schedule so far
        self.updates = 0
        self.read_P = np.zeros(len(members), dtype=np.int64)  # inputs, of healthy updates

    def _vector(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype)

    def _inside(self) -> Tensor:
        """Marks what is not padding, (P, N): what a member of its size has."""
        hidden = self.model.rnn.hidden_size
        kept = []
        for member in self.members:
            parts = []
            for name, parameter in self.model.named_parameters():
                inside = torch.ones(parameter.shape[1:], dtype=torch.bool)
                for axis, padded in enumerate(self.model.padded_axes(name)):
                    if padded:
                        index = torch.arange(hidden) < member.hidden_size
                        view = [1] * inside.dim()
                        view[axis] = -1
                        inside = inside & index.view(view)
                parts.append(inside.flatten())
            kept.append(torch.cat(parts))
        return torch.stack(kept)

    def run(
        self,
        progress: Callable[[Epoch], None] | None,
        inspect: Callable[[int, SequenceModel], None] | None = None,
    ) -> None:
        """Trains to the end and measures the test loss at the best validation loss."""
        start = time.monotonic()
        if inspect:
            inspect(0, self.model)
        if self.config.epochs == 0:
            self._validate()
        for epoch in range(1, self.config.epochs + 1):
            nats_P, count_P = np.zeros(len(self.members)), np.zeros(len(self.members))
            left = self.config.updates_per_epoch
            while left and self.alive.any():
                for nll_P, counted_P in self._advance(left):
                    nats_P += nll_P
                    count_P += counted_P
                    left -= 1
            self._after_epoch(epoch, nats_P / np.maximum(count_P, 1))
            if progress:
                progress(self._epoch(epoch, time.monotonic() - start))
            if inspect:
                inspect(self.updates, self.model)
            if not bool(self.alive_P.any()):
                break
        self.flat.assign(self.best_PN)
        self._test()

    def _test(self) -> None:
        """Measures test data, and those of the task with longer sequences where there is one."""
        config, longer = self.config, self.task.longer
        scores = self.measure("test", config.test_characters)
        further = None
        if longer is not None:
            further = self.measure("test", config.test_characters, task=get_task(longer))
        for k, result in enumerate(self.results):
            if result.status != OK:
                continue
            result.test_nats, result.test_accuracy = scores.nats[k], scores.accuracy[k]
            result.test_exact = scores.exact[k]
            result.shuffled_nats, result.blank_nats = scores.shuffled[k], scores.blank[k]
            if further is not None:
                result.longer_nats, result.longer_accuracy = further.nats[k], further.accuracy[k]
                result.longer_exact = further.exact[k]

    def _epoch(self, epoch: int, seconds: float) -> Epoch:
        last = [{metric: v for _, _, metric, v in r.curve[-4:]} for r in self.results]
        return Epoch(
            epoch=epoch,
            epochs=self.config.epochs,
            members=tuple(m.member for m in self.members),
            updates=self.updates,
            train_nats=tuple(v.get("train_nats", math.nan) for v in last),
            valid_nats=tuple(v.get("valid_nats", math.nan) for v in last),
            seconds=seconds,
        )

    def _inputs(self, x_PTB: Tensor) -> Tensor:
        """Adds each member's noise to its inputs, classes one-hot, where any member wants it."""
        if not self.noisy:
            return x_PTB
        x_PTBV = self.model.dense(x_PTB).clone()
        for k, member in enumerate(self.members):
            if member.input_noise:
                noise = torch.randn(x_PTBV.shape[1:], generator=self.noise[k], dtype=self.dtype)
                x_PTBV[k] += member.input_noise * noise
        return x_PTBV

    def _advance(self, most: int) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Makes one update or more; gives the summed nats and counted characters of each."""
        several, state = self.several, self.state
        if several and state is not None and self.alive.all():
            inner = tuple(s.squeeze(1) for s in state)
            if several.ready(inner):
                drawn = self.draws.going_on(min(most, several.most, self.at_a_time))
                if drawn:
                    return self._several(several, drawn)
        self.state, nll_P, counted_P = self._update(state)
        return [(nll_P, counted_P)]

    def _several(
        self, several: SeveralSteps, drawn: Sequence[JoinedBatch]
    ) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Makes several updates in one call, which ends where a member diverges."""
        count_KP = np.stack([batch.count_P for batch in drawn])
        steps = self.optimizer.steps
        corrections = []
        for _ in drawn:
            self.optimizer.steps += 1
            corrections.append(self.optimizer.corrections)
        start = time.perf_counter()
        done = several.run(
            StepsBatch(
                inputs=[batch.inputs for batch in drawn],
                targets=[batch.targets for batch in drawn],
                weights=[batch.weights for batch in drawn],
                scale=self._scale(count_KP),
                counted=count_KP,
                corrections=np.array(corrections),
            )
        )
        made = done.updates
        # short enough to be interrupted, and for whoever watches
        each = (time.perf_counter() - start) / made
        self.at_a_time = max(1, min(several.most, round(SECONDS_AT_A_TIME / max(each, 1e-9))))
        self.draws.give_back(drawn[made:])
        self.optimizer.steps = steps + made
        self.updates += made
        self.state = tuple(s.unsqueeze(1) for s in done.state)
        self.read_P += sum(batch.read_P for batch in drawn[: made - 1])
        nll_P = done.nll[-1]
        norm_P = torch.from_numpy(done.norm[-1])
        self._judge(norm_P, done.healthy_P, nll_P / count_KP[made - 1])
        self.read_P += drawn[made - 1].read_P
        if not self.alive.all():
            self.state = self._without_frozen(self.state)
        last = self._of_the_living(nll_P, count_KP[made - 1])
        return [*zip(done.nll[:-1], count_KP[: made - 1], strict=True), last]

    def _update(
        self, state: tuple[Tensor, ...] | None
    ) -> tuple[tuple[Tensor, ...], NDArray[np.float64], NDArray[np.float64]]:
        """Makes one update; gives the state, and summed nats and counted characters by member."""
        model = self.model
        batch = next(self.draws)
        (x, target, weight_PTB), count_P = batch.tensors(self.dtype), batch.count_P
        h_PTBH, state = self.recurrence.forward(
            self._inputs(x), batch.begin(state), batch.condition(self.dtype)
        )
        inputs = (h_PTBH, model.readout, model.readout_bias, target, weight_PTB)
        nll, (dh, dw, db) = self.readout.differentiate(
            inputs, torch.from_numpy(self._scale(count_P))
        )
        found = self.recurrence.backward(dh)
        found |= {model.readout: dw, model.readout_bias: db}
        gradients = [found.get(p) for p in self.flat.parameters]
        self.updates += 1
        nll_P: NDArray[np.float64] = nll.numpy()
        self._step(gradients, nll_P / count_P)
        self.read_P += batch.read_P
        if self.alive.all():
            return state, nll_P, count_P
        return self._without_frozen(state), *self._of_the_living(nll_P, count_P)

    def _scale(self, count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gives what nats are multiplied by in the loss, for counts (..., P)."""
        if self.config.loss == "mean":
            return 1 / count
        return np.full(count.shape, 1 / self.config.batch_size)

    def _without_frozen(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        kept = self.alive_P.view(-1, 1, 1, 1)
        return tuple(torch.where(kept, s, s.new_zeros(())) for s in state)

    def _of_the_living(
        self, nll_P: NDArray[np.float64], count_P: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A frozen member adds nothing to its epoch's mean."""
        return np.where(self.alive, nll_P, 0.0), np.where(self.alive, count_P, 0.0)

    def _step(self, gradients: list[Tensor | None], mean_P: NDArray[np.float64]) -> None:
        norm_P, healthy_P = self.step(gradients, mean_P=torch.from_numpy(mean_P))
        self._judge(norm_P, healthy_P, mean_P)

    def _judge(self, norm_P: Tensor, healthy_P: Tensor, mean_P: NDArray[np.float64]) -> None:
        """Freezes the members that were not healthy in the last update."""
        if bool(healthy_P.all()):
            return
        for k in np.flatnonzero(self.alive & ~healthy_P.numpy()).tolist():
            self._count(k, self.updates - 1)  # read_P does not have the last update yet
            self._diverge(k, float(mean_P[k]), float(norm_P[k]))

    def _count(self, k: int, updates: int) -> None:
        self.results[k].updates = updates
        self.results[k].characters = int(self.read_P[k])

    def _diverge(self, k: int, loss: float, norm: float) -> None:
        result = self.results[k]
        result.status, result.diverged_at = DIVERGED, self.updates
        result.reason = f"loss {loss:.3g} nats, gradient norm {norm:.3g} at update {self.updates}"
        result.valid_nats = result.valid_accuracy = math.nan
        result.best_update = None
        self.alive_P[k] = False
        self.flat.clear(k)  # keep the arithmetic of the frozen row tame
        self.best_PN[k].zero_()

    def _after_epoch(self, epoch: int, train_P: np.ndarray[Any, Any]) -> None:
        """Validates, keeps the best, and moves the schedules on."""
        before = self.alive_P.tolist()
        for k, alive in enumerate(before):
            if alive:
                self._count(k, self.updates)
                self.results[k].train_nats = float(train_P[k])
                self._note(k, "train_nats", float(train_P[k]))
        improved = self._validate()
        for k, alive in enumerate(before):
            if not alive or not bool(self.alive_P[k]):
                continue
            self._note(k, "learning_rate", float(self.rate_P[k]))
            self.stale_P[k] = 0 if improved[k] else self.stale_P[k] + 1
            self._schedule(k, epoch)

    def _schedule(self, k: int, epoch: int) -> None:
        config = self.config
        stale, patience = self.stale_P[k], config.patience
        if config.schedule == "decay" and epoch >= config.decay_after:
            self.rate_P[k] *= config.decay
        if config.schedule == "plateau":
            # once halving has begun it goes on, improvement or not, then training stops
            if self.halvings_P[k] and self.halvings_P[k] == config.halvings:
                self.alive_P[k] = False
            elif self.halvings_P[k] or stale >= patience:
                self.halvings_P[k] += 1
                self.rate_P[k] *= 0.5
        elif patience and stale > patience:
            self.alive_P[k] = False

    def _note(self, k: int, metric: str, value: float) -> None:
        result = self.results[k]
        result.curve.append((result.updates, result.characters, metric, value))

    def _validate(self) -> list[bool]:
        """Measures the validation loss; says which members improved."""
        scores = self.measure("valid", self.config.valid_characters)
        nats, accuracy = scores.nats, scores.accuracy
        improved = [False] * len(self.members)
        for k, result in enumerate(self.results):
            if not bool(self.alive_P[k]):
                continue
            if not math.isfinite(nats[k]):
                self._diverge(k, nats[k], math.nan)
                continue
            self._note(k, "valid_nats", nats[k])
            self._note(k, "valid_accuracy", accuracy[k])
            if not result.valid_nats <= nats[k]:
                improved[k] = True
                result.valid_nats, result.valid_accuracy = nats[k], accuracy[k]
                result.best_update = result.updates
                self.best_PN[k] = self.flat.row(k)
        return improved

    def measure(self, split: HeldOut, characters: int, *, task: Task | None = None) -> Scores:
        """Measures every member; see `scores.measure`."""
        own = task or self.task
        return measure(self.model, own, split, self.config, characters=characters)


def _guess(outputs: Values) -> float:
    """Gives what guessing costs at a step, 1 where there is no scale, ln 2 at least."""
    guess = guess_nats(outputs)
    return 1.0 if math.isnan(guess) else max(guess, math.log(2))


def _content(task: Task) -> str:
    """Names what a task is about: the digest of a text, wherever it lies, else the task's name."""
    return str(task.describe().get("sha256") or task.name)
