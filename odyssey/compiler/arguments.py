"""What a layer takes: the checks that are the same on every backend, and their words.

They read types, shapes, strides and devices, never values, so that they also hold for tensors that
have none (`torch.compile`, `torch.export`, fake tensors).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.utils.rnn import PackedSequence

from odyssey.errors import CellError, ConfigError


def describe(value: object) -> str:
    """Describes what was given in a few words: a tensor by type, shape and device."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.is_nested:
        return "a nested tensor"
    layout = "" if value.layout == torch.strided else f", {value.layout}"
    return f"{value.dtype} {tuple(value.shape)} on {value.device}{layout}"


def fits(value: object, *, dtype: torch.dtype, device: torch.device, shape: Sequence[int]) -> bool:
    """Says whether a value is a dense tensor of a type, device and shape."""
    return (
        isinstance(value, Tensor)
        and not value.is_nested
        and value.layout == torch.strided
        and value.dtype == dtype
        and value.device == device
        and tuple(value.shape) == tuple(shape)
    )


def require(
    value: object, what: str, *, dtype: torch.dtype, device: torch.device, shape: Sequence[int]
) -> None:
    """Checks that a value is a dense tensor of a type, device and shape.

    Args:
        value: What was given.
        what: What it is, for the message.
        dtype: Its type.
        device: Where it must be.
        shape: Its shape.

    Raises:
        ConfigError: It is not; the message says what was given and what was expected.
    """
    if fits(value, dtype=dtype, device=device, shape=shape):
        return
    hint = ""
    if isinstance(value, Tensor) and not value.is_nested:
        if value.layout != torch.strided:
            hint = "; call .to_dense()"
        elif value.dtype != dtype or value.device != device:
            hint = f"; call .to({str(device)!r}, {dtype})"
    raise ConfigError(
        f"expected {what} as a tensor, {dtype} {tuple(shape)} on {device},"
        f" got {describe(value)}{hint}"
    )


def require_weights(
    weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], like: Tensor, *, layer: str
) -> None:
    """Checks the parameters of a layer, which others may have put there.

    Raises:
        ConfigError: One is missing or does not fit the cell or the other parameters.
    """
    for name, shape in shapes.items():
        value = weights[name]
        if not fits(value, dtype=like.dtype, device=like.device, shape=shape):
            what = f"parameter {layer}.{name}"
            require(value, what, dtype=like.dtype, device=like.device, shape=shape)


@dataclass(frozen=True)
class InputForm:
    """What the input of a module may look like.

    Attributes:
        choices: Axes between members and features, such as (T, B), or (T,) without a batch.
        lead: (P,) with a population, else empty.
        input_size: I.
    """

    choices: tuple[tuple[str, ...], ...]
    lead: tuple[int, ...]
    input_size: int

    def axes(self, x: object) -> tuple[str, ...] | None:
        """Gives which of the choices an input is by its number of axes; None if it is none."""
        if not isinstance(x, Tensor) or x.is_nested:
            return None
        count = x.dim() - len(self.lead) - (1 if x.is_floating_point() else 0)
        return next((axes for axes in self.choices if len(axes) == count), None)

    def named(self, axes: tuple[str, ...], *last: str) -> str:
        """Writes a shape: `(P, T, B, 3)`."""
        return f"({', '.join((*('P' for _ in self.lead), *axes, *last))})"

    def __str__(self) -> str:
        dense = " or ".join(self.named(axes, str(self.input_size)) for axes in self.choices)
        return f"{dense}, or int64 {' or '.join(map(self.named, self.choices))}"


