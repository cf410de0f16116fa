"""Training options, with the protocols of the papers as presets. No torch here."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odyssey.errors import ConfigError, suggest
from odyssey.wording import kind_of, quoted

OPTIMIZERS = ("sgd", "rmsprop", "adam", "adagrad")
SCHEDULES = ("constant", "plateau", "decay")


@dataclass(frozen=True)
class TrainingConfig:
    """How a population is trained. An epoch is `updates_per_epoch` updates and one validation.

    Attributes:
        batch_size: Parallel streams B.
        unroll: Steps T of truncated back-propagation; the state is carried on.
        updates_per_epoch: Updates between validations.
        epochs: Epochs at most; 0 trains nothing and only measures.
        optimizer: sgd (with momentum), rmsprop, adam or adagrad.
        nesterov: Whether sgd's momentum is Nesterov's.
        scale_by_momentum: Whether the learning rate is multiplied by 1 - momentum (Greff et al.).
        rmsprop_decay: Decay of rmsprop's running square.
        loss: `mean` over counted characters, or `sum` over time and mean over streams
            (Jozefowicz et al., char-rnn: the gradient is not divided by the unroll).
        schedule: `constant`; `plateau` halves the rate every epoch after `patience` epochs
            without improvement, `halvings` times, then stops (Jozefowicz et al.); `decay`
            multiplies it by `decay` every epoch from epoch `decay_after` on (Karpathy).
        patience: Epochs without improvement before stopping or halving; 0 never stops.
        halvings: Halvings of the plateau schedule.
        decay: Factor of the decay schedule.
        decay_after: First epoch at whose end the decay schedule acts.
        init: Distribution of initial weights: uniform_fan, uniform, normal or normal_fan.
        valid_characters: Targets of a validation, at most.
        test_characters: Targets of the test, at most.
        eval_batch: Parallel streams in validation and test.
        eval_unroll: Steps per segment in validation and test.
        eval_warmup: Symbols of a text that every stream of validation and test reads before its
            own, uncounted; with 0 each begins in the middle of the text from a state of zeros.
        diverged_factor: A loss above this many times ln(symbols) counts as diverged.
        padding: Members whose hidden sizes differ by more than this factor are trained apart.
        dtype: float32 or float64.
        backend: Compiler backend, or auto.
        threads: CPU threads of a trial.
    """

    batch_size: int = 20
    unroll: int = 35
    updates_per_epoch: int = 50
    epochs: int = 20
    optimizer: str = "sgd"
    nesterov: bool = False
    scale_by_momentum: bool = False
    rmsprop_decay: float = 0.95
    loss: str = "mean"
    schedule: str = "constant"
    patience: int = 0
    halvings: int = 4
    decay: float = 0.95
    decay_after: int = 10
    init: str = "uniform_fan"
    valid_characters: int = 5_000
    test_characters: int = 10_000
    eval_batch: int = 50
    eval_unroll: int = 100
    eval_warmup: int = 50
    diverged_factor: float = 1000.0
    padding: float = 1.5
    dtype: str = "float32"
    backend: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), type(field.default))
        choices = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "loss": ("mean", "sum"),
            "init": ("uniform_fan", "uniform", "normal", "normal_fan"),
            "dtype": ("float32", "float64"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(suggest(getattr(self, name), allowed, what=f"training.{name}"))
        for name in ("batch_size", "unroll", "updates_per_epoch", "valid_characters"):
            _at_least(name, getattr(self, name), 1)
        for name in ("test_characters", "eval_batch", "eval_unroll", "threads", "padding"):
            _at_least(name, getattr(self, name), 1)
        for name in (
            "epochs",
            "patience",
            "halvings",
            "decay_after",
            "diverged_factor",
            "eval_warmup",
        ):
            _at_least(name, getattr(self, name), 0)
        for name in ("decay", "rmsprop_decay"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"training.{name} must lie in (0, 1], got {getattr(self, name)}")
        if self.schedule == "plateau" and self.patience < 1:
            raise ConfigError("training.schedule = plateau needs training.patience >= 1")


def _check_type(name: str, value: object, kind: type) -> None:
    fits = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
    if kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    if not fits:
        raise ConfigError(f"training.{name} must be {kind_of(kind)}, got {quoted(value)}")


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least or value == float("inf"):
        raise ConfigError(f"training.{name} must be at least {least}, got {value}")


EARLIER = {"eval_warmup": 0}
"""Options that older records do not name, with the value that says what was done then."""

# The protocols of the papers. What a protocol says of a member stands in `space.SPACE_PRESETS`,
# what it leaves to the user in `space.LEFT_OPEN`; sources in docs/training.md.
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
        "epochs": 50,
        "valid_characters": 400_000,  # the whole split of either corpus, some 320,000
        "test_characters": 400_000,
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
    return TrainingConfig(**(PRESETS.get(preset or "", {}) | given))


# Hyperparameters of one member -> (type, default, least value).
HYPERPARAMETERS: dict[str, tuple[type, Any, float]] = {
    "hidden_size": (int, 64, 1),
    "parameters": (int, None, 1),
    "num_layers": (int, 1, 1),
    "learning_rate": (float, 0.002, 0.0),
    "momentum": (float, 0.0, 0.0),
    "clip_norm": (float, None, 0.0),
    "clip_value": (float, None, 0.0),
    "init_scale": (float, 1.0, 0.0),
    "forget_bias": (float, None, -1e6),
    "input_noise": (float, 0.0, 0.0),
}


SINGLE: dict[str, Any] = {
    "hidden_size": 128,
    "num_layers": 1,
    "learning_rate": 0.003,
    "momentum": 0.0,
    "clip_norm": 5.0,
    "init_scale": 1.0,
    "input_noise": 0.0,
}
"""What a single training takes where neither its user nor a preset says anything."""


@dataclass(frozen=True)
class Member:
    """One member of a population.

    Attributes:
        member: Its number: the same number has the same draw and data for every cell.
        seed: Seed of its initial weights, data order and noise.
        hidden_size: Units per layer; taken from `parameters` when that is given.
        parameters: Total parameters wanted, embedding and readout included; sets hidden_size.
        num_layers: Layers.
        learning_rate: Learning rate.
        momentum: Momentum of sgd, in [0, 1).
        clip_norm: Largest norm of the member's gradient; None does not clip.
        clip_value: Largest size of a gradient element; None does not clip.
        init_scale: Scale s of the initial weights, see `compiler.initial.InitScheme`.
        forget_bias: Initial bias of the gate f; None leaves the cell's own.
        input_noise: Standard deviation of Gaussian noise on the one-hot inputs in training.
    """

    member: int
    seed: int
    hidden_size: int = 64
    parameters: int | None = None
    num_layers: int = 1
    learning_rate: float = 0.002
    momentum: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    init_scale: float = 1.0
    forget_bias: float | None = None
    input_noise: float = 0.0

    def __post_init__(self) -> None:
        for name, (kind, _, least) in HYPERPARAMETERS.items():
            check_hyperparameter(name, getattr(self, name), kind, least)
        if not self.momentum < 1:
            raise ConfigError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.seed < 0:
            raise ConfigError(f"a seed must not be negative, got {self.seed}")


def check_hyperparameter(name: str, value: object, kind: type, least: float) -> None:
    """Raises `ConfigError` unless the value may be that hyperparameter."""
    if value is None and HYPERPARAMETERS[name][1] is None:
        return
    allowed: Any = int if kind is int else int | float
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise ConfigError(f"{name} must be {kind_of(kind)}, got {quoted(value)}")
    if not least <= typing.cast(float, value) < float("inf"):
        raise ConfigError(f"{name} must be at least {least:g}, got {value}")


def member_from_dict(data: Mapping[str, Any]) -> Member:
    """Makes a member from plain data; unknown hyperparameters raise `ConfigError`."""
    known = {"member", "seed", *HYPERPARAMETERS}
    for name in data:
        if name not in known:
            raise ConfigError(suggest(name, known, what="hyperparameter"))
    return Member(**data)
