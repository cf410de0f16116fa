"""One step of any recurrent module, in one form: what all measurements are made on.

Shapes: P members, L layers, B batch rows, T steps, I input, H units, K covectors side by side,
N numbers in a whole state (all states, layers and units). A state tensor is (P, L, B, H).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from odyssey.compiler import RNN
from odyssey.compiler.backends.base import State
from odyssey.errors import ConfigError

StepFunction = Callable[[Tensor, State], tuple[Tensor, State]]


@dataclass(frozen=True)
class RecurrentStep:
    """A recurrent module as a function of one step, in float64.

    `as_recurrence` makes one of every recurrent module of torch.nn and of `odyssey.RNN`; for a
    module of your own, write the step.

    Attributes:
        name: What it is called in frames.
        states: Name of each state.
        sizes: Units H of each state.
        step: `(x, state) -> (output, state)` of one time step: x (P, B, I) floats or (P, B) int64,
            states (P, L, B, H), output (P, B, H). Batch rows must not see each other.
        output: The state whose last layer is the output, or "" if the output is no state.
        num_layers: L.
        population: P, or None for a module whose tensors do not lead with P.
        batch_first: Whether sequences are (B, T, .) rather than (T, B, .).
        module: The module, where there is one.
        start: Gives the state before the first step for so many rows, where it is not zero.
        device: Where it computes; a sequence is moved there.
    """

    name: str
    states: tuple[str, ...]
    sizes: tuple[int, ...]
    step: StepFunction
    output: str = ""
    num_layers: int = 1
    population: int | None = None
    batch_first: bool = False
    module: nn.Module | None = field(default=None, repr=False)
    start: Callable[[int], State] | None = field(default=None, repr=False)
    device: torch.device = field(default=torch.device("cpu"), repr=False)

    def __post_init__(self) -> None:
        if not self.states:
            raise ConfigError(
                f"{self.name} has no recurrence: no state goes from step to step, so there is no"
                " gradient through time"
            )

    @property
    def members(self) -> int:
        """P, 1 for a plain module."""
        return self.population or 1

    @property
    def numbers(self) -> int:
        """N: how many numbers a state has in all."""
        return self.num_layers * sum(self.sizes)

    def parts(self) -> list[str]:
        """Names the states of each layer: `h`, or `h.0`, `h.1` where there are layers."""
        if self.num_layers == 1:
            return list(self.states)
        return [f"{s}.{layer}" for s in self.states for layer in range(self.num_layers)]

    def start_state(self, rows: int) -> State:
        """Gives the state before the first step, (P, L, B, H) a state."""
        if self.start is not None:
            return self.start(rows)
        return tuple(
            torch.zeros(
                self.members, self.num_layers, rows, h, dtype=torch.float64, device=self.device
            )
            for h in self.sizes
        )

    def time_steps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cuts a sequence into steps of (P, B, I) or (P, B).

        Raises:
            ConfigError: x has another shape, or no step.
        """
        lead = 0 if self.population is None else 1
        axes = ("P, " if lead else "") + ("B, T" if self.batch_first else "T, B")
        expected = lead + (3 if x.is_floating_point() else 2)
        if x.dim() != expected or (lead and x.shape[0] != self.population):
            raise ConfigError(
                f"{self.name}: expected x of shape ({axes}, I) or int64 ({axes}),"
                f" got {tuple(x.shape)}"
            )
        if x.numel() == 0:
            raise ConfigError(f"{self.name}: zero steps or rows in x of shape {tuple(x.shape)}")
        x = x.to(self.device)
        x = x.double() if x.is_floating_point() else x
        x = x if lead else x.unsqueeze(0)
        return x.unbind(2 if self.batch_first else 1)


def join(state: Sequence[Tensor]) -> Tensor:
    """Writes a state as one vector a row: (P, B, N), states in order, layers within a state."""
    return torch.cat([s.transpose(1, 2).flatten(2) for s in state], -1)


def separate(vector: Tensor, recurrence: RecurrentStep) -> State:
    """Undoes `join`: (P, B, N) to one (P, L, B, H) tensor a state."""
    layers = recurrence.num_layers
    parts = torch.split(vector, [layers * h for h in recurrence.sizes], -1)
    return tuple(
        p.reshape(*p.shape[:-1], layers, h).transpose(1, 2)
        for p, h in zip(parts, recurrence.sizes, strict=True)
    )


