"""Hostile calls of `RNN`: a module, and arguments of which one or more were tampered with.

`draw(seed)` gives a call; `attempt(call, backend)` makes it and gives what came of it; `judge`
compares what the backends made of it, and, where the tampering left the values as they were, what
eager makes of plain copies. `in_a_child` makes an attempt in a process that may crash.
"""

from __future__ import annotations

import os
import pickle
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import odyssey
from odyssey.compiler.lowering import lower
from odyssey.errors import OdysseyError

SPECS = ("lstm", "gru", "elman", "elman_relu", "lstm_peephole", "gru_torch", "mut1", "lstm:FGR")
# declared sizes, reductions, transposes, properties, constants; of each, the last state is computed
# from weights, for to torch one that only hands on the input has no gradient to tamper with
WIDE_SPECS = (
    *("lstmp", "lstmp:C=H/2", "fastgrnn_lowrank", "ln_gru", "on_lstm", "lipschitz_rnn"),
    *("antisymmetric", "scornn", "esn", "lsnn", "cornn"),
)


class Tagged(Tensor):
    """A tensor of a class of its own."""


def _spread(t: Tensor) -> Tensor:
    wide = torch.zeros(*(2 * n for n in t.shape), dtype=t.dtype)
    inside = wide[tuple(slice(1, None, 2) for _ in t.shape)]
    return inside.copy_(t)


def _late(t: Tensor) -> Tensor:
    whole = torch.zeros(t.numel() + 3, dtype=t.dtype)
    whole[3:] = t.flatten()
    return whole[3:].view(t.shape)


def _turned(t: Tensor) -> Tensor:
    return t.transpose(0, -1).contiguous().transpose(0, -1)


def _freed(t: Tensor) -> Tensor:
    t = t.clone()
    t.untyped_storage().resize_(0)
    return t


def _cut(t: Tensor) -> Tensor:
    t = t.clone()
    t.untyped_storage().resize_(t.element_size())
    return t


def _negative(t: Tensor) -> Tensor:
    return torch._neg_view(-t) if t.is_floating_point() else t


def _fake(t: Tensor) -> Tensor:
    from torch._subclasses import FakeTensorMode

    return FakeTensorMode().from_tensor(t)


def _inference(t: Tensor) -> Tensor:
    with torch.inference_mode():
        return t.clone()


KEEPING: dict[str, Callable[[Tensor], Any]] = {
    "every other number": _spread,
    "not aligned": _late,
    "transposed": _turned,
    "a negative view": _negative,
    "a conjugate view": lambda t: t.conj(),
    "a class of its own": lambda t: t.as_subclass(Tagged),
    "made in inference mode": _inference,
    "wants a gradient": lambda t: t.clone().requires_grad_() if t.is_floating_point() else t,
    "shared memory": lambda t: t.clone().share_memory_(),
    "a numpy array's": lambda t: torch.from_numpy(t.numpy().copy()),
    "channels last": lambda t: t.to(memory_format=torch.channels_last) if t.dim() == 4 else t,
}
"""What leaves the values as they are."""

CHANGING: dict[str, Callable[[Tensor], Any]] = {
    "one row for all": lambda t: t[..., :1, :].expand_as(t) if t.dim() > 1 else t[:1].expand_as(t),
    "one number for all": lambda t: t.flatten()[0].expand(t.shape),
    "NaN": lambda t: torch.full_like(t, torch.nan) if t.is_floating_point() else t,
    "infinity": lambda t: torch.full_like(t, torch.inf) if t.is_floating_point() else t,
    "large": lambda t: t * 1e30 if t.is_floating_point() else t,
}
"""What is another value, and legal."""

