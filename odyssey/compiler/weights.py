"""The parameters of one layer, as a module of its own: what torch hangs on modules acts on them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from odyssey.errors import ConfigError


class Weights(nn.ParameterDict):
    """Holds a layer's parameters by name; a call gives them as they are to be used.

    A call runs the hooks of the module, and reads attributes: so parametrizations, pruning,
    spectral and weight norm of `torch.nn.utils` act on every backend.
    """

    __call__ = nn.Module.__call__  # which a ParameterDict refuses

    def forward(self) -> dict[str, Tensor]:
        """Gives the parameters by name.

        Raises:
            ConfigError: One is no longer there.
        """
        missing = [name for name in self if not hasattr(self, name)]
        if missing:
            raise ConfigError(f"the layer has lost its parameter {missing[0]!r}; build a new RNN")
        return {name: getattr(self, name) for name in self}


def is_plain(weights: Weights) -> bool:
    """Says whether a call gives the parameters themselves, and nothing else happens in it."""
    return not hooked(weights) and all(name in weights._parameters for name in weights)


def hooked(weights: Weights) -> bool:
    """Says whether anything is to happen when the module is called."""
    return bool(
        weights._forward_pre_hooks
        or weights._forward_hooks
        or weights._backward_pre_hooks
        or weights._backward_hooks
        or _has_any_global_hook()  # type: ignore[no-untyped-call]
    )
