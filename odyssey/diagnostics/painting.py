"""What a model of painted digits knows: which label makes a picture likeliest, and what it paints.

Shapes: N pictures, T steps, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from odyssey.tasks.base import HeldOut
from odyssey.tasks.painting import Paint
from odyssey.training.model import SequenceModel
from odyssey.training.sampling import sample

_AT_ONCE = 500  # pictures with a label, side by side


@dataclass(frozen=True)
class Judged:
    """How likely held-out pictures are under each label.

    Attributes:
        nats_NL: -ln p(picture | label), over all pixels of a picture.
        label_N: What they show.
    """

    nats_NL: NDArray[np.float64]
    label_N: NDArray[np.int64]

    @property
    def nats(self) -> float:
        """The loss of a picture under its own label."""
        return float(self.nats_NL[np.arange(len(self.label_N)), self.label_N].mean())

    @property
    def accuracy(self) -> float:
        """The share of pictures whose label is the likeliest by Bayes' rule, all alike before."""
        return float((self.nats_NL.argmin(1) == self.label_N).mean())


@torch.no_grad()
def judge_pictures(model: SequenceModel, task: Paint, split: HeldOut) -> Judged:
    """Measures every picture of a split under every label; with a population, by its first member.

    Args:
        model: A model of the task.
        task: The task.
        split: Of which data.
    """
    examples = task.examples(split)
    inputs_NT = np.array([e.inputs_T for e in examples])
    targets_NT = np.array([e.targets_T for e in examples])
    shown_N = inputs_NT[:, 0] - task.label(0)
    x_TC = np.repeat(inputs_NT.T, task.labels, axis=1)  # a column a picture and label
    x_TC[0] = np.tile([task.label(digit) for digit in range(task.labels)], len(examples))
    y_TC = np.repeat(targets_NT.T, task.labels, axis=1)
    nats = []
    for start in range(0, x_TC.shape[1], _AT_ONCE):
        x, y = (torch.from_numpy(a[:, start : start + _AT_ONCE].copy()) for a in (x_TC, y_TC))
        logits, _ = model(x.to(model.readout.device).expand(len(model.readout), -1, -1), None)
        log_p = torch.log_softmax(logits[0].cpu().double(), -1)
        nats.append(-log_p.gather(-1, y.unsqueeze(-1)).squeeze(-1).sum(0))
    nats_C: NDArray[np.float64] = torch.cat(nats).numpy()
    return Judged(nats_C.reshape(len(examples), task.labels), shown_N)


def paint(
    model: SequenceModel,
    task: Paint,
    digit: int,
    *,
    temperature: float,
    rng: np.random.Generator,
    top_k: int | None = None,
) -> NDArray[np.uint8]:
    """Paints a digit, a picture (8, 8) of its grey levels; arguments are those of `sample`."""
    levels = sample(
        model,
        np.array([task.label(digit)]),
        length=task.pixels,
        temperature=temperature,
        rng=rng,
        top_k=top_k,
    )
    return task.picture(list(levels))