BREAKING: dict[str, Callable[[Tensor], Any]] = {
    **{
        str(dtype): (lambda t, dtype=dtype: t.to(dtype))
        for dtype in (
            *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64),
            *(torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool),
        )
    },
    "meta": lambda t: t.to("meta"),
    "fake": _fake,
    "sparse": lambda t: t.to_sparse(),
    "freed": _freed,
    "cut": _cut,
    "nested": lambda t: torch.nested.nested_tensor([t, t]),
    "one axis less": lambda t: t[0],
    "one axis more": lambda t: t.unsqueeze(0),
    "one row less": lambda t: t[..., :-1],
    "one row more": lambda t: torch.cat([t, t[..., :1]], -1),
    "one step less": lambda t: t[:-1],
    "empty": lambda t: t[:0],
    "no number": lambda t: t[..., :0],
    "a number": lambda t: t.flatten()[0],
    "axes turned": lambda t: t.transpose(0, -1),
    "flat": lambda t: t.flatten(),
    "huge strides": lambda t: t.flatten()[:1].as_strided(t.shape, [0] * t.dim()),
    "numpy": lambda t: t.numpy(),
    "a list": lambda t: t.tolist(),
    "None": lambda t: None,
    "text": lambda t: "x",
    "a tuple": lambda t: (t, t),
    "packed": lambda t: pack_padded_sequence(t, [t.shape[0]] * t.shape[1]),
    "negative": lambda t: -t - 1,
    "beyond": lambda t: t + 2**40 if not t.is_floating_point() else t + 1,
}
TAMPERINGS = KEEPING | CHANGING | BREAKING


@dataclass
class Call:
    """A call: sizes, and what was done to which argument."""

    seed: int
    spec: str
    dtype: torch.dtype
    layers: int
    population: int | None
    sizes: tuple[int, int, int, int]
    ragged: bool
    classes: bool
    batch_first: bool
    given_state: bool
    grad: bool
    weights_by: str
    tampered: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        done = ", ".join(f"{what}: {how}" for what, how in self.tampered)
        kind = f"{self.spec} {self.dtype} L={self.layers} P={self.population} {self.sizes}"
        return f"#{self.seed} {kind} ragged={self.ragged} classes={self.classes}: {done}"

    @property
    def keeps_values(self) -> bool:
        """Whether plain copies of the arguments have the same values."""
        return all(how in KEEPING for _, how in self.tampered)


def draw(seed: int, specs: Sequence[str] = SPECS) -> Call:
    """Draws a call of a cell among those."""
    rng = np.random.default_rng(seed)

    def chance(p: float) -> bool:
        return bool(rng.random() < p)

    call = Call(
        seed=seed,
        spec=str(rng.choice(specs)),
        dtype=torch.float64 if chance(0.4) else torch.float32,
        layers=int(rng.integers(1, 3)),
        population=2 if chance(0.4) else None,
        sizes=(int(rng.integers(2, 5)), *(int(n) for n in rng.integers(2, 4, 2)), 5),
        ragged=chance(0.3),
        classes=chance(0.35),
        batch_first=chance(0.2),
        given_state=chance(0.8),
        grad=chance(0.7),
        weights_by=str(rng.choice(["parameter", "data", "functional_call"])),
    )
    places = ["x", "weight", *(["state"] if call.given_state else [])]
    places += ["gradient", "final gradient"] if call.grad else []
    names = list(TAMPERINGS)
    for _ in range(1 if chance(0.8) else 2):
        group = KEEPING if chance(0.3) else TAMPERINGS
        how = str(rng.choice(list(group) if group is KEEPING else names))
        place = str(rng.choice(places))
        if "gradient" in place and how in ("freed", "cut"):
            continue  # torch itself reads it, and crashes, before it comes to a backend
        if any(what == place and done in ("freed", "cut") for what, done in call.tampered):
            continue  # to do anything with it would read what is not there
        call.tampered.append((place, how))
    return call


