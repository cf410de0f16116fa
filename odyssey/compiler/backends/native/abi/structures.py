"""Filling C structures: tensors, numbers and memory go in by name, and only as the table says.

A field that is unknown, missing or filled twice is an error of ours (an assertion); a tensor of
another type, device, shape or layout than its row says is an error of the caller's, and never gets
an address. Structures are arrays of 64-bit words, for all fields are pointers or `long`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import Tensor

from odyssey.compiler.arguments import require, require_memory
from odyssey.compiler.backends.native.abi.tables import Table, length
from odyssey.errors import ConfigError

CPU = torch.device("cpu")
Int64Array = ctypes.Array[ctypes.c_int64]


def dense(tensor: Tensor) -> Tensor:
    """Gives a tensor whose memory is as C reads it: row-major, with nothing left to be applied.

    Raises:
        ConfigError: It must be copied, and its storage was freed or cut.
    """
    if tensor.layout is not torch.strided or (tensor.is_contiguous() and not tensor.is_neg()):
        return tensor  # one that is not strided is refused where it goes in
    require_memory((tensor,))
    return tensor.resolve_neg().contiguous()


class Form:
    """A table for one kind of call and one set of lengths: what each field must be.

    Args:
        table: The fields.
        call: `f` or `b`.
        lengths: Values of the sizes.
        real: The type that `real` stands for.
        count: Structures, one after the other.
        spread: Whether there is one a member: then tensors lead with one entry each.
        indexed: See `Table.of`.
    """

    def __init__(
        self,
        table: Table,
        call: str,
        *,
        lengths: Mapping[str, int],
        real: torch.dtype,
        count: int = 1,
        spread: bool = False,
        indexed: frozenset[int] = frozenset(),
    ) -> None:
        self.columns = {name: k for k, name in enumerate(table.names)}
        self.count, self.lengths = count, lengths
        self.fields = table.of(call, indexed)
        lead = (count,) if spread else ()
        # of tensors: type, shape, bytes
        self.rows: dict[str, tuple[torch.dtype, tuple[int, ...], int]] = {}
        for name, field in self.fields.items():
            if field.role not in ("input", "output"):
                continue
            dtype = field.dtype(real)
            shape = (*lead, *(length(size, lengths) for size in field.shape or ()))
            self.rows[name] = dtype, shape, prod(shape) * dtype.itemsize
        self.needed = frozenset(n for n, f in self.fields.items() if not f.optional)

    def admit(self, name: str, tensor: Tensor) -> int:
        """Checks a tensor against its field; gives the address of its first number.

        Raises:
            ConfigError: It is not what the field says.
        """
        dtype, shape, size = self.rows[name]
        if (
            tensor.dtype is dtype
            and tensor.shape == shape
            and tensor.layout is torch.strided
            and tensor.is_cpu
            and tensor.is_contiguous()
            and not tensor.is_neg()
        ):
            start = tensor.data_ptr()
            storage = tensor.untyped_storage()
            base = storage.data_ptr()  # null where a fake tensor's address is its offset
            if base and start + size <= base + storage.nbytes():
                return start
        return self._admit(name, tensor)

    def _admit(self, name: str, tensor: Tensor) -> int:
        """Says what is wrong with a tensor, unless its members lie apart, and may."""
        dtype, shape, _ = self.rows[name]
        field = self.fields[name]
        what = f"{name} ({field.note})"
        require(tensor, what, dtype=dtype, device=CPU, shape=shape)
        if tensor.is_neg() or not (tensor[0] if field.apart else tensor).is_contiguous():
            raise ConfigError(f"{what} must be row-major, got strides {tensor.stride()}")
        start, storage = tensor.data_ptr(), tensor.untyped_storage()
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        size = (1 + sum((n - 1) * step for n, step in steps)) * tensor.element_size()
        base = storage.data_ptr()
        if not base or start + size > base + storage.nbytes():
            raise ConfigError(
                f"{what} has no memory behind its shape {shape}: its storage was freed or cut"
            )
        return start


def rows(count: int, table: Table) -> Int64Array:
    """Makes memory for structures in a row."""
    return (ctypes.c_int64 * (count * len(table.names)))()


class Structs:
    """Structures of one form in a row, filled by name.

    Args:
        form: The form.
        array: Where they lie; memory of their own if None.
        first: Which row of that memory is the first of them.
    """

    def __init__(self, form: Form, array: Int64Array | None = None, first: int = 0) -> None:
        self.form, self.width = form, len(form.columns)
        self.array = (ctypes.c_int64 * (form.count * self.width))() if array is None else array
        self.first = first * self.width
        self.held: dict[str, object] = {}  # what was filled in, so that it lives as long as this
        self.whole = False

    def copy(self) -> Structs:
        """Gives structures that are filled alike, to be filled further."""
        other = Structs.__new__(Structs)
        other.form, other.width, other.first = self.form, self.width, self.first
        other.array = type(self.array).from_buffer_copy(self.array)
        other.held, other.whole = self.held.copy(), self.whole
        return other

    def put(self, name: str, tensor: Tensor) -> None:
        """Fills a field with a tensor, once."""
        self._new(name, "input", "output")
        self.set(name, tensor)

    def set(self, name: str, tensor: Tensor, form: Form | None = None) -> None:
        """Fills a field with a tensor, also in place of another.

        Args:
            name: The field.
            tensor: The tensor.
            form: What it must be, where that is not what the structures were made for: fewer steps.
        """
        column = self.first + self.form.columns[name]
        if self.held.get(name) is tensor and self.array[column] == tensor.data_ptr():
            return  # it was admitted before, and has not moved
        start = (form or self.form).admit(name, tensor)
        self.array[column] = start
        if self.form.count > 1:
            self._fill(name, start, tensor.stride(0) * tensor.element_size())
        self.held[name] = tensor

    def share(self, name: str, other: Structs) -> None:
        """Fills a field with what the same field of other structures was filled with."""
        here, there = self.form.columns[name], other.form.columns[name]
        for k in range(self.form.count):
            row = self.first + k * self.width
            self.array[row + here] = other.array[other.first + k * other.width + there]
        self.held[name] = other.held[name]

    def number(self, name: str, *values: int) -> None:
        """Fills a field that is a number: the same in all structures, or one value each."""
        self._new(name, "number")
        column = self.first + self.form.columns[name]
        for k in range(self.form.count):
            self.array[k * self.width + column] = values[k if len(values) > 1 else 0]
        self.held[name] = values

    def clear(self, name: str) -> None:
        """Makes an optional field null."""
        assert self.form.fields[name].optional, f"field {name} must be filled"
        self._fill(name, 0, 0)
        self.held.pop(name, None)

    def change(self, name: str, value: int) -> None:
        """Fills a field that is a number in place of another."""
        assert self.form.fields[name].role == "number", f"field {name} is no number"
        column = self.first + self.form.columns[name]
        for k in range(self.form.count):
            self.array[k * self.width + column] = value

    def value(self, name: str) -> int:
        """Gives a field that is a number, as C left it."""
        assert self.form.fields[name].role == "number", f"field {name} is no number"
        return int(self.array[self.first + self.form.columns[name]])

    def held_at(self, name: str) -> int:
        """Gives where what a field was filled with begins."""
        return self.array[self.first + self.form.columns[name]]

    def place(self, name: str, start: int, step: int) -> None:
        """Fills a field of memory that is laid out elsewhere: where it begins, and the bytes from
        one structure to the next."""
        self._new(name, "work", "kept")
        self._fill(name, start, step)
        self.held[name] = start

    def move(self, names: Iterable[str], by: int) -> None:
        """Adds to the addresses of fields that were placed as if their memory began at 0."""
        array, columns = self.array, self.form.columns
        for first in range(self.first, self.first + self.form.count * self.width, self.width):
            for name in names:
                array[first + columns[name]] += by

    def _new(self, name: str, *roles: str) -> None:
        assert name in self.form.fields, f"no field {name} in this call"
        assert name not in self.held, f"field {name} is filled twice"
        assert self.form.fields[name].role in roles, f"field {name} is no {' or '.join(roles)}"

    def _fill(self, name: str, start: int, step: int) -> None:
        column = self.first + self.form.columns[name]
        for k in range(self.form.count):
            self.array[k * self.width + column] = start + k * step

    def filled(self) -> Int64Array:
        """Gives the structures, when every field has been filled."""
        if not self.whole:
            missing = self.form.needed - self.held.keys()
            assert not missing, f"fields {', '.join(sorted(missing))} are not filled"
            self.whole = True  # a field that must be filled never becomes empty again
        return self.array
