"""What turns a condition into inputs of the recurrent layers: an encoder, and soft attention.

A picture goes through three convolutional layers (3 x 3, ReLU; the first two halve it) and becomes
a grid of places with 64 features each, normalised over the features of a place (Ba et al., 2016). A
condition that is a grid or a vector is taken as it is.

* `first` and `every` read the whole grid as one vector of `VECTOR` numbers: a linear map, and
  batch normalisation (Ioffe and Szegedy, 2015) without scale and shift: what pictures have in
  common is most of their features, and a model would drown in it what tells them apart. Where a
  batch has one sequence, and in evaluation, running means take the place of the batch's.
* `attention` (Xu et al., 2015, section 3.1.2, with products of a query and keys for its MLP): the
  query is a linear map of the last layer's output h of the step before, the key of a place a linear
  map of its features plus a vector of its own; weights are the softmax of query . key / sqrt(D)
  over places; the context is the weighted sum of the features.

Members are encoded one after the other: a member's numbers must not depend on the others.

Shapes: P members, B sequences, L places, F features of a place, H units, D numbers of a key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from odyssey.expr.schemes import InitScheme, draw
from odyssey.tasks.signature import ATTENTION, Condition
from odyssey.training.sizes import CHANNELS, KEYS, STATISTICS, condition_shapes

MOMENTUM = 0.1
"""What a training batch counts in running means."""


@dataclass(frozen=True)
class Memory:
    """What the encoder made of the conditions of a batch.

    Attributes:
        vector_PBD: For `first` and `every`.
        places_PBLF: For `attention`: the features of every place.
        keys_PBLD: And its key.
    """

    vector_PBD: Tensor | None = None
    places_PBLF: Tensor | None = None
    keys_PBLD: Tensor | None = None


class Conditioner(nn.Module):
    """Encodes conditions for a population, and attends to them.

    Args:
        condition: What is given.
        members: P.
        hidden: H of the largest member.
        dtype: Of the parameters.
    """

    def __init__(self, condition: Condition, members: int, hidden: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.condition = condition
        for name, shape in condition_shapes(condition, hidden).items():
            values = torch.zeros(members, *shape, dtype=dtype)
            trained = name not in STATISTICS
            self.register_parameter(name, nn.Parameter(values, requires_grad=trained))

    @torch.no_grad()
    def initialise(self, member: int, hidden: int, rng: np.random.Generator) -> None:
        """Draws the parameters of one member: weights uniform with fan-in, biases zero.

        Kernels are He's (normal, variance 2 / fan-in, He et al., 2015), as ReLU wants them.
        """
        for name, shape in condition_shapes(self.condition, hidden).items():
            own = self.get_parameter(name)[member]
            own.fill_(1.0 if name == "vector_variance" else 0.0)
            if "bias" in name or name in STATISTICS:
                continue
            fan_in = math.prod(shape[1:])
            if name.startswith("kernel"):
                values = rng.normal(0.0, math.sqrt(2 / fan_in), shape)
            elif name == "place":
                values = rng.normal(0.0, 1.0, shape)
            else:
                values = draw(InitScheme("uniform_fan", 1.0), shape, hidden_size=fan_in, rng=rng)
            own[tuple(slice(n) for n in shape)] = torch.as_tensor(values)

    def forward(self, given: Tensor, *, learning: bool = False) -> Memory:
        """Encodes conditions (P, B, ...).

        Args:
            given: The conditions.
            learning: Whether they are of a training batch, whose means count in the running ones.
        """
        places = given
        if len(self.condition.shape) == 3:
            places = torch.stack([self._encode(k, given[k]) for k in range(len(given))])
        elif len(self.condition.shape) == 1:
            places = given.unsqueeze(2)
        if self.condition.way == ATTENTION:
            keys = torch.matmul(places, self.get_parameter("key").mT.unsqueeze(1))
            return Memory(
                places_PBLF=places, keys_PBLD=keys + self.get_parameter("place").unsqueeze(1)
            )
        vector = torch.baddbmm(
            self.get_parameter("vector_bias").unsqueeze(1),
            places.flatten(2),
            self.get_parameter("vector").mT,
        )
        return Memory(vector_PBD=self._normalised(vector, learning=learning))

    def _normalised(self, vector_PBD: Tensor, *, learning: bool) -> Tensor:
        """Gives every number mean 0 and variance 1 over a batch, or by the running means."""
        running = [self.get_parameter(name) for name in STATISTICS]
        mean, variance = (r.detach() for r in running)
        if learning and vector_PBD.shape[1] > 1:
            mean, variance = vector_PBD.mean(1), vector_PBD.var(1, correction=0)
            with torch.no_grad():
                for kept, here in zip(running, (mean, variance), strict=True):
                    kept.lerp_(here, MOMENTUM)
        return (vector_PBD - mean.unsqueeze(1)) / (variance.unsqueeze(1) + 1e-5).sqrt()

    def _encode(self, member: int, pictures: Tensor) -> Tensor:
        """Gives the grid (B, L, F) of one member's pictures (B, height, width, channels)."""
        x = pictures.permute(0, 3, 1, 2)
        for number in range(len(CHANNELS)):
            kernel = self.get_parameter(f"kernel_{number}")[member]
            bias = self.get_parameter(f"kernel_bias_{number}")[member]
            x = functional.conv2d(x, kernel, bias, padding=1).relu()
            if number < 2:
                x = functional.max_pool2d(x, 2, ceil_mode=True)
        return functional.layer_norm(x.flatten(2).mT, (CHANNELS[-1],))

    def attend(self, h: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Gives the context (P, B, F) and the weights of the places (P, B, L).

        Args:
            h: The output of the last layer at the step before, (P, B, H).
            memory: What is looked at.
        """
        assert memory.keys_PBLD is not None
        assert memory.places_PBLF is not None
        query = torch.baddbmm(
            self.get_parameter("query_bias").unsqueeze(1), h, self.get_parameter("query").mT
        )
        scores = torch.matmul(memory.keys_PBLD, query.unsqueeze(-1)).squeeze(-1)
        weights = torch.softmax(scores / math.sqrt(KEYS), -1)
        return torch.matmul(weights.unsqueeze(2), memory.places_PBLF).squeeze(2), weights