class _Attempt:
    """One call on one backend."""

    def __init__(self, call: Call, backend: str, *, plain: bool) -> None:
        self.call, self.plain = call, plain
        torch.manual_seed(call.seed)
        hidden: Any = 6
        if call.ragged and call.population:
            hidden = [6, 3]
        cell = odyssey.get_cell(call.spec)
        square = lower(cell).square
        self.model = odyssey.RNN(
            cell,
            6 if square else call.sizes[3],
            hidden,
            call.layers,
            population=call.population,
            backend=backend,
            batch_first=call.batch_first,
            dtype=call.dtype,
        )

    def tamper(self, what: str, tensor: Tensor) -> Any:
        for place, how in self.call.tampered:
            if place == what:
                tensor = TAMPERINGS[how](tensor)
                if self.plain and isinstance(tensor, Tensor):
                    own = tensor.requires_grad
                    tensor = tensor.detach().as_subclass(Tensor).clone().resolve_neg().contiguous()
                    tensor.requires_grad_(own)
        return tensor

    def weights(self) -> dict[str, Any]:
        """Puts the tampered weights in, or gives them for `functional_call`."""
        call, layer = self.call, self.model.layers[-1]
        names = list(layer)
        name = names[call.seed % len(names)]
        if not any(place == "weight" for place, _ in call.tampered):
            return {}
        new = self.tamper("weight", layer[name].detach().clone())
        if call.weights_by == "parameter":
            real = isinstance(new, Tensor) and (new.is_floating_point() or new.is_complex())
            own = new.requires_grad if isinstance(new, Tensor) else False
            layer[name] = new if own or not real else nn.Parameter(new)
        elif call.weights_by == "data":
            layer[name].data = new
        else:
            return {f"layers.{call.layers - 1}.{name}": new}
        return {}

    def run(self) -> list[np.ndarray]:
        call, model = self.call, self.model
        steps, batch, *_ = call.sizes
        lead = () if call.population is None else (call.population,)
        shape = (*lead, *((batch, steps) if call.batch_first else (steps, batch)))
        x = torch.randn(*shape, model.input_size, dtype=call.dtype)
        if call.classes:
            x = torch.randint(model.input_size, shape)
        state = [torch.randn_like(s) * 0.5 for s in model.start_state(batch)]
        other = self.weights()
        x = self.tamper("x", x)
        if call.given_state:
            state[-1] = self.tamper("state", state[-1])
        arguments = (x, tuple(state)) if call.given_state else (x,)
        with torch.set_grad_enabled(call.grad):
            if other:
                y, final = torch.func.functional_call(model, other, arguments)
            else:
                y, final = model(*arguments)
        found = [y, *final]
        if call.grad:
            outputs = [y, final[-1]]
            dy = self.tamper("gradient", torch.randn(y.shape, dtype=call.dtype))
            last = self.tamper("final gradient", torch.randn(final[-1].shape, dtype=call.dtype))
            leaves = [p for p in model.parameters() if isinstance(p, Tensor) and p.requires_grad]
            leaves += [t for t in (x, *state) if isinstance(t, Tensor) and t.requires_grad]
            gradients = torch.autograd.grad(outputs, leaves, [dy, last], allow_unused=True)
            found += [torch.zeros(0) if g is None else g for g in gradients[: len(leaves)]]
        return [_numbers(t) for t in found]


def _numbers(t: Tensor) -> np.ndarray:
    t = t.detach().as_subclass(Tensor).resolve_neg().resolve_conj()
    if t.is_meta or type(t).__name__ == "FakeTensor":
        return np.array(t.shape, dtype=np.int64)
    return (t if t.is_complex() else t.double()).numpy().copy()


@dataclass
class Outcome:
    """What came of an attempt: numbers, an error, or the signal that ended the process."""

    values: list[np.ndarray] | None = None
    error: str = ""
    message: str = ""
    ours: bool = False
    crash: str = ""

    @property
    def refused(self) -> bool:
        """Whether it ended in an exception."""
        return bool(self.error)


