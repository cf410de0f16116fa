"""Training options, with the protocols of the papers as presets. No torch here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odyssey.backend_names import BACKEND_NAMES
from odyssey.errors import ConfigError, suggest
from odyssey.training.bounds import Bounds
from odyssey.wording import quoted

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
        valid_characters: Targets of a validation, at most; 0: what the task says is enough.
        test_characters: Targets of the test, likewise.
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
    valid_characters: int = 0
    test_characters: int = 0
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
            name, value = f"training.{field.name}", getattr(self, field.name)
            allowed = OPTIONS[field.name]
            if isinstance(allowed, Bounds):
                allowed.check(name, value)
            elif type(value) is not type(allowed[0]):
                kind = "true or false" if allowed is SWITCH else "text"
                raise ConfigError(f"{name} must be {kind}, got {quoted(value)}")
            elif value not in allowed:
                raise ConfigError(suggest(value, map(str, allowed), what=name))
        if self.schedule == "plateau" and self.patience < 1:
            raise ConfigError("training.schedule = plateau needs training.patience >= 1")


SWITCH = (False, True)
# What every training option may be: a range, or one of these.
OPTIONS: dict[str, Bounds | tuple[Any, ...]] = {
    "batch_size": Bounds(int, 1, 65_536),
    "unroll": Bounds(int, 1, 100_000),
    "updates_per_epoch": Bounds(int, 1, 10_000_000),
    "epochs": Bounds(int, 0, 1_000_000),
    "optimizer": OPTIMIZERS,
    "nesterov": SWITCH,
    "scale_by_momentum": SWITCH,
    "rmsprop_decay": Bounds(float, 0, 1, above=True),
    "loss": ("mean", "sum"),
    "schedule": SCHEDULES,
    "patience": Bounds(int, 0, 1_000_000),
    "halvings": Bounds(int, 0, 1_000),
    "decay": Bounds(float, 0, 1, above=True),
    "decay_after": Bounds(int, 0, 1_000_000),
    "init": ("uniform_fan", "uniform", "normal", "normal_fan"),
    "valid_characters": Bounds(int, 0, 1_000_000_000),
    "test_characters": Bounds(int, 0, 1_000_000_000),
    "eval_batch": Bounds(int, 1, 65_536),
    "eval_unroll": Bounds(int, 1, 100_000),
    "eval_warmup": Bounds(int, 0, 1_000_000),
    "diverged_factor": Bounds(float, 0, 1e12),
    "padding": Bounds(float, 1, 1e6),
    "dtype": ("float32", "float64"),
    "backend": ("auto", *BACKEND_NAMES),
    "threads": Bounds(int, 1, 1_024),
}
EARLIER = {"eval_warmup": 0}
"""Options that older records do not name, with the value that says what was done then."""

FORMER = {"valid_characters": 5_000, "test_characters": 10_000}
"""Options whose default was another one, with what it was."""

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


@dataclass(frozen=True)
class Hyperparameter:
    """Describes a hyperparameter of one member.

    Attributes:
        default: Its value where nobody says one; None leaves it out.
        bounds: What it may be.
    """

    default: Any
    bounds: Bounds

    def check(self, name: str, value: object) -> None:
        """Raises `ConfigError` unless it may have the value."""
        if value is not None or self.default is not None:
            self.bounds.check(name, value)


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "hidden_size": Hyperparameter(64, Bounds(int, 1, 65_536)),
    "parameters": Hyperparameter(None, Bounds(int, 1, 10_000_000_000)),
    "num_layers": Hyperparameter(1, Bounds(int, 1, 100)),
    "learning_rate": Hyperparameter(0.002, Bounds(float, 0, 1e6, above=True)),
    "momentum": Hyperparameter(0.0, Bounds(float, 0, 1, below=True)),
    "clip_norm": Hyperparameter(None, Bounds(float, 0, 1e12)),
    "clip_value": Hyperparameter(None, Bounds(float, 0, 1e12)),
    "init_scale": Hyperparameter(1.0, Bounds(float, 0, 1_000)),
    "forget_bias": Hyperparameter(None, Bounds(float, -1e6, 1e6)),
    "input_noise": Hyperparameter(0.0, Bounds(float, 0, 1e6)),
}
SEEDS = Bounds(int, 0, 2**63 - 1)


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
        momentum: Momentum of sgd.
        clip_norm: Largest norm of the member's gradient; None and 0 do not clip.
        clip_value: Largest size of a gradient element; None and 0 do not clip.
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
        for name, row in HYPERPARAMETERS.items():
            row.check(name, getattr(self, name))
        SEEDS.check("seed", self.seed)


def member_from_dict(data: Mapping[str, Any]) -> Member:
    """Makes a member from plain data; unknown hyperparameters raise `ConfigError`."""
    known = {"member", "seed", *HYPERPARAMETERS}
    for name in data:
        if name not in known:
            raise ConfigError(suggest(name, known, what="hyperparameter"))
    return Member(**data)
