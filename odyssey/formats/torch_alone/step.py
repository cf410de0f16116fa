"""One step of a cell: the class `Cell`, its equations, and the weights that properties make."""

from __future__ import annotations

from collections.abc import Sequence

from odyssey.errors import ConfigError
from odyssey.expr.equations import Equation
from odyssey.expr.program import live_equations
from odyssey.expr.properties import PROPERTIES, read
from odyssey.expr.sizes import axes, is_matrix, source
from odyssey.expr.terms import format_number
from odyssey.formats.torch_alone.draft import Draft
from odyssey.formats.torch_alone.equations import Lines
from odyssey.formats.torch_alone.starting import for_each, reset_method
from odyssey.formats.torch_alone.text import INDENT, definition, returned

_MOST_PARAMETERS = 16  # from which on those of one shape share a line


def cell_class(draft: Draft, step: Sequence[str]) -> list[str]:
    """Writes the class, given the lines of its step."""
    inputs, units = draft.sizes["inputs"], draft.sizes["units"]
    body = ["super().__init__()", f"{inputs}, {units} = inputs, units"]
    shapes = {n: _stored_shape(draft, n) for n in draft.program.parameters()}
    if len(shapes) <= _MOST_PARAMETERS:
        body += [f"self.{n} = nn.Parameter(torch.empty({shape}))" for n, shape in shapes.items()]
    else:
        for shape in dict.fromkeys(shapes.values()):
            body += for_each(
                (n for n in shapes if shapes[n] == shape),
                f"self.register_parameter(name, nn.Parameter(torch.empty({shape})))",
            )
    body += [f"self.{draft.own['reset_parameters']}()"]
    return [
        "class Cell(nn.Module):",
        f'{INDENT}"""One step of the cell, and its weights."""',
        "",
        *definition("__init__", ["self", "inputs: int", "units: int"], "None"),
        *(2 * INDENT + line for line in body),
        *("", *reset_method(draft)),
        *("", *_start_method(draft)),
        *(("", *_making_method(draft)) if draft.made else ()),
        *("", *step),
    ]


def property_function(name: str) -> list[str]:
    """Writes the function that makes a weight of what is stored.

    Raises:
        ConfigError: It has no torch alone.
    """
    row = PROPERTIES[name]
    if not row.torch:
        raise ConfigError(f"weights that are {name} cannot be written in torch alone yet")
    body = row.torch.splitlines()
    if len(body) == 1:
        body = [f"return {body[0]}"]
    number = ", number: int" if row.counted else ""
    return [
        f"def {name}(raw: Tensor{number}) -> Tensor:",
        f'{INDENT}"""{row.about[0].upper()}{row.about[1:]}."""',
        *(INDENT + line for line in body),
    ]


def step_method(draft: Draft) -> Lines:
    """Writes the method with the equations."""
    cell, program, local = draft.cell, draft.program, draft.local
    constants: set[str] = set()  # that stand in a line: 2 * r is one number

    def leaf(op: str, name: str) -> str:
        if op in ("matrix", "vector"):
            return draft.made.get(name) or f"self.{name}"
        if op == "constant":
            constants.add(name)
        return local[name]

    taken = {*local.values(), *cell.names, *draft.made.values()}
    step = Lines(leaf=leaf, size=cell.shapes.of, taken=taken, depth=2)
    read = [local[name] for name in (*cell.inputs, *cell.states)]
    arguments = [f"{name}: Tensor" for name in (*read, *draft.made.values())]
    result = "tuple[Tensor, tuple[Tensor, ...]]"
    step.lines += definition("forward", ["self", *arguments], result)
    step.emit('"""Gives the output and the new state."""')
    begun = len(step.lines)
    for state in cell.states:
        if is_matrix(size := program.state_size(state)):
            shape = ", ".join(source(a, **draft.sizes) for a in axes(size))
            step.emit(f"{local[state]} = {local[state]}.unflatten(-1, ({shape}))")
    for equation in live_equations(cell):
        name = local[equation.label]
        step.assign(name, equation.value)
        if equation.updates_state and _is_smaller(draft, equation):
            step.emit(f"{name} = torch.zeros_like({local[equation.target]}) + {name}")
    step.lines[begun:begun] = [
        f"{2 * INDENT}{local[name]} = {format_number(float(value))}"
        for name, value in cell.constants.items()
        if name in constants
    ]
    news = [
        f"{local[f'{s}[t]']}.flatten(-2)" if is_matrix(program.state_size(s)) else local[f"{s}[t]"]
        for s in cell.states
    ]
    for line in returned(f"{local[cell.output_label]}, ", news):
        step.emit(line)
    return step


def _is_smaller(draft: Draft, update: Equation) -> bool:
    """Says whether a new value is the same in all rows, or has another size than its state."""
    program, state = draft.program, update.target
    node = program.nodes[program.updates[program.states.index(state)]]
    return node.region == "once" or draft.cell.shapes.of(update.value) != program.state_size(state)


def _stored_shape(draft: Draft, name: str) -> str:
    """Writes the shape in which a parameter is stored."""
    program = draft.program
    texts = [source(size, inputs="inputs", units="units") for size in program.axes_of(name)]
    for written in program.properties.get(name, ()):
        row, number = read(written)
        if len(texts) == 2:  # those of vectors are stored as they are used
            texts = [each.format(*texts, number) for each in row.stored_torch]
    return ", ".join(texts)


def _start_method(draft: Draft) -> list[str]:
    lines = ['"""Gives the state before the first step of x (T, B, input_size)."""']
    program, local = draft.program, draft.local
    for name in draft.cell.states:
        size = " * ".join(source(axis, **draft.sizes) for axis in axes(program.state_size(name)))
        start = program.starts.get(name, 0.0)
        if isinstance(start, str):
            value = f"self.{start}.expand(x.shape[1], -1)"
        elif start:
            value = f"x.new_full((x.shape[1], {size}), {format_number(start)})"
        else:
            value = f"x.new_zeros(x.shape[1], {size})"
        lines.append(f"{local[name]} = {value}")
    lines += returned("", [local[name] for name in draft.cell.states])
    head = definition("start", ["self", "x: Tensor"], "tuple[Tensor, ...]")
    return [*head, *(2 * INDENT + line for line in lines)]


def _making_method(draft: Draft) -> list[str]:
    lines = ['"""Makes weights of those that are stored, once for all steps."""']
    for name, made in draft.made.items():
        text = f"self.{name}"
        for written in draft.program.properties[name]:
            row, number = read(written)
            text = f"{row.name}({text}, {number})" if row.counted else f"{row.name}({text})"
        lines.append(f"{made} = {text}")
    lines += returned("", list(draft.made.values()))
    head = definition(draft.own["made"], ["self"], "tuple[Tensor, ...]")
    return [*head, *(2 * INDENT + line for line in lines)]
