"""A cell as one file of Python that needs torch alone.

`Cell` is a step, with the equations as they stand in the cell's text, `RNN` runs layers of it over
a sequence and, where a trained model is written, `Model` has what is around them. Further inputs of
a cell are arguments behind x, by their names. Parameters are called as in `odyssey.RNN`, so that
weights go either way. The text is as ruff formats it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

import sympy as sp

from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr.equations import Equations, Init
from odyssey.expr.initial import INITIAL_VALUES, NEGATED
from odyssey.expr.program import reach
from odyssey.expr.properties import PROPERTIES, read
from odyssey.expr.sizes import INPUTS, axes, is_matrix, parts, source
from odyssey.expr.terms import Current, Named, format_number, leaves
from odyssey.formats.portable import Portable
from odyssey.formats.torch_equations import INDENT, WIDTH, Lines, defined, fresh
from odyssey.version import __version__

_UNIFORM = "nn.init.uniform_(weight, -bound, bound)"
DRAWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "uniform_fan": ("bound = {0} * {1}**-0.5", (_UNIFORM,)),
    "uniform": ("bound = {0}", (_UNIFORM,)),
    "normal": ("scale = {0}", ("nn.init.normal_(weight, 0, scale)",)),
    "normal_fan": (
        "scale = {0}",
        (
            "columns = weight.shape[1] if weight.dim() == 2 else {1}",
            "nn.init.normal_(weight, 0, scale * columns**-0.5)",
        ),
    ),
}
"""How weights without an `init` line start, by the distribution of the scheme: what is said once,
with `{0}` for its scale and `{1}` for H, and of every weight."""
_BY_NAME = "self.get_parameter(name)"
_MODEL_CALLED = ("self", "x: Tensor", "state: tuple | None = None")
LONGEST_FILE = 120
_NUMBERS = ("a", "b")  # of an initial value, as arguments of its function
_MOST_PARAMETERS = 16  # from which on those of one shape share a line


def write_torch(portable: Portable) -> str:
    """Writes the file; trained weights are to lie beside it, under its name and `.safetensors`.

    Raises:
        ConfigError: A weight starts or is made in a way that has no torch alone.
    """
    return _File(portable).write()


_OWN_NAMES = ("x", "y", "n", "state", "own", "made", "layer", "finals", "inputs", "outputs")
"""What `RNN.forward` and `Model.forward` call something else than a further input."""


class _File:
    """Writes the parts of the file."""

    def __init__(self, portable: Portable) -> None:
        self.portable = portable
        self.cell, self.program = portable.cell, lower(portable.cell)
        self.needed = _needed(self.cell)
        self.constants: set[str] = set()  # whose names the step has
        self.lines: list[str] = []
        cell = self.cell
        names = [*cell.names]
        self.local = {e.label: fresh(e.target, ()) for e in cell.equations if not e.updates_state}
        self.local |= {s: fresh(s, ()) for s in (*cell.states, *cell.inputs, *cell.constants)}
        for state in cell.states:
            self.local[f"{state}[t]"] = fresh(f"{state}_t", names)
        # what a module has besides its parameters
        own = ("input_size", "hidden_size", "made", "reset_parameters")
        self.own = {name: fresh(name, self.program.parameters()) for name in own}
        inputs, units = self.own["input_size"], self.own["hidden_size"]
        self.sizes = {"inputs": f"self.{inputs}", "units": f"self.{units}"}
        self.made = tuple(n for n in self.program.parameters() if n in self.program.properties)
        # what a sequence of each further input is called, and its numbers at a step
        self.further = {
            fresh(name, _OWN_NAMES): source(size, inputs="input_size")
            for name, size in cell.shapes.inputs.items()
        }
        wide = (n for n, size in cell.shapes.inputs.items() if parts(size)[0] == INPUTS)
        self.wide = next(wide, "")  # a further input that has the size of x
        tensors = [f"{name}: Tensor" for name in ("x", *self.further)]
        self.called = ["self", *tensors, "state: tuple | None = None"]

    def write(self) -> str:
        """Writes all; a long file does without the cell's text: its equations stand in the step."""
        whole = self._written(self._docstring(text=True))
        if whole.count("\n") < LONGEST_FILE:
            return whole
        return self._written(self._docstring(text=False))

    def _written(self, docstring: list[str]) -> str:
        step = self._step()
        made = [self._property(name) for name in self._properties()]
        given = [self._given(name) for name in self._given_values()]
        functions = [*made, *given, *defined(step.functions)]
        body: list[list[str]] = [docstring, self._imports()]
        body += [["", *lines] for lines in functions]
        body += [["", *self._cell(step)], ["", *self._rnn()]]
        if self.portable.around is not None:
            body.append(["", *self._model()])
        if self.portable.stored:
            body.append(["", *self._load()])
        return "\n".join("\n".join([*lines, ""]) for lines in body)

    def _docstring(self, *, text: bool) -> list[str]:
        cell, portable = self.cell, self.portable
        lines = [f"{portable.name}: a recurrent cell in torch alone; `RNN` runs layers of it.", ""]
        for note in (f"From {cell.citation}." if cell.citation else "", *portable.notes):
            lines += textwrap.wrap(note, WIDTH, break_on_hyphens=False)
        lines += [f"Written by Odyssey {__version__}; the key of the cell is", cell.key]
        if text:
            said = (line for line in cell.text.strip().splitlines() if line[:5] != "cite ")
            lines += ["", *(INDENT + line if line else "" for line in said)]
        safe = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
        return [*f'"""{safe}'.splitlines(), '"""']

    def _imports(self) -> list[str]:
        path = ["from pathlib import Path", ""] if self.portable.stored else []
        return [*path, "import torch", "from torch import Tensor, nn"]

    def _properties(self) -> tuple[str, ...]:
        said = [p for words in self.program.properties.values() for p in words]
        return tuple(dict.fromkeys(read(p)[0].name for p in said))

    def _property(self, name: str) -> list[str]:
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

    def _given_values(self) -> tuple[str, ...]:
        """Names the initial values that take a function."""
        kinds = dict.fromkeys(i.kind for i in self.cell.inits if i.kind in INITIAL_VALUES)
        return tuple(kind for kind in kinds if "\n" in INITIAL_VALUES[kind].torch)

    def _given(self, kind: str) -> list[str]:
        row = INITIAL_VALUES[kind]
        names = _NUMBERS[: max(row.counts)]
        numbers = "".join(f", {name}: float" for name in names)
        return [
            f"def {kind}(shape: torch.Size{numbers}) -> Tensor:",
            f'{INDENT}"""Gives what a weight of a shape starts at."""',
            *(INDENT + line for line in row.torch.format(*names).splitlines()),
        ]

    def _shape(self, name: str) -> str:
        """The shape in which a parameter is stored, as source."""
        sizes = self.program.matrices.get(name) or axes(self.program.vectors[name])
        texts = [source(size, inputs="inputs", units="units") for size in sizes]
        for written in self.program.properties.get(name, ()):
            row, number = read(written)
            if len(texts) == 2:  # those of vectors are stored as they are used
                texts = [each.format(*texts, number) for each in row.stored_torch]
        return ", ".join(texts)

    def _cell(self, step: Lines) -> list[str]:
        sizes = self._size_arguments(layers=False)
        lines = [
            "class Cell(nn.Module):",
            f'{INDENT}"""One step of the cell, and its weights."""',
            "",
            *_definition("__init__", ["self", *sizes], "None"),
        ]
        body = [
            "super().__init__()",
            f"{self.sizes['inputs']}, {self.sizes['units']} = inputs, units",
        ]
        names = self.program.parameters()
        if len(names) <= _MOST_PARAMETERS:
            body += [f"self.{n} = nn.Parameter(torch.empty({self._shape(n)}))" for n in names]
        else:
            for shape in dict.fromkeys(map(self._shape, names)):
                body += self._each(
                    (n for n in names if self._shape(n) == shape),
                    f"self.register_parameter(name, nn.Parameter(torch.empty({shape})))",
                )
        body += [f"self.{self.own['reset_parameters']}()"]
        lines += [2 * INDENT + line for line in body]
        lines += ["", *self._reset(), "", *self._start()]
        if self.made:
            lines += ["", *self._making()]
        return [*lines, "", *step.lines]

    def _each(self, names: Iterable[str], action: str) -> list[str]:
        """Writes a loop over names, or several where one line would be too long."""
        lines: list[str] = []
        chunk: list[str] = []
        for name in (*names, ""):
            longer = f"for name in [{', '.join(map(_quoted, [*chunk, name]))}]:"
            if chunk and (not name or len(longer) > WIDTH - 2 * len(INDENT)):
                head = f"for name in [{', '.join(map(_quoted, chunk))}]:"
                done = _in_lines(action)
                if len(chunk) > 1:
                    lines += [head, *(INDENT + line for line in done)]
                else:
                    lines += [_named(line, chunk[0]) for line in done]
                chunk = []
            chunk.append(name)
        return lines

    def _size_arguments(self, *, layers: bool) -> list[str]:
        given = self.portable.input_size, self.portable.hidden_size
        names = ("input_size", "hidden_size") if layers else ("inputs", "units")
        whole = [
            f"{name}: int" + (f" = {n}" if layers and n is not None else "")
            for name, n in zip(names, given, strict=True)
        ]
        return [*whole, f"num_layers: int = {self.portable.num_layers}"] if layers else whole

    def _reset(self) -> list[str]:
        lines = ['"""Draws the weights."""']
        program, scheme = self.program, self.portable.scheme
        by_name = {i.parameter: i for i in self.cell.inits}
        biases = [n for n in program.parameters() if n in program.biases and n not in by_name]
        rest = [n for n in program.parameters() if n not in biases and n not in by_name]
        if rest:
            before, each = DRAWN[scheme.distribution]
            lines.append(
                before.format(format_number(scheme.scale), self.sizes["units"]).replace(
                    " 1 * ", " "
                )
            )
            lines.append("for weight in self.parameters():")
            lines += [INDENT + line.format("", self.sizes["units"]) for line in each]
        lines += self._each((n for n in biases), f"nn.init.zeros_({_BY_NAME})")
        drawn: dict[str, list[str]] = {}
        for init in sorted(by_name.values(), key=lambda i: i.kind == NEGATED):  # copies come last
            if init.parameter in self.program.parameters():
                for line in self._drawn(init, by_name.get(init.source)):
                    drawn.setdefault(line, []).append(init.parameter)
        for line, names in drawn.items():
            lines += self._each(names, line)
        head = _definition(self.own["reset_parameters"], ["self"], "None")
        return [f"{INDENT}@torch.no_grad()", *head, *(2 * INDENT + line for line in lines)]

    def _drawn(self, init: Init, of: Init | None) -> list[str]:
        """Writes how the parameter called `name` starts."""
        weight = _BY_NAME
        if init.kind != NEGATED:
            row = INITIAL_VALUES[init.kind]
            if not row.torch:
                raise ConfigError(
                    f"{init.parameter} starts at {init.kind}(...), which cannot be written in torch"
                    " alone yet"
                )
            numbers = list(map(format_number, init.args))
            if init.kind in self._given_values():
                arguments = ", ".join([f"{weight}.shape", *numbers])
                return [f"{weight}.copy_({init.kind}({arguments}))"]
            return [row.torch.format(*numbers, w=weight)]
        if init.source in self.program.parameters():
            return [f"{weight}.copy_(-self.{init.source})"]
        if of is None:
            return [f"nn.init.zeros_({weight})"]
        return [*self._drawn(Init(init.parameter, of.kind, of.args), None), f"{weight}.neg_()"]

    def _start(self) -> list[str]:
        lines = ['"""Gives the state before the first step of x (T, B, input_size)."""']
        values = []
        for name in self.cell.states:
            size = " * ".join(
                source(axis, **self.sizes) for axis in axes(self.program.state_size(name))
            )
            start = self.program.starts.get(name, 0.0)
            if isinstance(start, str):
                value = f"self.{start}.expand(x.shape[1], -1)"
            elif start:
                value = f"x.new_full((x.shape[1], {size}), {format_number(start)})"
            else:
                value = f"x.new_zeros(x.shape[1], {size})"
            lines.append(f"{self.local[name]} = {value}")
            values.append(self.local[name])
        lines += _returned("", values)
        head = _definition("start", ["self", "x: Tensor"], "tuple[Tensor, ...]")
        return [*head, *(2 * INDENT + line for line in lines)]

    def _making(self) -> list[str]:
        lines = ['"""Makes weights of those that are stored, once for all steps."""']
        for name in self.made:
            text = f"self.{name}"
            for written in self.program.properties[name]:
                row, number = read(written)
                text = f"{row.name}({text}, {number})" if row.counted else f"{row.name}({text})"
            lines.append(f"{self._made_name(name)} = {text}")
        lines += _returned("", [self._made_name(n) for n in self.made])
        head = _definition(self.own["made"], ["self"], "tuple[Tensor, ...]")
        return [*head, *(2 * INDENT + line for line in lines)]

    def _made_name(self, name: str) -> str:
        return fresh(name, {*self.local.values(), *self._properties(), *self._given_values()})

    def _step(self) -> Lines:
        """Writes the method with the equations."""
        cell, shapes = self.cell, self.cell.shapes
        made = [self._made_name(n) for n in self.made]
        taken = {*self.local.values(), *cell.names, *made}
        step = Lines(leaf=self._leaf, size=shapes.of, taken=taken, depth=2)
        states = [self.local[s] for s in cell.states]
        read = [self.local[name] for name in cell.inputs]
        arguments = [f"{name}: Tensor" for name in (*read, *states, *made)]
        result = "tuple[Tensor, tuple[Tensor, ...]]"
        step.lines += _definition("forward", ["self", *arguments], result)
        step.emit('"""Gives the output and the new state."""')
        begun = len(step.lines)
        for name in cell.states:
            if is_matrix(size := self.program.state_size(name)):
                shape = ", ".join(source(a, **self.sizes) for a in axes(size))
                local = self.local[name]
                step.emit(f"{local} = {local}.unflatten(-1, ({shape}))")
        changing = {s: self.local[s] for s in cell.states}
        for equation in cell.equations:
            if equation.label not in self.needed:
                continue
            name = self.local[equation.label]
            step.assign(name, equation.value)
            if equation.updates_state and self._is_smaller(equation.label):
                step.emit(f"{name} = torch.zeros_like({changing[equation.target]}) + {name}")
        step.lines[begun:begun] = [
            f"{2 * INDENT}{self.local[name]} = {format_number(float(value))}"
            for name, value in cell.constants.items()
            if name in self.constants  # those that stand in a line: 2 * r is one number
        ]
        news = [self.local[f"{s}[t]"] for s in cell.states]
        news = [
            f"{new}.flatten(-2)" if is_matrix(self.program.state_size(s)) else new
            for s, new in zip(cell.states, news, strict=True)
        ]
        for line in _returned(f"{self.local[cell.output_label]}, ", news):
            step.emit(line)
        return step

    def _is_smaller(self, label: str) -> bool:
        """Says whether a value is the same in all rows, or has another size than its state."""
        state = label.removesuffix("[t]")
        by_label = {e.label: e for e in self.cell.equations}
        expr = by_label[label].value
        if self.cell.shapes.of(expr) != self.program.state_size(state):
            return True
        reached = reach([label], lambda name: _reads(by_label[name].value))
        return all(
            leaf.op not in ("input", "previous")
            for name in reached
            for leaf in leaves(by_label[name].value)
        )

    def _leaf(self, op: str, name: str) -> str:
        if op in ("matrix", "vector"):
            return self._made_name(name) if name in self.made else f"self.{name}"
        if op == "constant":
            self.constants.add(name)
        return self.local[name]

    def _rnn(self) -> list[str]:
        made = ", *made" if self.made else ""
        ragged = not self.wide and any(
            parts(axis)[0] == INPUTS
            for state in self.cell.states
            for axis in axes(self.program.state_size(state))
        )
        states = "tuple(torch.stack(s) for s in zip(*finals))"
        own = "tuple(s[n] for s in state)"
        returned = "of each state (L, B, n)"
        if ragged:  # layers after the first read other inputs: their states have another size
            states, own = "tuple(finals)", "state[n]"
            returned = "of each layer its states (B, n)"
        if not self.cell.states:
            states, own = "()", "()"
        loop, read = ["for x_t in x:"], "x_t"
        if self.further:
            sequences = ["x", *self.further, "strict=True"]
            loop, read = _wrapped("for inputs in zip(", sequences, "):", depth=3), "*inputs"
        lines = [
            "class RNN(nn.Module):",
            f'{INDENT}"""Layers of the cell, called like torch.nn.LSTM."""',
            "",
            *_definition("__init__", ["self", *self._size_arguments(layers=True)], "None"),
            "        super().__init__()",
            *self._one_layer(),
            "        sizes = [input_size] + [hidden_size] * (num_layers - 1)",
            "        self.layers = nn.ModuleList(Cell(size, hidden_size) for size in sizes)",
            "",
            *_definition("forward", self.called, "tuple[Tensor, tuple]"),
            *self._about_reading(f"Reads x (T, B, input_size); gives outputs, and {returned}."),
            "        finals = []",
            "        for n, layer in enumerate(self.layers):",
            f"            own = layer.start(x) if state is None else {own}",
            *([f"            made = layer.{self.own['made']}()"] if self.made else []),
            "            outputs = []",
            *(3 * INDENT + line for line in loop),
            f"                y, own = layer({read}, *own{made})",
            "                outputs.append(y)",
            "            x = torch.stack(outputs)",
            "            finals.append(own)",
            f"        return x, {states}",
        ]
        return lines

    def _one_layer(self) -> list[str]:
        """Refuses more layers, where a further input has the size of x: theirs is another."""
        if not self.wide:
            return []
        says = f"one layer alone: {self.wide} has the size of x"
        return [f"{2 * INDENT}if num_layers > 1:", f'{3 * INDENT}raise ValueError("{says}")']

    def _about_reading(self, about: str) -> list[str]:
        """Writes the docstring of what reads x and, of the same steps, further inputs."""
        if not self.further:
            return [f'{2 * INDENT}"""{about}"""']
        shapes = [f"{name} (T, B, {size})" for name, size in self.further.items()]
        known = " and ".join(filter(None, (", ".join(shapes[:-1]), shapes[-1])))
        lines = textwrap.wrap(f"Beside x it reads {known}.", WIDTH - 2 * len(INDENT))
        return [f'{2 * INDENT}"""{about}', "", *(2 * INDENT + s for s in (*lines, '"""'))]

    def _model(self) -> list[str]:
        around = self.portable.around
        assert around is not None
        inputs, hidden = self.portable.sizes()
        embedded = "embedding" in around.arrays
        reads = f"classes (T, B), of {around.inputs}" if around.classes else "x (T, B, inputs)"
        lines = [
            "class Model(nn.Module):",
            f'{INDENT}"""The layers, and what a trained model has around them."""',
            "",
            *_definition("__init__", ["self"], "None"),
            "        super().__init__()",
            f"        self.rnn = RNN({inputs}, {hidden}, {self.portable.num_layers})",
        ]
        if embedded:
            shape = ", ".join(map(str, around.arrays["embedding"].shape))
            lines.append(f"        self.embedding = nn.Parameter(torch.empty({shape}))")
        lines += [
            f"        self.readout = nn.Linear({hidden}, {around.outputs})",
            "",
            *_definition("forward", _MODEL_CALLED, "tuple[Tensor, tuple]"),
            f'        """Reads {reads}; gives (T, B, {around.outputs}) and the state."""',
        ]
        if around.classes:
            dense = f"nn.functional.one_hot(x, {around.inputs}).to(self.readout.weight.dtype)"
            lines.append(f"        x = {dense}")
        if self.further:  # x is what none of them reads
            main, *places = around.places
            named = [*zip(self.further, places, strict=True), ("x", main)]
            lines += [f"        {name} = x[..., {_indices(own)}]" for name, own in named]
        if embedded:
            lines.append("        x = x @ self.embedding.mT")
        read = ["x", *self.further, "state"]
        lines += [2 * INDENT + s for s in _wrapped("x, state = self.rnn(", read, ")", depth=2)]
        lines.append("        return self.readout(x), state")
        if around.symbols and all(len(symbol) == 1 for symbol in around.symbols):
            symbols = f"SYMBOLS = {_literal(around.symbols)}"
            lines = ["# What the classes stand for.", symbols, "", "", *lines]
        return lines

    def _load(self) -> list[str]:
        what = "Model" if self.portable.around else "RNN"
        return [
            f"def load(path: str | Path | None = None) -> {what}:",
            '    """Builds it with the weights beside this file; `pip install safetensors`."""',
            "    from safetensors.torch import load_file",
            "",
            f"    model = {what}()",
            '    path = path or Path(__file__).with_suffix(".safetensors")',
            "    model.load_state_dict(load_file(path))",
            "    return model.eval()",
        ]


