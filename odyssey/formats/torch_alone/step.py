"""One step of a cell: the class `Cell`, its equations, and the weights that properties make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from odyssey.errors import ConfigError
from odyssey.expr.equations import Equation
from odyssey.expr.program import live_equations
from odyssey.expr.properties import PROPERTIES, read
from odyssey.expr.sizes import axes, is_matrix, source
from odyssey.expr.terms import format_number
from odyssey.formats.torch_alone.draft import Draft, fresh, is_call
from odyssey.formats.torch_alone.equations import Lines
from odyssey.formats.torch_alone.starting import for_each, reset_method
from odyssey.formats.torch_alone.text import INDENT, WIDTH, chunks, definition, returned

_MOST_PARAMETERS = 12  # of more, those of one shape share a line


def cell_class(draft: Draft, step: Sequence[str]) -> list[str]:
    """Writes the class, given the lines of its step."""
    inputs, units = draft.sizes["inputs"], draft.sizes["units"]
    body = [
        "super().__init__()",
        f"{inputs}, {units} = inputs, units",
        *_parameters({n: _stored_axes(draft, n) for n in draft.program.parameters()}),
        *for_each(draft.frozen, "self.get_parameter(name).requires_grad_(False)"),
        f"self.{draft.own['reset_parameters']}()",
    ]
    return [
        "class Cell(nn.Module):",
        *definition("__init__", ["self", "inputs: int", "units: int"]),
        *(2 * INDENT + line for line in body),
        *("", *reset_method(draft)),
        *("", *_start_method(draft)),
        *(("", *_making_method(draft)) if draft.made else ()),
        *("", *step),
    ]


def _parameters(shapes: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Writes parameters, by name and shape: each by itself, or a table where they are many."""
    if len(shapes) <= _MOST_PARAMETERS:
        return [
            f"self.{n} = nn.Parameter(torch.empty({', '.join(shape)}))"
            for n, shape in shapes.items()
        ]
    rows: list[str] = []
    for shape in dict.fromkeys(shapes.values()):
        value = f"({', '.join(shape)}{',' * (len(shape) == 1)})"
        room = WIDTH - 3 * len(INDENT) - len(f'"": {value},')
        names = (n for n in shapes if shapes[n] == shape)
        rows += [f'{INDENT}"{chunk}": {value},' for chunk in chunks(names, room)]
    return [
        "shapes = {",
        *rows,
        "}",
        "for names, shape in shapes.items():",
        f"{INDENT}for name in names.split():",
        f"{2 * INDENT}self.register_parameter(name, nn.Parameter(torch.empty(shape)))",
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
    step = Lines(
        leaf=leaf,
        size=cell.shapes.of,
        taken=taken,
        depth=2,
        numbers=lambda size: source(size, **draft.sizes),
    )
    read = [local[name] for name in (*cell.inputs, *cell.states)]
    step.lines += _step_head([*read, *draft.made.values()], taken)
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


def _step_head(read: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Writes the head of the step; what would take a line for each argument is unpacked."""
    about = f'{2 * INDENT}"""Gives the output and the new state."""'
    head = definition("forward", ["self", *(f"{name}: Tensor" for name in read)], "tuple")
    rest = fresh("rest", taken)
    unpacked = f"{2 * INDENT}{', '.join(read[1:])} = {rest}"
    if len(head) <= 3 or len(unpacked) > WIDTH:
        return [*head, about]
    head = definition("forward", ["self", f"{read[0]}: Tensor", f"*{rest}: Tensor"], "tuple")
    return [*head, about, unpacked]


def _is_smaller(draft: Draft, update: Equation) -> bool:
    """Says whether a new value is the same in all rows, or has another size than its state."""
    program, state = draft.program, update.target
    node = program.nodes[program.updates[program.states.index(state)]]
    return node.region == "once" or draft.cell.shapes.of(update.value) != program.state_size(state)


def _stored_axes(draft: Draft, name: str) -> tuple[str, ...]:
    """Writes the sizes of a parameter as it is stored."""
    program = draft.program
    texts = [source(size, inputs="inputs", units="units") for size in program.axes_of(name)]
    for written in program.properties.get(name, ()):
        row, number = read(written)
        if len(texts) == 2:  # those of vectors are stored as they are used
            texts = [each.format(*texts, number) for each in row.stored_torch]
    return tuple(texts)


def _start_method(draft: Draft) -> list[str]:
    lines = ['"""Gives the state before the first step of x (T, B, input_size)."""']
    program, local = draft.program, draft.local
    begun: dict[str, list[str]] = {}  # what states begin at -> their names
    for name in draft.cell.states:
        size = " * ".join(source(axis, **draft.sizes) for axis in axes(program.state_size(name)))
        start = program.starts.get(name, 0.0)
        if isinstance(start, str):
            value = f"self.{start}.expand(x.shape[1], -1)"
        elif start:
            value = f"x.new_full((x.shape[1], {size}), {format_number(start)})"
        else:
            value = f"x.new_zeros(x.shape[1], {size})"
        begun.setdefault(value, []).append(local[name])
    for value, names in begun.items():
        room = WIDTH - 2 * len(INDENT) - len(f" = {value}")
        lines += [f"{chunk} = {value}" for chunk in chunks(names, room, between=" = ")]
    lines += returned("", [local[name] for name in draft.cell.states])
    head = definition("start", ["self", "x: Tensor"], "tuple[Tensor, ...]")
    return [*head, *(2 * INDENT + line for line in lines)]


def _making_method(draft: Draft) -> list[str]:
    lines, values = ['"""Makes weights of those that are stored, once for all steps."""'], []
    for name in draft.made:
        text = f"self.{name}"
        for written in draft.program.properties[name]:
            row, number = read(written)
            if not row.trained:  # as it is stored
                continue
            if is_call(row):
                text = row.torch.replace("number", str(number)).replace("raw", text)
            else:
                text = f"{row.name}({text}, {number})" if row.counted else f"{row.name}({text})"
        values.append(text)
    lines += returned("", values)
    head = definition(draft.own["made"], ["self"], "tuple[Tensor, ...]")
    return [*head, *(2 * INDENT + line for line in lines)]
