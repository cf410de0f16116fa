"""The cells of `torch.nn` in our language, and how their weights are written there and here.

Torch stacks the matrices of all gates into `weight_ih` (G, I) and `weight_hh` (G, H), and has two
biases a gate, of which one is enough wherever both are only added: their sum is our `b`, and on the
way back torch's second bias is zero. The GRU's `bias_hh` of n is inside the product with r and so a
vector of its own, `d_n`.

A cell is one of torch's if it is the same function (`expr.fingerprint`), whatever it, its equations
and its parameters are called, and wherever its weights start. Which parameter is which, the
fingerprint says too: by how the output reacts to each of them alone.

Shapes: I input, H hidden units, G = gates * H.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from odyssey.errors import CellError
from odyssey.expr.cell import Cell, parse_cell
from odyssey.expr.fingerprint import react

MODES = ("RNN_TANH", "RNN_RELU", "LSTM", "GRU")
_ELMAN = """cell {}
input x
state h
h[t] = {}(W_h @ x[t] + U_h @ h[t-1] + b_h)
output h
"""
_LSTM = """cell lstm
input x
state h, c
i    = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)
f    = sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)
o    = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)
g    = tanh(W_g @ x[t] + U_g @ h[t-1] + b_g)
c[t] = f * c[t-1] + i * g
h[t] = o * tanh(c[t])
output h
"""
_GRU = """cell gru_torch
input x
state h
r    = sigmoid(W_r @ x[t] + U_r @ h[t-1] + b_r)
z    = sigmoid(W_z @ x[t] + U_z @ h[t-1] + b_z)
n    = tanh(W_n @ x[t] + b_n + r * (U_n @ h[t-1] + d_n))
h[t] = (1 - z) * n + z * h[t-1]
output h
"""
_EQUATIONS = {
    "RNN_TANH": (_ELMAN.format("elman", "tanh"), "h"),
    "RNN_RELU": (_ELMAN.format("elman_relu", "relu"), "h"),
    "LSTM": (_LSTM, "ifgo"),
    "GRU": (_GRU, "rzn"),
}  # with their gates in torch's order


@dataclass(frozen=True)
class TorchCell:
    """What a mode of `torch.nn` computes.

    Attributes:
        mode: As torch names it: RNN_TANH, RNN_RELU, LSTM or GRU.
        bias: Whether it has biases.
        gates: The gates, in the order in which torch stacks them.
        cell: Its equations.
    """

    mode: str
    bias: bool
    gates: str
    cell: Cell

    def module(self, input_size: int, hidden_size: int, **options: Any) -> nn.RNNBase:
        """Builds torch's module for sequences."""
        found: nn.RNNBase = self._make("", input_size, hidden_size, options)
        return found

    def step(self, input_size: int, hidden_size: int, **options: Any) -> nn.RNNCellBase:
        """Builds torch's module of one step."""
        found: nn.RNNCellBase = self._make("Cell", input_size, hidden_size, options)
        return found

    def _make(self, kind: str, input_size: int, hidden_size: int, options: dict[str, Any]) -> Any:
        family, _, function = self.mode.partition("_")
        more = {"nonlinearity": function.lower()} if function else {}
        make = getattr(nn, family + kind)
        return make(input_size, hidden_size, bias=self.bias, **more, **options)

    def read(self, module: nn.RNNBase | nn.RNNCellBase) -> list[dict[str, Tensor]]:
        """Gives our parameters of each layer of a module, by the names of `cell`."""
        return [self._split(layer) for layer in self._stacked(module)]

    @torch.no_grad()
    def write(
        self, module: nn.RNNBase | nn.RNNCellBase, layers: Sequence[Mapping[str, Tensor]]
    ) -> None:
        """Sets torch's parameters; undoes `read` where torch's second bias is zero.

        Args:
            module: Torch's module.
            layers: Our parameters of each layer, by the names of `cell`.
        """
        for targets, layer in zip(self._stacked(module), layers, strict=True):
            for name, value in self._joined(layer).items():
                targets[name].copy_(value)

    def _stacked(self, module: nn.RNNBase | nn.RNNCellBase) -> list[dict[str, Tensor]]:
        """Gives torch's parameters of each layer and direction, without what numbers them."""
        names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else [])]
        ends = [""]
        if isinstance(module, nn.RNNBase):
            directions = ["", "_reverse"] if module.bidirectional else [""]
            ends = [f"_l{n}{end}" for n in range(module.num_layers) for end in directions]
        return [{name: getattr(module, name + end) for name in names} for end in ends]

    def _split(self, stacked: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts = {name: tensor.chunk(len(self.gates)) for name, tensor in stacked.items()}
        found: dict[str, Tensor] = {}
        for k, gate in enumerate(self.gates):
            found[f"W_{gate}"] = parts["weight_ih"][k]
            found[f"U_{gate}"] = parts["weight_hh"][k]
            if self.bias:
                first, second = parts["bias_ih"][k], parts["bias_hh"][k]
                if f"d_{gate}" in self.cell.parameters:
                    found[f"b_{gate}"], found[f"d_{gate}"] = first, second
                else:
                    found[f"b_{gate}"] = first + second
        return found

    def _joined(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        stacked = {
            "weight_ih": torch.cat([parameters[f"W_{g}"] for g in self.gates]),
            "weight_hh": torch.cat([parameters[f"U_{g}"] for g in self.gates]),
        }
        if self.bias:
            first = [parameters[f"b_{g}"] for g in self.gates]
            pairs = zip(self.gates, first, strict=True)
            second = [parameters.get(f"d_{g}", torch.zeros_like(b)) for g, b in pairs]
            stacked |= {"bias_ih": torch.cat(first), "bias_hh": torch.cat(second)}
        return stacked


@cache
def torch_cell(mode: str, bias: bool) -> TorchCell:
    """Gives what a mode of `torch.nn` computes."""
    text, gates = _EQUATIONS[mode]
    if not bias:
        text = re.sub(r" \+ [bd]_\w", "", text)
        text = re.sub(r"^cell (\w+)", r"cell \1:no_bias", text)
    return TorchCell(mode, bias, gates, parse_cell(text))


@cache
def _by_fingerprint() -> dict[str, TorchCell]:
    every = [torch_cell(mode, bias) for mode in MODES for bias in (True, False)]
    return {own.cell.fingerprint: own for own in every}


def recognise(cell: Cell) -> tuple[TorchCell, dict[str, str]]:
    """Finds which of torch's cells a cell is.

    Returns:
        It, and for each of its parameters the name in `cell`.

    Raises:
        CellError: The cell is none of torch's.
    """
    found = _by_fingerprint().get(cell.fingerprint)
    if found is None:
        names = ", ".join(torch_cell(mode, True).cell.name for mode in MODES)
        raise CellError(
            f"{cell.name} is no cell of torch.nn, which has {names}, each with all its biases or"
            " none: keep the odyssey.RNN, or write it with odyssey.export"
        )
    ours = {row: name for name, row in react(cell.live).alone.items()}
    theirs = react(found.cell.live).alone
    return found, {name: ours[row] for name, row in theirs.items()}


def mode_of(module: nn.Module) -> str:
    """Gives the mode of one of torch's recurrent modules or cells.

    Raises:
        CellError: It is none, or has what no cell of ours has.
    """
    if isinstance(module, nn.RNNBase):
        if module.proj_size:
            raise CellError(
                f"proj_size={module.proj_size}: no cell of the library has a projection; write one"
                " whose output is P @ (o * tanh(c[t])) and copy the weights"
            )
        return str(module.mode)
    if isinstance(module, nn.RNNCell):
        return f"RNN_{module.nonlinearity.upper()}"
    if isinstance(module, nn.LSTMCell):
        return "LSTM"
    if isinstance(module, nn.GRUCell):
        return "GRU"
    raise CellError(
        f"expected a torch.nn.RNN, LSTM or GRU or one of their cells, got {type(module).__name__}"
    )
