"""How many numbers a model reads at a step, and what its encoder of conditions has; no torch."""

from __future__ import annotations

import math

from odyssey.tasks.signature import ATTENTION, Condition, Signature

CHANNELS = (16, 32, 64)
"""Of the convolutional layers; the last is the number of features of a place."""
VECTOR = 64
"""Numbers of the vector that a whole condition becomes."""
KEYS = 32
"""Numbers of a key and a query."""
STATISTICS = ("vector_mean", "vector_variance")
"""What is kept of the vectors of training batches; it is not trained by gradients."""


def input_size(signature: Signature) -> int:
    """Gives how many numbers the model reads at a step, the condition's included."""
    extra = 0 if signature.condition is None else condition_size(signature.condition)
    return signature.inputs.size + extra


def grid_shape(condition: Condition) -> tuple[int, int]:
    """Gives the number of places and of the features of a place."""
    if len(condition.shape) == 1:
        return 1, condition.shape[0]
    if len(condition.shape) == 2:
        return condition.shape[0], condition.shape[1]
    height, width = picture_grid(condition)
    return height * width, CHANNELS[-1]


def picture_grid(condition: Condition) -> tuple[int, int]:
    """Gives the height and width of the grid that a picture becomes."""
    height, width, _ = condition.shape
    return math.ceil(height / 4), math.ceil(width / 4)


def condition_size(condition: Condition) -> int:
    """Gives how many numbers the condition adds to an input."""
    return grid_shape(condition)[1] if condition.way == ATTENTION else VECTOR


def condition_shapes(condition: Condition, hidden: int) -> dict[str, tuple[int, ...]]:
    """Gives the parameters of one member: by name, their shapes; "query" alone depends on H."""
    places, features = grid_shape(condition)
    shapes: dict[str, tuple[int, ...]] = {}
    if len(condition.shape) == 3:
        before = condition.shape[2]
        for number, channels in enumerate(CHANNELS):
            shapes[f"kernel_{number}"] = (channels, before, 3, 3)
            shapes[f"kernel_bias_{number}"] = (channels,)
            before = channels
    if condition.way == ATTENTION:
        shapes["key"] = (KEYS, features)
        shapes["place"] = (places, KEYS)
        shapes["query"] = (KEYS, hidden)
        shapes["query_bias"] = (KEYS,)
    else:
        shapes["vector"] = (VECTOR, places * features)
        shapes["vector_bias"] = (VECTOR,)
        shapes |= dict.fromkeys(STATISTICS, (VECTOR,))
    return shapes


def count_condition(condition: Condition, hidden: int) -> int:
    """Counts the trained parameters of one member's encoder."""
    shapes = condition_shapes(condition, hidden)
    return sum(math.prod(shape) for name, shape in shapes.items() if name not in STATISTICS)