def as_recurrence(module: nn.Module | RecurrentStep, *, name: str = "") -> RecurrentStep:
    """Gives the step of a module, on a float64 copy of it in evaluation mode.

    Args:
        module: `odyssey.RNN`; `torch.nn.RNN`, `LSTM`, `GRU` (in one direction) or one of their
            cells, whose input then is a sequence (T, B, I); or a `RecurrentStep`, which is kept.
        name: What to call it; by default the cell's or the class's name.

    Raises:
        ConfigError: It is none of these, or it has no recurrence.
    """
    if isinstance(module, RecurrentStep):
        return module
    if isinstance(module, RNN):
        return _of_odyssey(module, name)
    if isinstance(module, nn.RNNBase):
        return _of_layers(module, name)
    if isinstance(module, nn.RNNCellBase):
        return _of_cell(module, name)
    raise ConfigError(
        f"no recurrent module: {type(module).__name__}; give an odyssey.RNN, a torch.nn RNN, LSTM,"
        " GRU or cell, or a RecurrentStep with a step of your own"
    )


def require_one_direction(module: RNN | nn.RNNBase) -> None:
    """Checks that a module reads time in one direction.

    Raises:
        ConfigError: It is bidirectional.
    """
    if module.bidirectional:
        raise ConfigError(
            "a bidirectional module has no single direction of time: measure one of its directions"
        )


def in_float64(rnn: RNN, *, members: int | None = None) -> RNN:
    """Copies an `odyssey.RNN`, or its first members, into float64 and the reference backend."""
    require_one_direction(rnn)
    population = members if members is not None else rnn.population
    sizes = rnn.hidden_sizes[:population] if population is not None else rnn.hidden_size
    twin = RNN(
        rnn.cell,
        rnn.input_size,
        sizes,
        rnn.num_layers,
        population=population,
        backend="eager",
        batch_first=rnn.batch_first,
        device=rnn.like.device,
        dtype=torch.float64,
    )
    state = rnn.state_dict()
    twin.load_state_dict({k: v[:members] if members is not None else v for k, v in state.items()})
    return twin.requires_grad_(False).eval()


def _of_odyssey(module: RNN, name: str) -> RecurrentStep:
    rnn = in_float64(module)
    rnn.batch_first = False
    alone = rnn.population is None

    def step(x: Tensor, state: State) -> tuple[Tensor, State]:
        if alone:
            output, new = rnn(x, tuple(s[0] for s in state))
            return output, tuple(s.unsqueeze(0) for s in new)
        output, new = rnn(x.unsqueeze(1), state)
        return output[:, 0], new

    def start(rows: int) -> State:
        first = rnn.start_state(rows)
        return tuple(s.unsqueeze(0) for s in first) if alone else first

    cell = rnn.cell
    return RecurrentStep(
        name=name or cell.name,
        states=cell.states,
        sizes=tuple(shape[-1] for shape in rnn.state_shapes(None)),
        step=step,
        start=start if rnn.program.starts else None,
        output=cell.output if cell.output in cell.states else "",
        num_layers=rnn.num_layers,
        population=rnn.population,
        batch_first=module.batch_first,
        module=rnn,
        device=rnn.like.device,
    )


def _of_layers(module: nn.RNNBase, name: str) -> RecurrentStep:
    require_one_direction(module)
    twin = copy.deepcopy(module).double().requires_grad_(False).eval()
    twin.batch_first = False
    gated = isinstance(module, nn.LSTM)

    def step(x: Tensor, state: State) -> tuple[Tensor, State]:
        output, new = twin(x, tuple(s[0] for s in state) if gated else state[0][0])
        return output, tuple(s.unsqueeze(0) for s in (new if gated else (new,)))

    hidden = module.proj_size or module.hidden_size
    return RecurrentStep(
        name=name or f"nn.{type(module).__name__}",
        states=("h", "c") if gated else ("h",),
        sizes=(hidden, module.hidden_size) if gated else (hidden,),
        step=step,
        output="h",
        num_layers=module.num_layers,
        batch_first=module.batch_first,
        module=twin,
        device=next(twin.parameters()).device,
    )


