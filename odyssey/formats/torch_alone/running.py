"""What runs the step: layers of it over a sequence, and what a trained model has around them."""

from __future__ import annotations

import textwrap

from odyssey.expr.sizes import INPUTS, axes, parts
from odyssey.formats.portable import Surroundings
from odyssey.formats.torch_alone.condition import conditioned_reading
from odyssey.formats.torch_alone.draft import Draft
from odyssey.formats.torch_alone.text import (
    INDENT,
    WIDTH,
    definition,
    indices,
    literal,
    wrapped,
)

_STATE = "state: tuple | None = None"


def rnn_class(draft: Draft) -> list[str]:
    """Writes the class of the layers."""
    cell, portable, program = draft.cell, draft.portable, draft.program
    wide = [name for name, size in cell.shapes.inputs.items() if parts(size)[0] == INPUTS]
    made = ", *made" if draft.made else ""
    ragged = not wide and any(
        parts(axis)[0] == INPUTS
        for state in cell.states
        for axis in axes(program.state_size(state))
    )
    states = "tuple(torch.stack(s) for s in zip(*finals))"
    own = "tuple(s[n] for s in state)"
    gives = "of each state (L, B, n)"
    if ragged:  # layers after the first read other inputs: their states have another size
        states, own = "tuple(finals)", "state[n]"
        gives = "of each layer its states (B, n)"
    if not cell.states:
        states, own = "()", "()"
    loop, read = ["for x_t in x:"], "x_t"
    if draft.further:
        sequences = ["x", *draft.further, "strict=True"]
        loop, read = wrapped("for inputs in zip(", sequences, "):", depth=3), "*inputs"
    given = {"input_size": portable.input_size, "hidden_size": portable.hidden_size}
    sizes = [f"{n}: int" + (f" = {s}" if s is not None else "") for n, s in given.items()]
    layers = f"num_layers: int = {portable.num_layers}"
    tensors = [f"{name}: Tensor" for name in ("x", *draft.further)]
    return [
        "class RNN(nn.Module):",
        *definition("__init__", ["self", *sizes, layers]),
        "        super().__init__()",
        *_one_layer(wide),
        "        sizes = [input_size] + [hidden_size] * (num_layers - 1)",
        "        self.layers = nn.ModuleList(Cell(size, hidden_size) for size in sizes)",
        "",
        *definition("forward", ["self", *tensors, _STATE], "tuple[Tensor, tuple]"),
        *_about_reading(draft, f"Reads x (T, B, input_size); gives outputs, and {gives}."),
        "        finals = []",
        "        for n, layer in enumerate(self.layers):",
        f"            own = layer.start(x) if state is None else {own}",
        *([f"            made = layer.{draft.own['made']}()"] if made else []),
        "            outputs = []",
        *(3 * INDENT + line for line in loop),
        f"                y, own = layer({read}, *own{made})",
        "                outputs.append(y)",
        "            x = torch.stack(outputs)",
        "            finals.append(own)",
        f"        return x, {states}",
    ]


def _one_layer(wide: list[str]) -> list[str]:
    """Refuses more layers, where a further input has the size of x: theirs is another."""
    if not wide:
        return []
    says = f"one layer alone: {wide[0]} has the size of x"
    return [f"{2 * INDENT}if num_layers > 1:", f'{3 * INDENT}raise ValueError("{says}")']


def _about_reading(draft: Draft, about: str) -> list[str]:
    """Writes the docstring of what reads x and, of the same steps, further inputs."""
    if not draft.further:
        return [f'{2 * INDENT}"""{about}"""']
    shapes = [f"{name} (T, B, {size})" for name, size in draft.further.items()]
    known = " and ".join(filter(None, (", ".join(shapes[:-1]), shapes[-1])))
    lines = textwrap.wrap(f"Beside x it reads {known}.", WIDTH - 2 * len(INDENT))
    return [f'{2 * INDENT}"""{about}', "", *(2 * INDENT + s for s in (*lines, '"""'))]


def model_class(draft: Draft) -> list[str]:
    """Writes the class of a trained model; nothing of a cell alone."""
    portable, around = draft.portable, draft.portable.around
    if around is None:
        return []
    inputs, hidden = portable.sizes()
    whole = ["super().__init__()", f"self.rnn = RNN({inputs}, {hidden}, {portable.num_layers})"]
    if "embedding" in around.arrays:
        shape = ", ".join(map(str, around.arrays["embedding"].shape))
        whole.append(f"self.embedding = nn.Parameter(torch.empty({shape}))")
    if around.condition is not None:
        whole.append("self.conditioner = Conditioner()")
    whole.append(f"self.readout = nn.Linear({hidden}, {around.outputs})")
    lines = [
        "class Model(nn.Module):",
        *definition("__init__", ["self"]),
        *(2 * INDENT + line for line in whole),
        "",
        *_model_forward(draft, around, hidden),
    ]
    if around.symbols and all(len(symbol) == 1 for symbol in around.symbols):
        symbols = f"SYMBOLS = {literal(around.symbols)}"
        lines = ["# What the classes stand for.", symbols, "", "", *lines]
    return lines


def _model_forward(draft: Draft, around: Surroundings, hidden: int) -> list[str]:
    """Writes the method that is called, and where something is given that of the layers."""
    given = around.condition is not None
    reads = f"classes (T, B), of {around.inputs}" if around.classes else "x (T, B, inputs)"
    reads += ", and what they are conditioned on" if given else ""
    body = [f'"""Reads {reads}; gives (T, B, {around.outputs}) and the state."""']
    if around.classes:
        dense = f"nn.functional.one_hot(x, {around.inputs}).to(self.readout.weight.dtype)"
        body.append(f"x = {dense}")
    layers = []
    if draft.further:  # x is what none of them reads
        main, *places = around.places
        named = [*zip(draft.further, places, strict=True), ("x", main)]
        layers += [f"{name} = x[..., {indices(own)}]" for name, own in named]
    if "embedding" in around.arrays:
        layers.append("x = x @ self.embedding.mT")
    run = wrapped("self.rnn(", ["x", *draft.further, "state"], ")", depth=2)
    result = "tuple[Tensor, tuple]"
    if given:
        head = definition("forward", ["self", "x: Tensor", "given: Tensor", _STATE], result)
        body += conditioned_reading(around, hidden)
        layers = [*layers, f"return {run[0]}", *run[1:]]
        inner = definition("layers", ["self", "x: Tensor", "state: tuple | None"], result)
        inner += [2 * INDENT + line for line in layers]
        return [*head, *(2 * INDENT + line for line in body), "", *inner]
    run = wrapped("x, state = self.rnn(", ["x", *draft.further, "state"], ")", depth=2)
    body += [*layers, *run, "return self.readout(x), state"]
    head = definition("forward", ["self", "x: Tensor", _STATE], result)
    return [*head, *(2 * INDENT + line for line in body)]


def load_function(draft: Draft) -> list[str]:
    """Writes what builds it with its weights; nothing where there are none."""
    if not draft.portable.stored:
        return []
    what = "Model" if draft.portable.around else "RNN"
    return [
        f"def load(path: str | None = None) -> {what}:",
        '    """Builds it with the weights beside this file; `pip install safetensors`."""',
        "    from safetensors.torch import load_file",
        "",
        f"    model = {what}()",
        '    path = path or __file__.removesuffix("py") + "safetensors"',
        "    model.load_state_dict(load_file(path))",
        "    return model.eval()",
    ]