def _needed(cell: Equations) -> set[str]:
    """Gives the labels of the equations that the output or a state needs."""
    by_label = {e.label: e for e in cell.equations}
    roots = [cell.output_label, *(f"{s}[t]" for s in cell.states)]
    return reach(roots, lambda label: _reads(by_label[label].value))


def _reads(expr: sp.Expr) -> list[str]:
    return [leaf.name for kind in (Named, Current) for leaf in leaves(expr, kind)]


def _literal(symbols: Iterable[str]) -> str:
    """Writes characters as a string of Python, in the quotes that need fewer escapes."""
    text = "".join(symbols)
    quote = "'" if text.count('"') > text.count("'") else '"'
    escaped = {"\\": "\\\\", quote: f"\\{quote}"}
    shown = (escaped.get(c) or (c if c.isprintable() else ascii(c)[1:-1]) for c in text)
    return f"{quote}{''.join(shown)}{quote}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _named(action: str, name: str) -> str:
    """Writes what is done with the only one of some names."""
    by_name = action.replace(_BY_NAME, f"self.{name}")
    return by_name.replace("(name,", f"({_quoted(name)},")


def _in_lines(action: str) -> list[str]:
    """Writes what is done with a parameter; in two lines where one would be too long."""
    if len(action) <= WIDTH - 3 * len(INDENT):
        return [action]
    made = re.search(r"nn\.Parameter\(.*\)(?=\))", action)
    value = made[0] if made else _BY_NAME
    return [f"weight = {value}", action.replace(value, "weight")]


