"""Training options, with the protocols of the papers as presets. No torch here."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from odyssey.backend_names import BACKEND_NAMES
from odyssey.device_names import CPU, DEVICES, check_device_name
from odyssey.errors import ConfigError, suggest
from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.ranges import Range
from odyssey.scheme_names import DISTRIBUTIONS
from odyssey.training.optimizer_rules import OPTIMIZERS
from odyssey.wording import quoted

SCHEDULES = ("constant", "plateau", "decay", "cosine", "linear", "one_cycle")
# `schedules.SCHEDULE_RULES` has them
ANYWHERE, BEGINNING = "anywhere", "beginning"  # where the streams of a text start


SWITCH = (False, True)


def _option(default: Any, allowed: Range | Collection[Any]) -> Any:
    """Makes a field: its default, and what it may be."""
    return dataclasses.field(default=default, metadata={"allowed": allowed})


@dataclass(frozen=True)
class TrainingConfig:
    """How a population is trained. An epoch is `updates_per_epoch` updates and one validation.

    Attributes:
        batch_size: Parallel streams B.
        unroll: Steps T of truncated back-propagation; the state is carried on.
        updates_per_epoch: Updates between validations.
        epochs: Epochs at most; 0 trains nothing and only measures.
        passes: Passes over the train split of a text, at most. An epoch is a pass then, whatever
            the two above say; 0 counts in epochs.
        start: Where the streams of a text start: `anywhere`, equally far apart, the first one at
            random, to be read on around its end; or at its `beginning`, cut into one piece a
            stream, and there again after every pass, with a state of zeros (min-char-rnn).
        accumulate: Parts of the streams of a batch that are read one after the other, their
            gradients added up: the update is that of the whole batch, in less memory.
        optimizer: sgd (with momentum), rmsprop, adam, adagrad or adamw.
        nesterov: Whether sgd's momentum is Nesterov's.
        scale_by_momentum: Whether the learning rate is multiplied by 1 - momentum (Greff et al.).
        rmsprop_decay: Decay of rmsprop's running square.
        loss: `mean` over counted characters, or `sum` over time and mean over streams
            (Jozefowicz et al., char-rnn: the gradient is not divided by the unroll).
        schedule: `constant`; `plateau` halves the rate every epoch after `patience` epochs
            without improvement, `halvings` times, then stops (Jozefowicz et al.); `decay`
            multiplies it by `decay` at the end of epoch `decay_after` and of every
            `decay_every`-th after it (Karpathy); `cosine` and `linear` lead it down to the member's
            `final_rate` at the end; `one_cycle` up and down.
        patience: Epochs without improvement before stopping or halving; 0 never stops.
        halvings: Halvings of the plateau schedule.
        decay: Factor of the decay schedule.
        decay_after: First epoch at whose end the decay schedule acts.
        decay_every: Epochs from one decay to the next.
        smoothing: Weight of the past in a running mean of the training loss, which begins at
            ln(symbols) and is kept along training (min-char-rnn's smooth loss); 0: none.
        init: Distribution of initial weights: uniform_fan, uniform, normal or normal_fan.
        valid_characters: Targets of a validation, at most; 0: what the task says is enough.
        test_characters: Targets of the test, likewise.
        eval_batch: Parallel streams in validation and test.
        eval_unroll: Steps per segment in validation and test.
        eval_warmup: Symbols of a text that every stream of validation and test reads before its
            own, uncounted; with 0 each begins in the middle of the text from a state of zeros.
        longer: Whether the best model is also measured on the task with longer sequences, where
            there is one; a search does not, unless it is told to.
        diverged_factor: A loss above this many times ln(symbols) counts as diverged.
        padding: Members whose hidden sizes differ by more than this factor are trained apart.
        dtype: float32 or float64.
        backend: Compiler backend, or auto.
        device: What it is trained on: cpu, mps, cuda, or cuda:1 for the second.
        threads: CPU threads of a trial.
    """

    batch_size: int = _option(20, Range(int, 1, 65_536))
    unroll: int = _option(35, Range(int, 1, 100_000))
    updates_per_epoch: int = _option(50, Range(int, 1, 10_000_000))
    epochs: int = _option(20, Range(int, 0, 1_000_000))
    passes: int = _option(0, Range(int, 0, 1_000_000))
    start: str = _option(ANYWHERE, (ANYWHERE, BEGINNING))
    accumulate: int = _option(1, Range(int, 1, 65_536))
    optimizer: str = _option("sgd", OPTIMIZERS)
    nesterov: bool = _option(False, SWITCH)
    scale_by_momentum: bool = _option(False, SWITCH)
    rmsprop_decay: float = _option(0.95, Range(float, 0, 1, above=True))
    loss: str = _option("mean", ("mean", "sum"))
    schedule: str = _option("constant", SCHEDULES)
    patience: int = _option(0, Range(int, 0, 1_000_000))
    halvings: int = _option(4, Range(int, 0, 1_000))
    decay: float = _option(0.95, Range(float, 0, 1, above=True))
    decay_after: int = _option(10, Range(int, 0, 1_000_000))
    decay_every: int = _option(1, Range(int, 1, 1_000_000))
    smoothing: float = _option(0.0, Range(float, 0, 1, below=True))
    init: str = _option("uniform_fan", DISTRIBUTIONS)
    valid_characters: int = _option(0, Range(int, 0, 1_000_000_000))
    test_characters: int = _option(0, Range(int, 0, 1_000_000_000))
    eval_batch: int = _option(50, Range(int, 1, 65_536))
    eval_unroll: int = _option(100, Range(int, 1, 100_000))
    eval_warmup: int = _option(50, Range(int, 0, 1_000_000))
    longer: bool = _option(True, SWITCH)
    diverged_factor: float = _option(1000.0, Range(float, 0, 1e12))
    padding: float = _option(1.5, Range(float, 1, 1e6))
    dtype: str = _option("float32", ("float32", "float64"))
    backend: str = _option("auto", ("auto", *BACKEND_NAMES))
    device: str = _option(CPU, DEVICES)
    threads: int = _option(1, Range(int, 1, 1_024))

    def __post_init__(self) -> None:
        for option, allowed in OPTIONS.items():
            name, value = f"training.{option}", getattr(self, option)
            if isinstance(allowed, Range):
                allowed.check(name, value)
            elif type(value) is not type(next(iter(allowed))):
                kind = "true or false" if allowed is SWITCH else "text"
                raise ConfigError(f"{name} must be {kind}, got {quoted(value)}")
            elif option == "device":  # which may have a number
                check_device_name(value, what=name)
            elif value not in allowed:
                raise ConfigError(suggest(value, map(str, allowed), what=name))
        if self.schedule == "plateau" and self.patience < 1:
            raise ConfigError("training.schedule = plateau needs training.patience >= 1")
        if self.device != CPU and self.backend == "native":
            raise ConfigError(
                f"training.backend = native runs on the cpu: leave it out for device {self.device}"
            )
        if self.device == "mps" and self.dtype == "float64":
            raise ConfigError("mps has no float64: use training.dtype = float32, or cpu or cuda")
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"training.accumulate must divide training.batch_size = {self.batch_size},"
                f" got {self.accumulate}"
            )

    @property
    def updates(self) -> int:
        """Updates in all; for passes over a text see `budget.in_updates`."""
        assert not self.passes, "how many updates a pass is depends on the text"
        return self.epochs * self.updates_per_epoch


# What every training option may be: a range, or one of these.
OPTIONS: dict[str, Range | Collection[Any]] = {
    field.name: field.metadata["allowed"] for field in dataclasses.fields(TrainingConfig)
}
EARLIER: dict[str, Any] = {
    "eval_warmup": 0,
    "passes": 0,
    "start": ANYWHERE,
    "decay_every": 1,
    "smoothing": 0.0,
    "longer": False,
    "accumulate": 1,
    "device": CPU,
}
"""Options that older records do not name, with the value that says what was done then."""

FORMER = {"valid_characters": 5_000, "test_characters": 10_000}
"""Options whose default was another one, with what it was."""

WHOLE = 1_000_000_000
"""More targets than a split has: all of it is measured."""

# The protocols of the papers, and of programs. What a protocol says of a member stands in
# `space.SPACE_PRESETS`, what it leaves to the user in `space.LEFT_OPEN`; sources in
# docs/training.md and docs/char_rnn.md.
PRESETS: dict[str, dict[str, Any]] = {
    "odyssey": {  # Greff et al. 2015: online SGD with Nesterov momentum
        "batch_size": 1,
        "optimizer": "sgd",
        "nesterov": True,
        "scale_by_momentum": True,
        "init": "normal",
        "schedule": "constant",
        "patience": 15,
        "epochs": 150,
    },
    "jozefowicz": {  # Jozefowicz et al. 2015
        "batch_size": 20,
        "unroll": 35,
        "optimizer": "sgd",
        "loss": "sum",
        "init": "uniform_fan",
        "schedule": "plateau",
        "patience": 3,
        "halvings": 4,
        "epochs": 100,
    },
    "karpathy": {  # Karpathy et al. 2015
        "batch_size": 100,
        "unroll": 100,
        "optimizer": "rmsprop",
        "rmsprop_decay": 0.95,
        "loss": "sum",
        "init": "uniform",
        "schedule": "decay",
        "decay": 0.95,
        "decay_after": 10,
        "decay_every": 1,
        "epochs": 50,  # of runs that began before there were passes
        "passes": 50,
        "valid_characters": 400_000,  # the whole split of either corpus, some 320,000
        "test_characters": 400_000,
    },
    "char-rnn": {  # karpathy/char-rnn, train.lua; docs/char_rnn.md has every option
        "batch_size": 50,
        "unroll": 50,
        "optimizer": "rmsprop",
        "rmsprop_decay": 0.95,
        "loss": "sum",
        "init": "uniform",
        "schedule": "decay",
        "decay": 0.97,
        "decay_after": 10,
        "decay_every": 1,
        "patience": 0,
        "passes": 50,
        "start": BEGINNING,
        "valid_characters": WHOLE,
        "test_characters": WHOLE,
    },
    "torch-rnn": {  # jcjohnson/torch-rnn, train.lua
        "batch_size": 50,
        "unroll": 50,
        "optimizer": "adam",
        "loss": "mean",
        "init": "normal_fan",
        "schedule": "decay",
        "decay": 0.5,
        "decay_after": 4,  # it counts from 1 where a pass ends, and so halves after 4, 9, 14, ...
        "decay_every": 5,
        "patience": 0,
        "passes": 50,
        "start": BEGINNING,
        "valid_characters": WHOLE,
        "test_characters": WHOLE,
    },
    "min-char-rnn": {  # Karpathy's gist of 2015
        "batch_size": 1,
        "unroll": 25,
        "optimizer": "adagrad",
        "loss": "sum",
        "init": "normal",
        "schedule": "constant",
        "patience": 0,
        "start": BEGINNING,
        "smoothing": 0.999,
        "updates_per_epoch": 100,  # where it prints and samples; it has no validation and no end
        "epochs": 100,
        "valid_characters": 5_000,
        "test_characters": WHOLE,
    },
}


def training_config(options: Mapping[str, Any]) -> TrainingConfig:
    """Makes a config from plain options; `preset` names a protocol that the others override.

    Raises:
        ConfigError: An unknown option or a value that makes no sense.
    """
    given = dict(options)
    preset = given.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise ConfigError(suggest(str(preset), PRESETS, what="training preset"))
    known = {f.name for f in dataclasses.fields(TrainingConfig)}
    for name in given:
        if name in HYPERPARAMETERS:
            raise ConfigError(f"{name} is a hyperparameter of members: write space.{name}")
        if name not in known:
            names = known | {"preset"}
            raise ConfigError(suggest(name, names, what="training option", also=HYPERPARAMETERS))
    chosen = dict(PRESETS.get(preset or "", {}))
    if "passes" not in given and not given.keys().isdisjoint(("epochs", "updates_per_epoch")):
        chosen.pop("passes", None)  # another budget is given
    return TrainingConfig(**(chosen | given))