def attempt(call: Call, backend: str, *, plain: bool = False) -> Outcome:
    """Makes a call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Outcome(_Attempt(call, backend, plain=plain).run())
        except Exception as error:
            ours = isinstance(error, OdysseyError)
            return Outcome(None, type(error).__name__, str(error), ours)


def judge(call: Call, native: Outcome, eager: Outcome, plain: Outcome | None) -> str:
    """Says what is wrong with what came of a call, or nothing."""
    for name, outcome in (("native", native), ("eager", eager)):
        if outcome.crash:
            return f"crash on {name}: {outcome.crash}"
        if outcome.ours and "\n" in outcome.message:
            return f"{name}: an error of ours in more than one line: {outcome.message!r}"
    if native.refused != eager.refused:
        who, one = ("native", native) if native.refused else ("eager", eager)
        sparse = any("gradient" in what and how == "sparse" for what, how in call.tampered)
        if sparse and eager.error == "NotImplementedError":
            return ""  # some operations of torch know no sparse gradients; native makes them dense
        return f"only {who} refuses: {one.error}: {one.message.splitlines()[0][:200]}"
    if native.refused:
        fine = native.ours or native.error == eager.error
        return "" if fine else f"foreign refusal: {native.error}: {native.message[:300]}"
    wrong = _differ(call, native, eager)
    if wrong:
        return f"native is not eager: {wrong}"
    if plain is not None and plain.values is not None:
        wrong = _differ(call, native, plain)
        return f"native is not eager on plain copies: {wrong}" if wrong else ""
    return ""


def _differ(call: Call, one: Outcome, other: Outcome) -> str:
    assert one.values is not None
    assert other.values is not None
    if len(one.values) != len(other.values):
        return f"{len(one.values)} values for {len(other.values)}"
    wild = any(how in CHANGING for _, how in call.tampered)
    bound = 1e-9 if call.dtype == torch.float64 else 2e-3
    for k, (a, b) in enumerate(zip(one.values, other.values, strict=True)):
        if k and wild and not np.isfinite(other.values[0]).all():
            break  # gradients at NaN are anything: torch's relu hands them on, step(NaN) is 0
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"value {k} is {a.dtype} {a.shape} for {b.dtype} {b.shape}"
        finite = np.isfinite(a) & np.isfinite(b)
        if not wild and not (np.isfinite(a) == np.isfinite(b)).all():
            return f"value {k} is not finite"
        scale = max(1.0, float(np.abs(b[finite]).max(initial=0)))
        worst = float(np.abs(a[finite] - b[finite]).max(initial=0))
        if worst > bound * scale and not (wild and scale > 1e20):
            return f"value {k} differs by {worst:.3g} of {scale:.3g}"
    return ""


def in_a_child(make: Callable[[], Outcome]) -> Outcome:
    """Makes an attempt in a forked process, which may crash.

    One that does not end is made once more: a process forked from one with threads may lock up by
    no fault of what it runs.
    """
    found = _in_a_child(make, seconds=120)
    return _in_a_child(make, seconds=240) if found.crash.startswith("SIGALRM") else found


def _in_a_child(make: Callable[[], Outcome], *, seconds: int) -> Outcome:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(seconds)
        code = 1
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(make(), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or os.WEXITSTATUS(status):
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "an exit"
        return Outcome(crash=f"{ended} ({status})")
    found: Outcome = pickle.loads(data)
    return found


def warm(specs: Sequence[str] = SPECS) -> None:
    """Builds the code that calls use, so that children find it loaded."""
    _fake(torch.zeros(1))
    for spec in specs:
        for dtype in (torch.float32, torch.float64):
            cell = odyssey.get_cell(spec)
            size = 6
            for backend in ("native", "eager"):
                model = odyssey.RNN(cell, size, 6, backend=backend, dtype=dtype)
                x = torch.zeros(2, 2, size, dtype=dtype, requires_grad=True)
                model(x)[0].sum().backward()