def _of_cell(module: nn.RNNCellBase, name: str) -> RecurrentStep:
    twin = copy.deepcopy(module).double().requires_grad_(False).eval()
    gated = isinstance(module, nn.LSTMCell)

    def step(x: Tensor, state: State) -> tuple[Tensor, State]:
        new = twin(x[0], tuple(s[0, 0] for s in state) if gated else state[0][0, 0])
        new = new if gated else (new,)
        return new[0].unsqueeze(0), tuple(s[None, None] for s in new)

    return RecurrentStep(
        name=name or f"nn.{type(module).__name__}",
        states=("h", "c") if gated else ("h",),
        sizes=(module.hidden_size,) * (2 if gated else 1),
        step=step,
        output="h",
        module=twin,
        device=next(twin.parameters()).device,
    )


class Trajectory:
    """The states a sequence passes through, and gradients pulled back along them.

    Args:
        recurrence: The module.
        x: Its input, as it takes it.
        start: The state before the first step, (P, L, B, H) a state (L, B, H for a module without
            population); zeros if None.

    Raises:
        ConfigError: Shapes do not fit.
    """

    @torch.no_grad()
    def __init__(self, recurrence: RecurrentStep, x: Tensor, start: State | None = None) -> None:
        self.recurrence = recurrence
        self.x = recurrence.time_steps(x)
        self.rows = self.x[0].shape[1]
        state = recurrence.start_state(self.rows) if start is None else self._checked(start)
        self.states = [state]
        self.outputs: list[Tensor] = []
        for x_t in self.x:
            output, state = recurrence.step(x_t, state)
            self.outputs.append(output)
            self.states.append(state)

    def __len__(self) -> int:
        return len(self.x)

    def _checked(self, start: State) -> State:
        alone = self.recurrence.population is None
        start = tuple(s.to(self.recurrence.device).double() for s in start)
        start = tuple(s.unsqueeze(0) if alone else s for s in start)
        expected = [tuple(s.shape) for s in self.recurrence.start_state(self.rows)]
        if [tuple(s.shape) for s in start] != expected:
            shapes = ", ".join(str(e[1:] if alone else e) for e in expected)
            raise ConfigError(f"{self.recurrence.name}: expected a start of shape {shapes}")
        return start

    def pull(self, t: int, later: State | None, output: Tensor | None = None) -> State:
        """Pulls gradients back through step t, from 0; see `pull`."""
        return pull(self.recurrence, self.x[t], self.states[t], later, output)


def pull(
    recurrence: RecurrentStep,
    x_t: Tensor,
    before: State,
    later: State | None,
    output: Tensor | None = None,
) -> State:
    """Pulls gradients back through one step: from the state after it to the state before it.

    Args:
        recurrence: The module.
        x_t: The step's input, (P, B, I) or (P, B).
        before: The state before the step, (P, L, B, H) a state.
        later: Gradient with respect to the state after the step, (P, L, K * B, H) a state: K
            covectors of all rows, one after the other. None for none.
        output: Gradient with respect to the step's output, (P, K * B, H), or None.

    Returns:
        The gradient with respect to the state before the step, (P, L, K * B, H) a state: the
        transposed one-step Jacobian times what came in.
    """
    given = output if later is None else later[0]
    assert given is not None
    copies = given.shape[-2] // x_t.shape[1]
    with torch.enable_grad():
        start = tuple(torch.cat([s] * copies, 2).requires_grad_() for s in before)
        out, after = recurrence.step(torch.cat([x_t] * copies, 1), start)
        pairs = [] if output is None else [(out, output)]
        pairs += [] if later is None else list(zip(after, later, strict=True))
        live = [(value, g) for value, g in pairs if value.requires_grad]
        if not live:  # nothing of this step depends on the state
            return tuple(torch.zeros_like(s) for s in start)
        found = torch.autograd.grad(
            [value for value, _ in live], start, [g for _, g in live], allow_unused=True
        )
    return tuple(torch.zeros_like(s) if f is None else f for s, f in zip(start, found, strict=True))


def trace(
    module: nn.Module | RecurrentStep, x: Tensor, *, start: State | None = None, name: str = ""
) -> Trajectory:
    """Runs a module over a sequence and keeps the states, in float64: where measuring begins.

    Args:
        module: What `as_recurrence` takes.
        x: Its input, as it takes it: (T, B, I) floats or (T, B) int64 indices, with a population
            (P, T, B, .); any float type.
        start: The state before the first step as the module takes it, one tensor a state; zeros
            if None.
        name: What the module is called in frames.

    Raises:
        ConfigError: The module has no recurrence, or shapes do not fit.
    """
    return Trajectory(as_recurrence(module, name=name), x, start)