def require_input(x: object, form: InputForm, like: Tensor) -> Tensor:
    """Checks the input of the first layer.

    Args:
        x: What was given.
        form: What is expected.
        like: A tensor of the type and device that is expected.

    Raises:
        ConfigError: It is not such a tensor.
    """
    if not isinstance(x, Tensor):
        raise ConfigError(f"expected x as a tensor, got {describe(x)}")
    if x.is_nested or x.layout != torch.strided:
        raise ConfigError(f"expected x as a plain dense tensor, got {describe(x)}")
    dense, lead = x.is_floating_point(), form.lead
    members = not lead or x.dim() == 0 or x.shape[0] == lead[0]
    axes = form.axes(x)
    if axes is None or not members:
        raise ConfigError(
            f"expected x of shape {form}, got {tuple(x.shape)}"
            + (f" with P = {lead[0]}" if lead else "")
        )
    if dense and x.shape[-1] != form.input_size:
        raise ConfigError(
            f"expected inputs of size {form.input_size}, got {x.shape[-1]}: floats of shape"
            f" {tuple(x.shape)} are read as {form.named(axes, 'I')}"
        )
    if x.dtype != (like.dtype if dense else torch.int64):
        hint = f"; call x.to({like.dtype})" if dense else ""
        raise ConfigError(f"expected x of type {like.dtype} or torch.int64, got {x.dtype}{hint}")
    if x.device != like.device:
        raise ConfigError(f"expected x on {like.device}, where the parameters are; got {x.device}")
    if x.numel() == 0:
        raise ConfigError(f"x is empty: {tuple(x.shape)}")
    return x


def require_state(
    state: object, names: Sequence[str], shapes: Sequence[tuple[int, ...]], like: Tensor
) -> tuple[Tensor, ...]:
    """Checks the state before the first step: one tensor a state, in a tuple or list.

    Raises:
        ConfigError: It is not.
    """
    of = " and ".join(map(str, dict.fromkeys(shapes)))
    expected = f"expected {len(names)} state tensors ({', '.join(names) or 'none'}) of shape {of}"
    if not isinstance(state, tuple | list):
        inside = f"({', '.join(names)}{',' if len(names) == 1 else ''})"
        raise ConfigError(f"{expected} in a tuple, got {describe(state)}; write {inside}")
    wrong = any(not isinstance(s, Tensor) or s.is_nested for s in state)
    if (
        len(state) != len(names)
        or wrong
        or any(tuple(s.shape) != shape for s, shape in zip(state, shapes, strict=True))
    ):
        given = [describe(s) if wrong else str(tuple(s.shape)) for s in state]
        raise ConfigError(f"{expected}, got {', '.join(given) or 'none'}")
    for name, value, shape in zip(names, state, shapes, strict=True):
        require(value, f"state {name}", dtype=like.dtype, device=like.device, shape=shape)
    return tuple(state)


def require_further_inputs(
    inputs: object, sizes: Mapping[str, int], steps: Sequence[int], like: Tensor, *, cell: str
) -> dict[str, Tensor]:
    """Checks the further inputs of a cell.

    Args:
        inputs: What was given, name -> tensor, or None.
        sizes: Name -> how many numbers it has at a step.
        steps: The axes before that, which are those of x.
        like: A tensor of the type and device that is expected.
        cell: Name of the cell, for the message.

    Raises:
        ConfigError: One is missing, or not such a tensor, or the cell has none of that name.
    """
    given = {} if inputs is None else inputs
    if not isinstance(given, Mapping):
        raise ConfigError(f"expected inputs as a dict of tensors by name, got {describe(given)}")
    names = ", ".join(sizes) or "none"
    for name in given:
        if name not in sizes:
            raise ConfigError(
                f"{cell} has no further input {str(name)[:40]!r} (further inputs: {names})"
            )
    missing = [name for name in sizes if name not in given]
    if missing:
        call = ", ".join(f'"{name}": ...' for name in sizes)
        raise ConfigError(
            f"{cell} reads further inputs, and {', '.join(missing)} was not given: call it with"
            f" inputs={{{call}}}"
        )
    for name, size in sizes.items():
        shape = (*steps, size)
        require(given[name], f"input {name}", dtype=like.dtype, device=like.device, shape=shape)
    return dict(given)


