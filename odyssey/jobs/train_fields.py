"""The arguments of a training that tables name: written by `make golden`, not by hand.

Their rows are in `odyssey.hyperparameters` and `odyssey.training.config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from odyssey.options import Options


@dataclass(frozen=True, kw_only=True)
class TrainFields(Options):
    """Hyperparameters and training options; None leaves one to the preset, or to its default.

    Attributes:
        learning_rate: Learning rate (0.003).
        hidden_size: Units per layer (128).
        parameters: Parameters wanted, embedding and readout included.
        num_layers: Layers (1).
        momentum: Momentum of sgd (0.0).
        weight_decay: Share of the weights, times the learning rate, that an update takes away.
        warmup: Updates over which the learning rate rises.
        final_rate: Share of the learning rate that a schedule leaves at the end.
        ema_decay: Weight of the past in the running average of weights that is measured; 0: none
            (0.0).
        input_noise: Standard deviation of Gaussian noise on the one-hot inputs in training (0.0).
        dropout: Probability that an output of a layer is dropped in training (0.0).
        input_dropout: Probability that an input is dropped in training (0.0).
        recurrent_dropout: Probability that what recurrent maps read is dropped in training, for an
            update (0.0).
        drop_connect: Probability that a recurrent weight is dropped in training, for an update
            (0.0).
        zoneout: Probability that a unit of a state keeps its value in a step, in training (0.0).
        init_scale: Scale of the initial weights (1.0).
        clip_norm: Largest norm of the gradient, or 0 (5.0).
        clip_value: Largest size of a gradient element, or 0.
        forget_bias: Initial bias of the gate f.
        batch_size: Parallel streams B (20).
        unroll: Steps T of truncated back-propagation; the state is carried on (35).
        updates_per_epoch: Updates between validations (50).
        epochs: Epochs at most; 0 trains nothing and only measures (20).
        passes: Passes over the train split of a text, at most. An epoch is a pass then, whatever
            the two above say; 0 counts in epochs (0).
        start: Where the streams of a text start: `anywhere`, equally far apart, the first one at
            random, to be read on around its end; or at its `beginning`, cut into one piece a
            stream, and there again after every pass, with a state of zeros (min-char-rnn)
            (anywhere).
        accumulate: Parts of the streams of a batch that are read one after the other, their
            gradients added up: the update is that of the whole batch, in less memory (1).
        optimizer: sgd (with momentum), rmsprop, adam, adagrad or adamw (adam).
        nesterov: Whether sgd's momentum is Nesterov's (False).
        scale_by_momentum: Whether the learning rate is multiplied by 1 - momentum (Greff et al.)
            (False).
        rmsprop_decay: Decay of rmsprop's running square (0.95).
        loss: `mean` over counted characters, or `sum` over time and mean over streams (Jozefowicz
            et al., char-rnn: the gradient is not divided by the unroll) (mean).
        schedule: `constant`; `plateau` halves the rate every epoch after `patience` epochs without
            improvement, `halvings` times, then stops (Jozefowicz et al.); `decay` multiplies it by
            `decay` at the end of epoch `decay_after` and of every `decay_every`-th after it
            (Karpathy); `cosine` and `linear` lead it down to the member's `final_rate` at the end;
            `one_cycle` up and down (constant).
        patience: Epochs without improvement before stopping or halving; 0 never stops (0).
        halvings: Halvings of the plateau schedule (4).
        decay: Factor of the decay schedule (0.95).
        decay_after: First epoch at whose end the decay schedule acts (10).
        decay_every: Epochs from one decay to the next (1).
        smoothing: Weight of the past in a running mean of the training loss, which begins at
            ln(symbols) and is kept along training (min-char-rnn's smooth loss); 0: none (0.0).
        init: Distribution of initial weights: uniform_fan, uniform, normal or normal_fan
            (uniform_fan).
        valid_characters: Targets of a validation, at most; 0: what the task says is enough (0).
        test_characters: Targets of the test, likewise (0).
        eval_batch: Parallel streams in validation and test (50).
        eval_unroll: Steps per segment in validation and test (100).
        eval_warmup: Symbols of a text that every stream of validation and test reads before its
            own, uncounted; with 0 each begins in the middle of the text from a state of zeros (50).
        longer: Whether the best model is also measured on the task with longer sequences, where
            there is one; a search does not, unless it is told to (True).
        diverged_factor: A loss above this many times ln(symbols) counts as diverged (1000.0).
        padding: Members whose hidden sizes differ by more than this factor are trained apart (1.5).
        dtype: float32 or float64 (float32).
        backend: Compiler backend, or auto (auto).
        device: What it is trained on: cpu, mps, cuda, or cuda:1 for the second (cpu).
        threads: CPU threads of a trial (1).
    """

    learning_rate: float | None = None
    hidden_size: int | None = None
    parameters: int | None = None
    num_layers: int | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    warmup: int | None = None
    final_rate: float | None = None
    ema_decay: float | None = None
    input_noise: float | None = None
    dropout: float | None = None
    input_dropout: float | None = None
    recurrent_dropout: float | None = None
    drop_connect: float | None = None
    zoneout: float | None = None
    init_scale: float | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    forget_bias: float | None = None
    batch_size: int | None = None
    unroll: int | None = None
    updates_per_epoch: int | None = None
    epochs: int | None = None
    passes: int | None = None
    start: Literal["anywhere", "beginning"] | None = None
    accumulate: int | None = None
    optimizer: str | None = None
    nesterov: bool | None = None
    scale_by_momentum: bool | None = None
    rmsprop_decay: float | None = None
    loss: Literal["mean", "sum"] | None = None
    schedule: Literal["constant", "plateau", "decay", "cosine", "linear", "one_cycle"] | None = None
    patience: int | None = None
    halvings: int | None = None
    decay: float | None = None
    decay_after: int | None = None
    decay_every: int | None = None
    smoothing: float | None = None
    init: Literal["uniform_fan", "uniform", "normal", "normal_fan"] | None = None
    valid_characters: int | None = None
    test_characters: int | None = None
    eval_batch: int | None = None
    eval_unroll: int | None = None
    eval_warmup: int | None = None
    longer: bool | None = None
    diverged_factor: float | None = None
    padding: float | None = None
    dtype: Literal["float32", "float64"] | None = None
    backend: Literal["auto", "native", "eager"] | None = None
    device: str | None = None
    threads: int | None = None
