"""Members of like size, trained side by side by truncated back-propagation through time.

Shapes: P members, T steps, B streams, N parameters of a member.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler.backends.base import SeveralSteps, State, StepsBatch, UpdateRules
from odyssey.device_names import CPU
from odyssey.expr import Cell
from odyssey.hyperparameters import Member
from odyssey.storage.schema import DIVERGED, OK
from odyssey.tasks.base import HeldOut, Task
from odyssey.tasks.registry import get_task
from odyssey.tasks.signature import Values, guess_nats
from odyssey.training.averages import averaged_weights
from odyssey.training.batches import Draws, JoinedBatch, in_type
from odyssey.training.config import BEGINNING, TrainingConfig
from odyssey.training.devices import find_device, moved
from odyssey.training.model import SequenceModel, count_model
from odyssey.training.noise import Noise
from odyssey.training.optimizer_rules import OPTIMIZERS
from odyssey.training.optimizers import FlatParameters, Optimizer
from odyssey.training.results import Epoch, MemberResult
from odyssey.training.schedules import Rates
from odyssey.training.scores import Scores, measure
from odyssey.training.seeds import stream
from odyssey.training.snapshots import Checkpoints, Snapshot
from odyssey.training.update import Made, PopulationUpdate, read_all, without_frozen

SECONDS_AT_A_TIME = 0.1  # of updates in one call
MOST_AHEAD = 64  # updates that a device has before it is asked what came of them


class Group:
    """Members of like size, trained side by side."""

    def __init__(
        self, cell: Cell, task: Task, members: Sequence[Member], config: TrainingConfig
    ) -> None:
        self.task, self.members, self.config = task, members, config
        sizes = [m.hidden_size for m in members]
        self.dtype = torch.float64 if config.dtype == "float64" else torch.float32
        self.device = find_device(config.device)
        self.on_cpu = self.device.type == CPU
        self.model = SequenceModel(
            cell,
            task.signature,
            sizes,
            members[0].num_layers,
            backend=config.backend if self.on_cpu else "eager",
            dtype=self.dtype,
        )
        for number, member in enumerate(members):
            self.model.initialise(number, member, config.init)
        self.model.to(self.device)
        self.model.rnn.reads_classes = self.on_cpu
        self.flat = FlatParameters(self.model, len(members))
        self.results = [
            MemberResult(
                m,
                *count_model(
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
        self.rates = Rates(members, config, self.dtype)
        self.optimizer = Optimizer(
            config.optimizer,
            self._vector([m.momentum for m in members]),
            nesterov=config.nesterov,
            decay=config.rmsprop_decay,
            lasting=not self.on_cpu,
        )
        own = OPTIMIZERS[config.optimizer].weight_decay
        decay = [own if m.weight_decay is None else m.weight_decay for m in members]
        self.average = averaged_weights(members, self.flat)
        # what updates read where they are made; on the CPU the same memory
        self.there_alive_P = self.alive_P.to(self.device, copy=not self.on_cpu)
        self.there_rate_P = self.rates.rate_P.to(self.device, copy=not self.on_cpu)
        rules = UpdateRules(
            self.there_alive_P,
            self.there_rate_P,
            self._vector([m.clip_norm or math.inf for m in members]),
            self._vector([m.clip_value or math.inf for m in members]),
            config.diverged_factor * _guess(task.signature.outputs),
            self.model.inside().to(self.device) if self.model.rnn.masked else None,
            self._vector(decay) if any(decay) else None,
            self.average.moved if self.average else None,
        )
        self.noise = Noise(members, self.model)
        self.update = PopulationUpdate(
            self.model,
            self.flat,
            self.optimizer,
            rules,
            config,
            noise=self.noise,
            average=self.average,
        )
        self.model.running = self.noise.expected
        self.draws = Draws(
            task.train_in_order(batch_size=config.batch_size, unroll=config.unroll)
            if config.start == BEGINNING
            else task.train(
                batch_size=config.batch_size,
                unroll=config.unroll,
                rng=stream(m.seed, "data", _content(task)),
            )
            for m in members
        )
        self.several = self.update.several()
        self.state: State | None = None
        self.at_a_time = 1
        self.best_PN = self.flat.values_PN
        self.smooth_P = np.full(len(members), _guess(task.signature.outputs))
        self.updates = 0
        self.epoch = 0  # that is finished
        self.left = config.updates_per_epoch  # updates of the next one
        self.nats_P, self.count_P = np.zeros(len(members)), np.zeros(len(members))  # and its sums
        self.read_P = np.zeros(len(members), dtype=np.int64)  # inputs, of healthy updates

    def _vector(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def run(
        self,
        progress: Callable[[Epoch], None] | None = None,
        inspect: Callable[[int, SequenceModel], None] | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Trains to the end and measures the test loss at the best validation loss."""
        start = time.monotonic()
        before = checkpoints.load() if checkpoints else None
        if before:
            self.restore(before)
        elif inspect:
            inspect(0, self.model)
        if self.config.epochs == 0:
            self._validate()
        while self.epoch < self.config.epochs and bool(self.alive_P.any()):
            while self.left and self.alive.any():
                if checkpoints:
                    checkpoints.passing(self.updates, self.snapshot, last=False)
                for nll_P, counted_P in self._advance(self.left):
                    self.nats_P += nll_P
                    self.count_P += counted_P
                    self.left -= 1
                    self._smooth(nll_P, counted_P)
            self.epoch += 1
            self._after_epoch(self.epoch, self.nats_P / np.maximum(self.count_P, 1))
            self.left = self.config.updates_per_epoch
            self.nats_P[:] = self.count_P[:] = 0
            if progress:
                progress(self._epoch(self.epoch, time.monotonic() - start))
            if inspect:
                with self._measured():
                    inspect(self.updates, self.model)
        if checkpoints:
            checkpoints.passing(self.updates, self.snapshot, last=True)
        self.flat.assign(self.best_PN)
        if self.task.characters("test") != 0:  # an empty split leaves NaN
            self._test()

    def snapshot(self) -> Snapshot:
        """Gives all that training goes on from, between two updates."""
        optimizer, values_PN = self.optimizer, self.flat.values_PN
        running = {n: optimizer.running(n, values_PN) for n in optimizer.running_values}
        tensors = {
            "values": values_PN,
            "best": self.best_PN,
            **{f"optimizer_{name}": value for name, value in running.items()},
            **{f"state_{k}": s for k, s in enumerate(self.state or ())},
            **({"average": self.average.moved.values_PN} if self.average else {}),
            "rate": self.rates.state(),
        }
        arrays: dict[str, NDArray[Any]] = {
            **{name: value.cpu().numpy() for name, value in tensors.items()},
            **{name: getattr(self, f"{name}_P") for name in _SUMS},
            "alive": self.alive,
            **self.noise.state(),
        }
        facts = {
            "updates": self.updates,
            "epoch": self.epoch,
            "left": self.left,
            "steps": optimizer.steps,
            "stale": self.rates.stale_P,
            "halvings": self.rates.halvings_P,
            "results": [_plain(result) for result in self.results],
        }
        return Snapshot({name: value.copy() for name, value in arrays.items()}, facts)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to a snapshot of the same members, cell, task and options.

        Batches are drawn again up to where it was; what memory others read is changed in place.
        """
        arrays, facts = snapshot.arrays, snapshot.facts
        tensors = {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}
        self.flat.assign(tensors["values"])
        self.best_PN = tensors["best"].to(self.device)
        for name in self.optimizer.running_values:
            self.optimizer.running(name, self.best_PN).copy_(tensors[f"optimizer_{name}"])
        states = [name for name in arrays if name.startswith("state_")]
        before = (tensors[f"state_{k}"] for k in range(len(states)))
        self.state = tuple(s.to(self.device) for s in before) or None
        for name in _SUMS:
            getattr(self, f"{name}_P")[:] = arrays[name]
        self.rates.restore(tensors["rate"])
        if self.average:
            self.average.restore(tensors["average"], updates=facts["updates"])
        self.alive_P.copy_(tensors["alive"])
        self.there_alive_P.copy_(self.alive_P)
        self.noise.restore(arrays)
        self.updates, self.epoch, self.left = (facts[n] for n in ("updates", "epoch", "left"))
        self.optimizer.steps = facts["steps"]
        self.rates.stale_P, self.rates.halvings_P = list(facts["stale"]), list(facts["halvings"])
        for result, values in zip(self.results, facts["results"], strict=True):
            for name, value in values.items():
                setattr(result, name, value)
            result.curve = [tuple(row) for row in values["curve"]]
        for _ in range(self.updates):
            next(self.draws)

    def _test(self) -> None:
        """Measures test data, and those of the task with longer sequences where there is one."""
        config = self.config
        longer = self.task.longer if config.longer else None
        scores = self.measure("test", config.test_characters)
        further = None
        if longer is not None:
            further = self.measure("test", config.test_characters, task=get_task(longer))
        for k, result in enumerate(self.results):
            if result.status != OK:
                continue
            result.test_nats, result.test_accuracy = scores.nats[k], scores.accuracy[k]
            result.test_exact = scores.exact[k]
            result.metrics = {name: values[k] for name, values in scores.metrics.items()}
            result.shuffled_nats, result.blank_nats = scores.shuffled[k], scores.blank[k]
            if further is not None:
                result.longer_nats, result.longer_accuracy = further.nats[k], further.accuracy[k]
                result.longer_exact = further.exact[k]

    def _epoch(self, epoch: int, seconds: float) -> Epoch:
        last = [{metric: v for _, _, metric, v in r.curve[-5:]} for r in self.results]
        return Epoch(
            epoch=epoch,
            epochs=self.config.epochs,
            members=tuple(m.member for m in self.members),
            updates=self.updates,
            train_nats=tuple(v.get("train_nats", math.nan) for v in last),
            valid_nats=tuple(v.get("valid_nats", math.nan) for v in last),
            smooth_nats=tuple(v.get("smooth_nats", math.nan) for v in last),
            seconds=seconds,
        )

    def _smooth(self, nll_P: NDArray[np.float64], count_P: NDArray[np.float64]) -> None:
        """Takes an update into the running mean of the training loss."""
        if weight := self.config.smoothing:
            mean_P = np.divide(nll_P, count_P, out=self.smooth_P.copy(), where=count_P > 0)
            self.smooth_P[:] = weight * self.smooth_P + (1 - weight) * mean_P

    def _advance(self, most: int) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Makes one update or more; gives the summed nats and counted characters of each."""
        several, state = self.several, self.state
        if several and state is not None and self.alive.all() and several.ready(None):
            most = min(most, several.most, self.at_a_time)
            drawn = self.draws.together(most, longest=several.longest)
            if drawn:
                inner = tuple(s.squeeze(1) for s in state)
                if several.ready(None if drawn[0].anew else inner):
                    return self._several(several, drawn)
                self.draws.give_back(drawn)
        return self._ahead(1 if self.on_cpu else min(most, self.at_a_time))

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
        real = self.model.readout.detach().numpy().dtype
        done = several.run(
            StepsBatch(
                inputs=in_type([batch.inputs for batch in drawn], real),
                targets=in_type([batch.targets for batch in drawn], real),
                weights=[batch.weights for batch in drawn],
                anew=[bool(batch.anew) for batch in drawn],
                scale=self.update.scale(count_KP),
                counted=count_KP,
                corrections=np.array(corrections),
                rates=self.rates.ahead(self.updates, len(drawn)),
            )
        )
        made = done.updates
        # short enough to be interrupted, and for whoever watches
        each = (time.perf_counter() - start) / made
        self.at_a_time = max(1, min(several.most, round(SECONDS_AT_A_TIME / max(each, 1e-9))))
        self.draws.give_back(drawn[made:])
        self.optimizer.steps = steps + made
        self.updates += made
        self.rates.turn_to(self.updates - 1)
        self.state = tuple(s.unsqueeze(1) for s in done.state)
        self.read_P += sum(batch.read_P for batch in drawn[: made - 1])
        nll_P = done.nll[-1]
        norm_P = torch.from_numpy(done.norm[-1])
        self._judge(norm_P, done.healthy_P, nll_P / count_KP[made - 1])
        self.read_P += drawn[made - 1].read_P
        if not self.alive.all():
            self.state = without_frozen(self.state, self.alive_P)
        last = self._of_the_living(nll_P, count_KP[made - 1])
        return [*zip(done.nll[:-1], count_KP[: made - 1], strict=True), last]

    def _ahead(self, count: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Makes updates, and looks at the end at what came of them: a device works meanwhile.

        A member that diverges on a device is frozen there at once, and here when it is looked at.
        """
        if self.on_cpu:  # nothing works meanwhile
            return [self._settle(*self._make(0)) for _ in range(count)]
        start = time.perf_counter()
        made = [self._make(place) for place in range(count)]
        read = read_all([m for *_, m in made])
        each = (time.perf_counter() - start) / count
        self.at_a_time = max(1, min(MOST_AHEAD, round(SECONDS_AT_A_TIME / max(each, 1e-9))))
        pairs = zip(made, read, strict=True)
        return [self._settle(batch, count_P, m) for (batch, count_P, _), m in pairs]

    def _make(self, ahead: int) -> tuple[JoinedBatch, NDArray[np.float64], Made]:
        """Makes one update without looking at what comes of it; gives batch and counts, too.

        Args:
            ahead: Updates that were made and not looked at yet.
        """
        batch = next(self.draws)
        self.rates.turn_to(self.updates + ahead)
        if not self.on_cpu:
            self.there_rate_P.copy_(moved(self.rates.rate_P, self.device))
        self.optimizer.count()
        count_P = batch.count_P
        made = self.update(batch, self.state, count_P)
        self.state = made.state
        return batch, count_P, made

    def _settle(
        self, batch: JoinedBatch, count_P: NDArray[np.float64], made: Made
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Looks at an update; gives summed nats and counted characters of those that live."""
        self.updates += 1
        nll_P: NDArray[np.float64] = made.nll_P.numpy()
        self._judge(made.norm_P, made.healthy_P, nll_P / count_P)
        self.read_P += batch.read_P
        if self.alive.all():
            return nll_P, count_P
        if self.on_cpu and self.state is not None:
            self.state = without_frozen(self.state, self.alive_P)
        return self._of_the_living(nll_P, count_P)

    def _of_the_living(
        self, nll_P: NDArray[np.float64], count_P: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A frozen member adds nothing to its epoch's mean."""
        return np.where(self.alive, nll_P, 0.0), np.where(self.alive, count_P, 0.0)

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
        self._freeze(k)
        self.flat.clear(k)  # keep the arithmetic of the frozen row tame
        self.best_PN[k].zero_()
        if self.average:
            self.average.moved.values_PN[k].zero_()

    def _freeze(self, k: int) -> None:
        """Trains a member no more."""
        self.alive_P[k] = self.there_alive_P[k] = False

    def _after_epoch(self, epoch: int, train_P: np.ndarray[Any, Any]) -> None:
        """Validates, keeps the best, and moves the schedules on."""
        before = self.alive_P.tolist()
        for k, alive in enumerate(before):
            if alive:
                self._count(k, self.updates)
                self.results[k].train_nats = float(train_P[k])
                if self.config.smoothing:
                    self._note(k, "smooth_nats", float(self.smooth_P[k]))
                self._note(k, "train_nats", float(train_P[k]))
        improved = self._validate()
        for k, alive in enumerate(before):
            if not alive or not bool(self.alive_P[k]):
                continue
            self._note(k, "learning_rate", float(self.rates.rate_P[k]))
            if not self.rates.after_epoch(k, epoch, improved=improved[k]):
                self._freeze(k)
                if epoch < self.config.epochs:
                    self.results[k].stopped_at = self.updates

    def _note(self, k: int, metric: str, value: float) -> None:
        result = self.results[k]
        result.curve.append((result.updates, result.characters, metric, value))

    def _validate(self) -> list[bool]:
        """Measures the validation loss; says which members improved."""
        with self._measured():
            scores = self.measure("valid", self.config.valid_characters)
            weights_PN = self.flat.values_PN
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
                self.best_PN[k] = weights_PN[k]
        return improved

    def _measured(self) -> AbstractContextManager[None]:
        """Puts the weights with which members are measured in the place of the trained ones."""
        return self.average.shown() if self.average and self.updates else nullcontext()

    def measure(self, split: HeldOut, characters: int, *, task: Task | None = None) -> Scores:
        """Measures every member; see `scores.measure`."""
        own = task or self.task
        return measure(
            self.model, own, split, self.config, characters=characters, readout=self.update.readout
        )


_SUMS = ("nats", "count", "smooth", "read")
"""What is summed up for every member, float64 or int64."""


def _plain(result: MemberResult) -> dict[str, Any]:
    """Gives a result without its member, as plain data."""
    return {k: v for k, v in asdict(result).items() if k != "member"}


def _guess(outputs: Values) -> float:
    """Gives what guessing costs at a step, 1 where there is no scale, ln 2 at least."""
    guess = guess_nats(outputs)
    return 1.0 if math.isnan(guess) else max(guess, math.log(2))


def _content(task: Task) -> str:
    """Names what a task is about: the digest of a text, wherever it lies, else the task's name."""
    return str(task.describe().get("sha256") or task.name)
