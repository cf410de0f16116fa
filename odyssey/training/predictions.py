"""Collects what members predict on test data, for metrics.

Shapes: P members, T steps, B columns, V classes, K bits or numbers, N counted targets.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from odyssey.compiler.backends.base import ReadoutInputs
from odyssey.tasks.base import Batch
from odyssey.tasks.signature import BITS, CLASSES, Values
from odyssey.training.metrics import Predictions, measured
from odyssey.training.model import read_out
from odyssey.training.step import RULES


class PredictionsOfAll:
    """The predictions of all members, batch by batch.

    Args:
        outputs: What is predicted at a step.
        members: P.
    """

    def __init__(self, outputs: Values, members: int) -> None:
        self._outputs, self._members = outputs, members
        self._parts: dict[str, list[NDArray[np.generic]]] = defaultdict(list)
        self._ended_B: NDArray[np.int64] | None = None

    def add(self, inputs: ReadoutInputs, batch: Batch) -> None:
        """Goes on with a batch."""
        h, weight, bias, target, _ = inputs
        outputs, target = read_out(h, weight, bias).cpu(), target.cpu()
        parts = {"nats": RULES[self._outputs.kind].loss(outputs, target).double()}
        if self._outputs.kind == CLASSES:
            logs = torch.log_softmax(outputs.double(), -1)
            own = logs.gather(-1, target.unsqueeze(-1))
            parts |= {
                "predicted": outputs.argmax(-1),
                "rank": (logs > own).sum(-1),
                "confidence": logs.amax(-1).exp(),
            }
        else:
            bits = self._outputs.kind == BITS
            parts["predicted"] = (torch.sigmoid(outputs) if bits else outputs).double()
        chosen_TB = batch.weights_TB
        for name, values_PTB in parts.items():
            self._parts[name].append(values_PTB.numpy()[:, chosen_TB])
        targets = batch.targets_TB[chosen_TB]
        kept = targets if self._outputs.kind == CLASSES else targets.astype(np.float64)
        self._parts["targets"].append(kept)
        self._parts["sequence"].append(self._sequences(batch)[chosen_TB])

    def _sequences(self, batch: Batch) -> NDArray[np.int64]:
        """Numbers the sequences: those of a column follow each other in steps of B."""
        steps, columns = batch.weights_TB.shape
        if self._ended_B is None:
            self._ended_B = np.zeros(columns, np.int64)
        elif batch.fresh_B is not None:
            self._ended_B = self._ended_B + batch.fresh_B
        number_TB = np.broadcast_to(self._ended_B, (steps, columns)).copy()
        if batch.ends_TB is not None:
            ends_TB = batch.ends_TB.astype(np.int64)
            number_TB += np.cumsum(ends_TB, 0) - ends_TB
            self._ended_B = self._ended_B + ends_TB.sum(0)
        found: NDArray[np.int64] = number_TB * columns + np.arange(columns)
        return found

    def metrics(self) -> dict[str, list[float]]:
        """Gives the metrics of every member, by name."""
        found: dict[str, list[float]] = {}
        for member in range(self._members):
            for name, value in measured(self._of(member)).items():
                found.setdefault(name, []).append(value)
        return found

    def _of(self, member: int) -> Predictions:
        def own(name: str) -> NDArray[np.generic]:
            found = self._parts.get(name)
            return np.concatenate([part[member] for part in found]) if found else np.zeros(0)

        return Predictions(
            self._outputs.kind,
            self._outputs.size,
            targets=np.concatenate(self._parts["targets"]),
            predicted=own("predicted"),
            nats=own("nats").astype(np.float64),
            rank=own("rank").astype(np.int64),
            confidence=own("confidence").astype(np.float64),
            sequence=np.concatenate(self._parts["sequence"]).astype(np.int64),
        )