def _returned(first: str, values: Sequence[str]) -> list[str]:
    """Writes the end of a method, which gives a tuple, behind something else or alone."""
    text = ", ".join(values) + ("," if len(values) == 1 else "")
    whole = f"return {first}({text})" if first or len(values) < 2 else f"return {text}"
    if len(whole) <= WIDTH - 2 * len(INDENT):
        return [whole]
    return [f"return {first}(", *(f"{INDENT}{value}," for value in values), ")"]


def _definition(name: str, arguments: Iterable[str], result: str) -> list[str]:
    """Writes the head of a method."""
    lines = _wrapped(f"def {name}(", list(arguments), f") -> {result}:", depth=1)
    return [INDENT + line for line in lines]


def _wrapped(opening: str, arguments: Sequence[str], closing: str, *, depth: int) -> list[str]:
    """Writes arguments in as many lines as a formatter would make of them, `depth` steps in."""
    room = WIDTH - depth * len(INDENT)
    joined = ", ".join(arguments)
    if len(opening) + len(joined) + len(closing) <= room:
        return [f"{opening}{joined}{closing}"]
    if len(INDENT) + len(joined) <= room:
        return [opening, INDENT + joined, closing]
    return [opening, *(f"{INDENT}{argument}," for argument in arguments), closing]


def _indices(places: Sequence[int]) -> str:
    """Writes places among the numbers of a step: a slice where they follow one another."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] + 1 == place:
            runs[-1].append(place)
        else:
            runs.append([place])
    if len(runs) == 1:
        return f"{runs[0][0]}:{runs[0][-1] + 1}"
    spans = (f"*range({r[0]}, {r[-1] + 1})" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)
    return f"[{', '.join(spans)}]"
