"""From a recurrent module of `torch.nn` to ours; `RNN.to_torch` is the way back."""

from __future__ import annotations

from torch import Tensor, nn

from odyssey.compiler.module import RNN
from odyssey.compiler.one_step import RNNCell
from odyssey.compiler.torch_cells import mode_of, torch_cell


def from_torch(module: nn.Module, *, backend: str = "auto") -> RNN:
    """Makes the module that computes what one of torch's does, with a copy of its weights.

    Layers, directions, `batch_first`, dropout, type, device and training mode are carried over. The
    two biases of torch become one, their sum, wherever both are only added. All parameters are to
    be trained, also where torch's are frozen.

    Args:
        module: A `torch.nn.RNN`, `LSTM` or `GRU`; or `RNNCell`, `LSTMCell` or `GRUCell`, which
            become an `odyssey.RNNCell`.
        backend: `auto`, or the name of a backend.

    Raises:
        CellError: It is none of these, or has a projection (`proj_size`).
    """
    mode = mode_of(module)
    assert isinstance(module, nn.RNNBase | nn.RNNCellBase)
    own = torch_cell(mode, bool(module.bias))
    layers = own.read(module)
    like = layers[0]["W_" + own.gates[0]]
    sizes = own.cell, module.input_size, module.hidden_size
    found: RNN
    if isinstance(module, nn.RNNCellBase):
        found = RNNCell(*sizes, backend=backend, device=like.device, dtype=like.dtype)
    else:
        found = RNN(
            *sizes,
            module.num_layers,
            backend=backend,
            batch_first=module.batch_first,
            dropout=module.dropout if module.num_layers > 1 else 0.0,
            bidirectional=module.bidirectional,
            device=like.device,
            dtype=like.dtype,
        )
    state: dict[str, Tensor] = {}
    for number, layer in enumerate(layers):
        row, reverse = divmod(number, found.directions)
        where = "layers_reverse" if reverse else "layers"
        state |= {f"{where}.{row}.{name}": value for name, value in layer.items()}
    found.load_state_dict(state)
    return found.train(module.training)
