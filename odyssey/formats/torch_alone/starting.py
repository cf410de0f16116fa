"""How the weights of `Cell` start: its method `reset_parameters`, and the functions it calls."""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.errors import ConfigError
from odyssey.expr.equations import Init
from odyssey.expr.initial import INITIAL_VALUES, NEGATED
from odyssey.expr.terms import format_number
from odyssey.formats.torch_alone.draft import Draft
from odyssey.formats.torch_alone.text import INDENT, WIDTH, chunks, definition, literal

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
_NUMBERS = ("a", "b")  # of an initial value, as arguments of its function


def start_function(kind: str) -> list[str]:
    """Writes the function of an initial value that takes more than a line."""
    row = INITIAL_VALUES[kind]
    names = _NUMBERS[: max(row.counts)]
    numbers = "".join(f", {name}: float" for name in names)
    return [
        f"def {kind}(shape: torch.Size{numbers}) -> Tensor:",
        f'{INDENT}"""Gives what a weight of a shape starts at."""',
        *(INDENT + line for line in row.torch.format(*names).splitlines()),
    ]


def reset_method(draft: Draft) -> list[str]:
    """Writes the method that draws the weights.

    Raises:
        ConfigError: A weight starts in a way that has no torch alone.
    """
    lines: list[str] = []
    program, scheme = draft.program, draft.portable.scheme
    by_name = {i.parameter: i for i in draft.cell.inits}
    unsaid = [n for n in program.parameters() if n not in by_name]
    biases = [n for n in unsaid if n in program.biases]
    if len(unsaid) > len(biases):
        before, each = DRAWN[scheme.distribution]
        units = draft.sizes["units"]
        said = before.format(format_number(scheme.scale), units)
        lines += [said.replace(" 1 * ", " "), "for weight in self.parameters():"]
        each = tuple(line.format("", units) for line in each)
        vectors = [n for n in unsaid if len(program.axes_of(n)) == 1]
        if biases and biases == vectors:
            each = ("nn.init.zeros_(weight)", "if weight.dim() > 1:", *(INDENT + s for s in each))
            biases = []
        lines += [INDENT + line for line in each]
    lines += for_each(biases, f"nn.init.zeros_({_BY_NAME})")
    drawn: dict[str, list[str]] = {}
    for init in sorted(by_name.values(), key=lambda i: i.kind == NEGATED):  # copies come last
        if init.parameter in program.parameters():
            action = _drawn(draft, init, by_name.get(init.source))
            drawn.setdefault(action, []).append(init.parameter)
    for action, names in drawn.items():
        lines += for_each(names, action)
    head = definition(draft.own["reset_parameters"], ["self"], "None")
    return [f"{INDENT}@torch.no_grad()", *head, *(2 * INDENT + line for line in lines)]


def _drawn(draft: Draft, init: Init, of: Init | None) -> str:
    """Writes how the parameter called `name` starts, as `for_each` takes it."""
    weight = _BY_NAME
    if init.kind != NEGATED:
        row = INITIAL_VALUES[init.kind]
        if not row.torch:
            raise ConfigError(
                f"{init.parameter} starts at {init.kind}(...), which cannot be written in torch"
                " alone yet"
            )
        numbers = list(map(format_number, init.args))
        if init.kind in draft.starts:
            arguments = ", ".join([f"{weight}.shape", *numbers])
            return f"{weight}.copy_({init.kind}({arguments}))"
        return row.torch.format(*numbers, w=weight)
    if init.source in draft.program.parameters():
        return f"{weight}.copy_(-self.{init.source})"
    if of is None:
        return f"nn.init.zeros_({weight})"
    return f"{_drawn(draft, Init(init.parameter, of.kind, of.args), None)}\n{weight}.neg_()"


def for_each(names: Iterable[str], action: str) -> list[str]:
    """Writes a loop over names of parameters; of many, several loops.

    Args:
        names: The names.
        action: What is done with each: lines that read `self.get_parameter(name)`.
    """
    names, room = list(names), WIDTH - 2 * len(INDENT)
    if len(names) == 1:
        return _with(action, f"self.{names[0]}", depth=2)
    loop = f"for name in [{', '.join(map(literal, names))}]:"
    loops = [[loop]]
    if len(loop) > room:
        said = chunks(names, room - len('names = ""'))
        loops = [[f"names = {literal(chunk)}", "for name in names.split():"] for chunk in said]
    inner = [INDENT + line for line in _with(action, _BY_NAME, depth=3)]
    return [line for loop in loops if names for line in (*loop, *inner)]


def _with(action: str, weight: str, *, depth: int) -> list[str]:
    """Writes what is done with a parameter, which gets a name where a line would be too long."""
    lines = action.replace(_BY_NAME, weight).splitlines()
    if all(len(line) <= WIDTH - depth * len(INDENT) for line in lines):
        return lines
    return [f"weight = {weight}", *action.replace(_BY_NAME, "weight").splitlines()]