def require_options(
    *, dropout: object, num_layers: int, population: int | None, bias: object, proj_size: object
) -> float:
    """Checks what `torch.nn.LSTM` takes and a cell may not have; gives the dropout.

    Raises:
        ConfigError: The dropout is no probability, or there is a population.
        CellError: Biases or a projection are asked for that only equations can have.
    """
    number = isinstance(dropout, int | float) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:  # type: ignore[operator]
        raise ConfigError(f"dropout must be a probability from 0 to 1, got {dropout!r}")
    if dropout and population is not None:
        raise ConfigError(
            "dropout in a population would tie each member to its place: set rnn.between_layers to"
            " a function that draws for each member, or train with the hyperparameter dropout"
        )
    if bias is not True:
        raise CellError(
            "a cell's equations say where biases are: take them out, as"
            " odyssey.get_cell('lstm:no_bias') does, rather than bias=False"
        )
    if proj_size:
        raise CellError(
            "a projection is part of a cell: rather than proj_size, write one whose output is"
            " P @ (o * tanh(c[t]))"
        )
    if dropout and num_layers == 1:
        warnings.warn(
            f"dropout={dropout} acts between layers, and with num_layers=1 there is no between",
            stacklevel=3,
        )
    return float(dropout)  # type: ignore[arg-type]


def require_memory(tensors: Iterable[Tensor]) -> None:
    """Checks that tensors have the memory that their shapes speak of: torch does not.

    Raises:
        ConfigError: The storage of one was freed or cut.
    """
    for tensor in tensors:
        storage = tensor.untyped_storage().nbytes()
        whole = (tensor.storage_offset() + tensor.numel()) * tensor.element_size()
        if storage >= whole and tensor.is_contiguous():
            continue
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        last = tensor.storage_offset() + sum((n - 1) * step for n, step in steps)
        if (last + 1) * tensor.element_size() > storage:
            raise ConfigError(
                f"the storage of a tensor was freed or cut: {describe(tensor)} has {storage} bytes"
            )


def require_classes(x: Tensor, classes: int) -> None:
    """Checks that class indices are classes; it reads their values.

    Raises:
        ConfigError: One is not.
    """
    low, high = (int(bound) for bound in torch.aminmax(x))
    if not 0 <= low <= high < classes:
        raise ConfigError(f"class indices must be 0 to {classes - 1}, got {low} to {high}")


def has_values(x: Tensor) -> bool:
    """Says whether a tensor's values can be read without leaving what watches its operations:
    a compiler, a tracer, a transform of `torch.func`, a dispatch mode, or a device without values.
    """
    return not (
        torch.compiler.is_compiling()
        or x.is_meta
        or isinstance(x, FakeTensor)
        or tracing()
        or transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
    )


def tracing() -> bool:
    """Says whether `torch.jit.trace` is at work, for which sizes are tensors."""
    return torch._C._get_tracing_state() is not None


def transforms_active() -> bool:
    """Says whether a transform of `torch.func`, such as `vmap`, or forward-mode AD is at work."""
    return (
        torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
    )


def autocasting(device: torch.device) -> bool:
    """Says whether `torch.autocast` changes the types of operations on a device."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


CAST = (torch.float16, torch.bfloat16, torch.float32)


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Gives what autocast may have made of another type in the type of the parameters.

    Tensors of `CAST` change, also those of a packed sequence, of a state and of further inputs; all
    else is kept.
    """
    if isinstance(value, PackedSequence):
        return value.to(dtype) if value.data.dtype in CAST else value
    if isinstance(value, Mapping):
        return {name: cast(v, dtype) for name, v in value.items()}
    if isinstance(value, tuple | list):
        return tuple(cast(v, dtype) for v in value)
    return value.to(dtype) if isinstance(value, Tensor) and value.dtype in CAST else value
