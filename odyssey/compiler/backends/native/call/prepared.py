"""The calls of one kind and shape, with all that does not depend on which tensors they get.

A training loop calls the same layer with the same sizes again and again, so whatever follows from
the sizes is found once: fields, lengths, where memory is cut, and the structures with those filled
in. What is left for a call is to admit its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from odyssey.compiler.arguments import require_classes
from odyssey.compiler.backends.native.abi.structures import CPU, Structs, dense
from odyssey.compiler.backends.native.call.kernel import Code, Kernel, Shape
from odyssey.compiler.backends.native.call.memory import borrow

PLACED = 8  # structures for pieces of memory that take turns


class Prepared:
    """Calls of one kind and shape.

    Args:
        code: The program.
        kernel: Its code for the type of the tensors.
        shape: The sizes.
        call: `f` or `b`.
    """

    def __init__(self, code: Code, kernel: Kernel, shape: Shape, call: str) -> None:
        self.code, self.kernel, self.shape, self.call = code, kernel, shape, call
        self.form, self.sizes = kernel.form(shape, call), kernel.sizes(shape)
        names = enumerate(code.inputs(shape.indexed).names)
        self.inputs = [(k, name) for k, name in names if name in self.form.fields]
        self.indices = [f"x{n}_index" for n in sorted(shape.indexed)]
        self.totals = {r: kernel.layout(shape, call, r).total for r in ("kept", "work")}
        zeros = ("always", "ragged") if shape.ragged else ("always",)
        self.zeros = {name for name, f in self.form.fields.items() if f.zeros in zeros}
        self.placed: dict[tuple[int, int], Structs] = {}

    def kept(self) -> Tensor:
        """Borrows the memory of what a forward call keeps."""
        return borrow(self.totals["kept"], self.kernel.dtype)

    def run(
        self,
        x: Tensor,
        inputs: Sequence[Tensor],
        kept: Tensor,
        *,
        others: Mapping[str, Tensor] | None = None,
        wanted: Sequence[bool] = (),
    ) -> dict[str, Tensor]:
        """Calls C.

        Args:
            x: The input of the layer.
            inputs: What the loop reads; see `inputs.Inputs`.
            kept: The memory of what a forward call keeps.
            others: Further tensors by field.
            wanted: Whether the gradient of each input is; all are if empty.

        Returns:
            What comes out, in the order of the table.

        Raises:
            ConfigError: A tensor is not what its field must be.
        """
        work = borrow(self.totals["work"], self.kernel.dtype)
        structs = self._place(kept, work)
        if self.indices:
            index = dense(x)
            require_classes(index, self.shape.input_size)
            for name in self.indices:
                structs.put(name, index)
        held = []  # as long as the call takes
        for k, name in self.inputs:
            tensor = dense(inputs[k])
            held.append(tensor)
            structs.put(name, tensor)
        for name, tensor in (others or {}).items():
            structs.put(name, tensor)
        outputs = self._outputs(tuple(wanted))
        for name, tensor in outputs.items():
            structs.put(name, tensor)
        self.kernel.run(self.sizes, self.call, structs)
        return outputs

    def _outputs(self, wanted: tuple[bool, ...]) -> dict[str, Tensor]:
        dtype, rows = self.kernel.dtype, self.form.rows
        return {
            name: (torch.zeros if name in self.zeros else torch.empty)(
                rows[name][1], dtype=dtype, device=CPU
            )
            for name in self.code.outputs(self.call, self.shape.indexed, wanted)
        }

    def _place(self, kept: Tensor, work: Tensor) -> Structs:
        """Gives structures with numbers and memory filled in."""
        kernel = self.kernel
        kernel.check_memory(kept, self.totals["kept"])
        key = kept.data_ptr(), work.data_ptr()
        structs = self.placed.get(key)
        if structs is None:
            if len(self.placed) >= PLACED:
                self.placed.clear()
            structs = kernel.structs(self.shape, self.call, kept, work)
            structs.held.update(kept=True, work=True)  # whose memory they are: not kept alive here
            self.placed[key] = structs
        return structs.copy()


def prepared(code: Code, dtype: torch.dtype, call: str, sizes: tuple[object, ...]) -> Prepared:
    """Gives the calls of a kind and shape, made when first asked for.

    Args:
        code: The program.
        dtype: float32 or float64.
        call: `f` or `b`.
        sizes: The arguments of `Shape`.

    Raises:
        ConfigError: It is another type.
    """
    kernel = code.kernel(dtype)
    memory: dict[object, Prepared] = kernel.prepared
    key = call, sizes
    found = memory.get(key)
    if found is None:
        if len(memory) >= MOST_PREPARED:
            memory.clear()
        found = memory[key] = Prepared(code, kernel, Shape(*sizes), call)  # type: ignore[arg-type]
    return found


MOST_PREPARED = 200
