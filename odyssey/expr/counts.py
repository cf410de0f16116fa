"""How much a cell is: trained numbers, and the operations of one step, from sizes alone.

A product with an (m, n) matrix counts 2mn, a multiplication and an addition each; an elementwise
operation or function counts 1 for each number. An input that is one of V symbols counts as the
vector of V numbers that stands for it, though it is looked up.
"""

from __future__ import annotations

import math

from odyssey.expr.program import Program
from odyssey.expr.shapes import Shapes
from odyssey.expr.sizes import resolve


def layer_parameters(program: Program, shapes: Shapes, inputs: int, units: int) -> int:
    """Counts the weights of one layer.

    Args:
        program: The cell; what is dead in it counts where it is in there.
        shapes: The sizes of what the cell holds.
        inputs: Numbers of an input; a square cell reads as many as there are units.
        units: Units.
    """
    first = units if shapes.square else inputs
    return sum(math.prod(program.stored_shape(n, first, units)) for n in program.parameters())


def layer_operations(program: Program, shapes: Shapes, inputs: int, units: int) -> int:
    """Counts the operations of one layer in one step of one sequence, forward.

    What depends on weights alone is computed once and does not count.

    Args:
        program: The cell, of which nothing is dead.
        shapes: As above.
        inputs: As above.
        units: Units.
    """
    first = units if shapes.square else inputs
    moving = program.reached(["input", "previous"])
    total = 0
    for number, node in enumerate(program.nodes):
        if not moving[number] or node.is_leaf:
            continue
        if node.op == "matmul":
            total += 2 * math.prod(program.stored_shape(node.name, first, units))
        else:  # a reduction costs as much as it reads
            sizes = (node.size, *(program.nodes[a].size for a in node.args))
            total += max(resolve(size, first, units) for size in sizes)
    return total


def model_parameters(
    program: Program, shapes: Shapes, *, inputs: int, outputs: int, units: int, layers: int
) -> int:
    """Counts the parameters of layers with a linear readout; arguments as of `model_counts`."""
    mapped = inputs * units if shapes.square else 0
    widths = [units if layer else inputs for layer in range(layers)]
    own = sum(layer_parameters(program, shapes, width, units) for width in widths)
    return outputs * (units + 1) + mapped + own


def model_counts(
    program: Program, shapes: Shapes, *, inputs: int, outputs: int, units: int, layers: int
) -> tuple[int, int]:
    """Counts the parameters of layers with a linear readout, and their operations in a step.

    Before a square cell stands a linear map of the inputs to as many numbers as there are units.

    Args:
        program: The cell, of which nothing is dead.
        shapes: As above.
        inputs: Numbers that the model reads at a step, of classes one each.
        outputs: Numbers that it puts out.
        units: Units of a layer.
        layers: Layers.
    """
    mapped = inputs * units if shapes.square else 0
    parameters = model_parameters(
        program, shapes, inputs=inputs, outputs=outputs, units=units, layers=layers
    )
    operations = outputs * (2 * units + 1) + 2 * mapped
    for layer in range(layers):
        first = units if layer else inputs
        operations += layer_operations(program, shapes, first, units)
    return parameters, operations
