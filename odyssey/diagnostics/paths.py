"""Which term of the update carries the gradient: an exact split of dL/ds_t into routes.

A *route* is a place, or several in one equation, where the cell reads its previous state (see
`transforms/readings.py`): `f * c[t-1]`, the gates `i`, `f`, `o`, the candidate `g`. The one-step
Jacobian is a sum over routes, J = sum_r J_r, so a gradient pulled back through a step is a sum of
vectors, a = sum_r a_r, and the shares <a_r, a> / <a, a> sum to one.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from odyssey.compiler import RNN
from odyssey.compiler.backends.base import State
from odyssey.diagnostics.gradients import Adjoints
from odyssey.diagnostics.recurrence import RecurrentStep, as_recurrence, pull, separate
from odyssey.diagnostics.tidy import tidy
from odyssey.errors import ConfigError
from odyssey.transforms.readings import SplitCell, split_readings

MIXED = "mixed"
"""In the split by unbroken routes: gradient that has changed between routes on its way."""


def path_shares(adjoints: Adjoints) -> pd.DataFrame:
    """Splits every dL/ds_t into the routes that it came along.

    Two splits, each summing to one at every step. `step`: by the route through step t + 1 and by
    the state it came from (`h` for the way from h[t + 1], which in an LSTM passes the output gate
    first; `loss` where the loss reads no state). `unbroken`: gradient that has taken the same
    route in every step since the loss, and `mixed` for the rest; this is the split that says
    whether an additive path is a highway.

    A share is the projection <a_r, a> / <a, a>. It may be negative, or above 1, where routes
    cancel; `size` = |a_r| / |a| tells how much is hidden by that.

    Args:
        adjoints: Of `back_propagate` on an `odyssey.RNN`.

    Returns:
        Columns name, steps_back (from 1), member, row, split, route, direct (whether the route
        passes neither matrix nor function), origin, share, size; NaN where the gradient is 0.

    Raises:
        ConfigError: The module has no equations, that is, it is no `odyssey.RNN`.
    """
    recurrence = adjoints.trajectory.recurrence
    if not isinstance(recurrence.module, RNN):
        raise ConfigError(
            f"{recurrence.name}: routes are named by a cell's equations; give an odyssey.RNN"
        )
    split = split_readings(recurrence.module.cell)
    routes = list(dict.fromkeys(r.route for r in split.readings))
    direct = {r.route: r.direct for r in split.readings}
    splitter = _Splitter(adjoints, split, _twin(recurrence.module, split), routes)
    steps, unbroken = splitter.run()
    members, rows = adjoints.log_norm.shape[1:]
    axes = {
        "steps_back": range(1, len(adjoints.trajectory) + 1),
        "member": range(members),
        "row": range(rows),
    }
    origins = list(recurrence.states) + ([] if recurrence.output else ["loss"])
    by_step = tidy(
        {**axes, "origin": origins, "route": routes}, share=steps[..., 0], size=steps[..., 1]
    )
    by_step.insert(0, "split", "step")
    whole = tidy({**axes, "route": [*routes, MIXED]}, share=unbroken[..., 0], size=unbroken[..., 1])
    whole.insert(0, "split", "unbroken")
    whole["origin"] = "loss"
    frame = pd.concat([by_step, whole], ignore_index=True)
    frame.insert(0, "name", recurrence.name)
    frame["direct"] = [bool(direct.get(route, False)) for route in frame["route"]]
    columns = ["name", "steps_back", "member", "row", "split", "route", "direct", "origin"]
    return frame[[*columns, "share", "size"]]


def _twin(rnn: RNN, split: SplitCell) -> RecurrentStep:
    """Builds the module of the split cell with the weights of the original."""
    twin = RNN(
        split.cell,
        rnn.input_size,
        rnn.hidden_sizes if rnn.population is not None else rnn.hidden_size,
        rnn.num_layers,
        population=rnn.population,
        backend="eager",
        device=rnn.like.device,
        dtype=torch.float64,
    )
    twin.load_state_dict(rnn.state_dict())
    return as_recurrence(twin)


class _Splitter:
    """Pulls the parts of a gradient back along a trajectory, all in one batch.

    Shapes: P members, L layers, B rows, H units, R routes, O origins.
    """

    def __init__(
        self, adjoints: Adjoints, split: SplitCell, twin: RecurrentStep, routes: list[str]
    ) -> None:
        self.adjoints, self.split, self.twin, self.routes = adjoints, split, twin, routes
        self.recurrence = adjoints.trajectory.recurrence
        self.states = self.recurrence.states

    def run(self) -> tuple[Tensor, Tensor]:
        """Gives share and size by step, (T, P, B, O, R, 2), and unbroken, (T, P, B, R + 1, 2)."""
        adjoints, recurrence = self.adjoints, self.recurrence
        length = len(adjoints.trajectory)
        # what has gone along one route only, relative to a whole gradient of length 1
        kept = [separate(adjoints.direction[0], recurrence)] * len(self.routes)
        steps, unbroken = [], []
        for back in range(1, length + 1):
            later = separate(adjoints.direction[back - 1], recurrence)
            nothing = tuple(torch.zeros_like(s) for s in later)
            origins = [
                tuple(s if k == place else nothing[k] for k, s in enumerate(later))
                for place in range(len(later))
            ]
            pulled = self._pull(length - back, [*origins, *kept])
            origins, kept = pulled[: len(origins)], pulled[len(origins) :]
            growth = adjoints.log_norm[back] - adjoints.log_norm[back - 1]
            if not recurrence.output:
                origins.append(self._twin_of(nothing))
                if back == 1:  # the loss reads the output, and the output reads the state before
                    origins[-1:] = self._pull(length - 1, [nothing], loss=adjoints.injected)
                    kept = origins[-1:] * len(self.routes)
                    growth = adjoints.log_norm[back]
            now = separate(adjoints.direction[back], recurrence)
            by_origin = [
                torch.stack([_measure(self._route(p, r, growth), now) for r in self.routes], -2)
                for p in origins
            ]
            steps.append(torch.stack(by_origin, -3))
            kept = [self._route(p, r, growth) for p, r in zip(kept, self.routes, strict=True)]
            rest = tuple(n - sum(k[s] for k in kept) for s, n in enumerate(now))
            unbroken.append(torch.stack([_measure(part, now) for part in [*kept, rest]], -2))
        return torch.stack(steps), torch.stack(unbroken)

    def _pull(self, t: int, parts: list[State], loss: Tensor | None = None) -> list[State]:
        """Pulls covectors back through step t of the split cell: one gradient a reading."""
        trajectory = self.adjoints.trajectory
        before = self._twin_of(trajectory.states[t])
        joined = [torch.cat([p[s] for p in parts], 2) for s in range(len(self.states))]
        copies = self._twin_of(tuple(joined))[len(self.states) :]
        zeros = [torch.zeros_like(state) for state in copies]
        found = pull(self.twin, trajectory.x[t], before, (*joined, *zeros), loss)
        chunks = [torch.split(f, trajectory.rows, 2) for f in found]
        return [tuple(c[k] for c in chunks) for k in range(len(parts))]

    def _twin_of(self, state: State) -> State:
        """Writes a state as the split cell has it: every copy holds the same."""
        source = {r.copy: r.state for r in self.split.readings}
        return tuple(state[self.states.index(source.get(n, n))] for n in self.twin.states)

    def _route(self, part: State, route: str, growth: Tensor) -> State:
        """Sums the readings of one route, relative to the new length of the whole gradient."""
        factor = torch.where(torch.isfinite(growth), (-growth).exp(), 0.0)[:, None, :, None]
        total = [torch.zeros_like(part[self.twin.states.index(s)]) for s in self.states]
        for reading in self.split.readings:
            if reading.route == route:
                s = self.states.index(reading.state)
                total[s] = total[s] + part[self.twin.states.index(reading.copy)] * factor
        return tuple(total)


def _measure(part: State, whole: State) -> Tensor:
    """Gives share and size of a part, (P, B, 2); `whole` has length 1, or is 0: NaN then."""
    dot, square, length = whole[0].new_zeros(3, *whole[0].shape[::2])
    for p, w in zip(part, whole, strict=True):
        dot = dot + (p * w).sum((1, 3))
        square = square + p.square().sum((1, 3))
        length = length + w.square().sum((1, 3))
    found = torch.stack([dot, square.sqrt()], -1)
    return torch.where(length[..., None] > 0, found, torch.nan)
